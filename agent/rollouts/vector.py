"""Rollouts in any vector environment: the policy acts in one Numba kernel, the environments step unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from fastcartpole.random_streams import seed_streams

from ..environments.making import close_quietly
from ..environments.spec import EnvironmentSpec
from ..errors import DivergenceError, InvalidTransitionError, reason_of
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
        environments: Vector | Callable[[], Vector],
        spec: EnvironmentSpec,
        num_steps: int,
        environment_seed: np.random.SeedSequence,
        action_seeds: npt.NDArray[np.uint64],
        *,
        evaluation_environments: Vector | Callable[[], Vector],
        evaluation_batch: int,
        autoreset_mode: AutoresetMode | str | None = None,
        noise_interval: int | None = None,
    ) -> None:
        """Reset the environments.

        Args:
            environments: N environments, or a function that creates them.
            spec: Properties of one environment.
            num_steps: Number of steps T of each environment in one rollout.
            environment_seed: Seed of the environments.
            action_seeds: Seeds of action sampling, shape (N,), uint64.
            evaluation_environments: Vector environment for evaluations, or a function that creates it. Environments
                that a function created are closed together with the collector, and created again after an error.
            evaluation_batch: Number of its environments.
            autoreset_mode: Autoreset mode of environments that do not declare one.
            noise_interval: Number of steps after which state-dependent exploration draws new noise; None draws it once
                per rollout.

        Raises:
            AutoresetModeError: If the autoreset mode is unknown or contradictory.
        """
        self._noise_interval = noise_interval
        self._training = _Environments(environments, spec.name, autoreset_mode, is_training=True)
        self._evaluation = _Environments(evaluation_environments, spec.name, autoreset_mode, is_training=False)
        self._spec = spec
        self._num_steps = num_steps
        self.evaluation_batch = evaluation_batch
        self._steps_taken = 0
        num_envs = action_seeds.size
        self.action_streams = np.zeros((4, num_envs), dtype=np.uint64)
        seed_streams(action_seeds, np.arange(num_envs), self.action_streams)
        self.running_returns = np.zeros(num_envs)
        self.running_lengths = np.zeros(num_envs, dtype=np.int64)
        with self._training.in_use() as stepper:
            self.ignores_actions = stepper.ignores_actions
        self.reset(environment_seed)

    @property
    def is_interrupted(self) -> bool:
        """Whether an error has left the training environments without running episodes."""
        return self._training.is_interrupted

    def reset(self, seed: np.random.SeedSequence | None = None) -> None:
        """Start a new episode in every environment.

        Raises:
            InvalidTransitionError: If an observation lies outside of its space.
            RuntimeError: If environments of the user have failed before and cannot be reset.
        """
        try:
            with self._training.in_use() as stepper:
                stepper.reset(seed)
        except InvalidTransitionError as error:
            raise InvalidTransitionError(f"{error}, after a reset.") from error
        self.running_returns[:] = 0.0
        self.running_lengths[:] = 0

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the random streams of the actions, and the number of steps taken."""
        return {"action_streams": self.action_streams.copy(), "steps_taken": np.array(self._steps_taken)}

    def set_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the result of ``get_state``; the environments keep their current states."""
        self.action_streams = state["action_streams"].copy()
        self._steps_taken = int(state["steps_taken"])

    def collect(self, policy: PolicySnapshot) -> Rollout:
        """Play T steps in every environment with the given policy, in new arrays.

        On error, nothing has changed but the environments: ``reset`` must start new episodes.

        Raises:
            InvalidTransitionError: If an observation or a reward is infinite or not a number, or lies outside of its
                space.
            DivergenceError: If an action is infinite or not a number.
        """
        streams = self.action_streams.copy()
        try:
            with self._training.in_use() as stepper:
                rollout = self._collected(policy, stepper)
        except BaseException:
            self.action_streams = streams
            raise
        self._steps_taken += self._num_steps
        return rollout

    def _collected(self, policy: PolicySnapshot, stepper: Stepper) -> Rollout:
        head, num_envs = self._spec.action_head, len(stepper.observations)
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
            try:
                step = stepper.step(actions)
            except InvalidTransitionError as error:
                raise InvalidTransitionError(f"{error}, in step {self._steps_taken + t + 1}.") from error
            self._record(t, step, ignored, rollout)
            truncations.append(step.final_observations)
        rollout.last_observations[:] = stepper.observations
        rollout = rollout._replace(final_observations=_in_order(truncations, rollout.last_observations))
        self._check(rollout)
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
        seed: np.random.SeedSequence | int,
        episodes: int,
        max_episode_steps: int,
        least_mean: float = -math.inf,
        on_episodes: Callable[[int], object] = lambda _: None,
    ) -> Episodes:
        """Play whole episodes with the greedy policy, in separate environments; ``least_mean`` is ignored."""
        act = choosing(policy, self._spec.action_head)
        with self._evaluation.in_use() as stepper:
            return play(stepper, act, seed, episodes, max_episode_steps, on_episodes)

    def close(self) -> None:
        """Close the environments that the collector created."""
        self._training.close()
        self._evaluation.close()


class _Environments:
    """A vector environment of the user, or one that is created when it is first used and again after an error.

    Attributes:
        is_interrupted: Whether an error has left the environments without running episodes.
    """

    def __init__(
        self,
        given: Vector | Callable[[], Vector],
        name: str,
        autoreset_mode: AutoresetMode | str | None,
        *,
        is_training: bool,
    ) -> None:
        self._given = given
        self._is_training = is_training
        self._name = name
        self._autoreset_mode = autoreset_mode
        self._stepper: Stepper | None = None
        self._is_closed = False
        self.is_interrupted = False

    @contextmanager
    def in_use(self) -> Iterator[Stepper]:
        """Provide the environments; on any error, close those that were created here.

        An error leaves environments in the middle of a step, and ends the process of an asynchronous one.

        Raises:
            RuntimeError: If ``close`` has been called, or if environments of the user fail again after an error.
        """
        if self._is_closed:
            raise RuntimeError("the agent is closed: it can predict, but not train or evaluate.")
        is_repeated = self.is_interrupted and isinstance(self._given, VectorEnv)
        try:
            if self._stepper is None:
                self._stepper = self._opened()
            yield self._stepper
        except BaseException as error:
            self.is_interrupted = True
            self._discard()
            if not is_repeated or not isinstance(error, Exception) or isinstance(error, InvalidTransitionError):
                raise
            raise RuntimeError(
                f"the environments passed to the agent cannot start new episodes after an error ({reason_of(error)}): "
                "save the agent, and pass new ones to fastppo.load(path, environments)."
            ) from error
        self.is_interrupted = False

    def _opened(self) -> Stepper:
        if isinstance(self._given, VectorEnv):
            return self._stepping(self._given)
        environments = self._given()
        try:
            return self._stepping(environments)
        except BaseException:
            close_quietly(environments)
            raise

    def _stepping(self, environments: Vector) -> Stepper:
        kind = type(environments.unwrapped)
        # Final observations of other vector environments are copied, and those of evaluations are not used.
        is_copied = kind is SyncVectorEnv or (kind is AsyncVectorEnv and environments is not self._given)
        watches = self._is_training and not is_copied
        return Stepper(environments, self._name, self._autoreset_mode, watches_sharing=watches)

    def close(self) -> None:
        """Close the environments if they were created here; they are not created again."""
        self._discard()
        self._is_closed = True

    def _discard(self) -> None:
        if self._stepper is not None and not isinstance(self._given, VectorEnv):
            close_quietly(self._stepper.environments)
            self._stepper = None


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
