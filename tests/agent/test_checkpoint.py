"""Training resumes bit for bit from a checkpoint."""

import itertools

import numpy as np
import pytest
from agents import new_agent
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import PRESETS, adapted_preset, load
from agent.runs.checkpoint import read_checkpoint, write_checkpoint
from agent.runs.directory import RunDirectory

SMALL = adapted_preset("fast", num_envs=8, hidden_sizes=(16, 16), steps_per_epoch=512, target_return=None)
SMALL_KERAS = PRESETS["keras"].replace(hidden_sizes=(8,), steps_per_epoch=300, policy_update_epochs=3)


def train_epochs(ppo, number):
    """Train for some epochs; return their metrics without those that depend on time."""
    return [
        (m.epoch, m.env_steps, m.mean_return, m.kl, m.policy_iterations)
        for m in (ppo.train_epoch() for _ in range(number))
    ]


def assert_same_state(one, other):
    one, other = one.get_state(), other.get_state()
    assert one.keys() == other.keys()
    for name in one.keys() - {"elapsed_s"}:
        assert one[name].tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize(
    "config",
    [
        SMALL.replace(learning_rate_schedule="linear"),
        pytest.param(SMALL, marks=pytest.mark.slow),
        pytest.param(SMALL_KERAS, marks=pytest.mark.slow),
    ],
)
def test_a_training_that_was_interrupted_ends_as_one_that_was_not(config, tmp_path):
    uninterrupted = new_agent(config)
    expected = train_epochs(uninterrupted, 5)
    first = new_agent(config)
    assert train_epochs(first, 2) == expected[:2]
    write_checkpoint(tmp_path / "checkpoint.npz", first.get_state())
    train_epochs(first, 1)
    # Restoring the state must replace everything that the new agent derived from its seed.
    second = new_agent(config.replace(seed=99))
    train_epochs(second, 1)
    second.set_state(read_checkpoint(tmp_path / "checkpoint.npz"))
    assert second.epoch == 2
    assert train_epochs(second, 3) == expected[2:]
    assert_same_state(second, uninterrupted)


@pytest.fixture(scope="module")
def state():
    return new_agent(SMALL).get_state()


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.npz"
    write_checkpoint(path, state)
    return path


def test_a_state_that_does_not_fit_is_refused_and_nothing_changes(state):
    ppo = new_agent(SMALL)
    name = "policy_optimizer/2"
    without = {key: array for key, array in state.items() if key != name}
    for wrong, message in (
        (without, f"of another agent: {name} missing or unknown"),
        ({**state, "more": np.zeros(1)}, "of another agent: more missing or unknown"),
        ({**state, name: state[name][1:]}, rf"state\['{name}'\] must be an array of float32 with shape"),
        ({**state, name: state[name].astype(np.float64)}, "must be an array of float32"),
        ({**state, "minibatch_generator": np.array(3)}, "state.'minibatch_generator'. must be an array of <U"),
        ({**state, "recent_lengths": np.zeros((2, 2), dtype=np.int64)}, "'recent_lengths'"),
        (new_agent(SMALL.replace(num_envs=9)).get_state(), "state.'environments/"),
    ):
        with pytest.raises(ValueError, match=message):
            ppo.set_state(wrong)
        for key, array in ppo.get_state().items():
            assert array.tobytes() == state[key].tobytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_truncated_or_altered_checkpoint_is_refused_or_read_as_it_was(state, checkpoint, tmp_path_factory, data):
    content = checkpoint.read_bytes()
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        position = data.draw(st.integers(0, len(content) - 1))
        content = (
            content[:position] + bytes([content[position] ^ data.draw(st.integers(1, 255))]) + content[position + 1 :]
        )
    damaged = tmp_path_factory.mktemp("damaged") / "checkpoint.npz"
    damaged.write_bytes(content)
    try:
        read = read_checkpoint(damaged)
    except ValueError:
        return
    # If reading succeeded, the altered byte is insignificant, such as a date or the name of an entry.
    assert all(read[name].tobytes() == array.tobytes() for name, array in state.items() if name in read)


def test_a_wrong_place_in_the_directory_of_a_checkpoint_is_damage(state, checkpoint, tmp_path):
    content = checkpoint.read_bytes()
    damaged = tmp_path / "checkpoint.npz"
    # The last 22 bytes hold the position and the size of the ZIP directory.
    for position, bit in itertools.product(range(len(content) - 22, len(content)), range(8)):
        altered = bytearray(content)
        altered[position] ^= 1 << bit
        damaged.write_bytes(altered)
        try:
            read = read_checkpoint(damaged)
        except ValueError:
            continue
        assert all(read[name].tobytes() == array.tobytes() for name, array in state.items() if name in read)


def test_a_checkpoint_of_a_newer_format_says_so(state, tmp_path):
    np.savez(tmp_path / "new.npz", format=np.array(3), **state)
    with pytest.raises(ValueError, match="has format 3; this version of fastppo reads 1 and 2"):
        read_checkpoint(tmp_path / "new.npz")


def test_a_run_is_loaded_as_an_agent_that_acts_and_trains_on(tmp_path):
    ppo = new_agent(SMALL)
    train_epochs(ppo, 2)
    run = RunDirectory(tmp_path)
    run.write_config(SMALL)
    with pytest.raises(FileNotFoundError, match="the run ended before its first checkpoint"):
        load(tmp_path)
    run.write_checkpoint(ppo.get_state())
    loaded = load(str(tmp_path))
    assert loaded.config == ppo.config
    observations = np.random.default_rng(0).normal(size=(50, 4))
    assert np.array_equal(loaded.predict(observations), np.argmax(ppo.actor(observations.astype(np.float32)), axis=1))
    assert loaded.predict(observations[3]) == loaded.predict(observations)[3]
    assert train_epochs(loaded, 1) == train_epochs(ppo, 1)
    with pytest.raises(ValueError, match=r"observations must .*: shape \(4,\) or \(B, 4\), got shape \(4, 3\)"):
        ppo.predict(np.zeros((4, 3)))
