"""Rollouts in any vector environment: the policy acts in one Numba kernel, the environments step unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv

from fastcartpole.random_streams import seed_streams

from ..environments.making import close_quietly
from ..environments.spec import EnvironmentSpec
from ..errors import DivergenceError, InvalidTransitionError
from ..kernels.acting import PolicySnapshot
from ..kernels.rollout import Rollout, new_rollout
from .acting import acting, choosing
from .collector import Episodes
from .episodes import play
from .stepping import Step, Stepper, Vector

Row = npt.NDArray[np.float32]


class VectorCollector:
    """A vector environment and the random streams of the policy's actions.

    The states of the environments cannot be saved: in a copy, or after resuming, environments start new episodes.
    ``agent.rollouts.collector.Collector`` describes attributes and methods.
    """

    is_exact = False
    num_threads = 1

    def __init__(
        self,
        environments: Vector,
        spec: EnvironmentSpec,
        num_steps: int,
        environment_seed: np.random.SeedSequence,
        action_seeds: npt.NDArray[np.uint64],
        *,
        is_ours: bool,
        evaluation_environments: Vector | Callable[[], Vector],
        evaluation_batch: int,
        autoreset_mode: AutoresetMode | str | None = None,
        noise_interval: int | None = None,
    ) -> None:
        """Reset the environments.

        Args:
            environments: N environments.
            spec: Properties of one environment.
            num_steps: Number of steps T of each environment in one rollout.
            environment_seed: Seed of the environments.
            action_seeds: Seeds of action sampling, shape (N,), uint64.
            is_ours: Whether to close the environments together with the collector.
            evaluation_environments: Vector environment for evaluations, or a function that creates it.
            evaluation_batch: Number of its environments.
            autoreset_mode: Autoreset mode of environments that do not declare one.
            noise_interval: Number of steps after which state-dependent exploration draws new noise; None draws it once
                per rollout.

        Raises:
            AutoresetModeError: If the autoreset mode is unknown or contradictory.
        """
        self._noise_interval = noise_interval
        self._stepper = Stepper(environments, autoreset_mode)
        self._spec = spec
        self._num_steps = num_steps
        self.evaluation_batch = evaluation_batch
        self._evaluation_environments = evaluation_environments
        self._is_ours = is_ours
        self._evaluation: Stepper | None = None
        self._autoreset_mode = autoreset_mode
        self._steps_taken = 0
        self.action_streams = np.zeros((4, environments.num_envs), dtype=np.uint64)
        seed_streams(action_seeds, np.arange(environments.num_envs), self.action_streams)
        self.ignores_actions = self._stepper.ignores_actions
        self.reset(environment_seed)

    def reset(self, seed: np.random.SeedSequence | None = None) -> None:
        """Start a new episode in every environment."""
        self._stepper.reset(seed)
        num_envs = len(self._stepper.observations)
        self.running_returns = np.zeros(num_envs)
        self.running_lengths = np.zeros(num_envs, dtype=np.int64)

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the random streams of the actions, and the number of steps taken."""
        return {"action_streams": self.action_streams.copy(), "steps_taken": np.array(self._steps_taken)}

    def set_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the result of ``get_state``; the environments keep their current states."""
        self.action_streams = state["action_streams"].copy()
        self._steps_taken = int(state["steps_taken"])

    def collect(self, policy: PolicySnapshot) -> Rollout:
        """Play T steps in every environment with the given policy, in new arrays.

        Raises:
            InvalidTransitionError: If an observation or a reward is infinite or not a number.
            DivergenceError: If an action is infinite or not a number.
        """
        stepper, head = self._stepper, self._spec.action_head
        num_envs = len(stepper.observations)
        rollout = new_rollout(
            self._num_steps, num_envs, self._spec.observation_size, 0, head.action_shape, head.stored_dtype
        )
        truncations: list[dict[int, Row]] = []
        act = acting(policy, head, self._noise_interval)
        actions: npt.NDArray[Any] = np.empty((num_envs, head.num_entries), dtype=head.acting_dtype)
        for t in range(self._num_steps):
            observations, log_probs = rollout.observations[t], rollout.log_probs[t]
            observations[:] = stepper.observations
            act(observations, self.action_streams, False, actions, log_probs)
            if head.is_continuous:
                self._check_actions(t, log_probs, observations)
            rollout.actions[t] = actions.reshape(rollout.actions.shape[1:])
            ignored = stepper.ignored
            step = stepper.step(actions)
            self._record(t, step, ignored, rollout)
            truncations.append(step.final_observations)
        rollout.last_observations[:] = stepper.observations
        rollout = rollout._replace(final_observations=_in_order(truncations, rollout.last_observations))
        self._check(rollout)
        self._steps_taken += self._num_steps
        return rollout

    def _check_actions(self, t: int, log_probs: Row, observations: Row) -> None:
        """Raise an exception for the first environment whose action is infinite or not a number.

        Such actions are not passed on, because some physics engines crash the process.
        """
        # The log-density of such an action is not finite.
        if np.isfinite(log_probs).all():
            return
        index = int(np.flatnonzero(~np.isfinite(log_probs))[0])
        step = self._steps_taken + t + 1
        if not np.isfinite(observations[index]).all():
            raise InvalidTransitionError(
                f"environment {index} of {self._spec.name} gave an observation that is infinite or not a number in "
                f"step {step - 1}."
            )
        raise DivergenceError(
            f"The training has diverged: the action for environment {index} in step {step} is infinite or not a number."
        )

    def _record(self, t: int, step: Step, ignored: npt.NDArray[np.bool_], rollout: Rollout) -> None:
        rollout.rewards[t] = step.rewards
        rollout.terminated[t] = step.terminated
        rollout.truncated[t] = step.truncated
        self.running_returns += step.rewards
        self.running_lengths += 1
        if self.ignores_actions and ignored.any():
            rollout.valid[t] = ~ignored
            self.running_lengths[ignored] = 0
        ended = np.flatnonzero(step.terminated | step.truncated)
        if ended.size:
            rollout.episode_lengths[t, ended] = self.running_lengths[ended]
            rollout.episode_returns[t, ended] = self.running_returns[ended]
            self.running_lengths[ended] = 0
            self.running_returns[ended] = 0.0

    def _check(self, rollout: Rollout) -> None:
        """Raise an ``InvalidTransitionError`` for the first environment and step with a value that is not finite."""
        after = np.concatenate([rollout.observations[1:], rollout.last_observations[None]])
        faults = [
            (*place, what)
            for what, is_finite in (
                ("an observation", np.isfinite(after).all(axis=-1) & self._finals_are_finite(rollout)),
                ("a reward", np.isfinite(rollout.rewards)),
            )
            for place in np.argwhere(~is_finite)[:1].tolist()
        ]
        # A fault before the first step can only come from a reset.
        faults += [
            (-1, n, "an observation") for n in np.flatnonzero(~np.isfinite(rollout.observations[0]).all(axis=-1))
        ]
        if faults:
            step, index, what = min(faults)
            raise InvalidTransitionError(
                f"environment {index} of {self._spec.name} gave {what} that is infinite or not a number in step "
                f"{self._steps_taken + step + 1}."
            )

    def _finals_are_finite(self, rollout: Rollout) -> npt.NDArray[np.bool_]:
        """Return False where a final observation contains a value that is not finite, shape (T, N), bool."""
        has_final = rollout.truncated & ~rollout.terminated
        are_finite = np.ones_like(has_final)
        for n in range(has_final.shape[1]):
            steps = np.flatnonzero(has_final[:, n])
            are_finite[steps, n] = np.isfinite(rollout.final_observations[: steps.size, n]).all(axis=-1)
        return are_finite

    def play_episodes(
        self,
        policy: PolicySnapshot,
        seed: np.random.SeedSequence,
        episodes: int,
        max_episode_steps: int,
        least_mean: float = -math.inf,
    ) -> Episodes:
        """Play whole episodes with the greedy policy, in separate environments; ``least_mean`` is ignored."""
        if self._evaluation is None:
            given = self._evaluation_environments
            environments = given if isinstance(given, VectorEnv) else given()
            self._evaluation = Stepper(environments, self._autoreset_mode)
        return play(self._evaluation, choosing(policy, self._spec.action_head), seed, episodes, max_episode_steps)

    def close(self) -> None:
        """Close the environments that the collector owns."""
        if self._is_ours:
            close_quietly(self._stepper.environments)
        if self._evaluation is not None and not isinstance(self._evaluation_environments, VectorEnv):
            close_quietly(self._evaluation.environments)


def _in_order(truncations: list[dict[int, Row]], like: Row) -> npt.NDArray[np.float32]:
    """Return the final observations of each environment's truncated episodes in order, shape (K, N, D)."""
    of_each: list[list[Row]] = [[] for _ in like]
    for step in truncations:
        for n, observation in step.items():
            of_each[n].append(observation)
    finals = np.zeros((max(map(len, of_each)), *like.shape), dtype=np.float32)
    for n, observations in enumerate(of_each):
        for k, observation in enumerate(observations):
            finals[k, n] = observation
    return finals
