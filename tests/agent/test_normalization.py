"""Running statistics are exact, do not change during an update, and are saved with the agent."""

from fractions import Fraction

import numpy as np
import pytest
from agents import new_agent
from hypothesis import given
from hypothesis import strategies as st
from probes import MODES, Counting, Probe, vector_of

from agent import PPO, PPOConfig, load
from agent.actors import copy_of
from agent.errors import DivergenceError
from agent.kernels.normalizing import LIMIT, Moments, discounted_returns, normalized_rows
from agent.learning.statistics import RunningStatistics
from agent.process.backend import keras
from agent.runs.directory import RunDirectory

CARTPOLE = PPOConfig(
    num_envs=8,
    steps_per_epoch=256,
    minibatch_size=64,
    epochs=6,
    hidden_sizes=(8,),
    seed=3,
    target_return=None,
    normalize_observations=True,
    normalize_rewards=True,
)


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    center=st.sampled_from([0.0, 1.0, 1e6, -1e12]),
    scale=st.sampled_from([1e-3, 1.0, 1e5]),
    seed=st.integers(0, 2**32),
)
def test_moments_are_those_of_all_rows_together(sizes, center, scale, seed):
    generator = np.random.default_rng(seed)
    moments, everything = Moments.of_nothing(2), [np.empty((0, 2))]
    for size in sizes:
        rows, valid = center + generator.normal(0, scale, (size, 2)), generator.random(size) < 0.8
        moments = moments.including(rows, valid)
        everything.append(rows[valid])
    together = np.concatenate(everything)
    assert moments.num_rows == len(together)
    if not len(together):
        assert moments.variances.tolist() == [1.0, 1.0]
        return
    np.testing.assert_allclose(moments.means, together.mean(axis=0), rtol=1e-12, atol=1e-12 * scale)
    # The rounding error of a variance computed from doubles of this size.
    coarse = (1e-15 * center) ** 2 + 1e-15 * abs(center) * scale
    if coarse < 0.1 * scale**2:
        np.testing.assert_allclose(moments.variances, together.var(axis=0), rtol=1e-6, atol=coarse)


def test_moments_stay_exact_over_a_billion_rows():
    generator = np.random.default_rng(0)
    moments, count, mean, squares = Moments.of_nothing(1), 50_000, Fraction(0), Fraction(0)
    for part in range(20_000):
        # The moments of these rows are known exactly.
        center = 4.0 + float(generator.integers(-4, 5)) / 4.0
        moments = moments.merged(Moments(np.array(float(count)), np.array([center]), np.array([float(count)])))
        distance = Fraction(center) - mean
        squares += count + distance**2 * Fraction(part * count * count, (part + 1) * count)
        mean += distance / (part + 1)
    assert moments.num_rows == 10**9
    assert float(Fraction(float(moments.means[0])) - mean) == pytest.approx(0.0, abs=1e-11)
    assert float(Fraction(float(moments.squares[0])) / squares) == pytest.approx(1.0, abs=1e-11)


@given(rows=st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=20), seed=st.integers(0, 2**32))
def test_normalized_rows_are_those_of_keras_layer_and_a_clip(rows, seed):
    given_rows = np.float32(rows)[:, None]
    seen = np.random.default_rng(seed).normal(3, 1e-3 if seed % 2 else 10.0, (20, 1))
    moments = Moments.of_nothing(1).including(seen, np.ones(20, dtype=bool))
    layer = keras.layers.Normalization(mean=moments.means.astype(np.float32), variance=moments.variances)
    expected = np.clip(np.asarray(layer(given_rows)), -LIMIT, LIMIT)
    actual = normalized_rows(given_rows, moments.means.astype(np.float32), moments.deviations)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_discounted_sums_begin_anew_with_each_episode():
    rewards = np.arange(1.0, 9.0, dtype=np.float32).reshape(4, 2)
    ended = np.array([[0, 0], [1, 0], [0, 0], [0, 1]], dtype=bool)
    running = np.array([100.0, 0.0])
    sums = discounted_returns(rewards, ended, 0.5, running)
    assert sums.tolist() == [[51.0, 2.0], [28.5, 5.0], [5.0, 8.5], [9.5, 12.25]]
    assert running.tolist() == [9.5, 0.0]


def test_statistics_change_after_the_update_only_and_rewards_are_the_environments_own():
    ppo = new_agent(CARTPOLE)
    statistics = ppo._networks.statistics
    seen = []
    for _ in range(3):
        before = ppo.get_state()
        rollout = ppo.collect()
        batch = ppo.update_batch(rollout)
        assert np.array_equal(ppo.get_state()["statistics/observations/means"], before["statistics/observations/means"])
        assert (rollout.rewards == 1.0).all()
        rows = rollout.observations.reshape(-1, 4)
        assert np.array_equal(batch.observations, statistics.normalized(rows))
        ppo.set_state(before)
        metrics = ppo.train_epoch()
        assert metrics.mean_return == metrics.mean_length
        seen.append(rows)
        together = np.concatenate(seen).astype(np.float64)
        assert statistics.observations.num_rows == len(together)
        np.testing.assert_allclose(statistics.observations.means, together.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(statistics.observations.variances, together.var(axis=0), rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_ignored_steps_do_not_count_in_statistics(mode):
    config = CARTPOLE.replace(env_id=None, num_envs=2, steps_per_epoch=40, minibatch_size=None)
    environments = vector_of(lambda: Counting(3), 2, mode)
    with PPO(config, environments, make_env=lambda: Counting(3)) as ppo:
        rollout = ppo.collect()
        statistics = RunningStatistics(config, 1)
        statistics.include_observations(rollout)
        statistics.include_rewards(rollout)
    assert statistics.observations.num_rows == statistics.returns.num_rows == rollout.valid.sum()
    assert (rollout.valid.sum() < 40) == (mode.value == "NextStep")
    sums, running = [], np.zeros(2)
    for t in range(20):
        running = 0.99 * running + rollout.rewards[t]
        sums += running[rollout.valid[t]].tolist()
        running[rollout.terminated[t]] = 0.0
    assert statistics.reward_deviation == pytest.approx(np.std(sums), rel=1e-6)


def test_rewards_are_scaled_by_the_deviation_and_clipped():
    statistics = RunningStatistics(CARTPOLE, 4)
    rewards = np.float32([[2.0, -1e30, 0.0]])
    assert np.array_equal(statistics.scaled(rewards), np.float32([[2.0, -10.0, 0.0]]))
    statistics.returns = Moments(np.array(4.0), np.array([1.0]), np.array([64.0]))
    assert np.array_equal(statistics.scaled(rewards), np.float32([[0.5, -10.0, 0.0]]))


def test_statistics_that_are_infinite_are_divergence():
    statistics = RunningStatistics(CARTPOLE, 1)
    statistics.observations = Moments(np.array(2.0), np.array([1.0]), np.array([np.inf]))
    with PPO(CARTPOLE.replace(env_id=None), make_env=Probe) as ppo:
        rollout = ppo.collect()
    with pytest.raises(DivergenceError, match=r"statistics of observations are infinite .*\(squares, entry 0\)"):
        statistics.include_observations(rollout)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["observations", "discounted returns"])
def test_numbers_whose_deviation_single_precision_cannot_hold_are_divergence(what):
    class Huge(Counting):
        def observation(self):
            sign = (-1.0) ** self.step_number
            return np.float32([sign * (1e25 if what == "observations" else 1.0)])

        def reward(self):
            return (-1.0) ** self.step_number * (1.0 if what == "observations" else 1e25)

    message = rf"statistics of {what} are infinite .*\(variances, entry 0\)"
    with (
        PPO(CARTPOLE.replace(env_id=None), make_env=lambda: Huge(9)) as ppo,
        pytest.raises(DivergenceError, match=message),
    ):
        ppo.train_epoch()


def test_a_normalized_training_of_cartpole_goes_on_bit_for_bit(tmp_path):
    whole = new_agent(CARTPOLE)
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.write_config(whole.config)
    for epoch in range(5):
        if epoch == 2:
            run.write_checkpoint(whole.get_state())
        whole.train_epoch()
    resumed = load(tmp_path / "run")
    for _ in range(3):
        resumed.train_epoch()
    states = [agent.get_state() for agent in (whole, resumed)]
    assert states[0].keys() == states[1].keys()
    assert "statistics/returns/running" in states[0]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0].keys() - {"elapsed_s"})


def test_the_public_actor_agrees_with_the_kernel():
    ppo = new_agent(CARTPOLE)
    for _ in range(4):
        ppo.train_epoch()
    rollout = ppo.collect()
    log_probs = np.asarray(keras.ops.log_softmax(ppo.actor(rollout.observations.reshape(-1, 4))))
    chosen = np.take_along_axis(log_probs, rollout.actions.reshape(-1, 1).astype(int), axis=1)
    np.testing.assert_allclose(rollout.log_probs.reshape(-1, 1), chosen, atol=1e-4)
    is_clear = np.abs(log_probs[:, 0] - log_probs[:, 1]) > 1e-3
    assert is_clear.mean() > 0.9
    actions = ppo.predict(rollout.observations.reshape(-1, 4))
    assert np.array_equal(actions[is_clear], log_probs.argmax(axis=1)[is_clear])


def test_a_copied_actor_keeps_the_statistics_of_its_time():
    ppo = new_agent(CARTPOLE)
    observations = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    ppo.train_epoch()
    copied, expected = copy_of(ppo.actor), np.asarray(ppo.actor(observations))
    ppo.train_epoch()
    assert np.array_equal(copied(observations), expected)
    assert not np.array_equal(ppo.actor(observations), expected)


def test_keras_own_predict_follows_the_statistics():
    ppo = new_agent(CARTPOLE)
    observations = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    for _ in range(2):
        ppo.train_epoch()
        actor = ppo.actor
        np.testing.assert_allclose(actor.predict(observations, verbose=0), actor(observations), atol=1e-6)


def test_the_public_critic_predicts_returns_of_unscaled_rewards():
    ppo = new_agent(CARTPOLE)
    ppo.train_epoch()
    rollout = ppo.collect()
    rows = rollout.observations.reshape(-1, 4)
    values = ppo._networks.snapshot().values(rows)
    scale = ppo._networks.statistics.reward_deviation
    assert scale > 1.5
    np.testing.assert_allclose(np.asarray(ppo.critic(rows))[:, 0], scale * values, rtol=1e-4, atol=1e-4)


def test_the_networks_of_an_agent_cannot_be_replaced():
    ppo = new_agent(CARTPOLE)
    for name in ("actor", "critic"):
        with pytest.raises(AttributeError):
            setattr(ppo, name, keras.Sequential())
