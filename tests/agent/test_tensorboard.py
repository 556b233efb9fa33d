"""Event files as TensorBoard's own reader sees them."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent.cli import main
from agent.commands import train
from agent.metrics import EpochMetrics
from agent.tensorboard import TAGS, TensorBoardWriter

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def scalars_of(directory):
    """Return ``{tag: [(step, value), ...]}``."""
    events = EventAccumulator(str(directory))
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
    result = CliRunner().invoke(main, [*arguments, "2", "--tensorboard", "--out", str(run)])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, ["train", "--resume", str(run), "--tensorboard", "--epochs", "3"])
    assert result.exit_code == 0, result.output
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scalars = scalars_of(run / "tensorboard")
    assert scalars.keys() == TAGS.keys()
    assert {"rollout/ep_rew_mean", "train/approx_kl", "train/explained_variance", "time/fps"} < scalars.keys()
    for tag, field in TAGS.items():
        expected = [(int(row["env_steps"]), pytest.approx(float(row[field]), rel=1e-5, abs=1e-6)) for row in rows]
        assert scalars[tag] == expected, tag


def test_what_is_not_a_number_is_left_out(tmp_path):
    figures = dict.fromkeys(EpochMetrics.__annotations__, 1.0)
    writer = TensorBoardWriter(tmp_path)
    writer.on_epoch_end(None, EpochMetrics(**{**figures, "env_steps": 7, "mean_return": float("nan")}))
    scalars = scalars_of(tmp_path)
    assert scalars.keys() == TAGS.keys() - {"rollout/ep_rew_mean"}
    assert scalars["train/entropy"] == [(7, 1.0)]


def test_without_tensorboard_the_option_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "find_spec", lambda _: None)
    result = CliRunner().invoke(main, ["train", "--tensorboard", "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "event files need tensorboard: pip install 'fastppo[tensorboard]'." in result.output
    assert not (tmp_path / "run").exists()
