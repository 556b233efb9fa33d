"""A run can be resumed from its directory, whatever ended it, and ends like one that was never interrupted."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from agents import agents_taken_back
from runs import FASTPPO, SMALL, assert_ended_alike, invoke, message_of, metrics_of, number_of_rows

from agent import PPO, adapted_preset, load
from agent.runs.directory import RunDirectory
from agent.runs.outputs import Outputs
from agent.views import animations


def test_two_halves_are_the_whole(trained, tmp_path):
    half = tmp_path / "half"
    assert invoke("train", *SMALL, "--epochs", 2, "--out", half).exit_code == 0
    result = invoke("train", "--resume", half, "--epochs", 4)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()[1:3]] == ["3", "4"]
    assert_ended_alike(trained, half)
    assert json.loads((half / "config.json").read_text())["epochs"] == 4


def test_a_run_that_ended_before_its_first_checkpoint_starts_again(trained, tmp_path):
    config = adapted_preset("fast", num_envs=8, steps_per_epoch=512, hidden_sizes=(16,), target_return=None, epochs=4)
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.write_config(config)
    with run.metrics_path.open("a") as file:
        file.write("1,512,20.0,20.0,0.01,64,100")
    result = invoke("train", "--resume", run.path)
    assert result.exit_code == 0, result.output
    assert_ended_alike(trained, run.path)


def test_a_run_records_how_it_was_made(trained):
    config = json.loads((trained / "config.json").read_text())
    assert {"fastppo", "tensorflow", "keras", "numba", "numpy", "gymnasium"} == config["versions"].keys()
    assert config["python"] == ".".join(map(str, sys.version_info[:3]))
    assert config["command_line"] == sys.argv


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "has trained all 4 epochs; a larger --epochs continues."),
        (("--epochs", "3"), "has trained 4 epochs already, more than 3; a larger --epochs continues."),
        (("--total-steps", "512"), "has trained 4 epochs already, more than 1; a larger --epochs continues."),
        (("--gamma", "0.9"), "--resume takes --gamma from the run; it cannot be given with it."),
        (("--seed", "1"), "--resume takes --seed from the run; it cannot be given with it."),
        (("--out", "elsewhere"), "--resume takes --out from the run; it cannot be given with it."),
        (("--epochs", "9", "--total-steps", "9"), "--epochs and --total-steps exclude each other."),
        (("--target-return", "nan"), "target_return must be"),
    ],
)
def test_a_failed_resumption_is_reported_in_one_sentence_and_changes_nothing(trained, arguments, message):
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    result = invoke("train", "--resume", trained, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_a_solved_run_is_not_trained_on_unless_asked_to(trained, tmp_path):
    run = RunDirectory(tmp_path)
    run.write_config(RunDirectory(trained).read_config().replace(target_return=9.0))
    run.write_checkpoint({**RunDirectory(trained).read_checkpoint(), "is_solved": np.array(True)})
    for name in ("metrics.csv", "evaluation.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    result = invoke("train", "--resume", tmp_path, "--epochs", 5)
    assert result.exit_code == 2
    assert "is already solved; --no-early-stop continues training." in result.output
    result = invoke("train", "--resume", tmp_path, "--epochs", 5, "--no-early-stop")
    assert result.exit_code == 0, result.output
    assert number_of_rows(tmp_path) == 5


def test_what_was_asked_for_belongs_to_the_run_until_it_is_asked_for_again(tmp_path, monkeypatch):
    written = []
    write_checkpoint = RunDirectory.write_checkpoint

    def noted(run, state):
        written.append(int(state["epoch"]))
        write_checkpoint(run, state)

    run = RunDirectory(tmp_path / "run")
    asked = ("--checkpoint-every", 512, "--eval-every", 2048, "--gif-epochs", "1,3")
    assert invoke("train", *SMALL, "--epochs", 3, *asked, "--out", run.path, "--quiet").exit_code == 0
    monkeypatch.setattr(RunDirectory, "write_checkpoint", noted)
    assert invoke("train", "--resume", run.path, "--epochs", 5, "--quiet").exit_code == 0
    assert run.read_outputs() == Outputs(512, 2048, gif_epochs=(1, 3))
    # One an epoch, and one at the end of the training.
    assert written == [4, 5, 5]
    written.clear()
    again = ("--checkpoint-every", 100_000, "--gif-epochs", "none", "--tensorboard")
    assert invoke("train", "--resume", run.path, "--epochs", 7, *again, "--quiet").exit_code == 0
    assert run.read_outputs() == Outputs(100_000, 2048, tensorboard=True)
    assert written == [7]
    events = len(list(run.tensorboard_path.iterdir()))
    assert invoke("train", "--resume", run.path, "--epochs", 8, "--no-tensorboard", "--quiet").exit_code == 0
    assert len(list(run.tensorboard_path.iterdir())) == events
    assert not run.read_outputs().tensorboard


def test_animations_that_were_asked_for_are_skipped_while_packages_are_missing_and_recorded_later(
    copied_run, monkeypatch, capsys
):
    run = RunDirectory(copied_run)
    outputs = Outputs(gif_epochs=(5, 6, 7))
    run.write_config(run.read_config().replace(epochs=7), outputs=outputs)
    said = "Warning: no animations are recorded: animations need pillow: pip install 'fastppo[rendering]'"
    with monkeypatch.context() as patch:
        patch.setattr(animations, "missing_packages", lambda: ["pillow"])
        assert said in invoke("train", "--resume", run.path, "--epochs", 5).stderr
        with agents_taken_back(), load(run.path) as ppo:
            ppo.config = ppo.config.replace(epochs=6)
            ppo.train(run=run.path)
        assert said in capsys.readouterr().err
    assert number_of_rows(run.path) == 6
    assert list(run.path.glob("*.gif")) == []
    assert run.read_outputs() == outputs
    result = invoke("train", "--resume", run.path, "--epochs", 7)
    assert (result.exit_code, result.stderr) == (0, "")
    # The epoch from which training continues is recorded as well.
    assert set(run.path.glob("*.gif")) == {run.gif_path(6), run.gif_path(7)}


@pytest.mark.parametrize(
    "outputs", [3, ["gif_epochs"], {"checkpoint_every": 0}, {"eval_every": "1"}, {"gif_epochs": [-1]}, {"films": True}]
)
def test_damaged_outputs_of_a_run_are_named(copied_run, outputs):
    content = json.loads((copied_run / "config.json").read_text())
    (copied_run / "config.json").write_text(json.dumps({**content, "outputs": outputs}))
    message = message_of(invoke("train", "--resume", copied_run, "--epochs", 5))
    assert "config.json' is damaged: outputs cannot be " in message


def test_a_directory_of_runs_is_not_a_run_and_one_of_them_is_named(copied_run):
    runs, example = copied_run.parent, f"; pass one run, such as '{copied_run}'."
    said = message_of(invoke("train", "--resume", runs))
    assert f"'{runs}' is not a run directory{example}" in said
    said = message_of(invoke("render", runs, "--epoch", 1, "--out", runs / "a.gif"))
    assert f"--epoch needs a run directory, which '{runs}' is not{example}" in said
    assert f"'{runs}' is neither a run nor a sweep{example}" in message_of(
        invoke("plot", runs, "--out", runs / "a.png")
    )
    assert f"'{runs}' holds no trained actor{example}" in message_of(invoke("eval", runs))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "is not a run directory: "),
        ("config.json", b"{", "is damaged: "),
        ("config.json", b"[]", "is damaged: it does not hold a JSON object."),
        ("config.json", b"{}", "the configuration lacks preset, seed, "),
        ("checkpoint.npz", b"", "is damaged, or not a checkpoint: "),
        ("metrics.csv", None, "is not a run directory: "),
        ("metrics.csv", b"epoch,kl\n1,0.1\n", "is damaged, or from another version."),
        ("metrics.csv", b"", "is damaged, or from another version."),
        ("metrics.csv", b"\xff\n\xff\n", "is damaged, or from another version."),
    ],
)
def test_a_damaged_run_is_named_and_left_alone(copied_run, name, content, message):
    (copied_run / name).unlink()
    if content is not None:
        (copied_run / name).write_bytes(content)
    before = {path.name: path.read_bytes() for path in copied_run.iterdir()}
    result = invoke("train", "--resume", copied_run, "--epochs", 5)
    assert result.exit_code == 2
    assert "Invalid value for '--resume': " in result.output
    assert message in result.output
    assert {path.name: path.read_bytes() for path in copied_run.iterdir()} == before


def test_a_checkpoint_of_another_configuration_changes_nothing(copied_run):
    run = RunDirectory(copied_run)
    run.write_config(run.read_config().replace(hidden_sizes=(8,)))
    before = {path.name: path.read_bytes() for path in copied_run.iterdir()}
    result = invoke("train", "--resume", copied_run, "--epochs", 5)
    assert result.exit_code == 1
    assert "checkpoint.npz' does not belong to this configuration: " in result.stderr
    assert "Traceback" not in result.output
    assert {path.name: path.read_bytes() for path in copied_run.iterdir()} == before


def test_an_interrupt_within_an_epoch_leaves_the_last_checkpoint(trained, tmp_path, monkeypatch):
    update = PPO.update

    def interrupted(ppo, batch):
        if ppo.epoch == 3:
            raise KeyboardInterrupt
        return update(ppo, batch)

    monkeypatch.setattr(PPO, "update", interrupted)
    run = tmp_path / "run"
    result = invoke("train", *SMALL, "--epochs", 4, "--checkpoint-every", 1024, "--out", run)
    assert result.exit_code == 130
    monkeypatch.undo()
    result = invoke("train", "--resume", run)
    assert result.exit_code == 0, result.output
    assert_ended_alike(trained, run)


def test_resuming_evaluates_a_run_that_was_interrupted_after_its_last_epoch(trained, copied_run):
    (copied_run / "evaluation.json").unlink()
    result = invoke("train", "--resume", copied_run)
    assert result.exit_code == 0, result.output
    assert_ended_alike(trained, copied_run)


def test_resuming_removes_partial_files_of_a_killed_run_and_nothing_else(copied_run):
    leftovers = [".actor.123.keras", ".epoch_8.7.gif", ".best_evaluation.99.json"]
    mine = [".actor.old.keras", ".notes.1.txt", "epoch_8.gif.bak"]
    for name in (*leftovers, *mine):
        (copied_run / name).write_text("")
    assert invoke("train", "--resume", copied_run, "--epochs", 5).exit_code == 0
    names = {path.name for path in copied_run.iterdir()}
    assert not names & set(leftovers)
    assert names >= set(mine)


@pytest.mark.slow
def test_two_processes_do_not_train_in_one_directory(tmp_path):
    run = RunDirectory(tmp_path / "run")
    process = subprocess.Popen(
        [FASTPPO, "train", *SMALL, "--epochs", "100000", "--out", run.path], stdout=subprocess.DEVNULL
    )
    while number_of_rows(run.path) < 20:
        assert process.poll() is None
        time.sleep(0.01)
    result = invoke("train", "--resume", run.path)
    assert result.exit_code == 2
    assert f"another process is working in '{run.path}'." in " ".join(result.stderr.split())
    process.kill()
    process.wait()
    epochs = [row["epoch"] for row in metrics_of(run.path)]
    assert epochs == [str(epoch) for epoch in range(1, len(epochs) + 1)]
    assert invoke("train", "--resume", run.path, "--epochs", len(epochs) + 1).exit_code == 0


def test_a_training_that_diverges_stops_and_keeps_the_last_checkpoint(copied_run, monkeypatch):
    before = (copied_run / "checkpoint.npz").read_bytes()
    update = PPO.update

    def diverging(ppo, batch):
        metrics = update(ppo, batch)
        return metrics._replace(value_loss=float("nan")) if ppo.epoch == 5 else metrics

    monkeypatch.setattr(PPO, "update", diverging)
    result = invoke("train", "--resume", copied_run, "--epochs", 9)
    assert result.exit_code == 1
    kept = "The last checkpoint is intact; a lower learning rate may help."
    assert result.stderr == f"Error: The training has diverged: in epoch 6 value_loss is nan. {kept}\n"
    assert (copied_run / "checkpoint.npz").read_bytes() == before
    assert len(metrics_of(copied_run)) == 5


def test_an_absurd_learning_rate_is_reported_as_divergence(tmp_path):
    result = invoke("train", *SMALL, "--value-learning-rate", "1e25", "--epochs", 3, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The training has diverged: in epoch ")
    assert result.stderr.endswith("Nothing was kept; a lower learning rate may help.\n")


def test_epochs_before_the_resumed_one_cannot_be_recorded(copied_run):
    result = invoke("train", "--resume", copied_run, "--epochs", 6, "--gif-epochs", "3,5")
    assert result.exit_code == 2
    assert "3 is before the epoch to resume from, 4; 'fastppo render --epoch' shows it." in result.output
