"""The networks' outputs and gradients are Keras' own."""

from functools import partial

import numpy as np
import pytest

from agent import PPO, adapted_preset
from agent.learning.networks import build_actor, build_critic, differentiable_outputs
from agent.process.backend import keras, tf

ACTOR, CRITIC = partial(build_actor, 4, 3), partial(build_critic, 4)


@pytest.mark.parametrize("hidden_sizes", [(64, 64), (1,), (3, 5, 7), (2, 130)])
@pytest.mark.parametrize("build", [ACTOR, partial(build_actor, 4, 2), CRITIC], ids=["three", "two", "critic"])
def test_outputs_and_gradients_agree_with_automatic_differentiation(build, hidden_sizes):
    model = build(hidden_sizes, seed=3)
    generator = np.random.default_rng(0)
    model.set_weights([weight + generator.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    observations = tf.constant(generator.normal(size=(50, 4)), tf.float32)
    upstream = tf.constant(generator.normal(size=(50, *model.output_shape[1:])), tf.float32)
    results = []
    for function in (
        model,
        lambda inputs: differentiable_outputs([tf.convert_to_tensor(v) for v in model.trainable_variables], inputs),
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
