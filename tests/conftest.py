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
