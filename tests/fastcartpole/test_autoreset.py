"""When ended environments are reset, and what infos contain then."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st
from lockstep import assert_identical, assert_same_infos, assert_same_trajectory, gymnasium_batch

from fastcartpole import CartPoleVectorEnv


@given(
    num_envs=st.integers(1, 9),
    seed=st.integers(0, 2**70),
    max_episode_steps=st.integers(1, 30),
    balance=st.sampled_from([0.0, 0.5, 1.0]),
    num_threads=st.integers(1, 3),
)
def test_same_step_autoreset_is_gymnasiums_infos_included(num_envs, seed, max_episode_steps, balance, num_threads):
    ours = CartPoleVectorEnv(
        num_envs,
        max_episode_steps=max_episode_steps,
        autoreset_mode=AutoresetMode.SAME_STEP,
        num_threads=num_threads,
    )
    theirs = gymnasium_batch(num_envs, "SameStep", max_episode_steps=max_episode_steps)
    assert_same_trajectory(ours, theirs, seed, num_steps=60, balance=balance)


def test_without_autoreset_the_caller_resets_as_in_gymnasium():
    ours = CartPoleVectorEnv(5, autoreset_mode="Disabled", max_episode_steps=40)
    theirs = gymnasium_batch(5, "Disabled", max_episode_steps=40)
    generator = np.random.default_rng(0)
    ours.reset(seed=3)
    theirs.reset(seed=3)
    resets = 0
    for step in range(400):
        actions = generator.integers(0, 2, 5)
        actual, expected = ours.step(actions), theirs.step(actions)
        assert_identical(actual, expected, step)
        assert_same_infos(actual[4], expected[4])
        ended = actual[2] | actual[3]
        if ended.any():
            resets += 1
            actual_observations, _ = ours.reset(options={"reset_mask": ended})
            expected_observations, _ = theirs.reset(options={"reset_mask": ended.copy()})
            assert actual_observations.tobytes() == expected_observations.tobytes()
    assert resets > 20


def test_without_autoreset_stepping_on_is_an_error_and_moves_nothing():
    environments = CartPoleVectorEnv(3, autoreset_mode=AutoresetMode.DISABLED, max_episode_steps=2)
    environments.reset(seed=0)
    environments.step([0, 0, 0])
    environments.step([0, 0, 0])
    before = environments.state
    environments.reset(options={"reset_mask": np.array([True, True, False])})
    with pytest.raises(gymnasium.error.ResetNeeded, match="episode of environment 2 has ended"):
        environments.step([0, 0, 0])
    assert np.array_equal(environments.state[:, 2], before[:, 2])


def falling_in_two_steps(**options):
    """Return two environments, the first of which terminates in its second step."""
    environments = CartPoleVectorEnv(2, **options)
    environments.reset(seed=0)
    state = np.zeros((4, 2))
    state[2:, 0] = [0.2, 0.3]
    environments.state = state
    return environments


def test_next_step_autoreset_ignores_one_action_and_rewards_it_with_0():
    environments = falling_in_two_steps()
    flags, rewards, elapsed = [], [], []
    for _ in range(4):
        _, reward, terminated, truncated, infos = environments.step([0, 0])
        flags.append(terminated.tolist())
        rewards.append(reward.tolist())
        elapsed.append(environments.get_state()["elapsed_steps"].tolist())
        assert not truncated.any()
        assert infos == {}
    assert flags == [[False, False], [True, False], [False, False], [False, False]]
    assert rewards == [[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    assert elapsed == [[1, 1], [2, 2], [0, 3], [1, 4]]


def test_same_step_autoreset_returns_the_new_episode_and_keeps_the_last_observation():
    environments = falling_in_two_steps(autoreset_mode=AutoresetMode.SAME_STEP)
    environments.step([0, 0])
    observations, rewards, terminated, _, infos = environments.step([0, 0])
    assert terminated.tolist() == [True, False]
    assert rewards.tolist() == [1.0, 1.0]
    assert np.all(np.abs(observations[0]) <= 0.05)
    assert infos["_final_obs"].tolist() == [True, False]
    assert infos["final_obs"][0][2] > 12 * np.pi / 180
    assert infos["final_obs"][1] is None
    assert environments.get_state()["elapsed_steps"].tolist() == [0, 2]
    assert environments.step([0, 0])[4] == {}


@pytest.mark.parametrize("mode", ["NextStep", AutoresetMode.SAME_STEP, "Disabled"])
def test_the_mode_stands_in_the_metadata_of_this_environment_only(mode):
    environments = CartPoleVectorEnv(2, autoreset_mode=mode)
    assert environments.metadata["autoreset_mode"] is AutoresetMode(mode)
    assert CartPoleVectorEnv.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match=r"autoreset_mode must be .*'SameStep'.*got 'sometimes'"):
        CartPoleVectorEnv(2, autoreset_mode="sometimes")
