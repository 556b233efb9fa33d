"""A copy of an agent is an agent: it learns, and goes on bit for bit as the original does."""

import copy
import pickle
import subprocess
import sys

import joblib
import pytest
from test_restart import assert_same_bytes, figures_of

from agent import PPO, preset_config

CONFIG = preset_config("fast", num_envs=8, steps_per_epoch=256, hidden_sizes=(8,), minibatch_size=64, epochs=9)
COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda ppo: pickle.loads(pickle.dumps(ppo)),
    "oldest pickle": lambda ppo: pickle.loads(pickle.dumps(ppo, protocol=2)),
}


@pytest.mark.parametrize(
    ("kind", "epochs"),
    [
        ("deepcopy", 0),
        pytest.param("pickle", 2, marks=pytest.mark.slow),
        pytest.param("deepcopy", 2, marks=pytest.mark.slow),
        pytest.param("copy", 2, marks=pytest.mark.slow),
        pytest.param("pickle", 0, marks=pytest.mark.slow),
        pytest.param("oldest pickle", 2, marks=pytest.mark.slow),
    ],
)
def test_a_copy_goes_on_as_the_original_does_and_apart_from_it(kind, epochs):
    original = PPO(CONFIG.replace(learning_rate_schedule="linear"))
    figures_of(original, epochs)
    duplicate = COPIES[kind](original)
    assert_same_bytes(duplicate, original)
    assert duplicate.config == original.config
    before = original.get_state()
    figures = figures_of(duplicate, 2)
    assert all(array.tobytes() == before[name].tobytes() for name, array in original.get_state().items())
    assert duplicate.actor.get_weights()[-1].tobytes() != original.actor.get_weights()[-1].tobytes()
    assert figures_of(original, 2) == figures
    assert_same_bytes(duplicate, original)
    assert duplicate.evaluate() == original.evaluate()
    assert duplicate.evaluation_seed == original.evaluation_seed


def test_what_a_subclass_adds_and_what_was_asked_for_is_copied():
    class Named(PPO):
        def __init__(self, config, name):
            super().__init__(config)
            self.name = name

    original = Named(CONFIG, "mine")
    original.stop_training = True
    duplicate = copy.deepcopy(original)
    assert type(duplicate) is Named
    assert (duplicate.name, duplicate.stop_training, duplicate.is_between_epochs) == ("mine", True, True)


def test_a_pickled_agent_goes_on_in_another_process(tmp_path):
    original = PPO(CONFIG)
    figures_of(original, 2)
    (tmp_path / "agent.pickle").write_bytes(pickle.dumps(original))
    code = (
        "import pickle, sys\n"
        "with open(sys.argv[1], 'rb') as file: ppo = pickle.load(file)\n"
        "print([(m.epoch, m.mean_return, m.kl, m.value_loss) for m in (ppo.train_epoch() for _ in range(2))])\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "agent.pickle"]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == repr(figures_of(original, 2))


def trained_twice(ppo):
    return figures_of(ppo, 2)


@pytest.mark.slow
def test_an_agent_can_be_handed_to_workers():
    original = PPO(CONFIG)
    figures = joblib.Parallel(n_jobs=2)(joblib.delayed(trained_twice)(original) for _ in range(2))
    assert figures == [figures_of(original, 2)] * 2
