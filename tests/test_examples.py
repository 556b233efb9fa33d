"""The programs in ``examples`` run unchanged in an empty directory and do what they demonstrate."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def output_of(name, directory):
    command = [sys.executable, EXAMPLES / name]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_train_and_evaluate_solves_cartpole_and_saves_the_networks(tmp_path):
    output = output_of("train_and_evaluate.py", tmp_path)
    assert float(re.search(r"([\d.]+)$", output)[1]) >= 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["actor.keras", "critic.keras"]


@pytest.mark.slow
def test_own_callback_ends_the_training_early(tmp_path):
    highest, epoch, epochs = re.findall(r"[\d.]+", output_of("own_callback.py", tmp_path))
    assert float(highest) > 200
    assert int(epochs) == min(int(epoch) + 10, 100)


@pytest.mark.slow
def test_image_observations_are_learned_from_by_convolutions(tmp_path):
    assert float(re.search(r"([-\d.]+)$", output_of("image_observations.py", tmp_path))[1]) > 0.5


@pytest.mark.wandb
def test_weights_and_biases_logs_every_epoch_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    epochs, mean = re.search(
        r"(\d+) epochs logged, mean return ([\d.]+)$", output_of("weights_and_biases.py", tmp_path)
    ).groups()
    (log,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = log.read_bytes()
    assert content.count(b"rollout/ep_rew_mean") >= int(epochs)
    assert b"evaluation/mean_return" in content
    assert 0.0 < float(mean) <= 500.0


@pytest.mark.sb3
def test_pytorch_ppo_learns_cartpole_without_tensorflow(tmp_path):
    lines = output_of("pytorch_ppo.py", tmp_path).splitlines()
    assert float(lines[-1].split()[-1]) >= 400
    assert "tensorflow" not in (EXAMPLES / "pytorch_ppo.py").read_text().split('"""')[2].lower()


def test_every_example_is_tested():
    tested = re.findall(r'output_of\("(\w+\.py)"', Path(__file__).read_text())
    assert sorted(tested) == sorted(path.name for path in EXAMPLES.glob("*.py"))
