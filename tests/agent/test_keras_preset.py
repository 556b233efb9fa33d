"""Preset ``keras`` is the Keras example's algorithm; each part is compared with a plain, slow reference."""

import numpy as np
import pytest
from agents import new_agent
from runs import BALANCING, TO_THE_RIGHT, let_act_by

from agent import PPO, PRESETS
from agent.actors import copy_of
from agent.learning.update import UpdateMetrics
from agent.process.backend import keras, tf

CONFIG = PRESETS["keras"]


@pytest.fixture(scope="module")
def ppo():
    """Return an agent that has learned a little, so that its values and its policy are not trivial."""
    agent = new_agent(CONFIG.replace(epochs=4, seed=5))
    agent.train()
    return agent


@pytest.fixture(scope="module")
def rollout(ppo):
    return ppo.collect()


@pytest.fixture(scope="module")
def batch(ppo, rollout):
    return ppo.update_batch(rollout)


def test_the_hyperparameters_are_those_the_example_runs_with():
    expected = {
        "num_envs": 1,
        "epochs": 30,
        "steps_per_epoch": 4000,
        "max_episode_steps": None,
        "reset_each_epoch": True,
        "hidden_sizes": (64, 64),
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_ratio": 0.2,
        "target_kl": 0.01,
        "policy_learning_rate": 3e-4,
        "value_learning_rate": 1e-3,
        "policy_update_epochs": 80,
        "value_update_epochs": 80,
        "minibatch_size": None,
        "value_target": "rewards_to_go",
    }
    actual = CONFIG.as_dict()
    assert {name: actual[name] for name in expected} == expected
    assert CONFIG.kl_threshold == pytest.approx(0.015)
    assert (CONFIG.policy_iterations, CONFIG.value_iterations) == (80, 80)


@pytest.mark.parametrize(("network", "outputs"), [("actor", 2), ("critic", 1)])
def test_the_networks_are_tanh_mlps_with_keras_default_initializers(network, outputs):
    model = getattr(new_agent(CONFIG), network)
    plain = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(64, activation="tanh"),
            keras.layers.Dense(64, activation="tanh"),
            keras.layers.Dense(outputs),
        ]
    )
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for ours, theirs in zip(dense, plain.layers, strict=True):
        assert ours.activation is theirs.activation
        assert type(ours.kernel_initializer) is type(theirs.kernel_initializer)
        assert type(ours.bias_initializer) is type(theirs.bias_initializer)
        assert ours.kernel.shape == theirs.kernel.shape
        limit = np.sqrt(6.0 / sum(ours.kernel.shape))
        kernel = np.asarray(ours.kernel)
        # Glorot-uniform weights are bounded by the limit and have the variance limit^2 / 3.
        assert np.abs(kernel).max() <= limit
        assert np.mean(kernel**2) == pytest.approx(limit**2 / 3, rel=6 / np.sqrt(kernel.size))
        assert not np.asarray(ours.bias).any()


def test_actor_and_critic_have_plain_adam_optimizers_of_their_own(ppo):
    for optimizer, learning_rate in ((ppo._update.policy_optimizer, 3e-4), (ppo._update.value_optimizer, 1e-3)):
        expected = keras.optimizers.Adam(learning_rate).get_config()
        actual = optimizer.get_config()
        assert actual.pop("name")
        expected.pop("name")
        # Epsilon is a variable because it is an input of the compiled update.
        actual["epsilon"] = float(actual["epsilon"])
        assert actual == pytest.approx(expected)
    assert ppo._update.policy_optimizer is not ppo._update.value_optimizer


def test_a_rollout_is_4000_steps_from_a_fresh_reset_without_a_time_limit():
    agent = new_agent(CONFIG.replace(seed=5, policy_update_epochs=1, value_update_epochs=1))
    let_act_by(agent.actor, BALANCING)
    metrics = agent.train_epoch()
    assert metrics.mean_length == 4000, "an episode of 4,000 steps, beyond the limit of 500"
    for _ in range(2):
        assert np.all(agent._collector.state.elapsed_steps == 0)
        assert np.all(np.abs(agent._collector.state.physics) <= 0.05)
        let_act_by(agent.actor, TO_THE_RIGHT)
        lengths = agent.train_epoch().mean_length
        assert lengths < 20
        assert 4000 / lengths == pytest.approx(round(4000 / lengths))


@pytest.mark.parametrize(("num_envs", "num_steps"), [(1, 4000), (8, 500), (256, 16)])
def test_more_environments_share_the_same_number_of_steps(num_envs, num_steps, monkeypatch):
    config = CONFIG.replace(num_envs=num_envs)
    assert config.num_steps == num_steps
    agent = PPO(config)
    monkeypatch.setattr(agent, "update", lambda _: UpdateMetrics(0.0, 0.0, 0.0, 0.0, 80, 0.0))
    metrics = agent.train_epoch()
    assert 4000 <= metrics.env_steps < 4000 + num_envs
    assert metrics.mean_length <= num_steps
    assert np.all(agent._collector.state.elapsed_steps == 0)


def test_actions_have_the_log_probabilities_of_the_trained_keras_actor(ppo, rollout):
    logits = ppo.actor(rollout.observations.reshape(-1, 4))
    all_log_probs = np.asarray(keras.ops.log_softmax(logits))
    expected = np.take_along_axis(all_log_probs, rollout.actions.reshape(-1, 1).astype(int), axis=1)[:, 0]
    np.testing.assert_allclose(rollout.log_probs.reshape(-1), expected, atol=1e-5)


def discounted_sums(terms, discount):
    """Return, for each position, the discounted sum of its term and all later ones, computed one by one."""
    return [sum(term * discount**k for k, term in enumerate(terms[t:])) for t in range(len(terms))]


def test_the_update_sees_the_paths_of_the_epoch_as_the_example_finishes_them(ppo, rollout, batch):
    """A trajectory ends with termination, with value 0, or with the epoch, and is then bootstrapped by the critic."""
    values = np.asarray(ppo.critic(rollout.observations[:, 0])).reshape(-1).astype(np.float64)
    last_value = float(np.asarray(ppo.critic(rollout.last_observations)).reshape(()))
    ends = np.flatnonzero(rollout.terminated[:, 0]).tolist()
    assert len(ends) > 10
    if ends[-1] != 3999:
        ends.append(3999)
    advantages, returns, start = [], [], 0
    for end in ends:
        path = slice(start, end + 1)
        value_after = 0.0 if rollout.terminated[end, 0] else last_value
        rewards = [1.0] * (end + 1 - start)
        following = [*values[path][1:], value_after]
        deltas = [r + 0.99 * after - v for r, v, after in zip(rewards, values[path], following, strict=True)]
        advantages += discounted_sums(deltas, 0.99 * 0.95)
        returns += discounted_sums([*rewards, value_after], 0.99)[:-1]
        start = end + 1

    np.testing.assert_allclose(batch.value_targets, returns, rtol=1e-5)
    expected = (np.array(advantages) - np.mean(advantages)) / np.std(advantages)
    np.testing.assert_allclose(batch.advantages, expected, atol=1e-4)
    assert np.array_equal(batch.observations, rollout.observations[:, 0])
    assert np.array_equal(batch.actions, rollout.actions[:, 0])


def plain_log_probs(actor, batch):
    """Return the log-probabilities of the actions, computed with plain Keras operations."""
    return keras.ops.sum(keras.ops.one_hot(batch.actions, 2) * keras.ops.log_softmax(actor(batch.observations)), axis=1)


def plain_policy_update(actor, optimizer, batch):
    """Take up to 80 gradient steps on all data; return how many were taken, and the KL divergences."""
    divergences = []
    for _ in range(80):
        with tf.GradientTape() as tape:
            ratios = keras.ops.exp(plain_log_probs(actor, batch) - batch.log_probs)
            bounds = np.where(batch.advantages > 0, 1.2, 0.8) * batch.advantages
            loss = -keras.ops.mean(keras.ops.minimum(ratios * batch.advantages, bounds))
        variables = actor.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        divergences.append(float(keras.ops.mean(batch.log_probs - plain_log_probs(actor, batch))))
        if divergences[-1] > 0.015:
            break
    return len(divergences), divergences


def plain_value_update(critic, optimizer, batch):
    """Take 80 gradient steps on the mean squared error."""
    for _ in range(80):
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((batch.value_targets - critic(batch.observations)[:, 0]) ** 2)
        variables = critic.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


@pytest.mark.slow
def test_the_first_update_agrees_with_plain_loops():
    for seed in range(5):
        ours = new_agent(CONFIG.replace(seed=seed))
        batch = ours.update_batch(ours.collect())
        actor, critic = copy_of(ours.actor), copy_of(ours.critic)
        iterations, divergences = plain_policy_update(actor, keras.optimizers.Adam(3e-4), batch)
        # If a divergence is too close to the threshold, rounding decides; try the next seed then.
        if np.min(np.abs(np.array(divergences) - 0.015)) > 1e-5:
            break
    plain_value_update(critic, keras.optimizers.Adam(1e-3), batch)

    metrics = ours.update(batch)

    assert metrics.policy_iterations == iterations
    assert metrics.kl == pytest.approx(divergences[-1], abs=1e-5)
    for network, expected in ((ours.actor, actor), (ours.critic, critic)):
        for actual_weights, expected_weights in zip(network.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_allclose(actual_weights, expected_weights, atol=1e-4)
