"""Reset and step kernels for a batch of environments.

The state of a batch is a struct of arrays, so that rows are contiguous over environments. Every kernel accesses
environment ``i`` only through index ``i``: a batch can be split into ranges for several threads, and no result depends
on the split.

A range is stepped in blocks. A block's state is copied into scratch space at fixed offsets, so that the compiler can
see that rows do not overlap. Loops run from 0 over slices: an index that the compiler cannot prove to be non-negative
would prevent vectorization.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastcartpole.addresses import borrowed
from fastcartpole.approximate import fast_accelerations, fast_sines_and_cosines
from fastcartpole.kernels import kernel
from fastcartpole.physics import (
    PhysicsConstants,
    accelerations,
    constants_of,
    exact_next_state,
    has_fallen,
    next_state,
    push,
)
from fastcartpole.random_streams import Streams, next_uniform
from fastcartpole.trigonometry import BLOCK, exact_method, sines_and_cosines

RESET_LOW = -0.05
RESET_HIGH = 0.05
NO_TIME_LIMIT = np.iinfo(np.int32).max

# When an environment whose episode has ended is reset (gymnasium.vector.AutoresetMode).
NEXT_STEP = 0
SAME_STEP = 1
DISABLED = 2

# Used with ``precision="fast"`` instead of the exact methods of fastcartpole.trigonometry.
POLYNOMIAL = -1

# Fewer environments are stepped one by one: the loops over a block would cost more than the C library's sines.
_MIN_BLOCK_ENVS = 8

# Rows of a block's scratch space, as offsets into one array.
_POSITION = 0
_VELOCITY = BLOCK
_ANGLE = 2 * BLOCK
_ANGULAR_VELOCITY = 3 * BLOCK
_SINE = 4 * BLOCK
_COSINE = 5 * BLOCK
_FALLEN = 6 * BLOCK
SCRATCH_SIZE = 7 * BLOCK


class BatchState(NamedTuple):
    """Everything that changes while a batch of N environments runs.

    Attributes:
        physics: Position, velocity, angle and angular velocity, shape (4, N), float64, in m, m/s, rad, rad/s.
        elapsed_steps: Steps since the last reset, shape (N,), int32.
        needs_reset: Whether the episode has ended, shape (N,), bool.
        streams: The PCG64 streams from which resets are drawn, uint64: one for each environment, shape (4, N), or one
            for all of them, shape (4, 1).
    """

    physics: npt.NDArray[np.float64]
    elapsed_steps: npt.NDArray[np.int32]
    needs_reset: npt.NDArray[np.bool_]
    streams: Streams


class StepRules(NamedTuple):
    """The rules of a batch besides its physics.

    Attributes:
        max_episode_steps: Number of steps after which an episode is truncated.
        semi_implicit: Whether positions move with the new velocities instead of the old ones.
        trigonometry: How sines and cosines are computed (see ``fastcartpole.trigonometry``).
        autoreset_mode: ``NEXT_STEP``, ``SAME_STEP`` or ``DISABLED``.
        shared_stream: Whether all resets draw from one stream, in blocks of shape (4, k).
        step_reward: Reward of a step that does not terminate the episode.
        fall_reward: Reward of the step that terminates it.
        reset_low: Lower bound of the initial state variables after an autoreset.
        reset_high: Upper bound of the initial state variables after an autoreset.
    """

    max_episode_steps: int
    semi_implicit: bool
    trigonometry: int
    autoreset_mode: int
    shared_stream: bool
    step_reward: float
    fall_reward: float
    reset_low: float
    reset_high: float


def step_rules(
    *,
    max_episode_steps: int | None,
    semi_implicit: bool = False,
    exact: bool = True,
    autoreset_mode: int = DISABLED,
    shared_stream: bool = False,
    sutton_barto_reward: bool = False,
) -> StepRules:
    """Return the rules of a batch.

    Args:
        max_episode_steps: Number of steps after which an episode is truncated; None for no limit.
        semi_implicit: Whether positions move with the new velocities instead of the old ones.
        exact: Whether sines and cosines are bit-identical to the C library's.
        autoreset_mode: ``NEXT_STEP``, ``SAME_STEP`` or ``DISABLED``.
        shared_stream: Whether all resets draw from one stream.
        sutton_barto_reward: Whether a step is rewarded with 0, or -1 on termination, instead of always 1.
    """
    step_reward, fall_reward = rewards_of(sutton_barto=sutton_barto_reward, shared_stream=shared_stream)
    return StepRules(
        max_episode_steps=step_limit(max_episode_steps),
        semi_implicit=semi_implicit,
        trigonometry=exact_method() if exact else POLYNOMIAL,
        autoreset_mode=autoreset_mode,
        shared_stream=shared_stream,
        step_reward=step_reward,
        fall_reward=fall_reward,
        reset_low=RESET_LOW,
        reset_high=RESET_HIGH,
    )


def step_limit(max_episode_steps: int | None) -> int:
    """Return the time limit in the form the kernels take, where None (no limit) is ``NO_TIME_LIMIT``."""
    return NO_TIME_LIMIT if max_episode_steps is None else min(max_episode_steps, NO_TIME_LIMIT)


def rewards_of(*, sutton_barto: bool, shared_stream: bool) -> tuple[float, float]:
    """Return the rewards of a step that does not terminate the episode and of one that does."""
    # With a shared stream, rewards equal those of Gymnasium's CartPoleVectorEnv, which negates 0 to a negative zero.
    zero = -0.0 if shared_stream else 0.0
    return (zero, -1.0) if sutton_barto else (1.0, 1.0)


class StepOutputs(NamedTuple):
    """The arrays that one step of N environments writes to.

    Attributes:
        observations: Shape (N, 4), float32, C-contiguous.
        rewards: Shape (N,), float32 or float64.
        terminated: Shape (N,), bool.
        truncated: Shape (N,), bool.
        final_observations: With ``SAME_STEP``, the last observations of episodes that ended, in the rows of their
            environments, shape (N, 4), float32; other rows are not written. Unused with other modes, where the shape
            may be (0, 4).
    """

    observations: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.floating]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    final_observations: npt.NDArray[np.float32]


class Scratch(NamedTuple):
    """Space for the intermediate results of one block; each thread needs its own.

    Attributes:
        rows: Shape (rows * BLOCK,), float64.
        doubts: Shape (2, BLOCK), float64.
        indices: Shape (BLOCK + 1,), int64.
    """

    rows: npt.NDArray[np.float64]
    doubts: npt.NDArray[np.float64]
    indices: npt.NDArray[np.int64]


def new_batch_state(num_envs: int, num_streams: int) -> BatchState:
    """Return the state of a batch before its first reset: all zeros, with unseeded streams."""
    return BatchState(
        physics=np.zeros((4, num_envs), dtype=np.float64),
        elapsed_steps=np.zeros(num_envs, dtype=np.int32),
        needs_reset=np.zeros(num_envs, dtype=np.bool_),
        streams=np.zeros((4, num_streams), dtype=np.uint64),
    )


def copy_batch_state(state: BatchState) -> BatchState:
    """Return a copy that shares no array with ``state``."""
    return BatchState(state.physics.copy(), state.elapsed_steps.copy(), state.needs_reset.copy(), state.streams.copy())


@kernel()
def borrowed_state(state: BatchState) -> BatchState:
    """Return a state whose arrays are ``borrowed``."""
    return BatchState(
        borrowed(state.physics), borrowed(state.elapsed_steps), borrowed(state.needs_reset), borrowed(state.streams)
    )


@kernel()
def borrowed_outputs(outputs: StepOutputs) -> StepOutputs:
    """Return outputs whose arrays are ``borrowed``."""
    return StepOutputs(
        borrowed(outputs.observations),
        borrowed(outputs.rewards),
        borrowed(outputs.terminated),
        borrowed(outputs.truncated),
        borrowed(outputs.final_observations),
    )


@kernel()
def new_scratch() -> Scratch:
    """Return scratch space with undefined contents."""
    return Scratch(
        np.empty(SCRATCH_SIZE, dtype=np.float64),
        np.empty((2, BLOCK), dtype=np.float64),
        np.empty(BLOCK + 1, dtype=np.int64),
    )


@kernel()
def reset_environment(index: int, state: BatchState, low: float, high: float) -> None:
    """Start an episode in one environment, in place; its own stream provides the uniform state variables."""
    for row in range(4):
        state.physics[row, index] = next_uniform(state.streams, index, low, high)
    state.elapsed_steps[index] = 0
    state.needs_reset[index] = False


@kernel()
def reset_from_shared_stream(indices: npt.NDArray[np.int64], state: BatchState, low: float, high: float) -> None:
    """Start an episode in the environments ``indices``, shape (k,), in place; draws one block of shape (4, k)."""
    for row in range(4):
        for index in indices:
            state.physics[row, index] = next_uniform(state.streams, 0, low, high)
    for index in indices:
        state.elapsed_steps[index] = 0
        state.needs_reset[index] = False


@kernel(inlined=True)
def write_observation(index: int, state: BatchState, observations: npt.NDArray[np.float32]) -> None:
    """Write one environment's state, rounded to float32, into row ``index`` of ``observations``, shape (N, 4)."""
    for row in range(4):
        observations[index, row] = np.float32(state.physics[row, index])


@kernel(inlined=True)
def write_observations(start: int, stop: int, state: BatchState, observations: npt.NDArray[np.float32]) -> None:
    """Write the observations of environments ``start`` to ``stop - 1``."""
    positions, velocities = state.physics[0, start:stop], state.physics[1, start:stop]
    angles, angular_velocities = state.physics[2, start:stop], state.physics[3, start:stop]
    # In a flat view, the compiler turns the four strided stores into vector stores.
    flat = observations.reshape(-1)[4 * start : 4 * stop]
    for j in range(stop - start):
        flat[4 * j] = np.float32(positions[j])
        flat[4 * j + 1] = np.float32(velocities[j])
        flat[4 * j + 2] = np.float32(angles[j])
        flat[4 * j + 3] = np.float32(angular_velocities[j])


@kernel()
def reset_batch(
    mask: npt.NDArray[np.bool_],
    shared_stream: bool,
    state: BatchState,
    low: float,
    high: float,
    observations: npt.NDArray[np.float32],
) -> None:
    """Start an episode in the chosen environments, in place.

    Args:
        mask: True for environments to reset, shape (N,), bool.
        shared_stream: Whether initial states are drawn from the single stream of the batch.
        state: The batch with seeded streams, changed in place.
        low: Lower bound of the initial state variables.
        high: Upper bound of the initial state variables.
        observations: Overwritten with the observations of all environments, shape (N, 4), float32.
    """
    indices = np.flatnonzero(mask)
    if shared_stream:
        reset_from_shared_stream(indices, state, low, high)
    else:
        for k in range(indices.size):
            reset_environment(indices[k], state, low, high)
    write_observations(0, mask.size, state, observations)


@kernel()
def first_invalid_action(actions: npt.NDArray[np.int64]) -> int:
    """Return the index of the first action that is neither 0 nor 1, or -1 if there is none."""
    other_bits = 0
    for action in actions:
        other_bits |= action & ~1
    if other_bits != 0:
        for index in range(actions.size):
            if actions[index] & ~1 != 0:
                return index
    return -1


@kernel()
def _move(
    j: int,
    action: int,
    rows: npt.NDArray[np.float64],
    semi_implicit: bool,
    is_exact: bool,
    constants: PhysicsConstants,
) -> None:
    """Advance column ``j`` of a block by one time step, in place."""
    sine, cosine, angular_velocity = rows[_SINE + j], rows[_COSINE + j], rows[_ANGULAR_VELOCITY + j]
    force = push(action, constants)
    if is_exact:
        acceleration, angular_acceleration = accelerations(sine, cosine, angular_velocity, force, constants)
    else:
        acceleration, angular_acceleration = fast_accelerations(sine, cosine, angular_velocity, force, constants)
    position, velocity, angle, angular_velocity = next_state(
        rows[_POSITION + j],
        rows[_VELOCITY + j],
        rows[_ANGLE + j],
        angular_velocity,
        acceleration,
        angular_acceleration,
        semi_implicit,
        constants.tau,
    )
    rows[_POSITION + j] = position
    rows[_VELOCITY + j] = velocity
    rows[_ANGLE + j] = angle
    rows[_ANGULAR_VELOCITY + j] = angular_velocity
    rows[_FALLEN + j] = 1.0 if has_fallen(position, angle, constants) else 0.0


@kernel()
def _move_block(
    count: int,
    actions: npt.NDArray[np.int64],
    rows: npt.NDArray[np.float64],
    semi_implicit: bool,
    is_exact: bool,
    constants: npt.NDArray[np.float64],
) -> None:
    """Advance the first ``count`` columns of a block; ``constants`` has shape (9, 1) or (9, count)."""
    if constants.shape[1] == 1:
        common = constants_of(0, constants)
        # Written out for each precision, so that the compiler sees loops without branches.
        if is_exact:
            for j in range(count):
                _move(j, actions[j], rows, semi_implicit, True, common)
        else:
            for j in range(count):
                _move(j, actions[j], rows, semi_implicit, False, common)
    else:
        for j in range(count):
            _move(j, actions[j], rows, semi_implicit, is_exact, constants_of(j, constants))


@kernel(inlined=True)
def _advance_block(
    start: int,
    count: int,
    actions: npt.NDArray[np.int64],
    physics: npt.NDArray[np.float64],
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    terminated: npt.NDArray[np.bool_],
    scratch: Scratch,
) -> None:
    """Advance the environments ``start`` to ``start + count - 1`` by one time step, in place."""
    rows = scratch.rows
    for row in range(4):
        source = physics[row, start : start + count]
        for j in range(count):
            rows[row * BLOCK + j] = source[j]
    angles, sines, cosines = (
        rows[_ANGLE : _ANGLE + count],
        rows[_SINE : _SINE + count],
        rows[_COSINE : _COSINE + count],
    )
    is_exact = rules.trigonometry != POLYNOMIAL
    if is_exact:
        sines_and_cosines(angles, rules.trigonometry, sines, cosines, scratch.doubts, scratch.indices)
    else:
        fast_sines_and_cosines(angles, sines, cosines)
    own = constants if constants.shape[1] == 1 else constants[:, start : start + count]
    _move_block(count, actions[start : start + count], rows, rules.semi_implicit, is_exact, own)
    for row in range(4):
        target = physics[row, start : start + count]
        for j in range(count):
            target[j] = rows[row * BLOCK + j]
    fallen = terminated[start : start + count]
    for j in range(count):
        fallen[j] = rows[_FALLEN + j] != 0.0


@kernel(inlined=True)
def _advance_one(
    index: int,
    action: int,
    physics: npt.NDArray[np.float64],
    semi_implicit: bool,
    constants: npt.NDArray[np.float64],
) -> bool:
    """Advance environment ``index`` by one time step, in place; return whether it has terminated."""
    own = constants_of(0 if constants.shape[1] == 1 else index, constants)
    physics[0, index], physics[1, index], physics[2, index], physics[3, index] = exact_next_state(
        physics[0, index], physics[1, index], physics[2, index], physics[3, index], action, semi_implicit, own
    )
    return has_fallen(physics[0, index], physics[2, index], own)


@kernel(inlined=True)
def advance_range(
    start: int,
    stop: int,
    actions: npt.NDArray[np.int64],
    state: BatchState,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    terminated: npt.NDArray[np.bool_],
    truncated: npt.NDArray[np.bool_],
    scratch: Scratch,
) -> None:
    """Advance environments by one time step, in place, whether or not their episode has ended.

    Args:
        start: First environment.
        stop: Index after the last environment.
        actions: 0 or 1 for each environment of the batch, shape (N,), integer.
        state: The batch, changed in place from ``start`` to ``stop - 1``; ``needs_reset`` is not.
        constants: Physical constants, shape (9, 1) or (9, N), float64.
        rules: Time limit, integrator and trigonometry.
        terminated: Whether the episode terminated, shape (N,), bool, written from ``start`` to ``stop - 1``.
        truncated: Whether the time limit is reached, shape (N,), bool, written likewise; both flags are set if the
            episode terminates at the limit.
        scratch: Scratch space.
    """
    if stop - start < _MIN_BLOCK_ENVS and rules.trigonometry != POLYNOMIAL:
        for i in range(start, stop):
            terminated[i] = _advance_one(i, actions[i], state.physics, rules.semi_implicit, constants)
    else:
        for block in range(start, stop, BLOCK):
            count = min(BLOCK, stop - block)
            _advance_block(block, count, actions, state.physics, constants, rules, terminated, scratch)
    elapsed_steps, at_limit = state.elapsed_steps[start:stop], truncated[start:stop]
    for j in range(stop - start):
        elapsed_steps[j] += 1
        at_limit[j] = elapsed_steps[j] >= rules.max_episode_steps


@kernel(inlined=True)
def step_range(
    start: int,
    stop: int,
    actions: npt.NDArray[np.int64],
    state: BatchState,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    outputs: StepOutputs,
    scratch: Scratch,
) -> None:
    """Step environments with autoreset and write their observations.

    Resets from a shared stream are done by ``reset_ended_from_shared_stream``.

    Args:
        start: First environment.
        stop: Index after the last environment.
        actions: 0 or 1 for each environment of the batch, shape (N,), integer.
        state: The batch, changed in place from ``start`` to ``stop - 1``.
        constants: Physical constants, shape (9, 1) or (9, N), float64.
        rules: Time limit, rewards, autoreset mode, integrator and trigonometry.
        outputs: Results, written from ``start`` to ``stop - 1``.
        scratch: Scratch space.
    """
    advance_range(start, stop, actions, state, constants, rules, outputs.terminated, outputs.truncated, scratch)
    terminated, truncated = outputs.terminated[start:stop], outputs.truncated[start:stop]
    rewards, needs_reset = outputs.rewards[start:stop], state.needs_reset[start:stop]
    if rules.fall_reward == rules.step_reward:
        rewards[:] = rules.step_reward
    else:
        for j in range(stop - start):
            rewards[j] = rules.fall_reward if terminated[j] else rules.step_reward
    if rules.autoreset_mode == NEXT_STEP:
        for j in range(stop - start):
            if needs_reset[j]:
                rewards[j] = 0.0
                terminated[j] = False
                truncated[j] = False
                if not rules.shared_stream:
                    reset_environment(start + j, state, rules.reset_low, rules.reset_high)
    if not rules.shared_stream or rules.autoreset_mode != NEXT_STEP:
        for j in range(stop - start):
            needs_reset[j] = terminated[j] | truncated[j]
    if rules.autoreset_mode == SAME_STEP:
        for j in range(stop - start):
            if needs_reset[j]:
                write_observation(start + j, state, outputs.final_observations)
                if not rules.shared_stream:
                    reset_environment(start + j, state, rules.reset_low, rules.reset_high)
    write_observations(start, stop, state, outputs.observations)


@kernel()
def reset_ended_from_shared_stream(state: BatchState, rules: StepRules, outputs: StepOutputs) -> None:
    """Do the resets that ``step_range`` omits, in the order of the environments, and write their observations."""
    needs_reset = state.needs_reset
    indices = np.flatnonzero(needs_reset)
    reset_from_shared_stream(indices, state, rules.reset_low, rules.reset_high)
    for k in range(indices.size):
        write_observation(indices[k], state, outputs.observations)
    if rules.autoreset_mode == NEXT_STEP:
        for i in range(needs_reset.size):
            needs_reset[i] = outputs.terminated[i] | outputs.truncated[i]
