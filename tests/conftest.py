"""Settings shared by all tests."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# Windows open in memory only.
os.environ["SDL_VIDEODRIVER"] = "dummy"

# The first example may compile a kernel, which takes seconds.
settings.register_profile("default", deadline=None)
settings.load_profile("default")


_FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.stash[_FIGURES] = []


@pytest.fixture(scope="session")
def figure(pytestconfig):
    """Return a function that takes a sentence with what a test has measured, to be printed after all tests."""
    return pytestconfig.stash[_FIGURES].append


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[_FIGURES]:
        terminalreporter.section("figures")
        for sentence in config.stash[_FIGURES]:
            terminalreporter.write_line(sentence)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return the directory of a run of four epochs. Nothing may be changed in it."""
    from runs import SMALL, invoke

    directory = tmp_path_factory.mktemp("runs") / "trained"
    result = invoke("train", *SMALL, "--epochs", 4, "--out", directory)
    assert result.exit_code == 0, result.output
    return directory


@pytest.fixture
def copied_run(trained, tmp_path):
    """Return a copy of that directory, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "copied"))
