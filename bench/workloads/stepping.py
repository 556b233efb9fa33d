"""Steps of CartPole with random actions through Gymnasium's API: fastcartpole, Gymnasium and EnvPool."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from bench.correctness import Trajectory, check_bits, check_dynamics, random_actions
from bench.process import WrongResultError
from fastcartpole import CartPoleVectorEnv

_STEPS_OF_A_RUN = 16_384
_MAX_GENERATORS = 4096
_CHECKED_TRANSITIONS = 200_000


def num_steps_of_run(num_envs: int) -> int:
    """Return how many steps of a batch a run needs to be long enough."""
    return max(1, min(1024, _STEPS_OF_A_RUN // num_envs))


def num_checked_steps(num_envs: int) -> int:
    """Return the length of the trajectory to compare with Gymnasium's; the shortest episodes have 8 steps."""
    return max(12, min(60, _CHECKED_TRANSITIONS // num_envs))


class VectorSteps:
    """Steps of a batch of environments with all results returned."""

    def __init__(self, environments: VectorEnv[Any, Any, Any]) -> None:
        """Reset the environments.

        Args:
            environments: Vector environment of N environments.
        """
        self.environments = environments
        self._actions = random_actions(0, num_steps_of_run(environments.num_envs), environments.num_envs)
        self.work = float(self._actions.size)
        environments.reset(seed=0)

    def run(self) -> float:
        """Step through all actions; return the sum of the last rewards."""
        for row in self._actions:
            results = self.environments.step(row)
        return float(results[1].sum())

    def check(self) -> None:
        """Compare a trajectory with Gymnasium's steps."""
        check_dynamics(self._trajectory())

    def _trajectory(self) -> Trajectory:
        observations, _ = self.environments.reset()
        actions = random_actions(1, num_checked_steps(self.environments.num_envs), self.environments.num_envs)
        seen, ended = [np.array(observations)], []
        for row in actions:
            observations, _, terminated, truncated, _ = self.environments.step(row)
            seen.append(np.array(observations))
            ended.append(np.array(terminated) | np.array(truncated))
        return Trajectory(np.array(seen), actions, np.array(ended))


class OurSteps(VectorSteps):
    """Steps of ``fastcartpole.CartPoleVectorEnv`` with either precision."""

    def __init__(self, num_envs: int, precision: str, threads: int | None = None) -> None:
        """Create the environments.

        Args:
            num_envs: Number of environments.
            precision: ``"exact"`` or ``"fast"``.
            threads: Number of threads; None to let ``CartPoleVectorEnv`` choose.
        """
        super().__init__(CartPoleVectorEnv(num_envs, precision=precision, num_threads=threads))
        self._precision = precision
        self.threads = threads or 0

    def check(self) -> None:
        """Compare a trajectory with Gymnasium's steps and, with exact precision, trajectories bit by bit."""
        if self._precision == "exact":
            check_bits(self.environments.num_envs)
        super().check()


class GymnasiumSteps(VectorSteps):
    """Steps of Gymnasium's vector environments."""

    threads = 1

    def __init__(self, num_envs: int, mode: str) -> None:
        """Create the environments.

        Args:
            num_envs: Number of environments.
            mode: ``"sync"`` or ``"vector_entry_point"``.
        """
        super().__init__(gymnasium.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode=mode))

    def check(self) -> None:
        """Do nothing: Gymnasium is the reference."""


class EnvPoolSteps(VectorSteps):
    """Steps of EnvPool's synchronous batch with its default number of threads."""

    def __init__(self, num_envs: int) -> None:
        """Create the environments.

        Args:
            num_envs: Number of environments.
        """
        import envpool

        environments = envpool.make_gymnasium("CartPole-v1", num_envs=num_envs, seed=0)
        super().__init__(_WithoutSeed(environments, num_envs))  # type: ignore[arg-type]


class _WithoutSeed:
    """EnvPool's environments, with a ``reset`` that ignores the seed, since EnvPool's takes none."""

    def __init__(self, environments: Any, num_envs: int) -> None:
        self.num_envs = num_envs
        self.step = environments.step
        self._reset = environments.reset

    def reset(self, seed: int | None = None) -> Any:
        return self._reset()


class SingleSteps:
    """Steps of a single environment in the wrappers that ``gymnasium.make`` adds."""

    threads = 1

    def __init__(self, environment_id: str) -> None:
        """Create the environment.

        Args:
            environment_id: Id of the environment in Gymnasium's registry.
        """
        import fastcartpole

        gymnasium.register_envs(fastcartpole)
        self._environment = gymnasium.make(environment_id)
        self._actions = random_actions(0, num_steps_of_run(1), 1)[:, 0].tolist()
        self.work = float(len(self._actions))

    def run(self) -> float:
        """Step through all actions, resetting after each episode; return the sum of the rewards."""
        self._environment.reset(seed=0)
        total = 0.0
        for action in self._actions:
            _, reward, terminated, truncated, _ = self._environment.step(action)
            total += float(reward)
            if terminated or truncated:
                self._environment.reset()
        return total


class OurSingleSteps(SingleSteps):
    """Steps of a single ``fastcartpole`` environment."""

    def __init__(self) -> None:
        """Create the environment."""
        super().__init__("fastcartpole/CartPole-v1")

    def check(self) -> None:
        """Compare a trajectory with Gymnasium's, bit by bit."""
        reference = gymnasium.make("CartPole-v1")
        actual, expected = (environment.reset(seed=1)[0] for environment in (self._environment, reference))
        for step, action in enumerate(self._actions):
            if actual.tobytes() != expected.tobytes():
                raise WrongResultError(f"fastcartpole's observations differ from Gymnasium's at step {step}.")
            results, others = self._environment.step(action), reference.step(action)
            if results[1:4] != others[1:4]:
                raise WrongResultError(f"fastcartpole's reward or flags differ from Gymnasium's at step {step}.")
            actual, expected = results[0], others[0]
            if results[2] or results[3]:
                actual, expected = (environment.reset()[0] for environment in (self._environment, reference))


class OurRollouts:
    """Rollouts of ``CartPoleVectorEnv`` in one compiled call that samples the actions and stores all results."""

    def __init__(self, num_envs: int, precision: str, threads: int | None = None) -> None:
        """Create the environments and allocate a rollout.

        Args:
            num_envs: Number of environments.
            precision: ``"exact"`` or ``"fast"``.
            threads: Number of threads; None to let ``CartPoleVectorEnv`` choose.
        """
        self._environments = CartPoleVectorEnv(num_envs, precision=precision, num_threads=threads)
        self._environments.reset(seed=0)
        # Long enough compared with timer noise, and small enough for the L2 cache.
        self._num_steps = max(8, 4 * num_steps_of_run(num_envs))
        self._out = self._environments.rollout("random", self._num_steps)
        self._seed = 0
        self.work = float(num_envs * self._num_steps)
        self.threads = threads or 0

    def run(self) -> float:
        """Play one rollout; return the sum of its rewards."""
        self._seed += 1
        rollout = self._environments.rollout("random", self._num_steps, seed=self._seed, out=self._out)
        return float(rollout.rewards.sum())

    def check(self) -> None:
        """Compare a rollout with Gymnasium's steps."""
        self._environments.reset(seed=1)
        rollout = self._environments.rollout("random", num_checked_steps(self._environments.num_envs), seed=0)
        ended = rollout.terminated | rollout.truncated
        check_dynamics(Trajectory(rollout.all_observations, rollout.actions, ended))


class OurResets:
    """Seeded resets of ``CartPoleVectorEnv``."""

    threads = 1

    def __init__(self, num_envs: int) -> None:
        """Create the environments.

        Args:
            num_envs: Number of environments.
        """
        self._environments = CartPoleVectorEnv(num_envs)
        self.work = float(num_envs)

    def run(self) -> float:
        """Reset all environments with a seed; return the sum of the observations."""
        return float(self._environments.reset(seed=0)[0].sum())

    def check(self) -> None:
        """Compare with Gymnasium bit by bit."""
        check_bits(self._environments.num_envs)


class NumPyGenerators:
    """Creation of one NumPy bit generator per environment: the minimum that a seeded reset in Python needs."""

    threads = 1

    def __init__(self, num_envs: int) -> None:
        """Store the number of generators.

        Args:
            num_envs: Number of environments; at most 4,096 generators are created, and counted as the work.
        """
        self._num_envs = min(num_envs, _MAX_GENERATORS)
        self.work = float(self._num_envs)

    def run(self) -> object:
        """Create and return the generators."""
        return [np.random.PCG64(seed) for seed in range(self._num_envs)]
