"""Outputs and gradients of the networks equal those of Keras."""

from functools import partial

import numpy as np
import pytest

from agent import PPO, adapted_preset
from agent.config import CHOICES
from agent.learning.networks import build_actor, build_critic, differentiable_outputs
from agent.process.backend import keras, tf

ACTOR, CRITIC = partial(build_actor, 4, 3), partial(build_critic, 4)


@pytest.mark.parametrize("hidden_sizes", [(64, 64), (1,), (3, 5, 7), (2, 132)])
@pytest.mark.parametrize("build", [ACTOR, partial(build_actor, 4, 2), CRITIC], ids=["three", "two", "critic"])
def test_outputs_and_gradients_agree_with_automatic_differentiation(build, hidden_sizes):
    # The sizes of the layers select one of the four activations.
    activation = CHOICES["activation"][sum(hidden_sizes) % 4]
    model = build(hidden_sizes, seed=3, activation=activation)
    generator = np.random.default_rng(0)
    model.set_weights([weight + generator.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    observations = tf.constant(generator.normal(size=(50, 4)), tf.float32)
    upstream = tf.constant(generator.normal(size=(50, *model.output_shape[1:])), tf.float32)
    variables = model.trainable_variables
    results = []
    for function in (
        model,
        lambda inputs: differentiable_outputs(list(map(tf.convert_to_tensor, variables)), inputs, activation),
    ):
        with tf.GradientTape() as tape:
            tape.watch(observations)
            outputs = function(observations)
            loss = tf.reduce_sum(outputs * upstream)
        results.append([outputs, *tape.gradient(loss, [observations, *model.trainable_variables])])
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_orthogonal_kernels_have_orthogonal_rows_or_columns_of_the_gains_length():
    for build, output_gain in ((ACTOR, 0.01), (CRITIC, 1.0)):
        *hidden, output = build((64, 32), seed=1, initializer="orthogonal").get_weights()[::2]
        for kernel, gain in [*((kernel, np.sqrt(2.0)) for kernel in hidden), (output, output_gain)]:
            narrow = kernel if kernel.shape[0] <= kernel.shape[1] else kernel.T
            np.testing.assert_allclose(narrow @ narrow.T, gain**2 * np.eye(len(narrow)), atol=1e-5)


def test_a_seed_fixes_the_initial_weights():
    once, again = (build_actor(4, 2, (8,), seed=1).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    first, second = (build_actor(4, 2, (8, 8), seed=seed).get_weights()[0] for seed in (1, 2))
    assert not np.array_equal(first, second)
    kernels = build_actor(4, 2, (4, 4), seed=1).get_weights()[::2]
    assert not np.array_equal(kernels[0], kernels[1])
    assert isinstance(build_critic(4, (8,), seed=0), keras.Model)


def test_the_critic_may_have_layers_of_its_own():
    config = adapted_preset("fast", num_envs=4, steps_per_epoch=64, hidden_sizes=(4,), critic_hidden_sizes=(5, 6))
    ppo = PPO(config)
    assert [weight.shape for weight in ppo.actor.get_weights()[::2]] == [(4, 4), (4, 2)]
    assert [weight.shape for weight in ppo.critic.get_weights()[::2]] == [(4, 5), (5, 6), (6, 1)]
    before = ppo.critic.get_weights()
    assert np.isfinite(ppo.train_epoch().value_loss)
    assert all((one != other).any() for one, other in zip(before[::2], ppo.critic.get_weights()[::2], strict=True))
    with pytest.raises(ValueError, match="compiled_settings"):
        ppo.restart(config.replace(critic_hidden_sizes=None))


@pytest.mark.parametrize("activation", ["relu", pytest.param("silu", marks=pytest.mark.slow)])
def test_an_agent_acts_values_and_learns_with_its_activation(activation):
    config = adapted_preset("fast", num_envs=4, steps_per_epoch=64, hidden_sizes=(8,), initializer="glorot_uniform")
    ppo = PPO(config.replace(activation=activation, policy_learning_rate=1e-12, value_clip_range=1.0))
    assert {layer.activation.__name__ for layer in ppo.actor.layers[1:-1]} == {activation}
    rollout = ppo.collect()
    logits = ppo.actor(rollout.observations.reshape(-1, 4))
    log_probs = keras.ops.log_softmax(logits).numpy()[np.arange(64), rollout.actions.reshape(-1)]
    np.testing.assert_allclose(rollout.log_probs.reshape(-1), log_probs, atol=1e-5)
    batch = ppo.update_batch(rollout)
    np.testing.assert_allclose(batch.values, ppo.critic(batch.observations)[:, 0], atol=1e-5)
    assert ppo.update(batch).kl == pytest.approx(0.0, abs=1e-6)
