"""Files are complete or absent, even after a power failure."""

import os
from pathlib import Path

import pytest

from agent.runs import files
from agent.runs.directory import RunDirectory
from agent.sweeps.directory import Plan, SweepDirectory
from agent.sweeps.grid import runs_of
from agent.sweeps.worker import Failure, Outcome, Point

OPEN_FILES = Path("/proc/self/fd")


def named(descriptor):
    """Return the path of an open file."""
    return (OPEN_FILES / str(descriptor)).readlink()


@pytest.fixture
def calls(monkeypatch):
    """Return the list of calls to the disk, in order: ``("fsync", name)`` and ``("replace", new name)``."""
    made = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor):
        made.append(("fsync", named(descriptor).name))
        fsync(descriptor)

    def noting_replace(source, target):
        made.append(("replace", target.name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    return made


pytestmark = pytest.mark.skipif(not OPEN_FILES.exists(), reason="the system does not tell names of files")


def temporary(name):
    stem, _, suffix = name.rpartition(".")
    return f".{stem}.{os.getpid()}.{suffix}"


def test_a_file_is_on_the_disk_before_it_is_renamed_and_its_name_afterwards(tmp_path, calls):
    files.write_atomically(tmp_path / "a.txt", lambda path: path.write_text("all of it"))
    assert calls == [("fsync", temporary("a.txt")), ("replace", "a.txt"), ("fsync", tmp_path.name)]


def test_a_directory_is_on_the_disk_with_everything_in_it(tmp_path, calls):
    def write(path):
        (path / "below").mkdir(parents=True)
        (path / "below" / "one").touch()
        (path / "two").touch()

    files.write_atomically(tmp_path / "model.d", write)
    *written, replaced, last = calls
    assert sorted(name for _, name in written) == sorted(["one", "below", "two", temporary("model.d")])
    assert written.index(("fsync", "one")) < written.index(("fsync", "below"))
    assert written[-1] == ("fsync", temporary("model.d"))
    assert (replaced, last) == (("replace", "model.d"), ("fsync", tmp_path.name))


def test_a_file_system_that_cannot_wait_for_directories_is_no_error(tmp_path, monkeypatch):
    fsync = os.fsync

    def refuse_directories(descriptor):
        if named(descriptor).is_dir():
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    files.write_atomically(tmp_path / "a.txt", lambda path: path.write_text("all of it"))
    assert (tmp_path / "a.txt").read_text() == "all of it"


def test_no_checkpoint_is_on_the_disk_before_the_epochs_it_counts(copied_run, calls):
    run = RunDirectory(copied_run)
    run.write_checkpoint(run.read_checkpoint())
    assert calls.index(("fsync", "metrics.csv")) < calls.index(("replace", "checkpoint.npz"))


def test_the_curve_of_a_run_of_a_sweep_is_on_the_disk_before_its_result(tmp_path, calls, monkeypatch):
    runs = runs_of("fast", [0, 1], {})
    directory = SweepDirectory(tmp_path / "sweep")
    directory.create(Plan("fast", (0, 1), {}), [])
    append = files.append_lines

    def noting_append(path, text):
        calls.append(("append", path.name))
        append(path, text)

    monkeypatch.setattr("agent.sweeps.directory.append_lines", noting_append)
    calls.clear()
    directory.append(runs[0], Outcome(9.0, 100, 0.5, False, None, False, (Point(100, 9.0, 0.5),)))
    directory.append(runs[1], Failure("no reason"))
    written = [call for call in calls if call[1] in ("curves.csv", "results.csv")]
    expected = [("append", "curves.csv"), ("fsync", "curves.csv"), ("append", "results.csv"), ("append", "results.csv")]
    assert written == expected
    assert directory.read(runs).keys() == {runs[0].key}
