"""``seeding="shared"`` equals Gymnasium's ``CartPoleVectorEnv``."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lockstep import assert_identical, assert_same_trajectory

from fastcartpole import CartPoleVectorEnv


def batched_gymnasium(num_envs, **options):
    return gymnasium.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point", **options)


@given(
    num_envs=st.integers(1, 9),
    seed=st.integers(0, 2**70),
    max_episode_steps=st.integers(1, 30),
    sutton_barto_reward=st.booleans(),
    num_threads=st.integers(1, 3),
)
def test_trajectories_are_those_of_gymnasiums_batched_environment(
    num_envs, seed, max_episode_steps, sutton_barto_reward, num_threads
):
    options = {"max_episode_steps": max_episode_steps, "sutton_barto_reward": sutton_barto_reward}
    ours = CartPoleVectorEnv(num_envs, seeding="shared", num_threads=num_threads, **options)
    theirs = batched_gymnasium(num_envs, **options)
    assert_same_trajectory(ours, theirs, seed, num_steps=60)
    assert_same_trajectory(ours, theirs, None, num_steps=20)


def test_reset_bounds_hold_for_later_autoresets_too():
    ours, theirs = CartPoleVectorEnv(4, seeding="shared"), batched_gymnasium(4)
    options = {"low": -0.15, "high": 0.1}
    assert ours.reset(seed=1, options=options)[0].tobytes() == theirs.reset(seed=1, options=options)[0].tobytes()
    for step in range(100):
        actions = np.full(4, (step // 2) % 2)
        assert_identical(ours.step(actions), theirs.step(actions), step)


@pytest.mark.parametrize("num_envs", [5000, 100_000])
def test_large_batches_on_several_threads_draw_from_the_one_stream_in_order(num_envs):
    ours, theirs = CartPoleVectorEnv(num_envs, seeding="shared", num_threads=2), batched_gymnasium(num_envs)
    assert assert_same_trajectory(ours, theirs, 7, num_steps=30, balance=0.0) > num_envs / 2


@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_other_autoreset_modes_draw_from_the_one_stream(mode):
    environments = CartPoleVectorEnv(3, seeding="shared", autoreset_mode=mode, max_episode_steps=2)
    generator = np.random.default_rng(4)
    expected = generator.uniform(-0.05, 0.05, (4, 3))
    assert np.array_equal(environments.reset(seed=4)[0], expected.T.astype(np.float32))
    environments.step([0, 1, 0])
    observations = environments.step([0, 1, 0])[0]
    if mode == "Disabled":
        observations, _ = environments.reset()
    assert np.array_equal(observations, generator.uniform(-0.05, 0.05, (4, 3)).T.astype(np.float32))


@pytest.mark.parametrize(("seed", "error"), [([1, 2, 3], TypeError), (-1, ValueError), (0.5, TypeError)])
def test_one_stream_takes_one_seed(seed, error):
    with pytest.raises(error, match="seed must be"):
        CartPoleVectorEnv(3, seeding="shared").reset(seed=seed)


def test_an_unknown_seeding_is_named():
    with pytest.raises(ValueError, match="seeding must be one of 'independent', 'shared', got 'own'"):
        CartPoleVectorEnv(3, seeding="own")
