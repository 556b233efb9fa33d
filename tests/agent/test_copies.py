"""A copy of an agent continues training bit for bit like the original."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from test_restart import assert_same_bytes, figures_of

from agent import PPO, adapted_preset

CONFIG = adapted_preset("fast", num_envs=8, steps_per_epoch=256, hidden_sizes=(8,), minibatch_size=64, epochs=9)
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


class Named(PPO):
    """An agent with an additional attribute that is part of its state, and with other names for its networks."""

    def __init__(self, config, name):
        super().__init__(config)
        self.name, self.count, self.policy, self.value_function = name, 0, self.actor, self.critic

    def get_state(self):
        return {**super().get_state(), "count": np.array(self.count)}

    def set_state(self, state):
        super().set_state({name: array for name, array in state.items() if name != "count"})
        self.count = int(state["count"])


@pytest.mark.parametrize("kind", COPIES)
def test_attributes_of_a_subclass_are_copied_and_aliases_of_networks_refer_to_the_copys(kind):
    original = Named(CONFIG, "mine")
    original.count, original.evaluation_seed = 7, 5
    duplicate = COPIES[kind](original)
    assert type(duplicate) is Named
    assert (duplicate.name, duplicate.count, duplicate.evaluation_seed) == ("mine", 7, 5)
    assert duplicate.policy is duplicate.actor is not original.actor
    assert duplicate.value_function is duplicate.critic is not original.critic


def test_a_copy_that_is_taken_while_its_original_is_being_stopped_trains():
    original = PPO(CONFIG)
    original.stop_training = True
    duplicate = copy.deepcopy(original)
    assert original.stop_training
    assert not duplicate.stop_training


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_says_that_it_cannot_train_instead_of_waiting_for_ever():
    PPO(CONFIG)
    child = os.fork()
    if child == 0:
        try:
            PPO(CONFIG)
        except RuntimeError as error:
            os._exit(23 if "forked from one that has used it" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 23


@pytest.mark.slow
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
