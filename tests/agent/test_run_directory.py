"""Files of a run are never incomplete, and existing files are not overwritten."""

import json
from pathlib import Path

import pytest

from agent import PRESETS
from agent.runs import files
from agent.runs.directory import RunDirectory, is_run, named_example
from agent.sweeps.directory import SweepDirectory


def test_a_new_run_needs_a_new_or_empty_directory(tmp_path):
    RunDirectory(tmp_path / "a" / "b").create()
    (tmp_path / "empty").mkdir()
    RunDirectory(tmp_path / "empty").create()
    with pytest.raises(FileExistsError):
        RunDirectory(tmp_path / "empty").create()


@pytest.mark.parametrize("kind", [RunDirectory, SweepDirectory])
def test_a_directory_stays_where_it_is_if_the_working_directory_changes_and_keeps_its_name(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    directory = kind(Path("runs") / "x")
    paths = {name: value for name, value in vars(directory).items() if isinstance(value, Path)}
    assert paths.pop("shown_path") == Path("runs/x")
    assert all(path.is_relative_to(tmp_path / "runs" / "x") for path in paths.values())
    assert "path" in paths


def test_directories_that_cannot_be_read_hold_no_example(tmp_path, monkeypatch):
    for name in ("closed", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    def is_open_run(run):
        return denied() if run.path.name == "closed" else is_run(run)

    assert named_example(tmp_path, is_open_run) == f"; pass one run, such as '{tmp_path / 'run'}'"
    monkeypatch.setattr(Path, "iterdir", denied)
    assert named_example(tmp_path, is_run) == ""


def test_a_discarded_run_leaves_nothing_but_what_was_there(tmp_path):
    (tmp_path / "mine").mkdir()
    for path in (tmp_path / "new" / "run", tmp_path / "mine"):
        run = RunDirectory(path)
        run.create()
        run.write_config(PRESETS["fast"].replace(seed=1))
        run.discard_if_unused()
    assert [p.name for p in tmp_path.rglob("*")] == ["mine"]


def test_a_write_that_fails_leaves_the_earlier_file_and_no_other(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.write_config(PRESETS["fast"].replace(seed=1))
    before = sorted(p.name for p in run.path.iterdir())

    def replace(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(OSError, match="No space left"):
        run.write_config(PRESETS["fast"].replace(seed=2))
    assert json.loads(run.config_path.read_text())["seed"] == 1
    assert sorted(p.name for p in run.path.iterdir()) == before


@pytest.mark.parametrize("locks_directories", [True, False])
def test_a_locked_run_is_nobody_elses_and_the_lock_leaves_nothing(tmp_path, monkeypatch, locks_directories):
    monkeypatch.setattr(files, "_LOCKS_DIRECTORIES", locks_directories)
    for _ in range(2):
        with RunDirectory(tmp_path).locked():
            with (
                pytest.raises(BlockingIOError, match="Another training or command is working in it"),
                files.locked_directory(tmp_path),
            ):
                raise AssertionError
            assert bool(list(tmp_path.iterdir())) == (not locks_directories)
        assert list(tmp_path.iterdir()) == []
    with files.locked_directory(tmp_path / "missing"):
        pass
