"""Results are finite and correct for the smallest, the largest and degenerate inputs."""

import dataclasses
import math

import numpy as np
import pytest
from agents import new_agent
from runs import let_act_by

from agent import PRESETS, adapted_preset, evaluate
from agent.kernels.advantages import normalized
from agent.learning.minibatches import UpdateBatch
from agent.learning.networks import build_actor

TINY = adapted_preset("fast", num_envs=4, steps_per_epoch=64, hidden_sizes=(8,), target_return=None, minibatch_size=32)
MAY_BE_UNKNOWN = {"mean_return", "mean_length", "explained_variance"}


def assert_finite(ppo, metrics):
    for name, value in dataclasses.asdict(metrics).items():
        assert name in MAY_BE_UNKNOWN or math.isfinite(value), name
    for name, array in ppo.get_state().items():
        assert array.dtype.kind == "U" or np.isfinite(array).all(), name


def log_probs_of(ppo, observations):
    """Return the log-probabilities of both actions in double precision, shape (B, 2)."""
    logits = ppo.actor(observations).numpy().astype(np.float64)
    return logits - np.logaddexp(logits[:, :1], logits[:, 1:])


@pytest.mark.parametrize("scale", [1e4, 1e8])
def test_extreme_logits_give_the_right_actions_log_probabilities_and_losses(scale):
    ppo = new_agent(TINY.replace(advantage_normalization="none", policy_learning_rate=1e-6))
    weights = ppo.actor.get_weights()
    ppo.actor.set_weights([*weights[:-2], scale * 100 * weights[-2], weights[-1]])
    rollout = ppo.collect()
    observations, actions = rollout.observations.reshape(-1, 4), rollout.actions.reshape(-1)
    expected = log_probs_of(ppo, observations)
    certain = np.abs(expected[:, 0] - expected[:, 1]) > 50
    assert certain.mean() > 0.9
    assert np.array_equal(actions[certain], expected.argmax(axis=1)[certain])
    taken = expected[np.arange(len(actions)), actions]
    np.testing.assert_allclose(rollout.log_probs.reshape(-1), taken, rtol=1e-4, atol=1e-4)
    batch = ppo.update_batch(rollout)
    metrics = ppo.update(batch)
    # Such a deterministic policy cannot change: its entropy is 0, and all ratios stay 1.
    assert metrics.entropy == pytest.approx(0.0, abs=0.05)
    assert metrics.kl == pytest.approx(0.0, abs=1e-3)
    assert all(math.isfinite(value) for value in metrics)
    assert_finite(ppo, ppo.train_epoch())


def test_the_improbable_action_of_a_certain_policy_is_learned_from_without_overflow():
    ppo = new_agent(TINY.replace(advantage_normalization="none"))
    weights = ppo.actor.get_weights()
    ppo.actor.set_weights([*weights[:-1], np.array([2000.0, -2000.0], dtype=np.float32)])
    size = TINY.rollout_size
    observations = np.random.default_rng(0).normal(0, 0.1, (size, 4)).astype(np.float32)
    # Action 1 was taken although its probability is exp(-4000): 0 in any floating-point format.
    log_probs = np.full(size, -4000.0, dtype=np.float32)
    ones = np.ones(size, dtype=np.float32)
    metrics = ppo.update(UpdateBatch(observations, np.ones(size, dtype=np.int32), log_probs, ones, ones))
    assert all(math.isfinite(value) for value in metrics)
    assert all(np.isfinite(weight).all() for weight in ppo.actor.get_weights())


def test_a_program_in_which_numpy_raises_on_underflow_and_overflow_predicts_and_draws():
    actor = build_actor(4, 2, (4, 4), seed=0)
    let_act_by(actor, (0.0, 0.0, 1.0, 0.0, 0.0), scale=1e6)
    ppo = new_agent(TINY)
    with np.errstate(all="raise"):
        assert ppo.predict([1e-60, 0.0, 0.0, 0.0]) in (0, 1)
        assert evaluate(actor, episodes=3, greedy=False).minimum > 5


@pytest.mark.parametrize("normalization", ["rollout", "minibatch"])
def test_advantages_that_are_all_equal_move_the_critic_but_not_the_actor(normalization):
    ppo = new_agent(TINY.replace(advantage_normalization=normalization))
    rollout = ppo.collect()
    batch = ppo.update_batch(rollout)
    equal = np.full_like(batch.advantages, 0.7)
    if normalization == "rollout":
        equal = normalized(equal, np.ones_like(equal, dtype=bool))
    actor, critic = ppo.actor.get_weights(), ppo.critic.get_weights()
    metrics = ppo.update(batch._replace(advantages=equal))
    assert all(math.isfinite(value) for value in metrics)
    assert all(np.array_equal(now, before) for now, before in zip(ppo.actor.get_weights(), actor, strict=True))
    assert any((now != before).any() for now, before in zip(ppo.critic.get_weights(), critic, strict=True))


def test_a_rollout_in_which_every_episode_is_truncated_at_once():
    ppo = new_agent(TINY.replace(max_episode_steps=1))
    rollout = ppo.collect()
    assert rollout.truncated.all()
    assert (rollout.episode_lengths == 1).all()
    values = ppo.critic(rollout.observations.reshape(-1, 4)).numpy().reshape(rollout.actions.shape)
    final_values = ppo.critic(rollout.final_observations.reshape(-1, 4)).numpy().reshape(rollout.actions.shape)
    advantages = 1.0 + TINY.gamma * final_values - values
    batch = ppo.update_batch(rollout)
    np.testing.assert_allclose(batch.value_targets, (advantages + values).reshape(-1), rtol=1e-5, atol=1e-6)
    normalized = (advantages - advantages.mean()) / advantages.std()
    np.testing.assert_allclose(batch.advantages, normalized.reshape(-1), rtol=1e-3, atol=1e-4)
    metrics = ppo.train_epoch()
    assert metrics.mean_return == metrics.mean_length == 1.0
    assert_finite(ppo, metrics)


def test_a_rollout_in_which_every_episode_falls_at_once():
    ppo = new_agent(TINY.replace(num_envs=64, steps_per_epoch=64, value_target="rewards_to_go"))
    state = ppo.get_state()
    state["environments/physics"][2] = 0.5
    ppo.set_state(state)
    rollout = ppo.collect()
    assert rollout.terminated.all()
    batch = ppo.update_batch(rollout)
    assert np.array_equal(batch.value_targets, np.ones(64))
    values = ppo.critic(rollout.observations.reshape(-1, 4)).numpy().reshape(-1)
    normalized = (1.0 - values - np.mean(1.0 - values)) / np.std(values)
    np.testing.assert_allclose(batch.advantages, normalized, rtol=1e-3, atol=1e-4)
    assert all(math.isfinite(value) for value in ppo.update(batch))


@pytest.mark.parametrize("preset", PRESETS)
def test_one_environment_and_one_step(preset):
    ppo = new_agent(
        adapted_preset(
            preset, num_envs=1, steps_per_epoch=1, hidden_sizes=(1,), target_return=None, max_episode_steps=3
        )
    )
    critic = ppo.critic.get_weights()
    for epoch in range(1, 8):
        metrics = ppo.train_epoch()
        assert metrics.env_steps == epoch
        assert_finite(ppo, metrics)
    assert any((now != before).any() for now, before in zip(ppo.critic.get_weights(), critic, strict=True))


@pytest.mark.slow
def test_a_minibatch_of_the_whole_rollout_is_the_full_batch():
    agents = [new_agent(TINY.replace(minibatch_size=size)) for size in (None, 64)]
    batch = agents[0].update_batch(agents[0].collect())
    figures = [agent.update(batch) for agent in agents]
    assert figures[0].policy_iterations == figures[1].policy_iterations == TINY.policy_update_epochs
    np.testing.assert_allclose(figures[0], figures[1], rtol=1e-3, atol=1e-5)
    for whole, shuffled in zip(agents[0].actor.get_weights(), agents[1].actor.get_weights(), strict=True):
        np.testing.assert_allclose(whole, shuffled, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"gamma": 1.0, "gae_lambda": 1.0},
        {"gamma": 1e-300, "gae_lambda": 0.0},
        {"clip_ratio": 1e-30},
        {"clip_ratio": 1e30},
        {"target_kl": 1e-30},
        {"entropy_coefficient": 1e3},
        {"max_gradient_norm": 1e-30},
        {"policy_learning_rate": 1e-30, "value_learning_rate": 1e-30},
        {"minibatch_size": 1},
        {"hidden_sizes": (1,) * 12},
        {"max_episode_steps": 2**40},
        {"num_envs": 130, "steps_per_epoch": 1},
    ],
)
def test_settings_at_the_ends_of_their_ranges_train(changes):
    ppo = new_agent(TINY.replace(**changes))
    for _ in range(2):
        assert_finite(ppo, ppo.train_epoch())
