"""If anything goes wrong during training, there is one clear error message, and no part of the run is lost."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import FASTPPO, SMALL, assert_ended_alike, files_of, invoke, message_of, number_of_rows

from agent import PPO, load
from agent.runs.directory import RunDirectory

resource = pytest.importorskip("resource", reason="the system has no limits for files")

FAULTY_DISKS = Path(__file__).with_name("faulty_disks.py")
IN_A_MOUNT_NAMESPACE = ("unshare", "--map-root-user", "--mount")


def kept(run):
    """Return the sentence about the run in the message of a training run that could not write."""
    return f" The last checkpoint is intact: fastppo train --resume {run} continues from it."


class FilesOfAtMost:
    """Limits the size of files in bytes, which has the effect of a full disk."""

    def __init__(self, size):
        self.size = size
        self.previous = resource.getrlimit(resource.RLIMIT_FSIZE)

    def __enter__(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.previous[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.previous)


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """Return the directory of the run ``trained`` after two more epochs."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    RunDirectory(directory).path.mkdir()
    for name, content in files_of(trained).items():
        (directory / name).write_bytes(content)
    assert invoke("train", "--resume", directory, "--epochs", 6).exit_code == 0
    return directory


@pytest.mark.parametrize(
    ("size", "unwritten"),
    [
        (100, "metrics.csv"),
        (1_000, "config.json"),
        (5_000, "checkpoint.npz"),
        pytest.param(15_000, "actor.keras", marks=pytest.mark.slow),
        pytest.param(25_000, "learning_curve.png", marks=pytest.mark.slow),
    ],
)
def test_where_a_file_cannot_be_written_the_run_goes_on_later_as_if_nothing_had_been(
    size, unwritten, copied_run, whole, monkeypatch
):
    # config.json contains the command; its size must lie between the second and the third limit.
    monkeypatch.setattr(sys, "argv", ["fastppo"])
    before = files_of(copied_run)
    with FilesOfAtMost(size):
        result = invoke("train", "--resume", copied_run, "--epochs", 6)
    assert result.exit_code == 1
    assert result.stderr == f"Error: '{copied_run / unwritten}' cannot be written: File too large.{kept(copied_run)}\n"
    lost = before.keys() - files_of(copied_run).keys()
    # The old evaluation is deleted, since it does not belong to the new checkpoint.
    assert lost == ({Path("evaluation.json")} if unwritten in ("actor.keras", "learning_curve.png") else set())
    assert not list(copied_run.glob(".*"))
    assert invoke("train", "--resume", copied_run, "--epochs", 6).exit_code == 0
    assert_ended_alike(whole, copied_run)


def test_a_new_run_that_cannot_be_written_leaves_nothing(tmp_path):
    for size in (0, 300):
        with FilesOfAtMost(size):
            result = invoke("train", *SMALL, "--epochs", 1, "--out", tmp_path / "new")
        assert result.exit_code in (1, 2)
        assert "cannot be written: File too large." in " ".join(result.stderr.split())
        assert list(tmp_path.iterdir()) == []


def test_other_commands_that_cannot_write_leave_nothing(trained, tmp_path):
    before = files_of(trained)
    for arguments in (
        ("plot", trained, "--out", tmp_path / "curve.png"),
        ("render", trained, "--out", tmp_path / "episode.gif"),
        ("export", trained, "--format", "keras", "--out", tmp_path / "actor.keras"),
        ("export", trained, "--format", "saved_model", "--out", tmp_path / "saved"),
        ("export", trained, "--format", "onnx", "--out", tmp_path / "actor.onnx"),
    ):
        with FilesOfAtMost(100):
            result = invoke(*arguments)
        assert result.exit_code == 1, arguments
        # The limit also affects captured output, so only the last line comes from the command.
        message = result.stderr.splitlines()[-1]
        assert message.startswith("Error: ")
        assert "File too large" in message
        assert list(tmp_path.iterdir()) == []
    assert files_of(trained) == before


@pytest.mark.parametrize("command", ["resume", "render", "plot"])
def test_a_configuration_of_a_newer_version_says_so(copied_run, tmp_path, command):
    path = copied_run / "config.json"
    content = json.loads(path.read_text())
    versions = {**content["versions"], "fastppo": "99.0"}
    path.write_text(json.dumps({**content, "optimizer": "muon", "versions": versions}))
    before = files_of(copied_run)
    arguments = {
        "resume": ("train", "--resume", copied_run, "--epochs", 5),
        "render": ("render", copied_run, "--epoch", 1),
        "plot": ("plot", copied_run, "--out", tmp_path / "curve.png"),
    }[command]
    message = message_of(invoke(*arguments))
    assert f"'{path}' was written by fastppo 99.0, this is {content['versions']['fastppo']}: " in message
    assert message.endswith("the configuration holds optimizer, which this version does not know.")
    assert files_of(copied_run) == before
    with pytest.raises(ValueError, match=r"was written by fastppo 99\.0"):
        load(copied_run)


@pytest.mark.parametrize("command", ["eval", "render", "play", "export"])
def test_a_network_of_another_shape_is_refused_by_every_command(copied_run, command):
    os.replace(copied_run / "critic.keras", copied_run / "actor.keras")
    before = files_of(copied_run)
    arguments = ("--format", "onnx") if command == "export" else ()
    message = message_of(invoke(command, copied_run, *arguments))
    assert "actor.keras' must map shape (None, 4) to (None, 2), not (None, 4) to (None, 1)." in message
    assert files_of(copied_run) == before


def can_mount():
    try:
        return subprocess.run([*IN_A_MOUNT_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="the system lets no process mount file systems of its own")
def test_full_and_read_only_disks_are_named_and_nothing_is_lost(trained, tmp_path, figure):
    completed = subprocess.run(
        [*IN_A_MOUNT_NAMESPACE, sys.executable, FAULTY_DISKS, trained, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    outcomes = [json.loads(line) for line in completed.stdout.splitlines()]
    full = [outcome for outcome in outcomes if "free" in outcome]
    for outcome in full:
        assert set(outcome["lost"]) <= {"evaluation.json"}
        if outcome["exit_code"]:
            unwritten, _, ending = outcome["message"].partition(" cannot be written: No space left on device.")
            assert ending == kept(unwritten.split("'")[1].rpartition("/")[0])
    failed = [outcome for outcome in full if outcome["exit_code"]]
    unwritten = {outcome["message"].split("'")[1].rsplit("/")[-1] for outcome in failed}
    assert {"metrics.csv", "checkpoint.npz"} <= unwritten
    assert len(failed) < len(full)
    read_only = {outcome["read-only"]: outcome for outcome in outcomes if "read-only" in outcome}
    assert read_only.pop("eval")["exit_code"] == 0
    for outcome in read_only.values():
        assert outcome["exit_code"] in (1, 2)
        assert "Error: " in outcome["message"]
        assert "written" in outcome["message"]
    figure(f"full disk: {len(failed)} failed writes of {', '.join(sorted(unwritten))}; all went on later, bit for bit")


@pytest.mark.slow
def test_without_a_cache_for_compiled_code_a_training_is_the_same(trained, tmp_path):
    a_file = tmp_path / "file"
    a_file.touch()
    completed = subprocess.run(
        [FASTPPO, "train", *SMALL, "--epochs", "4", "--out", tmp_path / "run"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(a_file / "below")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (completed.returncode, completed.stderr) == (0, "")
    assert_ended_alike(trained, tmp_path / "run")


def digest_of(ppo):
    state = ppo.get_state()
    return hashlib.sha256(b"".join(state[name].tobytes() for name in sorted(state.keys() - {"elapsed_s"}))).digest()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_many_times_is_never_damaged_and_ends_as_one_that_was_not(tmp_path, figure):
    num_epochs, num_kills = 420, 30
    epochs, every = ("--epochs", str(num_epochs)), ("--checkpoint-every", "1536")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert invoke("train", *SMALL, *epochs, "--out", whole).exit_code == 0
    reference = PPO(RunDirectory(whole).read_config())
    digests = [digest_of(reference)]
    for _ in range(num_epochs):
        reference.train_epoch()
        digests.append(digest_of(reference))
    generator = random.Random(0)
    loaded = 0
    process = subprocess.Popen([FASTPPO, "train", *SMALL, *epochs, *every, "--out", killed])
    while not (killed / "config.json").exists():
        time.sleep(0.001)
    for kill in range(num_kills):
        # A third of the kills occur during imports and compilation.
        rows = number_of_rows(killed) + generator.randrange(1, 8) if kill % 3 else 0
        if not rows:
            time.sleep(generator.uniform(0.0, 4.0))
        while number_of_rows(killed) < rows:
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(generator.uniform(0.0, 0.02))
        process.kill()
        assert process.wait() == -9
        if (killed / "checkpoint.npz").exists():
            agent = load(killed)
            assert digest_of(agent) == digests[agent.epoch]
            loaded += 1
        process = subprocess.Popen([FASTPPO, "train", "--resume", killed, *every])
    assert process.wait() == 0
    assert_ended_alike(whole, killed)
    assert (whole / "best_evaluation.json").read_bytes() == (killed / "best_evaluation.json").read_bytes()
    assert not list(killed.glob(".*"))
    assert loaded > num_kills / 2
    figure(f"kill -9: {num_kills} times in {num_epochs} epochs, loaded {loaded} times, the end bit for bit the same")
