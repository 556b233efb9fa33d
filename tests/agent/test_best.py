"""The best policy of a run."""

import json

import numpy as np
import pytest

from agent import PPO, EvaluationResult, adapted_preset
from agent.metrics import EpochMetrics
from agent.process.backend import keras
from agent.runs.best import BestPolicy
from agent.runs.directory import RunDirectory

CONFIG = adapted_preset("fast", num_envs=8, steps_per_epoch=256, hidden_sizes=(8,), target_return=None, epochs=5)

STEPS = CONFIG.rollout_size


def drawn(epoch):
    """Return the metrics of an epoch."""
    steps = STEPS * epoch
    return EpochMetrics(**{**dict.fromkeys(EpochMetrics.__annotations__, 0.0), "epoch": epoch, "env_steps": steps})


class Scored(PPO):
    """An agent whose validation results are given, and that records its weights at each validation."""

    def __init__(self, means):
        super().__init__(CONFIG)
        self.means = means
        self.validated = {}

    def train_epoch(self):
        # The agent learns nothing; its weights identify the epoch.
        self._epoch += 1
        self._env_steps += STEPS
        for variable in self.actor.weights:
            variable.assign(variable + self._epoch)
        return drawn(self._epoch)

    def validate(self):
        self.validated[self.epoch] = self.actor.get_weights()
        return EvaluationResult((self.means[self.epoch], self.means[self.epoch]), (1, 1))

    def evaluate(self):
        return EvaluationResult((1000.0 + self.epoch,), (1,))


def kept_of(run):
    evaluation = json.loads(run.best_evaluation_path.read_text())
    return evaluation, keras.saving.load_model(run.best_actor_path).get_weights()


@pytest.mark.parametrize(
    ("means", "every", "best"),
    [
        ({1: 10.0, 2: 30.0, 3: 20.0, 4: 30.0, 5: 25.0}, 1, 2),
        ({2: 10.0, 4: 5.0, 5: 40.0}, 2, 5),
        ({3: 9.0, 5: 8.0}, 3, 3),
        ({5: 1.0}, 10, 5),
    ],
)
def test_the_first_policy_with_the_highest_mean_of_those_evaluated_is_kept(tmp_path, means, every, best):
    run = RunDirectory(tmp_path)
    ppo = Scored(means)
    ppo.train([BestPolicy(run, every * STEPS)])
    assert ppo.validated.keys() == means.keys()
    evaluation, weights = kept_of(run)
    # The reported evaluation plays other episodes than the validation that selected the policy.
    assert (evaluation["epoch"], evaluation["validation_mean"]) == (best, means[best])
    assert evaluation["mean"] == 1000.0 + best
    assert all(np.array_equal(*pair) for pair in zip(weights, ppo.validated[best], strict=True))


def test_a_better_policy_of_an_earlier_session_stays(tmp_path):
    run = RunDirectory(tmp_path)
    Scored({5: 50.0}).train([BestPolicy(run, 10 * STEPS)])
    before = kept_of(run)
    Scored({5: 49.0}).train([BestPolicy(run, 10 * STEPS)])
    after = kept_of(run)
    assert after[0] == before[0]
    assert all(np.array_equal(*pair) for pair in zip(after[1], before[1], strict=True))


def test_the_agents_own_evaluation_plays_100_greedy_episodes_to_their_end():
    ppo = PPO(CONFIG)
    result = ppo.evaluate()
    assert result.episodes == 100
    assert 5 < result.minimum <= result.maximum <= 500
    assert ppo.evaluate() == result
