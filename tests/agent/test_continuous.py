"""Sampling, learning, clipping and saving of policies with continuous actions."""

import copy
import math
import subprocess
import sys

import numpy as np
import pytest
from gymnasium.spaces import Box
from hypothesis import given
from hypothesis import strategies as st
from probes import Probe, RewardByForces, RewardByLevels
from runs import invoke, message_of
from scipy import stats

from agent import PPO, PPOConfig, evaluate, preset_config
from agent.environments.heads import GaussianHead, action_head
from agent.errors import DivergenceError, EnvironmentUseError
from agent.kernels.acting import LEAST_VARIANCE, act_with_noise, draw_noise
from agent.kernels.sampling import choose_normal, normal_actions
from agent.learning.distributions import DiagonalGaussian
from agent.process.backend import keras, tf
from agent.runs.exporting import export_actor
from fastcartpole.random_streams import seed_streams

SMALL = PPOConfig(
    num_envs=4, steps_per_epoch=64, minibatch_size=32, epochs=100, hidden_sizes=(8,), seed=3, target_return=None
)
NORMALIZED = SMALL.replace(normalize_observations=True, normalize_rewards=True)
STATE_DEPENDENT = SMALL.replace(exploration="state_dependent", noise_interval=8, initial_log_std=-0.5)


def streams_of(count):
    streams = np.zeros((4, count), dtype=np.uint64)
    seed_streams(np.arange(count, dtype=np.uint64), np.arange(count), streams)
    return streams


def drawn(outputs, *, is_greedy=False):
    """Return the actions that the kernel samples, and their log-probabilities."""
    num_entries = outputs.shape[1] // 2
    actions, log_probs = np.empty((len(outputs), num_entries), "f4"), np.empty(len(outputs), "f4")
    choose_normal(outputs, streams_of(len(outputs)), is_greedy, actions, log_probs)
    return actions, log_probs


@given(
    rows=st.integers(1, 5),
    num_entries=st.integers(1, 4),
    scale=st.sampled_from([0.01, 1.0, 100.0]),
    log_std=st.floats(-5.0, 5.0),
    seed=st.integers(0, 2**32),
)
def test_densities_and_entropies_are_scipys(rows, num_entries, scale, log_std, seed):
    generator = np.random.default_rng(seed)
    means = generator.normal(0, scale, (rows, num_entries))
    log_stds = generator.normal(log_std, 0.5, means.shape)
    outputs = np.concatenate([means, log_stds], axis=1).astype(np.float32)
    actions, log_probs = drawn(outputs)
    means, log_stds = np.split(outputs.astype(np.float64), 2, axis=1)
    distribution = stats.norm(means, np.exp(log_stds))
    expected = distribution.logpdf(actions).sum(axis=1)
    # The distance of a rounded action from the mean, in standard deviations, has a rounding error too.
    coarseness = 1e-6 * np.abs(means / np.exp(log_stds)).max()
    tolerance = {"rtol": 1e-5, "atol": 1e-5 + 20 * coarseness}
    np.testing.assert_allclose(log_probs, expected, rtol=1e-6, atol=1e-5)
    ours = DiagonalGaussian()
    np.testing.assert_allclose(ours.log_probs(tf.constant(outputs), tf.constant(actions)), expected, **tolerance)
    np.testing.assert_allclose(
        ours.entropies(tf.constant(outputs)), distribution.entropy().sum(axis=1), rtol=1e-5, atol=1e-5
    )
    assert np.array_equal(drawn(outputs, is_greedy=True)[0], outputs[:, :num_entries])
    assert np.array_equal(normal_actions(outputs, None), outputs[:, :num_entries])


@pytest.mark.parametrize(
    "draw", [lambda outputs: drawn(outputs)[0], lambda o: normal_actions(o, np.random.default_rng(0))]
)
def test_actions_are_normally_distributed_and_entries_independent(draw):
    count = 40_000
    outputs = np.repeat(np.float32([[1.0, -2.0, 0.5, -1.0]]), count, axis=0)
    scaled = (draw(outputs) - outputs[:, :2]) / np.exp(outputs[:, 2:])
    for entry in scaled.T:
        assert stats.kstest(entry, "norm").pvalue > 1e-4
    assert stats.pearsonr(*scaled.T).pvalue > 1e-4
    assert stats.pearsonr(scaled[1:, 0], scaled[:-1, 0]).pvalue > 1e-4


def test_actions_are_stored_as_sampled_and_clipped_for_the_environment():
    # The probe asserts that its actions are within its bounds.
    with PPO(SMALL, make_env=lambda: RewardByForces(5)) as ppo:
        rollout = ppo.collect()
        head = ppo.spec.action_head
        assert rollout.actions.shape == (16, 4, 4)
        assert rollout.actions.dtype == np.float32
        assert (rollout.actions < head.low).any()
        assert (rollout.actions > head.high).any()
        assert RewardByForces.action_space.contains(ppo.predict(np.zeros(1)))
        assert ppo.predict(np.zeros((3, 1))).shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("space", "given", "expected"),
    [
        (Box(-1.0, 2.0, (2,), np.float64), [[-3.0, 1.25]], np.array([[-1.0, 1.25]])),
        (Box(0, 255, (1, 2), np.uint8), [[-3.0, 254.6]], np.array([[[0, 255]]], dtype=np.uint8)),
        (Box(-np.inf, np.inf, ()), [[-3e30]], np.array([-3e30], dtype=np.float32)),
        (Box(-(2**63), 2**63 - 1, (1,), np.int64), [[1e30]], np.array([[2**63 - 1024]])),
        (Box(-(2**31), 2**31 - 1, (2,), np.int32), [[-1e20, 1e20]], np.array([[-(2**31), 2**31 - 1]], dtype=np.int32)),
    ],
)
def test_the_environment_is_given_actions_of_its_own_type_shape_and_bounds(space, given, expected):
    actions = action_head(space).in_environment(np.float32(given))
    assert actions.dtype == expected.dtype
    assert np.array_equal(actions, expected)
    assert space.shape == () or space.contains(actions[0])


def features_and_outputs(ppo, observations):
    hidden = keras.Model(ppo.actor.input, ppo.actor.get_layer("hidden_1").output)
    return np.asarray(hidden(observations)), {name: np.asarray(part) for name, part in ppo.actor(observations).items()}


def test_noise_of_state_dependent_exploration_is_a_function_of_the_state_until_it_is_drawn_anew():
    with PPO(STATE_DEPENDENT, make_env=lambda: RewardByForces(5)) as ppo:
        rollout = ppo.collect()
        rows = rollout.observations.reshape(-1, 1)
        features, outputs = features_and_outputs(ppo, rows)
        noise = (rollout.actions.reshape(-1, 4) - outputs["mean"]).reshape(16, 4, 4)
        features = features.reshape(16, 4, 8)
    for n in range(4):
        for first in (0, 8):
            steps = slice(first, first + 8)
            # With only five different observations, at least one matrix maps the features to the noise of all steps.
            matrix, *_ = np.linalg.lstsq(features[steps, n], noise[steps, n], rcond=1e-4)
            np.testing.assert_allclose(features[steps, n] @ matrix, noise[steps, n], atol=1e-4)
        same = np.flatnonzero((features[:, n] == features[0, n]).all(axis=-1))
        early, late = same[same < 8], same[same >= 8]
        np.testing.assert_allclose(noise[early, n], np.broadcast_to(noise[0, n], (early.size, 4)), atol=1e-5)
        assert (np.abs(noise[late, n] - noise[0, n]).max(axis=-1) > 1e-3).all()
    expected = stats.norm.logpdf(rollout.actions.reshape(-1, 4), outputs["mean"], np.exp(outputs["log_std"])).sum(
        axis=1
    )
    np.testing.assert_allclose(rollout.log_probs.reshape(-1), expected, atol=1e-3)


def test_state_dependent_exploration_has_the_variance_that_its_density_is_taken_from():
    generator = np.random.default_rng(0)
    count = 30_000
    observations = np.repeat(np.float32([[1.5]]), count, axis=0)
    with PPO(STATE_DEPENDENT, make_env=lambda: RewardByForces(5)) as ppo:
        bias = ppo.actor.get_layer("log_std").bias
        bias.assign(generator.normal(-0.5, 0.5, bias.shape))
        policy, outputs = ppo._policy(), features_and_outputs(ppo, observations[:1])[1]
    noise, actions = np.empty((count, *policy.log_std.shape)), np.empty((count, 4), "f4")
    log_probs = np.empty(count, "f4")
    draw_noise(policy.log_std, streams_of(count), noise)
    act_with_noise(policy.weights, policy.log_std, noise, observations, False, actions, log_probs)
    scaled = (actions - outputs["mean"]) / np.exp(outputs["log_std"])
    for entry in scaled.T:
        assert stats.kstest(entry, "norm").pvalue > 1e-4
        # The standard error of the estimate is 0.4%.
        assert np.std(entry) == pytest.approx(1.0, abs=0.02)
    expected = stats.norm.logpdf(actions, outputs["mean"], np.exp(outputs["log_std"])).sum(axis=1)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-4, atol=1e-4)
    assert np.exp(2 * outputs["log_std"]).min() > 1e3 * LEAST_VARIANCE


@pytest.mark.slow
@pytest.mark.parametrize("config", [NORMALIZED, STATE_DEPENDENT.replace(normalize_observations=True)])
def test_what_is_saved_is_plain_keras_and_takes_the_environments_own_observations(tmp_path, config):
    with PPO(config, make_env=lambda: RewardByForces(5)) as ppo:
        for _ in range(2):
            ppo.train_epoch()
        ppo.actor.save(tmp_path / "actor.keras")
        ppo.critic.save(tmp_path / "critic.keras")
        observations = np.linspace(-9.0, 9.0, 7, dtype=np.float32)[:, None]
        outputs = ppo.actor(observations)
        values = np.asarray(ppo.critic(observations))
    assert list(outputs) == ["mean", "log_std"]
    script = """
import sys, numpy as np, keras
actor, critic = (keras.saving.load_model(name, safe_mode=True) for name in ("actor.keras", "critic.keras"))
observations = np.linspace(-9.0, 9.0, 7, dtype=np.float32)[:, None]
outputs = actor(observations)
assert "agent" not in sys.modules
np.savez("outputs.npz", mean=outputs["mean"], log_std=outputs["log_std"], values=critic(observations))
"""
    command = [sys.executable, "-P", "-c", script]
    completed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    saved = np.load(tmp_path / "outputs.npz")
    for name, part in (*outputs.items(), ("values", values)):
        np.testing.assert_allclose(saved[name], part, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("exploration", ["independent", "state_dependent"])
def test_an_exported_actor_needs_observations_alone_and_names_its_outputs(tmp_path, exploration):
    import onnxruntime

    config = NORMALIZED.replace(env_id="Pendulum-v1", exploration=exploration)
    rows = np.random.default_rng(0).normal(0, 2, (11, 3)).astype(np.float32)
    with PPO(config) as ppo:
        ppo.train_epoch()
        for file_format, name in (("onnx", "actor.onnx"), ("saved_model", "actor")):
            assert export_actor(ppo.actor, ppo.spec, tmp_path / name, file_format) < 1e-4
        expected = {name: np.asarray(part) for name, part in ppo.actor(rows).items()}
    session = onnxruntime.InferenceSession(tmp_path / "actor.onnx")
    assert [given.name for given in session.get_inputs()] == ["observations"]
    saved = tf.saved_model.load(tmp_path / "actor")
    for name, part in expected.items():
        np.testing.assert_allclose(session.run([name], {"observations": rows})[0], part, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(saved.serve(rows)[name], part, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(SMALL, id="plain"),
        pytest.param(NORMALIZED, id="normalized", marks=pytest.mark.slow),
        pytest.param(STATE_DEPENDENT, id="state-dependent", marks=pytest.mark.slow),
    ],
)
def test_forces_that_are_rewarded_are_learned(config):
    # While the noise matrix is held, a rollout explores few actions.
    interval = 1 if config.exploration == "state_dependent" else None
    config = config.replace(
        policy_learning_rate=1e-2, value_learning_rate=1e-2, policy_update_epochs=10, noise_interval=interval
    )
    with PPO(config, make_env=lambda: RewardByForces(1)) as ppo:
        # The means of an untrained policy are near 0, so the costs are 1.5^2, 0.5^2, 1 and 0.25^2.
        assert ppo.evaluate().mean < -3.0
        assert np.median(trained_means(ppo, config)) > -0.5


def trained_means(ppo, config, epochs=60):
    """Return the mean returns of the greedy policies after training with three seeds."""
    means = []
    for seed in (3, 4, 5):
        ppo.restart(config.replace(seed=seed))
        for _ in range(epochs):
            ppo.train_epoch()
        means.append(ppo.evaluate().mean)
    return means


@pytest.mark.slow
def test_integer_actions_are_learned():
    config = SMALL.replace(policy_learning_rate=2e-2, value_learning_rate=1e-2, policy_update_epochs=10)
    with PPO(config, make_env=lambda: RewardByLevels(1)) as ppo:
        assert np.median(trained_means(ppo, config)) > -0.3


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(SMALL, id="plain", marks=pytest.mark.slow),
        pytest.param(NORMALIZED, id="normalized", marks=pytest.mark.slow),
        pytest.param(STATE_DEPENDENT, id="state-dependent", marks=pytest.mark.slow),
    ],
)
def test_a_copy_goes_on_with_the_weights_and_statistics_of_the_original(config):
    with PPO(config.replace(env_id="Pendulum-v1", gamma=0.9)) as ppo:
        ppo.train_epoch()
        with copy.deepcopy(ppo) as other:
            # Both begin new episodes, since the state of their environments cannot be copied.
            ppo.begin_new_episodes()
            for agent in (ppo, other):
                agent.train_epoch()
            states = [agent.get_state() for agent in (ppo, other)]
    assert states[0].keys() == states[1].keys()
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0].keys() - {"elapsed_s"})


@pytest.mark.slow
def test_a_restarted_agent_equals_a_new_one():
    config = NORMALIZED.replace(env_id="Pendulum-v1")
    other = config.replace(seed=4, initial_log_std=-0.5, normalize_rewards=False, target_kl_check="pass", target_kl=0.1)
    with PPO(config) as ppo, PPO(other) as new:
        ppo.train_epoch()
        ppo.restart(other)
        for agent in (ppo, new):
            agent.train_epoch()
        states = [agent.get_state() for agent in (ppo, new)]
    assert states[0].keys() == states[1].keys()
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0].keys() - {"elapsed_s"})


@pytest.mark.slow
def test_noise_of_the_state_that_vanishes_is_divergence():
    with PPO(STATE_DEPENDENT.replace(policy_learning_rate=1e-9), make_env=lambda: RewardByForces(5)) as ppo:
        bias = ppo.actor.get_layer("log_std").bias
        few = np.full((8, 4), -20.0, dtype=np.float32)
        few[3] = -1.0
        bias.assign(few.ravel())
        ppo.train_epoch()
        few[3, 2] = -12.0
        bias.assign(few.ravel())
        with pytest.raises(
            DivergenceError, match=r"in epoch 2 a logarithm of a standard deviation is -12, not between -7"
        ):
            ppo.train_epoch()


@pytest.mark.parametrize("log_std", [10.5, pytest.param(-17.0, marks=pytest.mark.slow)])
def test_a_deviation_that_explodes_or_collapses_is_divergence(log_std):
    with PPO(SMALL.replace(policy_learning_rate=1e-9), make_env=lambda: RewardByForces(5)) as ppo:
        ppo.actor.get_layer("log_std").bias.assign([0.0, 0.0, log_std, 0.0])
        with pytest.raises(
            DivergenceError, match=f"in epoch 1 a logarithm of a standard deviation is {log_std:g}, not b"
        ):
            ppo.train_epoch()


class NoNonsense(Probe):
    action_space = Box(-1.0, 1.0, (2,))

    def step(self, action):
        assert np.isfinite(action).all()
        return super().step(action)


def test_an_action_that_is_not_a_number_reaches_no_environment():
    with PPO(SMALL, make_env=lambda: NoNonsense(3)) as ppo:
        weights = ppo.actor.get_weights()
        ppo.actor.set_weights([weights[0] * np.nan, *weights[1:]])
        with pytest.raises(DivergenceError, match="the action for environment 0 in step 1 is infinite or not a number"):
            ppo.train_epoch()


def test_an_action_that_is_not_a_number_is_never_returned():
    with PPO(SMALL, make_env=lambda: NoNonsense(3)) as ppo:
        weights = ppo.actor.get_weights()
        ppo.actor.set_weights([weights[0] * np.nan, *weights[1:]])
        for use in (ppo.evaluate, lambda: ppo.predict(np.ones(1))):
            with pytest.raises(DivergenceError, match="its actions are infinite or not a number"):
                use()


@pytest.mark.parametrize(
    ("option", "changes"),
    [
        (("--exploration", "state_dependent"), {"exploration": "state_dependent"}),
        (("--initial-log-std", "-1"), {"initial_log_std": -1.0}),
    ],
)
def test_settings_of_continuous_actions_are_refused_where_actions_are_discrete(tmp_path, option, changes):
    ((name, value),) = changes.items()
    expected = (
        f"{name} must be {getattr(PPOConfig, name)!r} in CartPole-v1, whose actions are not continuous, got {value!r}."
    )
    with pytest.raises(EnvironmentUseError) as caught:
        PPO(SMALL.replace(**changes))
    assert str(caught.value) == expected
    for arguments in (("train", *option), ("sweep", "--set", f"{name}={value}")):
        assert expected in message_of(invoke(*arguments, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_interval_of_noise_that_is_not_held_is_refused():
    with pytest.raises(ValueError, match="noise_interval must be None with independent exploration, got 4"):
        SMALL.replace(noise_interval=4)


def test_preset_standard_leaves_settings_to_the_actions():
    names = ("normalize_observations", "normalize_rewards", "learning_rate_schedule", "value_clip_range")
    for env_id, expected in (
        ("Pendulum-v1", [True, True, "linear", 0.2]),
        ("Acrobot-v1", [False, False, "constant", None]),
    ):
        with PPO(preset_config("standard", env_id=env_id)) as ppo:
            assert [getattr(ppo.config, name) for name in names] == expected
        with PPO(preset_config("standard", env_id=env_id, value_clip_range=3, normalize_rewards=False)) as ppo:
            assert [getattr(ppo.config, name) for name in names] == [expected[0], False, expected[2], 3]


@pytest.mark.slow
def test_predictions_are_the_means_of_the_actor_within_the_bounds():
    with PPO(NORMALIZED.replace(env_id="Pendulum-v1", num_envs=10)) as ppo:
        ppo.train_epoch()
        observations = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
        means = 300 * np.asarray(ppo.actor(observations)["mean"])
        mean = ppo.actor.get_layer("actor").get_layer("mean")
        mean.set_weights([300 * array for array in mean.get_weights()])
        assert (np.abs(means) > 2).any()
        np.testing.assert_allclose(ppo.predict(observations), np.clip(means, -2.0, 2.0), rtol=1e-3, atol=1e-3)
        greedy, sampled = (
            evaluate(ppo.actor, env_id="Pendulum-v1", episodes=10, seed=1, greedy=greedy) for greedy in (True, False)
        )
        assert greedy.mean != sampled.mean


def test_the_head_of_a_box_tells_its_size():
    head = action_head(Box(-1.0, math.inf, (2, 3)))
    assert isinstance(head, GaussianHead)
    assert (head.num_outputs, head.action_shape, head.description) == (12, (6,), {"continuous_actions": 6})
