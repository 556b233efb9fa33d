"""Functions that step our environments and Gymnasium's in lockstep and compare every bit."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

GYMNASIUM_NAMES = {
    "gravity": "gravity",
    "cart_mass": "masscart",
    "pole_mass": "masspole",
    "half_length": "length",
    "force_magnitude": "force_mag",
    "tau": "tau",
    "position_threshold": "x_threshold",
    "angle_threshold": "theta_threshold_radians",
}
NAMES = ("observations", "rewards", "terminated", "truncated")


def gymnasium_batch(num_envs, autoreset_mode="NextStep", **options):
    return gymnasium.make_vec(
        "CartPole-v1",
        num_envs=num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": autoreset_mode},
        **options,
    )


def set_parameters(environments, parameters):
    """Set the physical parameters of each environment of a ``SyncVectorEnv``.

    Args:
        environments: The ``SyncVectorEnv``.
        parameters: Values by the name that ``fastcartpole`` uses, shape (N,) each.
    """
    for index, environment in enumerate(environments.envs):
        inner = environment.unwrapped
        for name, values in parameters.items():
            setattr(inner, GYMNASIUM_NAMES[name], values[index])
        inner.total_mass = inner.masspole + inner.masscart
        inner.polemass_length = inner.masspole * inner.length


def assert_same_infos(actual, expected):
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        if key == "final_obs":
            assert actual[key].dtype == value.dtype == object
            for ours, theirs in zip(actual[key], value, strict=True):
                assert (ours is None) == (theirs is None)
                assert ours is None or (ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes())
        elif isinstance(value, dict):
            assert_same_infos(actual[key], value)
        else:
            np.testing.assert_array_equal(actual[key], value, strict=True)


def steadying_actions(observations):
    """Return actions that balance the pole for more than a thousand steps."""
    return (observations @ np.array([0.1, 0.2, 2.0, 1.0]) > 0).astype(np.int64)


def assert_identical(actual, expected, step):
    for name, ours, theirs in zip(NAMES, actual, expected, strict=False):
        assert ours.dtype == theirs.dtype, f"{name} at step {step}: dtype {ours.dtype}, expected {theirs.dtype}"
        assert ours.shape == theirs.shape, f"{name} at step {step}: shape {ours.shape}, expected {theirs.shape}"
        if ours.tobytes() != theirs.tobytes():
            where = np.argwhere(ours != theirs)
            pytest.fail(f"{name} at step {step} differ first at index {where[0] if where.size else '(sign of zero)'}")


def assert_same_trajectory(ours, theirs, seed, num_steps, balance=0.5):
    """Step both with the same actions, which balance the pole with probability ``balance`` and are random otherwise."""
    generator = np.random.default_rng(1)
    observations, infos = ours.reset(seed=seed)
    expected_observations, expected_infos = theirs.reset(seed=seed)
    assert_identical((observations,), (expected_observations,), step=0)
    assert_same_infos(infos, expected_infos)
    ended = 0
    for step in range(1, num_steps + 1):
        random = generator.integers(0, 2, ours.num_envs)
        actions = np.where(generator.random(ours.num_envs) < balance, steadying_actions(observations), random)
        actual, expected = ours.step(actions), theirs.step(actions)
        assert_identical(actual, expected, step)
        assert_same_infos(actual[4], expected[4])
        observations = actual[0]
        has_ended = actual[2] | actual[3]
        ended += int(has_ended.sum())
        if ours.autoreset_mode is AutoresetMode.DISABLED and has_ended.any():
            observations, _ = ours.reset(options={"reset_mask": has_ended})
            expected_observations, _ = theirs.reset(options={"reset_mask": has_ended.copy()})
            assert_identical((observations,), (expected_observations,), step)
    return ended
