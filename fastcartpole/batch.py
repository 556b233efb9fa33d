"""Reset and step kernels over a batch of environments.

The state of a batch is struct-of-arrays, so that a row is contiguous over environments. Every kernel touches
environment ``i`` only through index ``i``: a batch can be cut into ranges and the ranges given to threads, and no
result depends on the cut.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel
from fastcartpole.physics import PhysicsConstants, has_fallen, next_state
from fastcartpole.random_streams import Streams, next_uniform

RESET_LOW = -0.05
RESET_HIGH = 0.05
NO_TIME_LIMIT = np.iinfo(np.int32).max


class BatchState(NamedTuple):
    """Everything that changes while a batch of N environments runs.

    Attributes:
        physics: Position, velocity, angle and angular velocity, shape (4, N), float64, in m, m/s, rad, rad/s.
        elapsed_steps: Steps since the last reset, shape (N,), int32.
        needs_reset: Whether the episode has ended, shape (N,), bool.
        streams: One PCG64 stream per environment, from which its resets are drawn, shape (4, N), uint64.
    """

    physics: npt.NDArray[np.float64]
    elapsed_steps: npt.NDArray[np.int32]
    needs_reset: npt.NDArray[np.bool_]
    streams: Streams


class StepOutputs(NamedTuple):
    """The arrays one step of N environments writes.

    Attributes:
        observations: Shape (N, 4), float32, C-contiguous.
        rewards: Shape (N,), float64.
        terminated: Shape (N,), bool.
        truncated: Shape (N,), bool.
    """

    observations: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]


def new_batch_state(num_envs: int) -> BatchState:
    """Return the state of a batch before its first reset: all zeros, streams not seeded."""
    return BatchState(
        physics=np.zeros((4, num_envs), dtype=np.float64),
        elapsed_steps=np.zeros(num_envs, dtype=np.int32),
        needs_reset=np.zeros(num_envs, dtype=np.bool_),
        streams=np.zeros((4, num_envs), dtype=np.uint64),
    )


def new_step_outputs(num_envs: int) -> StepOutputs:
    """Return arrays for one step, contents undefined."""
    return StepOutputs(
        observations=np.empty((num_envs, 4), dtype=np.float32),
        rewards=np.empty(num_envs, dtype=np.float64),
        terminated=np.empty(num_envs, dtype=np.bool_),
        truncated=np.empty(num_envs, dtype=np.bool_),
    )


@kernel()
def reset_environment(index: int, state: BatchState, low: float, high: float) -> None:
    """Start an episode in one environment, in place: its four state variables are drawn uniformly from [low, high)."""
    for row in range(4):
        state.physics[row, index] = next_uniform(state.streams, index, low, high)
    state.elapsed_steps[index] = 0
    state.needs_reset[index] = False


@kernel()
def step_environment(
    index: int, action: int, state: BatchState, constants: PhysicsConstants, max_episode_steps: int
) -> tuple[bool, bool]:
    """Move one environment on by one time step, in place.

    Args:
        index: Which environment.
        action: 0 or 1.
        state: The batch, changed in place at ``index``.
        constants: Physical constants.
        max_episode_steps: Length at which an episode is truncated.

    Returns:
        ``(terminated, truncated)``; both are true when the pole falls at the time limit, as in Gymnasium.
    """
    physics = state.physics
    position, velocity, angle, angular_velocity = next_state(
        physics[0, index], physics[1, index], physics[2, index], physics[3, index], action, constants
    )
    physics[0, index] = position
    physics[1, index] = velocity
    physics[2, index] = angle
    physics[3, index] = angular_velocity
    state.elapsed_steps[index] += 1
    terminated = has_fallen(position, angle, constants)
    truncated = state.elapsed_steps[index] >= max_episode_steps
    state.needs_reset[index] = terminated or truncated
    return terminated, truncated


@kernel()
def write_observation(index: int, state: BatchState, observations: npt.NDArray[np.float32]) -> None:
    """Write one environment's state, rounded to float32, into row ``index`` of ``observations``, shape (N, 4)."""
    for row in range(4):
        observations[index, row] = np.float32(state.physics[row, index])


@kernel()
def reset_batch(
    mask: npt.NDArray[np.bool_], state: BatchState, low: float, high: float, observations: npt.NDArray[np.float32]
) -> None:
    """Start an episode in the chosen environments, in place.

    Args:
        mask: Which environments to reset, shape (N,), bool.
        state: The batch with seeded streams, changed in place.
        low: Lower bound of the initial state variables.
        high: Upper bound of the initial state variables.
        observations: Where the observations of all environments are written, shape (N, 4), float32.
    """
    for index in range(mask.size):
        if mask[index]:
            reset_environment(index, state, low, high)
        write_observation(index, state, observations)


@kernel()
def first_invalid_action(actions: npt.NDArray[np.int64]) -> int:
    """Return the index of the first action that is neither 0 nor 1, or -1 where there is none."""
    for index in range(actions.size):
        if actions[index] != 0 and actions[index] != 1:
            return index
    return -1


@kernel()
def _step_range(
    start: int,
    stop: int,
    actions: npt.NDArray[np.int64],
    state: BatchState,
    constants: PhysicsConstants,
    max_episode_steps: int,
    outputs: StepOutputs,
) -> None:
    """Step the environments ``start`` to ``stop - 1``; those whose episode has ended are reset instead."""
    for index in range(start, stop):
        if state.needs_reset[index]:
            reset_environment(index, state, RESET_LOW, RESET_HIGH)
            outputs.rewards[index] = 0.0
            outputs.terminated[index] = False
            outputs.truncated[index] = False
        else:
            terminated, truncated = step_environment(index, actions[index], state, constants, max_episode_steps)
            outputs.rewards[index] = 1.0
            outputs.terminated[index] = terminated
            outputs.truncated[index] = truncated
        write_observation(index, state, outputs.observations)


@kernel()
def step_batch(
    actions: npt.NDArray[np.int64],
    state: BatchState,
    constants: PhysicsConstants,
    max_episode_steps: int,
    outputs: StepOutputs,
) -> int:
    """Step every environment once, with next-step autoreset, on the calling thread.

    An environment whose episode ended with the previous step is reset and its action is ignored; it reports reward 0
    and neither flag (``gymnasium.vector.AutoresetMode.NEXT_STEP``).

    Args:
        actions: Shape (N,), int64.
        state: The batch, changed in place.
        constants: Physical constants.
        max_episode_steps: Length at which an episode is truncated.
        outputs: Arrays to write.

    Returns:
        -1, or the index of the first invalid action, in which case no environment has moved.
    """
    invalid = first_invalid_action(actions)
    if invalid < 0:
        _step_range(0, actions.size, actions, state, constants, max_episode_steps, outputs)
    return invalid


@kernel(parallel=True)
def step_batch_parallel(
    num_threads: int,
    actions: npt.NDArray[np.int64],
    state: BatchState,
    constants: PhysicsConstants,
    max_episode_steps: int,
    outputs: StepOutputs,
) -> int:
    """Do what :func:`step_batch` does, to the bit, in ``num_threads`` contiguous ranges side by side."""
    invalid = first_invalid_action(actions)
    if invalid < 0:
        num_envs = actions.size
        for part in numba.prange(num_threads):
            start = part * num_envs // num_threads
            stop = (part + 1) * num_envs // num_threads
            _step_range(start, stop, actions, state, constants, max_episode_steps, outputs)
    return invalid
