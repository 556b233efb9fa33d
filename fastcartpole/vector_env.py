"""``CartPoleVectorEnv``: the batch of environments as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.envs.classic_control.utils import maybe_parse_reset_bounds
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from fastcartpole.batch import (
    NO_TIME_LIMIT,
    RESET_HIGH,
    RESET_LOW,
    StepOutputs,
    new_batch_state,
    new_step_outputs,
    reset_batch,
    step_batch,
    step_batch_parallel,
)
from fastcartpole.kernels import PARALLEL_LAUNCH, usable_threads
from fastcartpole.physics import CartPoleParameters
from fastcartpole.random_streams import seed_streams_from_integers
from fastcartpole.validation import checked_integer

_ENVS_PER_THREAD = 512


class CartPoleVectorEnv(VectorEnv[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[Any]]):
    """N CartPole environments, bit-identical to Gymnasium's ``SyncVectorEnv`` of ``CartPole-v1``.

    For the same seeds and actions every observation, reward and flag equals that of
    ``gymnasium.make_vec("CartPole-v1", num_envs=N, vectorization_mode="sync")``, through resets: environment ``i``
    draws its initial states from its own PCG64 stream, seeded ``seed + i``. An environment whose episode has ended is
    reset by the following step, which ignores its action (``AutoresetMode.NEXT_STEP``).

    Observations are float32 of shape (N, 4): position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
    Actions are integers of shape (N,): 0 pushes to the left, 1 to the right. Results do not depend on the number of
    threads.
    """

    metadata: dict[str, Any] = {
        "render_modes": [],
        "render_fps": 50,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self, num_envs: int = 1, *, max_episode_steps: int | None = 500, num_threads: int | None = None
    ) -> None:
        """Make the batch; call :meth:`reset` before the first step.

        Args:
            num_envs: Number of environments N, at least 1.
            max_episode_steps: Steps after which an episode is truncated; None for no limit.
            num_threads: Threads that share a step, at least 1; None chooses by the size of the batch.

        Raises:
            TypeError: If an argument is not an integer.
            ValueError: If an argument is less than 1.
        """
        self.num_envs = checked_integer("num_envs", num_envs, minimum=1)
        self.max_episode_steps = (
            None if max_episode_steps is None else checked_integer("max_episode_steps", max_episode_steps, minimum=1)
        )
        self._num_threads = None if num_threads is None else checked_integer("num_threads", num_threads, minimum=1)
        self.parameters = CartPoleParameters()
        self._constants = self.parameters.constants()
        high = np.array(
            [2 * self.parameters.position_threshold, np.inf, 2 * self.parameters.angle_threshold, np.inf],
            dtype=np.float32,
        )
        self.single_observation_space = gymnasium.spaces.Box(-high, high, dtype=np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._state = new_batch_state(self.num_envs)
        self._is_seeded = False
        self._is_reset = False

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | npt.NDArray[np.integer] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: An integer s seeds environment i with s + i; a sequence gives each environment its own seed, None
                leaving that stream where it is; None continues all streams (from the system's entropy the first time).
            options: ``"low"`` and ``"high"`` bound the initial state variables (default -0.05 and 0.05);
                ``"reset_mask"``, a bool array of shape (N,), resets only the chosen environments.

        Returns:
            Observations, shape (N, 4), float32, and an empty dictionary.

        Raises:
            TypeError: If a seed is not an integer, or the mask is not a bool array.
            ValueError: If a seed is negative, a length is not N, the mask is all False, or the bounds are not numbers
                with low <= high.
            gymnasium.error.ClosedEnvironmentError: If the environment has been closed.
        """
        self._assert_open()
        seeds = self._seed_list(seed)
        low, high = maybe_parse_reset_bounds(options, RESET_LOW, RESET_HIGH)
        mask = self._reset_mask(options)
        self._seed(seeds, mask)
        observations = np.empty((self.num_envs, 4), dtype=np.float32)
        reset_batch(mask, self._state, low, high, observations)
        self._is_reset = self._is_reset or bool(mask.all())
        return observations, {}

    def step(
        self, actions: npt.ArrayLike
    ) -> tuple[
        npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]
    ]:
        """Take one action in every environment.

        Args:
            actions: Integers 0 or 1, shape (N,).

        Returns:
            ``(observations, rewards, terminated, truncated, infos)``: float32 of shape (N, 4), float64, bool and bool
            of shape (N,), and an empty dictionary; all arrays are fresh.

        Raises:
            TypeError: If the actions are not integers.
            ValueError: If their shape is not (N,) or one is neither 0 nor 1. No environment has moved then.
            gymnasium.error.ResetNeeded: If :meth:`reset` has not been called.
            gymnasium.error.ClosedEnvironmentError: If the environment has been closed.
        """
        self._assert_open()
        if not self._is_reset:
            raise gymnasium.error.ResetNeeded("Call reset() on all environments before step().")
        checked_actions = self._action_array(actions)
        outputs = new_step_outputs(self.num_envs)
        invalid = self._launch_step(checked_actions, outputs)
        if invalid >= 0:
            raise ValueError(f"actions must be 0 or 1, got {checked_actions[invalid]} for environment {invalid}.")
        return outputs.observations, outputs.rewards, outputs.terminated, outputs.truncated, {}

    @property
    def state(self) -> npt.NDArray[np.float64]:
        """A copy of the physical state, shape (4, N), float64: position, velocity, angle, angular velocity.

        It may be set, to finite numbers of the same shape; step counts and random streams stay as they are.
        """
        return self._state.physics.copy()

    @state.setter
    def state(self, value: npt.ArrayLike) -> None:
        array = np.asarray(value, dtype=np.float64)
        if array.shape != self._state.physics.shape:
            raise ValueError(f"state must have shape (4, {self.num_envs}), got {array.shape}.")
        if not np.isfinite(array).all():
            raise ValueError("state must be finite, got a value that is infinite or not a number.")
        self._state.physics[:] = array

    def _launch_step(self, actions: npt.NDArray[np.int64], outputs: StepOutputs) -> int:
        num_threads = usable_threads(self._num_threads, self.num_envs, _ENVS_PER_THREAD)
        limit = NO_TIME_LIMIT if self.max_episode_steps is None else self.max_episode_steps
        if num_threads == 1:
            return step_batch(actions, self._state, self._constants, limit, outputs)
        with PARALLEL_LAUNCH:
            return step_batch_parallel(num_threads, actions, self._state, self._constants, limit, outputs)

    def _assert_open(self) -> None:
        if self.closed:
            raise gymnasium.error.ClosedEnvironmentError("This CartPoleVectorEnv has been closed; make a new one.")

    def _action_array(self, actions: npt.ArrayLike) -> npt.NDArray[np.int64]:
        array = np.asarray(actions)
        if not np.issubdtype(array.dtype, np.integer):
            raise TypeError(f"actions must be integers 0 or 1, got an array of {array.dtype}.")
        if array.shape != (self.num_envs,):
            raise ValueError(f"actions must have shape ({self.num_envs},), got {array.shape}.")
        return np.ascontiguousarray(array, dtype=np.int64)

    def _seed_list(self, seed: int | Sequence[int | None] | npt.NDArray[np.integer] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        plain = seed.tolist() if isinstance(seed, np.ndarray) else seed
        if isinstance(plain, (list, tuple)):
            return self._checked_seeds(plain)
        first = checked_integer("seed", plain, minimum=0)
        return [first + i for i in range(self.num_envs)]

    def _checked_seeds(self, seed: Sequence[int | None]) -> list[int | None]:
        if len(seed) != self.num_envs:
            raise ValueError(f"seed must have one entry for each of the {self.num_envs} environments, got {len(seed)}.")
        return [None if entry is None else checked_integer("seed", entry, minimum=0) for entry in seed]

    def _seed(self, seeds: list[int | None], mask: npt.NDArray[np.bool_]) -> None:
        if not self._is_seeded:
            entropy = np.random.SeedSequence().generate_state(self.num_envs, np.uint64)
            seed_streams_from_integers(entropy.tolist(), np.arange(self.num_envs), self._state.streams)
            self._is_seeded = True
        chosen = [i for i, entry in enumerate(seeds) if entry is not None and mask[i]]
        if chosen:
            chosen_seeds = [entry for i in chosen if (entry := seeds[i]) is not None]
            seed_streams_from_integers(chosen_seeds, np.array(chosen, dtype=np.int64), self._state.streams)

    def _reset_mask(self, options: dict[str, Any] | None) -> npt.NDArray[np.bool_]:
        if options is None or "reset_mask" not in options:
            return np.ones(self.num_envs, dtype=np.bool_)
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"options['reset_mask'] must be a NumPy array of bool, got {mask!r}.")
        if mask.shape != (self.num_envs,):
            raise ValueError(f"options['reset_mask'] must have shape ({self.num_envs},), got {mask.shape}.")
        if not mask.any():
            raise ValueError("options['reset_mask'] must choose at least one environment, got all False.")
        return np.ascontiguousarray(mask)
