"""Returned arrays belong to the caller: they are reused only when there is no reference to them left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcartpole import CartPoleVectorEnv

WAYS_TO_HOLD = {
    "array": lambda array: array,
    "view": lambda array: array[1:],
    "view of a view": lambda array: array[::2][:1],
    "reshaped": lambda array: array.reshape(-1),
    "memoryview": memoryview,
    "within a list": lambda array: [array],
}


def content(held):
    return np.array(held[0] if isinstance(held, list) else held).tobytes()


@settings(max_examples=60, deadline=None)
@given(
    kept=st.lists(st.none() | st.tuples(st.integers(0, 3), st.sampled_from(sorted(WAYS_TO_HOLD))), max_size=12),
    seeding=st.sampled_from(["independent", "shared"]),
    num_envs=st.sampled_from([3, 600]),
)
def test_whatever_is_held_of_a_result_stays_as_it_was(kept, seeding, num_envs):
    environments = CartPoleVectorEnv(num_envs, seeding=seeding)
    environments.reset(seed=0)
    held = []
    for choice in kept:
        results = environments.step(np.ones(num_envs, dtype=np.int64))
        if choice is not None:
            kept_part = WAYS_TO_HOLD[choice[1]](results[choice[0]])
            held.append((kept_part, content(kept_part)))
        del results
    environments.step(np.zeros(num_envs, dtype=np.int64))
    for kept_part, before in held:
        assert content(kept_part) == before


@pytest.mark.parametrize("num_envs", [3, 600])
def test_results_that_nobody_holds_are_written_again(num_envs):
    environments = CartPoleVectorEnv(num_envs)
    environments.reset(seed=0)
    actions = np.ones(num_envs, dtype=np.int64)
    places = {environments.step(actions)[0].ctypes.data for _ in range(20)}
    assert len(places) == 1
