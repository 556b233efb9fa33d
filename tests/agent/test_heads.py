"""Log-probabilities and entropies in the kernels and in the update equal SciPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import chisquare, entropy

from agent.kernels.sampling import choose_greedily, choose_sampled, chosen_actions
from agent.learning.distributions import Categorical
from agent.process.backend import tf


def parts_of(logits, sizes):
    return np.split(logits.astype(np.float64), np.cumsum(sizes)[:-1], axis=1)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    rows=st.integers(1, 6),
    scale=st.sampled_from([0.1, 3.0, 300.0]),
    seed=st.integers(0, 2**32),
)
def test_log_probabilities_and_entropies_are_scipys(sizes, rows, scale, seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, scale, (rows, sum(sizes))).astype(np.float32)
    actions = chosen_actions(logits, tuple(sizes), generator)
    assert (actions >= 0).all()
    assert (actions < sizes).all()
    expected, expected_entropies = np.zeros(rows), np.zeros(rows)
    for part, options in zip(parts_of(logits, sizes), actions.T, strict=True):
        log_probs = log_softmax(part, axis=1)
        expected += log_probs[np.arange(rows), options]
        expected_entropies += entropy(np.exp(log_probs), axis=1)
    stored = actions.astype(np.int32)[:, 0] if len(sizes) == 1 else actions.astype(np.int32)
    tolerance = {"rtol": 1e-5, "atol": 1e-5}
    ours = Categorical(sizes)
    np.testing.assert_allclose(ours.log_probs(tf.constant(logits), tf.constant(stored)), expected, **tolerance)
    np.testing.assert_allclose(ours.entropies(tf.constant(logits)), expected_entropies, **tolerance)
    sampled = np.empty(len(sizes), dtype=np.int64)
    greedy = np.stack([part.argmax(axis=1) for part in parts_of(logits, sizes)], axis=1)
    assert np.array_equal(chosen_actions(logits, tuple(sizes), None), greedy)
    for row, options in zip(logits, greedy, strict=True):
        most = choose_greedily(row, np.array(sizes), sampled)
        assert np.array_equal(sampled, options)
        assert choose_sampled(row, np.array(sizes), generator.random(len(sizes)), sampled) <= most + 1e-6


@pytest.mark.parametrize("seed", [0, 1])
def test_choices_are_drawn_independently_with_their_probabilities(seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1, (1, 5)).astype(np.float32)
    actions = chosen_actions(np.repeat(logits, 50_000, axis=0), (3, 2), generator)
    first, second = (np.exp(log_softmax(part[0])) for part in parts_of(logits, (3, 2)))
    counts = np.bincount(actions[:, 0] * 2 + actions[:, 1], minlength=6)
    assert chisquare(counts, 50_000 * np.outer(first, second).ravel()).pvalue > 1e-4
