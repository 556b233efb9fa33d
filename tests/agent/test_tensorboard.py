"""Event files, as read by TensorBoard itself."""

import csv
import math
import subprocess
import time

import numpy as np
import pytest
from agents import new_agent
from click.testing import CliRunner
from runs import FASTPPO, invoke, number_of_rows
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent import adapted_preset
from agent.callbacks import TAGS
from agent.cli import main
from agent.metrics import EpochMetrics
from agent.runs import outputs
from agent.runs.directory import RunDirectory
from agent.views.tensorboard import TensorBoardWriter, cut_events

FIGURES = dict.fromkeys(EpochMetrics.__annotations__, 1.0)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def scalars_of(directory):
    """Return ``{tag: [(step, value), ...]}``."""
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [
            (event.step, float(np.frombuffer(event.tensor_proto.tensor_content, np.float32)[0]))
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }


def test_the_event_file_holds_the_figures_of_metrics_csv(tmp_path):
    arguments = ["train", "--envs", "8", "--steps-per-epoch", "512", "--hidden-sizes", "8", "--epochs"]
    run = tmp_path / "run"
    result = invoke(*arguments, 2, "--tensorboard", "--out", run)
    assert result.exit_code == 0, result.output
    result = invoke("train", "--resume", run, "--tensorboard", "--epochs", 3)
    assert result.exit_code == 0, result.output
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scalars = scalars_of(run / "tensorboard")
    assert scalars.keys() == TAGS.keys()
    assert {"rollout/ep_rew_mean", "train/approx_kl", "train/explained_variance", "time/fps"} < scalars.keys()
    for tag, field in TAGS.items():
        expected = [(int(row["env_steps"]), pytest.approx(float(row[field]), rel=1e-5, abs=1e-6)) for row in rows]
        assert scalars[tag] == expected, tag


def test_the_policy_gradient_loss_is_that_of_the_field_without_the_entropy_bonus():
    ppo = new_agent(
        adapted_preset("fast", num_envs=8, steps_per_epoch=64, hidden_sizes=(8,), minibatch_size=None).replace(
            entropy_coefficient=0.7, policy_update_epochs=3, advantage_normalization="none", policy_learning_rate=0.05
        )
    )
    batch = ppo.update_batch(ppo.collect())
    metrics = ppo.update(batch)
    logits = ppo.actor(batch.observations).numpy().astype(np.float64)
    log_probs = logits - np.logaddexp(logits[:, :1], logits[:, 1:])
    ratios = np.exp(log_probs[np.arange(64), batch.actions] - batch.log_probs)
    losses = -np.minimum(ratios * batch.advantages, np.clip(ratios, 0.8, 1.2) * batch.advantages)
    assert TAGS["train/policy_gradient_loss"] == "policy_loss"
    assert metrics.policy_loss == pytest.approx(losses.mean(), abs=1e-4)
    assert metrics.entropy > 0.1


@pytest.mark.slow
def test_a_run_that_was_killed_shows_each_epoch_once_when_it_is_resumed(tmp_path):
    small = ["--envs", "8", "--steps-per-epoch", "64", "--hidden-sizes", "8", "--no-early-stop"]
    run = tmp_path / "run"
    options = ["--epochs", "100000", "--checkpoint-every", "640", "--tensorboard", "--out", run]
    process = subprocess.Popen([FASTPPO, "train", *small, *options], stdout=subprocess.DEVNULL)
    while number_of_rows(run) < 17:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    (event_file,) = (run / "tensorboard").iterdir()
    # Simulate a kill while an event was being written.
    event_file.write_bytes(event_file.read_bytes()[:-3])
    (run / "tensorboard" / "notes.txt").write_text("mine")
    epochs = int(RunDirectory(run).read_checkpoint()["epoch"]) + 15
    before = scalars_of(run / "tensorboard")
    assert invoke("train", "--resume", run, "--tensorboard", "--epochs", epochs).exit_code == 0
    rows = RunDirectory(run).read_metrics()
    assert [row.epoch for row in rows] == list(range(1, epochs + 1))
    for tag, points in scalars_of(run / "tensorboard").items():
        known = [row.env_steps for row in rows if math.isfinite(getattr(row, TAGS[tag]))]
        assert [step for step, _ in points] == known, tag
        assert points[:5] == before[tag][:5]
    assert (run / "tensorboard" / "notes.txt").read_text() == "mine"


@pytest.fixture
def events(tmp_path):
    """Return an event file with five epochs."""
    writer = TensorBoardWriter(tmp_path / "events")
    for epoch in range(1, 6):
        writer.on_epoch_end(None, EpochMetrics(**{**FIGURES, "epoch": epoch, "env_steps": 10 * epoch}))
    writer._writer.close()
    (path,) = (tmp_path / "events").iterdir()
    return path


@pytest.mark.parametrize("cut", [0, 1, 5, 20])
def test_later_events_and_one_that_is_not_whole_are_cut_off(events, cut):
    events.write_bytes(events.read_bytes()[: -cut or None])
    cut_events(events.parent, 30)
    assert {step for points in scalars_of(events.parent).values() for step, _ in points} == {10, 20, 30}
    before = events.read_bytes()
    cut_events(events.parent, 30)
    assert events.read_bytes() == before


def test_a_file_that_is_damaged_otherwise_is_left_as_it_is_with_a_warning(events):
    content = bytearray(events.read_bytes())
    content[200] ^= 1
    events.write_bytes(content)
    with pytest.warns(RuntimeWarning, match="is damaged and left as it is: it may show epochs twice"):
        cut_events(events.parent, 30)
    assert events.read_bytes() == bytes(content)


def test_events_that_cannot_be_written_are_an_error_that_names_the_place(tmp_path):
    (tmp_path / "file").touch()
    writer = TensorBoardWriter(tmp_path / "file")
    with pytest.raises(OSError, match="file") as caught:
        writer.on_epoch_end(None, EpochMetrics(**{**FIGURES, "env_steps": 7}))
    assert caught.value.filename == str(tmp_path / "file")


def test_values_that_are_not_numbers_are_omitted(tmp_path):
    writer = TensorBoardWriter(tmp_path)
    writer.on_epoch_end(None, EpochMetrics(**{**FIGURES, "env_steps": 7, "mean_return": float("nan")}))
    scalars = scalars_of(tmp_path)
    assert scalars.keys() == TAGS.keys() - {"rollout/ep_rew_mean"}
    assert scalars["train/entropy"] == [(7, 1.0)]


def test_without_tensorboard_the_option_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'fastppo\[tensorboard\]'"):
        TensorBoardWriter(tmp_path)
    result = CliRunner().invoke(main, ["train", "--tensorboard", "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "event files need tensorboard: pip install 'fastppo[tensorboard]'." in result.output
    assert not (tmp_path / "run").exists()
