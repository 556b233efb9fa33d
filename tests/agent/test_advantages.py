"""Advantages and rewards-to-go equal plain sums along each trajectory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernels.advantages import advantages_and_returns, explained_variance, normalized
from agent.kernels.rollout import new_rollout


def discounted_sum(terms, discount):
    return sum(term * discount**k for k, term in enumerate(terms))


def expected_path(rewards, values, value_after, gamma, gae_lambda):
    """Return the advantages and rewards-to-go of one trajectory, computed as the sums that define them."""
    following = [*values[1:], value_after]
    deltas = [r + gamma * after - v for r, v, after in zip(rewards, values, following, strict=True)]
    advantages = [discounted_sum(deltas[t:], gamma * gae_lambda) for t in range(len(deltas))]
    returns = [discounted_sum([*rewards[t:], value_after], gamma) for t in range(len(rewards))]
    return advantages, returns


@given(
    num_steps=st.integers(1, 20),
    num_envs=st.integers(1, 4),
    end_probability=st.sampled_from([0.0, 0.3, 1.0]),
    gamma=st.floats(0.5, 1.0),
    gae_lambda=st.floats(0.0, 1.0),
    next_step=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_each_path_gets_its_discounted_sums(num_steps, num_envs, end_probability, gamma, gae_lambda, next_step, seed):
    generator = np.random.default_rng(seed)
    shape = (num_steps, num_envs)
    rollout = new_rollout(num_steps, num_envs, observation_size=3, most_truncations=num_steps)
    rollout.rewards[:] = generator.normal(size=shape)
    rollout.terminated[:] = generator.random(shape) < end_probability
    rollout.truncated[:] = generator.random(shape) < end_probability
    if next_step:
        # The step after the end of an episode ignores its action.
        for t in range(1, num_steps):
            rollout.valid[t] = ~(rollout.valid[t - 1] & (rollout.terminated[t - 1] | rollout.truncated[t - 1]))
        for array in (rollout.rewards, rollout.terminated, rollout.truncated):
            array[~rollout.valid] = 0
    values = generator.normal(size=shape).astype(np.float32)
    last_values = generator.normal(size=num_envs).astype(np.float32)
    final_values = generator.normal(size=rollout.final_observations.shape[:2]).astype(np.float32)

    advantages, returns = advantages_and_returns(rollout, values, last_values, final_values, gamma, gae_lambda)

    for n in range(num_envs):
        start, truncations = 0, 0
        for t in range(num_steps):
            terminated, truncated = rollout.terminated[t, n], rollout.truncated[t, n]
            if not rollout.valid[t, n]:
                assert advantages[t, n] == returns[t, n] == 0.0
                start = t + 1
                continue
            if not (terminated or truncated or t == num_steps - 1):
                continue
            value_after = last_values[n]
            if terminated:
                value_after = 0.0
            elif truncated:
                value_after = final_values[truncations, n]
                truncations += 1
            path = slice(start, t + 1)
            expected = expected_path(
                rollout.rewards[path, n].astype(float),
                values[path, n].astype(float),
                float(value_after),
                gamma,
                gae_lambda,
            )
            np.testing.assert_allclose(advantages[path, n], expected[0], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(returns[path, n], expected[1], rtol=1e-4, atol=1e-5)
            start = t + 1


def test_normalized_advantages_have_mean_0_and_deviation_1():
    advantages = np.random.default_rng(0).normal(3.0, 7.0, (50, 20)).astype(np.float32)
    actual = normalized(advantages, np.ones_like(advantages, dtype=bool))
    assert actual.dtype == np.float32
    assert abs(actual.mean(dtype=np.float64)) < 1e-6
    assert abs(actual.std(dtype=np.float64) - 1.0) < 1e-6
    np.testing.assert_allclose(actual, (advantages - advantages.mean()) / advantages.std(), atol=1e-5)


def test_what_does_not_count_changes_no_advantage():
    advantages = np.random.default_rng(0).normal(3.0, 7.0, (50, 20)).astype(np.float32)
    valid = np.random.default_rng(1).random(advantages.shape) < 0.7
    others = np.where(valid, advantages, 1e6).astype(np.float32)
    everywhere = np.ones(np.count_nonzero(valid), dtype=bool)
    assert np.array_equal(normalized(others, valid)[valid], normalized(advantages[valid], everywhere))
    nowhere = np.zeros_like(valid)
    assert np.array_equal(normalized(advantages, nowhere), advantages)


def test_advantages_that_are_not_numbers_stay_visible():
    assert np.isnan(normalized(np.array([[1.0, np.nan]], dtype=np.float32), np.ones((1, 2), dtype=bool))).all()


def test_equal_advantages_become_zeros():
    equal = np.full((3, 2), 5.0, dtype=np.float32)
    assert np.array_equal(normalized(equal, np.ones((3, 2), dtype=bool)), np.zeros((3, 2)))


def test_explained_variance_is_1_for_the_targets_0_for_a_constant_and_unknown_for_equal_targets():
    targets = np.random.default_rng(0).normal(3.0, 2.0, 1000).astype(np.float32)
    everywhere = np.ones(1000, dtype=bool)
    assert explained_variance(targets, targets, everywhere) == 1.0
    assert explained_variance(targets + 5, targets, everywhere) == pytest.approx(1.0, abs=1e-6)
    assert explained_variance(np.zeros_like(targets), targets, everywhere) == pytest.approx(0.0, abs=1e-6)
    assert explained_variance(-targets, targets, everywhere) == pytest.approx(-3.0, abs=1e-6)
    assert np.isnan(explained_variance(targets, np.ones_like(targets), everywhere))
    assert np.isnan(explained_variance(targets, targets, ~everywhere))


@given(seed=st.integers(0, 2**32), size=st.integers(1, 300), scale=st.sampled_from([1e-3, 1.0, 1e6]))
def test_only_what_is_valid_is_explained(seed, size, scale):
    generator = np.random.default_rng(seed)
    values, targets = generator.normal(3.0, scale, (2, size)).astype(np.float32)
    valid = generator.random(size) < 0.7
    actual = explained_variance(values, targets, valid)
    targets, errors = targets[valid], (targets - values)[valid]
    if len(targets) < 2:
        assert np.isnan(actual)
    else:
        assert actual == pytest.approx(1 - errors.var(dtype=np.float64) / targets.var(dtype=np.float64), rel=1e-9)
