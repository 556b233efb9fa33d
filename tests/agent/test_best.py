"""The best policy of a run is chosen in new episodes, from the policies that did best in training and the last one."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
from probes import RewardByObservation

from agent import PPO, EvaluationResult, adapted_preset, preset_config
from agent.metrics import EpochMetrics
from agent.process.backend import keras
from agent.runs.best import BestPolicy
from agent.runs.directory import RunDirectory
from agent.views.display import Display

CONFIG = adapted_preset("fast", num_envs=8, steps_per_epoch=256, hidden_sizes=(8,), target_return=None, epochs=5)
STEPS = CONFIG.rollout_size
LAST = EvaluationResult((1.0, 2.0), (1, 1))
REPORT = EvaluationResult((3.0, 5.0), (1, 1))


def drawn(epoch, mean_return):
    """Return the metrics of an epoch."""
    fields = {**dict.fromkeys(EpochMetrics.__annotations__, 0.0), "epoch": epoch, "env_steps": STEPS * epoch}
    return EpochMetrics(**{**fields, "mean_return": mean_return})


class Recording(Display):
    """Records what is said, and the progress of evaluations."""

    def __init__(self):
        self.said, self.shown = [], []

    def message(self, text):
        self.said.append(text)

    @contextmanager
    def evaluating(self, episodes):
        yield lambda done: self.shown.append((done, episodes))


class Scored(PPO):
    """An agent whose returns are given for each epoch; the biases of its last layer are the epoch."""

    def __init__(self, in_training, in_validation):
        super().__init__(CONFIG)
        self.in_training, self.in_validation = in_training, in_validation
        self.validated = []

    def train_epoch(self):
        self._epoch += 1
        self._env_steps += STEPS
        self.actor.weights[-1].assign(np.full(2, self._epoch))
        return drawn(self._epoch, self.in_training[self._epoch])

    def validate(self, episodes=100, _=None):
        epoch = int(self.actor.weights[-1].numpy()[0])
        self.validated.append((epoch, episodes))
        return EvaluationResult((self.in_validation[epoch],) * 2, (1, 1))


def chosen_of(run):
    evaluation = json.loads(run.best_evaluation_path.read_text())
    return evaluation, keras.saving.load_model(run.best_actor_path).get_weights()[-1][0]


def completed(run, ppo, every=1):
    """Train an agent with given returns and choose its best policy; return the messages."""
    best, display = BestPolicy(run, every * STEPS, ppo.get_policy()), Recording()
    ppo.train([best])
    best.complete(ppo, LAST, lambda: REPORT, display)
    return best, display.said


NAN = float("nan")


@pytest.mark.parametrize(
    ("in_training", "in_validation", "played", "best"),
    [
        # The best three of the training and the last policy play; validation decides.
        ([50, 40, 30, 20, 10], {1: 1, 2: 9, 3: 2, 5: 3}, [5, 1, 2, 3], 2),
        # The last policy wins, which was not among the best in training.
        ([50, 40, 30, 20, 10], {1: 1, 2: 2, 3: 2, 5: 3}, [5, 1, 2, 3], 5),
        # If means are equal, the last policy is chosen.
        ([50, 40, 30, 20, 60], {1: 7, 2: 7, 5: 7}, [5, 1, 2], 5),
        # Before the first episode has ended, there is no return.
        ([NAN, NAN, NAN, 1, 2], {4: 5, 5: 1}, [5, 4], 4),
    ],
)
def test_the_best_in_training_and_the_last_policy_play_and_the_winner_is_saved(
    tmp_path, in_training, in_validation, played, best
):
    run = RunDirectory(tmp_path)
    ppo = Scored(dict(enumerate(in_training, start=1)), in_validation)
    _, said = completed(run, ppo)
    assert ppo.validated == [(epoch, 100) for epoch in played]
    evaluation, epoch = chosen_of(run)
    assert evaluation["epoch"] == epoch == best
    assert evaluation["chosen_from"] == {str(epoch): mean for epoch, mean in sorted(in_validation.items())}
    assert evaluation["choosing_episodes"] == 100
    # The reported evaluation plays other episodes than the validation that selected the policy.
    assert evaluation["mean"] == (LAST if best == 5 else REPORT).mean
    assert said == [], "on CartPole, episodes cost next to nothing"
    # The agent still has its last policy.
    assert ppo.actor.weights[-1].numpy().tolist() == [5, 5]


def test_the_last_policy_is_the_best_if_there_is_no_other(tmp_path):
    run = RunDirectory(tmp_path)
    ppo = Scored(dict.fromkeys(range(1, 6), 1.0), {})
    _, said = completed(run, ppo, every=10)
    assert (ppo.validated, said) == ([], [])
    evaluation, epoch = chosen_of(run)
    assert (evaluation["epoch"], epoch, evaluation["mean"]) == (5, 5, LAST.mean)
    assert "chosen_from" not in evaluation


def test_candidates_are_part_of_the_checkpoint(tmp_path):
    run = RunDirectory(tmp_path)
    ppo = Scored({1: 5.0, 2: 3.0, 3: 4.0}, {})
    best = BestPolicy(run, STEPS, ppo.get_policy())
    ppo.train([best, lambda ppo, _: ppo.epoch < 3])
    run.write_checkpoint(ppo.get_state() | best.get_state())
    assert run.read_checkpoint().keys() == ppo.get_state().keys()
    resumed = BestPolicy(run, STEPS, ppo.get_policy())
    before, after = best.get_state(), resumed.get_state()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    with pytest.raises(ValueError, match="the state is of another agent"):
        BestPolicy(run, STEPS, {"actor/0": np.zeros(3)})
    del before["candidates/1/epoch"]
    run.write_checkpoint(ppo.get_state() | before)
    with pytest.raises(ValueError, match="candidates/1 are damaged"):
        BestPolicy(run, STEPS, ppo.get_policy())


def test_choosing_takes_at_most_a_tenth_of_the_training_or_leaves_policies_out(tmp_path):
    config = preset_config(
        "standard",
        env_id=None,
        num_envs=2,
        steps_per_epoch=64,
        hidden_sizes=(8,),
        normalize_observations=True,
        epochs=8,
    )
    steps = 0

    class Long(RewardByObservation):
        def __init__(self):
            super().__init__(4)

        def step(self, action):
            nonlocal steps
            steps += 1
            return super().step(action)

    ppo = PPO(config, make_env=Long)
    for epochs, policies in ((8, 0), (16, 2), (26, 4)):
        run = RunDirectory(tmp_path / str(epochs))
        run.path.mkdir()
        ppo.restart(config.replace(epochs=epochs))
        best, display = BestPolicy(run, 64, ppo.get_policy()), Recording()
        ppo.train([best])
        last, report = ppo.get_policy(), ppo.evaluate(10)
        steps = 0
        best.complete(ppo, report, lambda report=report: report, display)
        assert all(np.array_equal(last[name], array) for name, array in ppo.get_policy().items())
        evaluation = json.loads(run.best_evaluation_path.read_text())
        assert len(evaluation.get("chosen_from", [])) == policies
        assert len(display.said) == bool(policies)
        assert steps == 4 * policies * evaluation.get("choosing_episodes", 0) <= 0.1 * epochs * 64
        assert len(display.shown) == policies * evaluation.get("choosing_episodes", 0)


def test_the_agents_own_evaluation_plays_greedy_episodes_to_their_end():
    ppo = PPO(CONFIG)
    result = ppo.evaluate()
    assert result.episodes == 100
    assert 5 < result.minimum <= result.maximum <= 500
    assert ppo.evaluate() == result
    assert ppo.evaluate(7).episodes == ppo.validate(7).episodes == 7
    for wrong, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="episodes must be"):
            ppo.evaluate(wrong)
