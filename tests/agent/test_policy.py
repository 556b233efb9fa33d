"""The Numba policy agrees with the Keras actor and with plain formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from agent.config import CHOICES
from agent.kernels.forward import _ACTIVATIONS, activate, forward, padded_weights, state_values
from agent.kernels.sampling import greedy_action, sample_action
from agent.kernels.tiles import TILE_WIDTH
from agent.learning.networks import build_actor, build_critic


def numba_outputs(model, observations, activation="tanh"):
    """Return the outputs of the Numba forward pass, shape (B, outputs)."""
    weights = padded_weights(model.get_weights(), activation)
    count = len(observations)
    width = 1 if count == 1 else -(-count // TILE_WIDTH) * TILE_WIDTH
    activations = np.zeros((weights.sizes.max(), width), dtype=np.float32)
    activations[: observations.shape[1], :count] = observations.T
    outputs = forward(weights, activations, np.full_like(activations, np.nan))
    return outputs[: model.output_shape[1], :count].T


@pytest.mark.parametrize("hidden_sizes", [(64, 64), (1,), (3, 5, 7), (128,), (30, 130)])
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize(
    ("size", "num_actions", "batch_size"), [(4, 2, 1), (7, 5, 1), (4, 2, 5), (9, 3, 5), (4, 2, 128)]
)
def test_logits_agree_with_the_keras_actor(hidden_sizes, scale, size, num_actions, batch_size):
    actor = build_actor(size, num_actions, hidden_sizes, seed=1)
    generator = np.random.default_rng(0)
    actor.set_weights([scale * w + generator.normal(0, 0.1, w.shape) for w in actor.get_weights()])
    observations = generator.normal(0, 1, (batch_size, size)).astype(np.float32)
    expected = actor(observations).numpy()
    np.testing.assert_allclose(numba_outputs(actor, observations), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("activation", CHOICES["activation"])
@pytest.mark.parametrize("batch_size", [1, 6])
def test_hidden_layers_may_have_any_of_the_activations(activation, batch_size):
    critic = build_critic(4, (30, 5), seed=2, activation=activation)
    generator = np.random.default_rng(0)
    critic.set_weights([weight + generator.normal(0, 0.5, weight.shape) for weight in critic.get_weights()])
    observations = generator.normal(0, 2, (batch_size, 4)).astype(np.float32)
    outputs = numba_outputs(critic, observations, activation)
    np.testing.assert_allclose(outputs, critic(observations), rtol=2e-6, atol=2e-5)
    others = {numba_outputs(critic, observations, other).tobytes() for other in CHOICES["activation"]}
    assert len(others) == 4


@pytest.mark.parametrize("batch_size", [1, 2, 128, 129, 1000])
def test_values_are_those_of_the_keras_critic_on_any_number_of_threads(batch_size):
    critic = build_critic(4, (64, 64), seed=2)
    weights = padded_weights(critic.get_weights())
    observations = np.random.default_rng(0).normal(0, 1, (batch_size, 4)).astype(np.float32)
    values = state_values(weights, observations)
    np.testing.assert_allclose(values, critic(observations)[:, 0], rtol=1e-6, atol=1e-5)
    assert state_values(weights, observations, num_threads=2).tobytes() == values.tobytes()


def test_tanh_is_accurate_over_all_magnitudes():
    magnitudes = np.logspace(-30, 30, 100_000)
    x = np.concatenate([-magnitudes, [0.0], magnitudes, [-np.inf, np.inf]]).astype(np.float32)
    actual = x.copy()
    activate(actual, _ACTIVATIONS["tanh"])
    expected = np.tanh(x.astype(np.float64))
    assert np.max(np.abs(actual - expected)) < 4e-7
    small = np.abs(x) < 0.1
    np.testing.assert_allclose(actual[small], expected[small], rtol=4e-7)


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("relu", lambda x: np.maximum(x, 0)),
        ("elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
        ("silu", lambda x: x * np.exp(-np.logaddexp(0, -x))),
    ],
)
def test_other_activations_are_accurate_over_all_magnitudes_and_leave_zeros(activation, formula):
    magnitudes = np.logspace(-20, 20, 100_000)
    x = np.concatenate([-magnitudes, [0.0], magnitudes]).astype(np.float32)
    actual = x.copy()
    activate(actual, _ACTIVATIONS[activation])
    # SiLU multiplies half of the error of tanh, which is 4e-7, by up to 18.
    np.testing.assert_allclose(actual, formula(x.astype(np.float64)), rtol=1e-6, atol=4e-6)
    assert actual[magnitudes.size] == 0.0


@pytest.mark.parametrize(
    "logits",
    [
        *((0.0, 0.0), (0.3, -1.2), (-5.0, 5.0), (40.0, -40.0), (1e30, -1e30), (0.0, 745.0)),
        *((1.5,), (0.0, 0.0, 0.0), (0.3, -1.2, 2.0, 0.0), (1e30, 0.0, -1e30), (-40.0, 1.0, 1.0), (0.0, -100.0, 745.0)),
    ],
)
def test_actions_and_log_probabilities_are_those_of_the_softmax(logits):
    row = np.float32(logits)
    expected_log_probs = log_softmax(row.astype(np.float64))
    cumulative = np.cumsum(np.exp(expected_log_probs))
    for uniform in np.linspace(0.0, 1.0, 1001)[:-1]:
        if np.abs(uniform - cumulative[:-1]).min(initial=1.0) < 1e-12:
            continue
        action, log_prob = sample_action(row, uniform)
        assert action == np.count_nonzero(cumulative[:-1] <= uniform)
        assert log_prob == pytest.approx(expected_log_probs[action], rel=1e-6, abs=1e-12)
    assert greedy_action(row)[0] == np.argmax(row)
    assert greedy_action(row)[1] == pytest.approx(expected_log_probs.max(), rel=1e-6, abs=1e-12)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8), st.floats(0.0, 1.0, exclude_max=True))
def test_an_action_is_always_one_of_those_there_are(logits, uniform):
    row = np.float32([*logits, np.nan] if uniform > 0.9 else logits)
    assert 0 <= sample_action(row, uniform)[0] < row.size
    assert 0 <= greedy_action(row)[0] < row.size
