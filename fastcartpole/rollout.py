"""Many steps of a batch inside one compiled call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from fastcartpole.addresses import borrowed
from fastcartpole.batch import (
    SAME_STEP,
    BatchState,
    Scratch,
    StepOutputs,
    StepRules,
    borrowed_outputs,
    borrowed_state,
    copy_batch_state,
    new_scratch,
    reset_ended_from_shared_stream,
    step_range,
    write_observations,
)
from fastcartpole.kernels import kernel
from fastcartpole.memory import assert_fits_memory
from fastcartpole.random_streams import hashed_double, hashed_uint64
from fastcartpole.threads import in_ranges
from fastcartpole.trigonometry import BLOCK
from fastcartpole.validation import checked_integer

Policy = Literal["random"] | Callable[[npt.NDArray[np.float32], float], int]

_BITS = 64
# Lower bound for observations, actions, rewards and flags.
_BYTES_PER_TRANSITION = 30


class Trajectories(NamedTuple):
    """T steps of N environments.

    Attributes:
        all_observations: Observations before each step and after the last one, shape (T + 1, N, 4), float32.
        actions: Shape (T, N), int64. With next-step autoreset, the action after the end of an episode is ignored.
        rewards: Shape (T, N), float64 (float32 with shared seeding).
        terminated: Shape (T, N), bool.
        truncated: Shape (T, N), bool.
        final_observations: With same-step autoreset, the last observations of episodes that ended, and zeros elsewhere,
            shape (T, N, 4), float32; otherwise shape (T, 0, 4).
    """

    all_observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.int64]
    rewards: npt.NDArray[np.floating]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    final_observations: npt.NDArray[np.float32]

    @property
    def observations(self) -> npt.NDArray[np.float32]:
        """Observations from which the actions were chosen, shape (T, N, 4), float32."""
        return self.all_observations[:-1]

    @property
    def last_observations(self) -> npt.NDArray[np.float32]:
        """Observations after the last step, shape (N, 4), float32."""
        last: npt.NDArray[np.float32] = self.all_observations[-1]
        return last


def roll_out(
    policy: Policy,
    num_steps: int,
    seed: int | None,
    num_threads: int,
    state: BatchState,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    reward_dtype: np.dtype[np.floating],
    out: Trajectories | None = None,
) -> Trajectories:
    """Step a batch T times (see ``fastcartpole.CartPoleVectorEnv.rollout``).

    Args:
        policy: ``"random"``, or a jitted function of an observation and a uniform random number.
        num_steps: Number of steps T.
        seed: Seed of the policy's random numbers; None uses the system's entropy.
        num_threads: Number of threads; the result does not depend on it.
        state: State of the batch, updated in place.
        constants: Physical constants, shape (9, 1) or (9, N), float64.
        rules: Rules of the batch.
        reward_dtype: Dtype of the rewards.
        out: Trajectories of the same size to overwrite; None allocates new arrays.

    Returns:
        The trajectories.

    Raises:
        TypeError: If the policy is neither ``"random"`` nor jitted, or a number is not an integer.
        ValueError: If a number is out of range or the policy returns an action other than 0 or 1; the batch is then
            unchanged.
        MemoryError: If so many steps do not fit into memory.
    """
    num_steps = checked_integer("num_steps", num_steps, minimum=1)
    entropy = None if seed is None else checked_integer("seed", seed, minimum=0, maximum=None)
    is_random = isinstance(policy, str) and policy == "random"
    if not is_random and not isinstance(policy, numba.core.dispatcher.Dispatcher):
        raise TypeError(f"policy must be 'random' or a function compiled with numba.njit, got {policy!r}.")
    num_envs = state.elapsed_steps.size
    if out is None:
        assert_fits_memory(
            f"num_steps={num_steps} of {num_envs} environments", num_steps * num_envs * _BYTES_PER_TRANSITION
        )
    rollout = _checked_or_new(out, num_steps, num_envs, rules, reward_dtype)
    buffers = StepOutputs(
        rollout.all_observations, rollout.rewards, rollout.terminated, rollout.truncated, rollout.final_observations
    )
    write_observations(0, num_envs, state, rollout.all_observations[0])
    rollout.final_observations[:] = 0.0
    key = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    # Each block of environments plays all its steps before the next one; with a shared stream, all form one block.
    size = num_envs if rules.shared_stream else BLOCK
    num_blocks = -(-num_envs // size)
    if is_random:
        in_ranges(num_threads, num_blocks, _play_randomly, size, state, key, constants, rules, rollout.actions, buffers)
        return rollout
    # The kernels update a copy, so that the batch stays unchanged if the policy fails.
    moved = copy_batch_state(state)
    played = (policy, size, moved, key, constants, rules, rollout.actions, buffers)
    invalid = max(in_ranges(num_threads, num_blocks, _play_policy, *played))
    if invalid >= 0:
        raise ValueError(f"policy must return 0 or 1, returned something else for environment {invalid}.")
    for name in BatchState._fields:
        getattr(state, name)[:] = getattr(moved, name)
    return rollout


def _checked_or_new(
    out: Trajectories | None, num_steps: int, num_envs: int, rules: StepRules, reward_dtype: np.dtype[np.floating]
) -> Trajectories:
    """Return the arrays to write to: those of the caller, or new ones with undefined contents."""
    shape = (num_steps, num_envs)
    layout: dict[str, tuple[tuple[int, ...], Any]] = {
        "all_observations": ((num_steps + 1, num_envs, 4), np.float32),
        "actions": (shape, np.int64),
        "rewards": (shape, reward_dtype),
        "terminated": (shape, np.bool_),
        "truncated": (shape, np.bool_),
        "final_observations": ((num_steps, num_envs if rules.autoreset_mode == SAME_STEP else 0, 4), np.float32),
    }
    if out is None:
        return Trajectories(*(np.empty(*layout[name]) for name in Trajectories._fields))
    if not isinstance(out, Trajectories):
        raise TypeError(f"out must be Trajectories, got {type(out).__name__}.")
    for name, (size, dtype) in layout.items():
        array = getattr(out, name)
        if array.shape != size or array.dtype != dtype or not array.flags.c_contiguous or not array.flags.writeable:
            raise ValueError(
                f"out must be Trajectories of {num_steps} steps of {num_envs} such environments; its array {name} has "
                "another shape, dtype or memory layout, or is read-only."
            )
    return out


@kernel(inlined=True)
def _step_into_row(
    t: int,
    start: int,
    stop: int,
    state: BatchState,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    actions: npt.NDArray[np.int64],
    buffers: StepOutputs,
    scratch: Scratch,
) -> None:
    """Take step ``t`` in environments ``start`` to ``stop - 1``, or in all of them if the stream is shared."""
    outputs = StepOutputs(
        buffers.observations[t + 1],
        buffers.rewards[t],
        buffers.terminated[t],
        buffers.truncated[t],
        buffers.final_observations[t],
    )
    step_range(start, stop, actions[t], state, constants, rules, outputs, scratch)
    if rules.shared_stream:
        reset_ended_from_shared_stream(state, rules, outputs)


@kernel()
def _play_range_randomly(
    start: int,
    stop: int,
    state: BatchState,
    key: np.uint64,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    actions: npt.NDArray[np.int64],
    buffers: StepOutputs,
) -> None:
    """Play T steps of some environments with uniformly random actions.

    One random 64-bit number provides 64 actions of an environment.
    """
    state, constants, buffers = borrowed_state(state), borrowed(constants), borrowed_outputs(buffers)
    actions = borrowed(actions)
    num_steps, num_envs = actions.shape
    scratch = new_scratch()
    bits = np.empty(stop - start, dtype=np.uint64)
    for t in range(num_steps):
        shift = np.uint64(t % _BITS)
        if t % _BITS == 0:
            for j in range(bits.size):
                bits[j] = hashed_uint64(key, t // _BITS * num_envs + start + j)
        chosen = actions[t, start:stop]
        for j in range(bits.size):
            chosen[j] = (bits[j] >> shift) & np.uint64(1)
        _step_into_row(t, start, stop, state, constants, rules, actions, buffers, scratch)


@kernel()
def _play_randomly(
    first: int,
    stop: int,
    size: int,
    state: BatchState,
    key: np.uint64,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    actions: npt.NDArray[np.int64],
    buffers: StepOutputs,
) -> None:
    """Play T steps of the blocks ``first`` to ``stop - 1``, of ``size`` environments each, with random actions."""
    for block in range(first, stop):
        end = min((block + 1) * size, actions.shape[1])
        _play_range_randomly(block * size, end, state, key, constants, rules, actions, buffers)


# Not cached on disk: it takes a function as an argument.
@kernel(cached=False)
def _play_range(
    start: int,
    stop: int,
    policy: Any,
    state: BatchState,
    key: np.uint64,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    actions: npt.NDArray[np.int64],
    buffers: StepOutputs,
) -> int:
    """Play T steps of some environments with a policy; return the index of one with an invalid action, or -1."""
    state, constants, buffers = borrowed_state(state), borrowed(constants), borrowed_outputs(buffers)
    actions = borrowed(actions)
    num_steps, num_envs = actions.shape
    scratch = new_scratch()
    for t in range(num_steps):
        invalid = -1
        for i in range(start, stop):
            action = policy(buffers.observations[t, i], hashed_double(key, t * num_envs + i))
            if action != 0 and action != 1:
                invalid = i
            actions[t, i] = np.int64(action)
        if invalid >= 0:
            return invalid
        _step_into_row(t, start, stop, state, constants, rules, actions, buffers, scratch)
    return -1


@kernel(cached=False)
def _play_policy(
    first: int,
    stop: int,
    policy: Any,
    size: int,
    state: BatchState,
    key: np.uint64,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    actions: npt.NDArray[np.int64],
    buffers: StepOutputs,
) -> int:
    """Play the blocks ``first`` to ``stop - 1``, of ``size`` environments each; return as ``_play_range`` does."""
    invalid = -1
    for block in range(first, stop):
        end = min((block + 1) * size, actions.shape[1])
        invalid = max(invalid, _play_range(block * size, end, policy, state, key, constants, rules, actions, buffers))
    return invalid
