"""One step of a batch as one short call, which finds its arrays through records of their addresses.

Passing a dozen arrays and as many numbers to a kernel takes longer than stepping a few environments, and so does
allocating arrays for the results. What stays the same from step to step is therefore recorded once, and arrays that a
step has returned are reused as soon as nothing references them any more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from fastcartpole.addresses import pointer
from fastcartpole.batch import (
    DISABLED,
    SAME_STEP,
    SCRATCH_SIZE,
    BatchState,
    Scratch,
    StepOutputs,
    StepRules,
    first_invalid_action,
    new_scratch,
    reset_ended_from_shared_stream,
    step_range,
)
from fastcartpole.kernels import kernel, specialized
from fastcartpole.threads import in_ranges
from fastcartpole.trigonometry import BLOCK

_ADDRESS = np.int64
_BATCH = np.dtype(
    [
        ("num_envs", np.int64),
        ("num_streams", np.int64),
        ("num_constants", np.int64),
        *((name, _ADDRESS) for name in ("physics", "elapsed_steps", "needs_reset", "streams", "constants")),
        *((name, _ADDRESS) for name in ("rows", "doubts", "indices")),
        ("max_episode_steps", np.int64),
        ("trigonometry", np.int64),
        ("autoreset_mode", np.int64),
        *((name, np.float64) for name in ("step_reward", "fall_reward", "reset_low", "reset_high")),
        ("semi_implicit", np.bool_),
        ("shared_stream", np.bool_),
    ],
    align=True,
)
_RESULTS = np.dtype([(name, _ADDRESS) for name in ("observations", "terminated", "truncated", "final_observations")])

NO_FINALS = -1
"""Return value of a step that has written no final observations."""


@kernel()
def _note_batch(
    record: npt.NDArray[Any],
    state: BatchState,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    scratch: Scratch,
) -> None:
    """Write the addresses of a batch's arrays, and its rules, into a record of shape (1,)."""
    batch = record[0]
    batch.num_envs = state.elapsed_steps.size
    batch.num_streams = state.streams.shape[1]
    batch.num_constants = constants.shape[1]
    batch.physics = state.physics.ctypes.data
    batch.elapsed_steps = state.elapsed_steps.ctypes.data
    batch.needs_reset = state.needs_reset.ctypes.data
    batch.streams = state.streams.ctypes.data
    batch.constants = constants.ctypes.data
    batch.rows = scratch.rows.ctypes.data
    batch.doubts = scratch.doubts.ctypes.data
    batch.indices = scratch.indices.ctypes.data
    batch.max_episode_steps = rules.max_episode_steps
    batch.trigonometry = rules.trigonometry
    batch.autoreset_mode = rules.autoreset_mode
    batch.step_reward = rules.step_reward
    batch.fall_reward = rules.fall_reward
    batch.reset_low = rules.reset_low
    batch.reset_high = rules.reset_high
    batch.semi_implicit = rules.semi_implicit
    batch.shared_stream = rules.shared_stream


class NotedBatch:
    """A batch in the form that a step reads: a record, and the arrays whose addresses it contains.

    Attributes:
        address: Address of the record.
    """

    def __init__(self, state: BatchState, constants: npt.NDArray[np.float64], rules: StepRules) -> None:
        """Record a batch.

        Args:
            state: State that the steps change; its arrays must not be replaced.
            constants: Physical constants, shape (9, 1) or (9, N), float64.
            rules: Rules of the batch.
        """
        scratch = new_scratch()
        record = np.zeros(1, dtype=_BATCH)
        _note_batch(record, state, constants, rules, scratch)
        self.address: int = record.ctypes.data
        self._held = (record, state, constants, scratch)


Results = tuple[
    npt.NDArray[np.float32],
    npt.NDArray[np.floating],
    npt.NDArray[np.bool_],
    npt.NDArray[np.bool_],
    npt.NDArray[np.float32],
    int,
    npt.NDArray[Any],
]
"""The arrays that a step writes, as ``ResultPool.take`` describes them."""


def _references_of_a_free_array() -> int:
    """Return the reference count that ``ResultPool.take`` sees for an array that nothing else references."""
    pool = [(np.empty(0), 0)]
    return next(sys.getrefcount(array) for array, _ in pool)


_FREE = _references_of_a_free_array()
_MAX_POOLED = 3


class ResultPool:
    """Provides arrays for the results of steps, and reuses those that nothing references any more.

    References to an array are also those of its views, and of other objects that keep its memory alive, such as
    tensors of other libraries.
    """

    def __init__(
        self,
        num_envs: int,
        reward_dtype: np.dtype[np.floating],
        observations: npt.NDArray[np.float32] | None,
        *,
        with_finals: bool,
    ) -> None:
        """Create an empty pool.

        Args:
            num_envs: Number of environments N.
            reward_dtype: Dtype of the rewards.
            observations: Array to which all steps write observations, shape (N, 4), float32; None for pooled arrays.
            with_finals: Whether steps write final observations.
        """
        self._num_envs = num_envs
        self._no_finals = None if with_finals else np.empty((0, 4), dtype=np.float32)
        self._reward_dtype = reward_dtype
        self._observations = observations
        self._pool: list[Results] = []

    def take(self) -> Results:
        """Return arrays with undefined contents that nothing else references.

        Several threads may call this at the same time: each gets other arrays.

        Returns:
            The observations, shape (N, 4), float32; the rewards, shape (N,), float64 (float32 with shared seeding); the
            terminated and the truncated flags, shape (N,), bool; the final observations, shape (N, 4), float32, or
            (0, 4) if steps write none; the address of a record with the addresses of all arrays except the rewards; and
            the record, which must be kept until the step has ended.
        """
        count = sys.getrefcount
        # The loop's variable keeps a tuple, whose references are counted, alive if another thread removes it.
        for results in self._pool:
            observations, rewards, terminated, truncated, finals, address, record = results
            if (
                count(rewards) == _FREE
                and count(terminated) == _FREE
                and count(truncated) == _FREE
                and (self._observations is not None or count(observations) == _FREE)
            ):
                # A tuple of its own references the arrays until the caller does; after the pool's tuple has been
                # returned, another thread could take the same arrays before the caller unpacks it.
                return observations, rewards, terminated, truncated, finals, address, record
        return self._new()

    def _new(self) -> Results:
        shape = (self._num_envs,)
        observations = np.empty((*shape, 4), dtype=np.float32) if self._observations is None else self._observations
        rewards = np.empty(shape, dtype=self._reward_dtype)
        terminated, truncated = np.empty(shape, dtype=np.bool_), np.empty(shape, dtype=np.bool_)
        finals = np.empty((*shape, 4), dtype=np.float32) if self._no_finals is None else self._no_finals
        # Records are not reused: another thread may be about to step with one that leaves the pool.
        record = np.empty(1, dtype=_RESULTS)
        address = _note_results(record, observations, terminated, truncated, finals)
        self._pool.append((observations, rewards, terminated, truncated, finals, address, record))
        del self._pool[:-_MAX_POOLED]
        # A tuple of its own, as in ``take``.
        return observations, rewards, terminated, truncated, finals, address, record


@kernel()
def _note_results(
    record: npt.NDArray[Any],
    observations: npt.NDArray[np.float32],
    terminated: npt.NDArray[np.bool_],
    truncated: npt.NDArray[np.bool_],
    final_observations: npt.NDArray[np.float32],
) -> int:
    """Write the addresses of arrays into a record of shape (1,); return the address of the record."""
    record[0].observations = observations.ctypes.data
    record[0].terminated = terminated.ctypes.data
    record[0].truncated = truncated.ctypes.data
    record[0].final_observations = final_observations.ctypes.data
    address: int = record.ctypes.data
    return address


@kernel(inlined=True)
def _noted(
    batch_address: int, results_address: int, rewards: npt.NDArray[np.floating]
) -> tuple[BatchState, npt.NDArray[np.float64], StepRules, StepOutputs]:
    """Return the arrays and rules from the records of a ``NotedBatch`` and of ``Results``."""
    batch = numba.carray(pointer(batch_address), 1, _BATCH)[0]
    num_envs = batch.num_envs
    state = BatchState(
        numba.carray(pointer(batch.physics), (4, num_envs), np.float64),
        numba.carray(pointer(batch.elapsed_steps), num_envs, np.int32),
        numba.carray(pointer(batch.needs_reset), num_envs, np.bool_),
        numba.carray(pointer(batch.streams), (4, batch.num_streams), np.uint64),
    )
    constants = numba.carray(pointer(batch.constants), (9, batch.num_constants), np.float64)
    rules = StepRules(
        batch.max_episode_steps,
        batch.semi_implicit,
        batch.trigonometry,
        batch.autoreset_mode,
        batch.shared_stream,
        batch.step_reward,
        batch.fall_reward,
        batch.reset_low,
        batch.reset_high,
    )
    results = numba.carray(pointer(results_address), 1, _RESULTS)[0]
    outputs = StepOutputs(
        numba.carray(pointer(results.observations), (num_envs, 4), np.float32),
        rewards,
        numba.carray(pointer(results.terminated), num_envs, np.bool_),
        numba.carray(pointer(results.truncated), num_envs, np.bool_),
        numba.carray(pointer(results.final_observations), (num_envs, 4), np.float32),
    )
    return state, constants, rules, outputs


@kernel(inlined=True)
def _after_step(state: BatchState, rules: StepRules, outputs: StepOutputs) -> int:
    """Do the resets from a shared stream; return ``NO_FINALS`` minus the number of final observations."""
    if rules.shared_stream and rules.autoreset_mode != DISABLED:
        reset_ended_from_shared_stream(state, rules, outputs)
    ended = 0
    if rules.autoreset_mode == SAME_STEP:
        for i in range(outputs.terminated.size):
            ended += outputs.terminated[i] | outputs.truncated[i]
    return NO_FINALS - ended


def _step_batch(
    batch_address: int,
    results_address: int,
    actions: npt.NDArray[np.int64],
    rewards: npt.NDArray[np.floating],
) -> int:
    """Step every environment once.

    With ``NEXT_STEP``, an environment whose episode ended with the previous step is reset instead: its action is
    ignored, its reward is 0 and neither flag is set. With ``SAME_STEP``, it is reset within the step that ended its
    episode, after its last observation is stored in the final observations. With ``DISABLED``, it is not reset.

    Args:
        batch_address: Address of the record of a ``NotedBatch``.
        results_address: Address of the record of ``Results``.
        actions: Shape (N,), int64.
        rewards: Rewards of the results, shape (N,), float32 or float64 depending on the batch.

    Returns:
        The index of the first invalid action, in which case no environment is stepped; otherwise ``NO_FINALS`` minus
        the number of final observations that were written.
    """
    invalid = first_invalid_action(actions)
    if invalid >= 0:
        return invalid
    state, constants, rules, outputs = _noted(batch_address, results_address, rewards)
    batch = numba.carray(pointer(batch_address), 1, _BATCH)[0]
    scratch = Scratch(
        numba.carray(pointer(batch.rows), SCRATCH_SIZE, np.float64),
        numba.carray(pointer(batch.doubts), (2, BLOCK), np.float64),
        numba.carray(pointer(batch.indices), BLOCK + 1, np.int64),
    )
    step_range(0, batch.num_envs, actions, state, constants, rules, outputs, scratch)
    return _after_step(state, rules, outputs)


step_batch = kernel()(_step_batch)
brief_step_batch = kernel(brief=True)(_step_batch)
"""``step_batch`` for a small batch; it holds the global interpreter lock."""


@kernel()
def _step_range(
    start: int,
    stop: int,
    batch_address: int,
    results_address: int,
    actions: npt.NDArray[np.int64],
    rewards: npt.NDArray[np.floating],
) -> None:
    """Step the environments ``start`` to ``stop - 1``, whose actions are valid."""
    state, constants, rules, outputs = _noted(batch_address, results_address, rewards)
    step_range(start, stop, actions, state, constants, rules, outputs, new_scratch())


@kernel(brief=True)
def _end_step(batch_address: int, results_address: int, rewards: npt.NDArray[np.floating]) -> int:
    """Finish a step in which all environments have been stepped; see ``_after_step``."""
    state, _, rules, outputs = _noted(batch_address, results_address, rewards)
    return _after_step(state, rules, outputs)


def threaded_step_batch(
    num_threads: int, actions: npt.NDArray[np.int64], rewards: npt.NDArray[np.floating]
) -> Callable[[int, int, npt.NDArray[np.int64], npt.NDArray[np.floating]], int]:
    """Return a function like ``step_batch`` that runs on several threads, with the same results.

    Args:
        num_threads: Number of threads, at least 2.
        actions: Example of an array of actions.
        rewards: Example of an array of rewards.
    """
    first_invalid = specialized(first_invalid_action, actions)
    step_a_range = specialized(_step_range, 0, 0, 0, 0, actions, rewards)
    end_step = specialized(_end_step, 0, 0, rewards)

    def step(
        batch_address: int, results_address: int, actions: npt.NDArray[np.int64], rewards: npt.NDArray[np.floating]
    ) -> int:
        invalid = first_invalid(actions)
        if invalid >= 0:
            return invalid
        in_ranges(num_threads, actions.size, step_a_range, batch_address, results_address, actions, rewards)
        return end_step(batch_address, results_address, rewards)

    return step
