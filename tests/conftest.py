"""Settings shared by all tests."""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

# Windows open in memory only, without a screen.
os.environ["SDL_VIDEODRIVER"] = "dummy"

# A shell may start background jobs with SIGINT ignored; the commands that the tests start must not inherit this.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example may compile a kernel, which takes seconds, and a slow machine is not a failure.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


@pytest.fixture
def figure(record_property):
    """Return a function that records a sentence with a test's measurement, to be printed after all tests."""
    return lambda sentence: record_property("figure", sentence)


def pytest_terminal_summary(terminalreporter, config):
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [entry for report in reports for entry in getattr(report, "user_properties", ())]
    figures = dict.fromkeys(sentence for name, sentence in properties if name == "figure")
    for name, (number, limit, are_half_used) in sorted(config.stash[MAPS].items()):
        too_many = ", more than half: too many" if are_half_used else ""
        figures[f"{name}: {number:,} memory maps of at most {limit:,}{too_many}"] = None
    if figures:
        terminalreporter.section("figures")
        for sentence in figures:
            terminalreporter.write_line(sentence)


# The name of each process that has run tests, with the number of its memory maps, their limit, and whether more than
# half are used.
MAPS = pytest.StashKey[dict[str, tuple[int, int, bool]]]()


def pytest_configure(config):
    config.stash[MAPS] = {}


def pytest_testnodedown(node):
    if maps := getattr(node, "workeroutput", {}).get("memory_maps"):
        node.config.stash[MAPS][node.gateway.id] = maps


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """Fail the run if a process has used half of its memory maps: with all of them, it would die."""
    all_maps = session.config.stash[MAPS]
    if maps := used_memory_maps():
        if hasattr(session.config, "workeroutput"):
            # A process of pytest-xdist reports to the one that started it.
            session.config.workeroutput["memory_maps"] = maps
        else:
            all_maps["this process"] = maps
    if session.exitstatus == pytest.ExitCode.OK and any(are_half_used for _, _, are_half_used in all_maps.values()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def used_memory_maps():
    try:
        from agent.process.memory_maps import memory_maps
    except ImportError:
        # Only the environment is installed, which compiles no graphs.
        return None
    maps = memory_maps()
    return maps and (*maps, maps.are_half_used)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return the directory of a run of four epochs. Tests must not change it."""
    from runs import SMALL, invoke

    directory = tmp_path_factory.mktemp("runs") / "trained"
    result = invoke("train", *SMALL, "--epochs", 4, "--out", directory)
    assert result.exit_code == 0, result.output
    return directory


@pytest.fixture
def copied_run(trained, tmp_path):
    """Return the directory of a copy of that run, which the test may change."""
    return Path(shutil.copytree(trained, tmp_path / "copied"))


class HostileFolder(NamedTuple):
    """A folder full of modules that record when they are imported."""

    path: Path

    def imported(self):
        """Return the names of the modules that were imported."""
        notes = self.path / "imported.txt"
        return notes.read_text().split() if notes.exists() else []


@pytest.fixture
def hostile_folder(tmp_path):
    """Return a folder with modules named like all of Python's own and like those that this project imports."""
    folder = HostileFolder(tmp_path / "folder")
    folder.path.mkdir()
    ours = ("agent", "bench", "fastcartpole", "fastppo", "gymnasium", "joblib", "keras", "numba", "numpy", "tensorflow")
    code = f"with open({str(folder.path / 'imported.txt')!r}, 'a') as notes: print(__name__, file=notes)\n"
    for name in (*sys.stdlib_module_names, "sitecustomize", "usercustomize", *ours):
        (folder.path / f"{name}.py").write_text(code)
    return folder
