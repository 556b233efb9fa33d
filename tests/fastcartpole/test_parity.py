"""Comparison with Gymnasium's ``CartPole-v1`` bit for bit."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lockstep import assert_identical, assert_same_trajectory, gymnasium_batch, steadying_actions

from fastcartpole import CartPoleVectorEnv

POSITION_THRESHOLD = 2.4
ANGLE_THRESHOLD = 12 * 2 * np.pi / 360


def one_step_of_gymnasium(state, action):
    environment = gymnasium.make("CartPole-v1").unwrapped
    environment.reset(seed=0)
    environment.state = np.array(state)
    observation, _, terminated, _, _ = environment.step(action)
    return environment.state, observation, terminated


def test_one_step_from_random_states_has_no_differing_bit():
    num_states = 20_000
    generator = np.random.default_rng(0)
    scales = np.array([2.5, 3.0, 0.25, 3.0])[:, None] * generator.choice([1.0, 20.0], num_states)
    states = generator.uniform(-scales, scales)
    actions = generator.integers(0, 2, num_states)
    ours = CartPoleVectorEnv(num_states)
    ours.reset(seed=0)
    ours.state = states
    reference = gymnasium.make("CartPole-v1").unwrapped
    reference.reset(seed=0)

    actual_observations, _, actual_terminated, _, _ = ours.step(actions)

    expected_states, expected_observations = np.empty_like(states), np.empty_like(actual_observations)
    expected_terminated = np.empty_like(actual_terminated)
    for i in range(num_states):
        reference.steps_beyond_terminated = None
        reference.state = states[:, i]
        expected_observations[i], _, expected_terminated[i], _, _ = reference.step(actions[i])
        expected_states[:, i] = reference.state
    assert np.sum(ours.state != expected_states) == 0
    assert ours.state.tobytes() == expected_states.tobytes()
    assert actual_observations.tobytes() == expected_observations.tobytes()
    assert np.array_equal(actual_terminated, expected_terminated)
    assert 0 < expected_terminated.sum() < num_states


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 123, 2**32 - 3, 2**64 - 3, 2**100])
def test_trajectories_with_resets_are_those_of_gymnasium(seed, num_threads):
    ended = assert_same_trajectory(CartPoleVectorEnv(7, num_threads=num_threads), gymnasium_batch(7), seed, 700)
    assert ended > 10


def test_episodes_that_reach_the_time_limit_are_truncated_where_gymnasium_truncates_them():
    ours, theirs = CartPoleVectorEnv(4), gymnasium_batch(4)
    assert assert_same_trajectory(ours, theirs, seed=3, num_steps=1100, balance=1.0) >= 8


@given(
    num_envs=st.integers(1, 9),
    seed=st.integers(0, 2**70),
    max_episode_steps=st.integers(1, 30),
    balance=st.sampled_from([0.0, 0.5, 1.0]),
    num_threads=st.integers(1, 3),
)
def test_any_batch_with_any_time_limit_is_gymnasiums(num_envs, seed, max_episode_steps, balance, num_threads):
    ours = CartPoleVectorEnv(num_envs, max_episode_steps=max_episode_steps, num_threads=num_threads)
    theirs = gymnasium_batch(num_envs, max_episode_steps=max_episode_steps)
    assert_same_trajectory(ours, theirs, seed, num_steps=60, balance=balance)


@given(
    first=st.lists(st.integers(0, 2**40), min_size=5, max_size=5),
    second=st.lists(st.none() | st.integers(0, 2**40), min_size=5, max_size=5),
    num_steps=st.integers(0, 40),
)
def test_lists_of_seeds_and_unseeded_resets_continue_the_streams_as_in_gymnasium(first, second, num_steps):
    ours, theirs = CartPoleVectorEnv(5), gymnasium_batch(5)
    assert_same_trajectory(ours, theirs, first, num_steps)
    assert_same_trajectory(ours, theirs, second, num_steps)
    assert_same_trajectory(ours, theirs, None, num_steps)


def test_a_reset_of_some_environments_is_gymnasiums():
    ours, theirs = CartPoleVectorEnv(6), gymnasium_batch(6)
    assert_same_trajectory(ours, theirs, seed=5, num_steps=30)
    mask = np.array([True, False, True, False, False, True])
    for seed in (None, 9, [1, 2, None, 4, 5, 6]):
        options = {"reset_mask": mask, "low": -0.1, "high": 0.2}
        actual, _ = ours.reset(seed=seed, options=dict(options))
        expected, _ = theirs.reset(seed=seed, options=dict(options))
        assert actual.tobytes() == expected.tobytes()
    for step in range(50):
        actions = np.full(6, step % 2)
        assert_identical(ours.step(actions), theirs.step(actions), step)


@pytest.mark.parametrize("options", [{"low": -0.2}, {"high": 0.3}, {"low": 0.01, "high": 0.01}, {"low": "-0.04"}, {}])
def test_reset_bounds_are_gymnasiums(options):
    actual, _ = CartPoleVectorEnv(3).reset(seed=1, options=dict(options))
    expected, _ = gymnasium_batch(3).reset(seed=1, options=dict(options))
    assert actual.tobytes() == expected.tobytes()


@pytest.mark.parametrize("action", [0, 1])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(("row", "threshold"), [(0, POSITION_THRESHOLD), (2, ANGLE_THRESHOLD)])
def test_an_episode_terminates_exactly_beyond_the_threshold(row, threshold, sign, action):
    # With zero velocity, position and angle do not change for one step.
    beyond = np.nextafter(threshold, np.inf)
    below = np.nextafter(threshold, 0.0)
    states = np.zeros((4, 3))
    states[row] = sign * np.array([below, threshold, beyond])
    ours = CartPoleVectorEnv(3)
    ours.reset(seed=0)
    ours.state = states

    _, _, terminated, truncated, _ = ours.step(np.full(3, action))

    assert terminated.tolist() == [False, False, True]
    assert terminated.tolist() == [one_step_of_gymnasium(states[:, i], action)[2] for i in range(3)]
    assert not truncated.any()


def test_step_500_truncates_and_a_fall_at_step_500_terminates_and_truncates():
    ours, theirs = CartPoleVectorEnv(2), gymnasium_batch(2)
    observations, _ = ours.reset(seed=0)
    theirs.reset(seed=0)
    for step in range(1, 500):
        actions = steadying_actions(observations)
        actual = ours.step(actions)
        assert_identical(actual, theirs.step(actions), step)
        observations = actual[0]
    falling = np.array([0.0, 0.0, ANGLE_THRESHOLD, 1.0])
    state = ours.state
    state[:, 1] = falling
    ours.state = state
    theirs.envs[1].unwrapped.state = falling

    actual, expected = ours.step(np.array([0, 0])), theirs.step(np.array([0, 0]))

    assert_identical(actual, expected, 500)
    assert actual[2].tolist() == [False, True]
    assert actual[3].tolist() == [True, True]


def test_the_spaces_are_those_of_gymnasium():
    ours, theirs = CartPoleVectorEnv(3), gymnasium_batch(3)
    for name in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]


@pytest.mark.parametrize("num_envs", [1, 2, 511, 1025, 4096])
def test_the_number_of_threads_changes_nothing(num_envs):
    batches = [CartPoleVectorEnv(num_envs, num_threads=threads) for threads in (1, 2, 3)]
    for batch in batches:
        batch.reset(seed=11)
    generator = np.random.default_rng(2)
    for step in range(60):
        actions = generator.integers(0, 2, num_envs)
        expected, *others = [batch.step(actions) for batch in batches]
        for actual in others:
            assert_identical(actual, expected, step)
