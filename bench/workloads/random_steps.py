"""Environments of Gymnasium and EnvPool with random actions, and fastppo's training in EnvPool's environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from agent import PPO, PPOConfig
from bench.workloads.our_agent import endless


class RandomSteps:
    """Steps of a vector environment with random actions that are sampled beforehand."""

    def __init__(self, env_id: str, num_envs: int, num_steps: int, *, is_envpool: bool = False) -> None:
        """Create the environments and sample the actions.

        Args:
            env_id: Id of the environments.
            num_envs: Number of environments.
            num_steps: Number of steps per environment and run.
            is_envpool: Whether to use EnvPool's batch instead of Gymnasium's ``SyncVectorEnv`` with same-step
                autoreset.
        """
        self._environments = _envpool(env_id, num_envs) if is_envpool else _gymnasium(env_id, num_envs)
        space: Any = self._environments.single_action_space
        space.seed(0)
        samples = [[space.sample() for _ in range(num_envs)] for _ in range(num_steps)]
        self._actions = np.array(samples, dtype=space.dtype)
        self.work = float(num_steps * num_envs)
        self._environments.reset()

    def run(self) -> None:
        """Take all steps, continuing where the last run ended."""
        for actions in self._actions:
            self._environments.step(actions)


class RandomStepsInEnvPool(RandomSteps):
    """Steps of EnvPool's batch with random actions."""

    def __init__(self, env_id: str, num_envs: int, num_steps: int) -> None:
        """Create the environments; the arguments are those of ``RandomSteps``."""
        super().__init__(env_id, num_envs, num_steps, is_envpool=True)


class OurEpochsInEnvPool:
    """Whole epochs in EnvPool's batch: a rollout, an update, and their metrics."""

    def __init__(self, config: PPOConfig) -> None:
        """Build the agent.

        Args:
            config: Configuration of the agent.
        """
        environments, evaluations = (_envpool(str(config.env_id), config.num_envs) for _ in range(2))
        self._agent = PPO(endless(config), environments, evaluation_environments=evaluations)
        self.work = float(config.rollout_size)

    def run(self) -> float:
        """Train for one epoch; return its mean return."""
        return self._agent.train_epoch().mean_return


def _gymnasium(env_id: str, num_envs: int) -> Any:
    vector_kwargs = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return gymnasium.make_vec(env_id, num_envs=num_envs, vectorization_mode="sync", vector_kwargs=vector_kwargs)


def _envpool(env_id: str, num_envs: int) -> Any:
    import envpool

    return envpool.make(env_id, env_type="gymnasium", num_envs=num_envs, seed=0)
