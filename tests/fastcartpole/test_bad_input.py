"""Every invalid argument raises an error with one clear sentence and changes no state."""

import gymnasium
import numpy as np
import pytest

from fastcartpole import CartPoleVectorEnv


@pytest.mark.parametrize("name", ["num_envs", "max_episode_steps", "num_threads"])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), ("two", TypeError), (True, TypeError)]
)
def test_sizes_must_be_integers_of_at_least_1(name, value, error):
    with pytest.raises(error, match=rf"{name} must be .*got {value!r}"):
        CartPoleVectorEnv(**{"num_envs": 2, name: value})


@pytest.mark.parametrize(
    ("actions", "error", "message"),
    [
        (np.array([0, 1, 2]), ValueError, "actions must be 0 or 1, got 2 for environment 2"),
        (np.array([-1, 1, 0]), ValueError, "actions must be 0 or 1, got -1 for environment 0"),
        (np.array([0, 2**40, 0]), ValueError, "got 1099511627776 for environment 1"),
        (np.array([0.5, 1.0, 0.0]), TypeError, "actions must be integers 0 or 1, got an array of float64"),
        (np.array([np.nan, 1.0, 0.0]), TypeError, "actions must be integers"),
        (np.array(["0", "1", "0"]), TypeError, "actions must be integers"),
        (np.array([0, 1]), ValueError, r"actions must have shape \(3,\), got \(2,\)"),
        (np.zeros((3, 1), dtype=int), ValueError, r"got \(3, 1\)"),
        (1, ValueError, r"got \(\)"),
    ],
)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_wrong_actions_are_named_and_move_nothing(actions, error, message, num_threads):
    environments = CartPoleVectorEnv(3, num_threads=num_threads)
    environments.reset(seed=0)
    before = environments.state
    with pytest.raises(error, match=message):
        environments.step(actions)
    assert np.array_equal(environments.state, before)


@pytest.mark.parametrize("actions", [[0, 1, 1], (0, 1, 1), np.array([0, 1, 1], dtype=np.int8)])
def test_actions_may_be_integers_of_any_kind(actions):
    environments, reference = CartPoleVectorEnv(3), CartPoleVectorEnv(3)
    environments.reset(seed=0)
    reference.reset(seed=0)
    assert np.array_equal(environments.step(actions)[0], reference.step(np.array([0, 1, 1]))[0])


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (-1, ValueError, "seed must be at least 0, got -1"),
        (1.5, TypeError, "seed must be an integer of at least 0, got 1.5"),
        ("7", TypeError, "seed must be an integer of at least 0, got '7'"),
        ([1, 2], ValueError, "seed must have one entry for each of the 3 environments, got 2"),
        ([1, 2, -5], ValueError, "seed must be at least 0, got -5"),
        ([1, None, 0.5], TypeError, "seed must be an integer of at least 0, got 0.5"),
    ],
)
def test_wrong_seeds_are_named_and_move_nothing(seed, error, message):
    environments = CartPoleVectorEnv(3)
    environments.reset(seed=0)
    before = environments.state
    with pytest.raises(error, match=message):
        environments.reset(seed=seed)
    assert np.array_equal(environments.state, before)
    reference = CartPoleVectorEnv(3)
    reference.reset(seed=0)
    assert np.array_equal(environments.reset()[0], reference.reset()[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"low": 1.0, "high": 0.0}, ValueError, "must be lower"),
        ({"low": "left"}, ValueError, "could not be converted"),
        ({"reset_mask": [True, False, True]}, TypeError, "must be a NumPy array of bool"),
        ({"reset_mask": np.array([1, 0, 1])}, TypeError, "must be a NumPy array of bool"),
        ({"reset_mask": np.array([True])}, ValueError, r"must have shape \(3,\), got \(1,\)"),
        ({"reset_mask": np.zeros(3, dtype=bool)}, ValueError, "must choose at least one environment"),
    ],
)
def test_wrong_reset_options_are_named_and_move_nothing(options, error, message):
    environments = CartPoleVectorEnv(3)
    environments.reset(seed=0)
    before = environments.state
    with pytest.raises(error, match=message):
        environments.reset(seed=1, options=options)
    assert np.array_equal(environments.state, before)


def test_stepping_before_a_reset_or_after_close_is_an_error():
    environments = CartPoleVectorEnv(2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        environments.step([0, 1])
    environments.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(gymnasium.error.ResetNeeded):
        environments.step([0, 1])
    environments.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        environments.reset()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        environments.step([0, 1])


def test_unseeded_environments_differ_from_each_other():
    first, _ = CartPoleVectorEnv(3).reset()
    second, _ = CartPoleVectorEnv(3).reset()
    assert len({row.tobytes() for row in [*first, *second]}) == 6
