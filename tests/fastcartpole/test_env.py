"""The single environment equals Gymnasium's bit for bit."""

import copy
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import fastcartpole
from fastcartpole import CartPoleEnv, CartPoleParameters


@given(
    seed=st.integers(0, 2**70),
    actions=st.lists(st.integers(0, 1), min_size=1, max_size=60),
    sutton_barto_reward=st.booleans(),
    integrator=st.sampled_from(["euler", "semi-implicit euler"]),
)
def test_episodes_are_those_of_gymnasium(seed, actions, sutton_barto_reward, integrator):
    ours = gymnasium.make(
        "fastcartpole/CartPole-v1", sutton_barto_reward=sutton_barto_reward, kinematics_integrator=integrator
    )
    theirs = gymnasium.make("CartPole-v1", sutton_barto_reward=sutton_barto_reward)
    theirs.unwrapped.kinematics_integrator = integrator
    actual, expected = ours.reset(seed=seed), theirs.reset(seed=seed)
    for action in actions:
        assert actual[0].tobytes() == expected[0].tobytes()
        assert actual[0].dtype == expected[0].dtype
        assert actual[1:] == expected[1:]
        assert [type(value) for value in actual] == [type(value) for value in expected]
        if len(actual) == 5 and (actual[2] or actual[3]):
            actual, expected = ours.reset(), theirs.reset()
        else:
            actual, expected = ours.step(action), theirs.step(action)


def test_gymnasiums_checker_finds_nothing():
    pytest.importorskip("pygame")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The checker warns of unbounded velocities in Gymnasium's own CartPole too.
        warnings.filterwarnings("ignore", message=".*A Box observation space m..imum value is -?infinity")
        check_env(gymnasium.make("fastcartpole/CartPole-v1", render_mode="rgb_array").unwrapped)


@pytest.mark.filterwarnings("ignore:.*out of date.*:DeprecationWarning")
@pytest.mark.parametrize(("version", "limit"), [("v1", 500), ("v0", 200)])
def test_the_time_limit_is_the_versions(version, limit):
    environment = gymnasium.make(f"fastcartpole/CartPole-{version}")
    observation, _ = environment.reset(seed=0)
    for step in range(1, limit + 1):
        action = int(observation @ np.array([0.1, 0.2, 2.0, 1.0]) > 0)
        observation, _, terminated, truncated, _ = environment.step(action)
        assert (terminated, truncated) == (False, step == limit)


@pytest.mark.parametrize("sutton_barto_reward", [False, True])
def test_steps_beyond_the_end_warn_once_and_are_rewarded_as_in_gymnasium(sutton_barto_reward):
    ours = CartPoleEnv(sutton_barto_reward=sutton_barto_reward)
    theirs = gymnasium.make("CartPole-v1", sutton_barto_reward=sutton_barto_reward).unwrapped
    ours.reset(seed=0)
    theirs.reset(seed=0)
    falling = np.array([0.0, 0.0, 0.3, 0.0])
    ours.state, theirs.state = falling, falling
    assert ours.step(1)[1:] == theirs.step(1)[1:]
    with pytest.warns(UserWarning, match="after the episode had terminated"):
        actual = ours.step(1)
    with pytest.warns(UserWarning, match="already returned terminated"):
        expected = theirs.step(1)
    assert actual[1:] == expected[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ours.step(0)[1:] == theirs.step(0)[1:]


@pytest.mark.parametrize("action", [2, -1, 0.5, "1", None, np.array([1]), np.nan])
def test_a_wrong_action_is_named_and_moves_nothing(action):
    environment = CartPoleEnv()
    environment.reset(seed=0)
    before = environment.state
    with pytest.raises(ValueError, match="action must be 0 or 1, got"):
        environment.step(action)
    assert np.array_equal(environment.state, before)


def test_a_step_before_the_first_reset_is_an_error():
    with pytest.raises(gymnasium.error.ResetNeeded):
        CartPoleEnv().step(0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        gymnasium.make("fastcartpole/CartPole-v1").step(0)


def test_wrong_settings_are_named():
    with pytest.raises(TypeError, match=r"parameters must be CartPoleParameters, got 9\.8"):
        CartPoleEnv(parameters=9.8)
    with pytest.raises(ValueError, match="must be numbers, got an array"):
        CartPoleEnv(parameters=CartPoleParameters(gravity=[9.8, 1.6]))
    with pytest.raises(ValueError, match="kinematics_integrator must be one of"):
        CartPoleEnv(kinematics_integrator="verlet")
    with pytest.raises(ValueError, match="render_mode must be one of"):
        CartPoleEnv(render_mode="ascii")
    environment = CartPoleEnv()
    environment.reset(seed=0)
    with pytest.raises(ValueError, match=r"state must have shape \(4,\)"):
        environment.state = np.zeros(3)


def test_a_reset_takes_bounds_as_gymnasium_does():
    ours, theirs = CartPoleEnv(), gymnasium.make("CartPole-v1").unwrapped
    options = {"low": 0.01, "high": 0.02}
    assert ours.reset(seed=5, options=options)[0].tobytes() == theirs.reset(seed=5, options=options)[0].tobytes()
    with pytest.raises(ValueError, match="must be lower"):
        ours.reset(options={"low": 1.0, "high": 0.0})


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda environment: pickle.loads(pickle.dumps(environment))])
def test_a_copy_goes_on_as_the_original_does(duplicate):
    original = fastcartpole.CartPoleEnv()
    original.reset(seed=0)
    original.step(1)
    other = duplicate(original)
    for action in (0, 1, 1, 0):
        assert original.step(action)[0].tobytes() == other.step(action)[0].tobytes()
    assert original.reset()[0].tobytes() == other.reset()[0].tobytes()
