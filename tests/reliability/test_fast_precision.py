"""Differences between ``precision="fast"`` and the exact environment, step by step."""

import numpy as np
import pytest
from lockstep import steadying_actions

from fastcartpole import CartPoleVectorEnv

NUM_ENVS = 10_000


def units_in_the_last_place(actual, expected, before):
    """Return the largest difference, in units in the last place of the larger of the values before and after."""
    return float(np.max(np.abs(actual - expected) / np.spacing(np.maximum(np.abs(before), np.abs(expected)))))


def measured(num_steps):
    """Return the largest error of a step, and the number of steps whose terminated flags differ."""
    exact, fast = CartPoleVectorEnv(NUM_ENVS), CartPoleVectorEnv(NUM_ENVS, precision="fast")
    observations, _ = exact.reset(seed=0)
    fast.reset(seed=0)
    generator = np.random.default_rng(0)
    largest, otherwise = 0.0, 0
    for step in range(num_steps):
        if step % 10 == 0:
            # States are sampled from the whole space, not only from those that a policy reaches.
            exact.state = generator.uniform(-1, 1, (4, NUM_ENVS)) * np.array([[2.5], [4.0], [0.22], [4.0]])
        before = exact.state
        fast.set_state(exact.get_state())
        random = generator.integers(0, 2, NUM_ENVS)
        actions = np.where(generator.random(NUM_ENVS) < 0.7, steadying_actions(observations), random)
        observations, _, expected, _, _ = exact.step(actions)
        _, _, terminated, _, _ = fast.step(actions)
        largest = max(largest, units_in_the_last_place(fast.state, exact.state, before))
        otherwise += int((terminated != expected).sum())
    return largest, otherwise


@pytest.mark.parametrize("num_steps", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_step_differs_by_few_units_in_the_last_place_and_ends_the_same_episodes(num_steps, figure):
    largest, otherwise = measured(num_steps)
    taken = num_steps * NUM_ENVS
    figure(
        f"fast: at most {largest:g} units in the last place a step, {otherwise} of {taken:,} terminated flags differ"
    )
    assert 0 < largest <= 16
    assert otherwise == 0
