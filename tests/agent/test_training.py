"""The whole agent: it learns, and a seed fixes everything."""

import numpy as np
import pytest

from agent import PPO, PRESETS, evaluate, preset_config, training
from agent.callbacks import Callback

SHORT = {"fast": PRESETS["fast"].replace(epochs=3), "keras": PRESETS["keras"].replace(epochs=2)}


class Recorder(Callback):
    def __init__(self):
        self.metrics = []

    def on_epoch_end(self, ppo, metrics):
        self.metrics.append(metrics)


def test_callbacks_are_told_of_beginning_epochs_and_end_and_may_end_it():
    calls = []

    class Stopper(Callback):
        def on_train_begin(self, ppo):
            calls.append(("begin", ppo.epoch))

        def on_epoch_end(self, ppo, metrics):
            calls.append(("epoch", metrics.epoch))
            ppo.stop_training = metrics.epoch == 2

        def on_train_end(self, ppo):
            calls.append(("end", ppo.epoch))

    PPO(preset_config("fast", num_envs=4, steps_per_epoch=64, hidden_sizes=(4,))).train([Stopper()])
    assert calls == [("begin", 0), ("epoch", 1), ("epoch", 2), ("end", 2)]


def train(config, *, compiled=False):
    ppo, recorder = PPO(config), Recorder()
    if compiled:
        ppo.compile()
    ppo.train([recorder])
    figures = [
        (m.epoch, m.env_steps, m.mean_return, m.mean_length, m.kl, m.policy_iterations) for m in recorder.metrics
    ]
    return ppo, np.array(figures)


def weights(ppo):
    return b"".join(w.tobytes() for w in ppo.actor.get_weights() + ppo.critic.get_weights())


@pytest.mark.parametrize("preset", ["fast", pytest.param("keras", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(preset):
    config = SHORT[preset]
    first, first_figures = train(config)
    again, again_figures = train(config, compiled=True)
    assert weights(first) == weights(again)
    np.testing.assert_array_equal(first_figures, again_figures)
    other, _ = train(config.replace(seed=1))
    assert weights(first) != weights(other)


def test_the_keras_preset_reports_every_episode_of_the_epoch_cut_off_ones_included():
    _, figures = train(SHORT["keras"])
    lengths = figures[:, 3]
    episodes = 4000 / lengths
    np.testing.assert_allclose(episodes, np.round(episodes), rtol=1e-12)
    assert np.array_equal(figures[:, 1], [4000, 8000])


def test_a_callback_can_stop_the_training():
    class Stopper(Recorder):
        def on_epoch_end(self, ppo, metrics):
            super().on_epoch_end(ppo, metrics)
            ppo.stop_training = metrics.epoch == 2

    stopper = Stopper()
    PPO(PRESETS["fast"]).train([stopper])
    assert [m.epoch for m in stopper.metrics] == [1, 2]


def test_a_linear_schedule_falls_to_0_after_the_last_epoch():
    ppo = PPO(SHORT["fast"].replace(epochs=4, learning_rate_schedule="linear", value_learning_rate=8e-3))
    rates = []
    for _ in range(4):
        ppo.train_epoch()
        rates.append(
            [float(o.learning_rate.numpy()) for o in (ppo._update.policy_optimizer, ppo._update.value_optimizer)]
        )
    np.testing.assert_allclose(rates, np.outer([1.0, 0.75, 0.5, 0.25], [2e-3, 8e-3]), rtol=1e-6)
    assert ppo._update._update_side_by_side.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("target_return", [None, 499.0])
def test_the_target_return_ends_the_training(target_return):
    config = preset_config("fast", num_envs=8, target_return=target_return, epochs=60)
    ppo, figures = train(config)
    assert ppo.is_solved == (target_return is not None)
    if target_return is None:
        assert len(figures) == 60
    else:
        assert len(figures) < 60
        assert figures[-1, 2] >= 499.0
        assert np.all(figures[:-1, 2] < 499.0)


def test_the_target_return_counts_episodes_of_earlier_epochs_where_each_epoch_starts_anew():
    config = PRESETS["keras"].replace(target_return=60.0, epochs=12, policy_update_epochs=20, value_update_epochs=20)
    ppo, figures = train(config)
    assert ppo.is_solved
    assert len(figures) < 12
    assert 4000 / figures[-1, 3] < 100, "the last epoch alone has fewer than 100 episodes"


def test_a_target_reached_by_luck_is_not_confirmed(monkeypatch):
    monkeypatch.setattr(training, "greedy_episode_lengths", lambda *_: np.array([474, 475]))
    ppo, figures = train(preset_config("fast", num_envs=8, epochs=40))
    assert not ppo.is_solved
    assert len(figures) == 40
    assert figures[-1, 2] >= 475


def test_the_fast_preset_solves_cartpole():
    ppo, _ = train(PRESETS["fast"])
    result = evaluate(ppo.actor, episodes=100, seed=ppo.evaluation_seed)
    assert result.episodes == 100
    assert result.mean >= 475
    assert 0 < result.minimum <= result.mean <= result.maximum <= 500


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_the_fast_preset_solves_cartpole_with_every_seed(seed):
    ppo, _ = train(PRESETS["fast"].replace(seed=seed))
    assert evaluate(ppo.actor, seed=ppo.evaluation_seed).mean >= 475


@pytest.mark.slow
def test_the_keras_preset_learns_to_balance_beyond_the_time_limit():
    _, figures = train(PRESETS["keras"])
    assert figures[0, 2] < 40
    assert figures[-5:, 2].max() >= 1000
