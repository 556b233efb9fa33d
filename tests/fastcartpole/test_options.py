"""Rewards, time limits, integrators, physical parameters, precision and buffers."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lockstep import assert_same_trajectory, gymnasium_batch, set_parameters, steadying_actions

from fastcartpole import CartPoleParameters, CartPoleVectorEnv


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_sutton_and_bartos_rewards_are_gymnasiums(mode):
    ours = CartPoleVectorEnv(5, sutton_barto_reward=True, autoreset_mode=mode, max_episode_steps=25)
    theirs = gymnasium_batch(5, mode, sutton_barto_reward=True, max_episode_steps=25)
    assert assert_same_trajectory(ours, theirs, seed=2, num_steps=200) > 10


def test_the_semi_implicit_integrator_is_gymnasiums():
    ours = CartPoleVectorEnv(5, kinematics_integrator="semi-implicit euler")
    theirs = gymnasium_batch(5)
    for environment in theirs.envs:
        environment.unwrapped.kinematics_integrator = "semi-implicit euler"
    assert assert_same_trajectory(ours, theirs, seed=2, num_steps=200) > 3


def test_without_a_limit_no_episode_is_truncated():
    environments = CartPoleVectorEnv(50, max_episode_steps=None)
    observations, _ = environments.reset(seed=0)
    for _ in range(1000):
        observations, _, terminated, truncated, _ = environments.step(steadying_actions(observations))
        assert not terminated.any()
        assert not truncated.any()


parameter_values = {
    "gravity": st.floats(0.0, 30.0),
    "cart_mass": st.floats(0.1, 10.0),
    "pole_mass": st.floats(0.01, 2.0),
    "half_length": st.floats(0.1, 3.0),
    "force_magnitude": st.floats(1.0, 40.0),
    "tau": st.floats(0.001, 0.05),
    "position_threshold": st.floats(0.5, 5.0),
    "angle_threshold": st.floats(0.06, 1.0),
}


@given(
    values=st.fixed_dictionaries(
        {}, optional={k: st.lists(v, min_size=3, max_size=3) for k, v in parameter_values.items()}
    ),
    common=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_parameters_of_each_environment_give_gymnasiums_trajectories(values, common, seed):
    if common:
        values = {name: [entries[0]] * 3 for name, entries in values.items()}
    ours = CartPoleVectorEnv(
        3, parameters=CartPoleParameters(**{name: v[0] if common else v for name, v in values.items()})
    )
    theirs = gymnasium_batch(3, disable_env_checker=True)
    set_parameters(theirs, values)
    assert_same_trajectory(ours, theirs, seed, num_steps=60)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"cart_mass": -1.0}, ValueError, "cart_mass must be greater than 0, got -1.0"),
        ({"pole_mass": 0}, ValueError, "pole_mass must be greater than 0, got 0"),
        ({"half_length": [0.5, -0.5]}, ValueError, "half_length must be greater than 0"),
        ({"gravity": float("nan")}, ValueError, "gravity must be finite, got nan"),
        ({"tau": float("inf")}, ValueError, "tau must be finite, got inf"),
        ({"gravity": "low"}, TypeError, "gravity must be a number or a sequence of numbers, got 'low'"),
        ({"gravity": [[9.8]]}, ValueError, r"gravity must be a number or have shape \(num_envs,\), got shape \(1, 1\)"),
        ({"gravity": []}, ValueError, "gravity must be a number or have shape"),
        ({"gravity": True}, TypeError, "gravity must be a number"),
        ({"gravity": [9.8, 1.6], "tau": [0.01, 0.02, 0.03]}, ValueError, r"got lengths \[2, 3\]"),
    ],
)
def test_wrong_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        CartPoleParameters(**parameters)


def test_parameters_must_fit_the_batch_and_cannot_be_changed():
    parameters = CartPoleParameters(gravity=[9.8, 1.6])
    with pytest.raises(ValueError, match="must have num_envs=3 entries, got 2"):
        CartPoleVectorEnv(3, parameters=parameters)
    with pytest.raises(TypeError, match="parameters must be CartPoleParameters"):
        CartPoleVectorEnv(3, parameters={"gravity": 9.8})
    with pytest.raises(ValueError, match="read-only"):
        parameters.gravity[0] = 1.0


def test_fast_precision_follows_the_exact_trajectory_closely():
    exact, fast = CartPoleVectorEnv(2000), CartPoleVectorEnv(2000, precision="fast")
    exact.reset(seed=0)
    fast.reset(seed=0)
    generator = np.random.default_rng(0)
    for _ in range(200):
        fast.state = exact.state
        actions = generator.integers(0, 2, 2000)
        expected, actual = exact.step(actions), fast.step(actions)
        np.testing.assert_allclose(fast.state, exact.state, rtol=1e-12, atol=1e-14)
        assert np.array_equal(actual[2], expected[2])
        assert np.array_equal(actual[3], expected[3])
    assert not np.array_equal(fast.state, exact.state)


def test_fast_precision_holds_for_large_angles_too():
    exact, fast = CartPoleVectorEnv(1000), CartPoleVectorEnv(1000, precision="fast")
    states = np.random.default_rng(0).uniform(-50.0, 50.0, (4, 1000))
    for environments in (exact, fast):
        environments.reset(seed=0)
        environments.state = states
        environments.step(np.ones(1000, dtype=int))
    np.testing.assert_allclose(fast.state, exact.state, rtol=1e-9, atol=1e-12)


def test_observations_are_fresh_by_default_and_one_buffer_on_request():
    fresh, reused = CartPoleVectorEnv(3), CartPoleVectorEnv(3, copy=False)
    first, _ = fresh.reset(seed=0)
    kept = first.copy()
    second = fresh.step([0, 1, 0])[0]
    assert first is not second
    assert np.array_equal(first, kept)
    first, _ = reused.reset(seed=0)
    steps = [reused.step([0, 1, 0]) for _ in range(2)]
    assert steps[0][0] is steps[1][0] is first
    assert steps[0][1] is not steps[1][1]
    for observations in (second, first):
        assert observations.dtype == np.float32
        assert observations.flags.c_contiguous


def test_other_wrong_options_are_named():
    for name, value in {"precision": "half", "render_mode": "ascii", "kinematics_integrator": "verlet"}.items():
        with pytest.raises(ValueError, match=f"{name} must be one of .*got '{value}'"):
            CartPoleVectorEnv(2, **{name: value})


def test_a_million_environments_work_with_at_most_120_bytes_of_state_each():
    num_envs = 1_000_000
    environments = CartPoleVectorEnv(num_envs, precision="fast")
    observations, _ = environments.reset(seed=0)
    arrays = [v for v in environments.get_state().values() if isinstance(v, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= 120 * num_envs
    assert len(np.unique(observations[:, 0])) > 0.9 * num_envs
    for _ in range(3):
        observations = environments.step(np.ones(num_envs, dtype=np.int64))[0]
    assert np.isfinite(observations).all()


def test_the_last_environment_of_a_large_batch_is_seeded_as_gymnasium_seeds_it():
    observations, _ = CartPoleVectorEnv(100_000).reset(seed=5)
    single = gymnasium.make("CartPole-v1")
    for index in (0, 1, 65_535, 99_999):
        assert np.array_equal(observations[index], single.reset(seed=5 + index)[0])
