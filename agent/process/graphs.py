"""What XLA has compiled, kept on disk for the next process: a training's graphs take seconds otherwise.

TensorFlow can do this by itself (its flag ``tf_xla_persistent_cache_directory``), but a file that was cut off ends the
training, and it looks at neither versions nor processor. So it is given a directory of this process alone. While a
training compiles, the files are there that are whole and were made by the same versions for the same processor; what
it adds goes to them.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastcartpole.kernels import compiled_code_directory

_FLAGS = "TF_XLA_FLAGS"
# Builds of TensorFlow go by several names.
_PACKAGES = ("tensorflow", "tensorflow-cpu", "tf-nightly", "keras")
_PREFIX = "graphs-"
_FILES = "*-*.pb"
# Those of other versions and processors: a home folder may be that of several machines.
_MOST_STORES = 4
# A training's graphs take less than one MiB.
_MOST_BYTES = 16 * 2**20
_LEAST_FREE_BYTES = 64 * 2**20
_DIGITS = 16


class GraphStore:
    """The compiled graphs on disk, and the directory where TensorFlow looks for them and writes others."""

    def __init__(self, store: Path, directory: Path) -> None:
        """Look at nothing yet.

        Args:
            store: Where graphs of the same versions and processor are kept; it exists.
            directory: Of this process alone, empty.
        """
        self._store, self._directory = store, directory

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been kept."""
        return not any(self._store.glob(_FILES))

    def lay_out(self) -> None:
        """Copy the graphs to where TensorFlow finds them; remove those that are damaged, or too many."""
        size = 0
        with suppress(OSError):
            for path in _newest_first(self._store):
                content = path.read_bytes()
                digest, _, name = path.name.partition("-")
                size += len(content)
                if size > _MOST_BYTES or digest != _digest(content):
                    path.unlink()
                elif not (self._directory / name).exists():
                    self._write(self._directory / name, content)

    def take_back(self) -> None:
        """Keep what has been added, and leave the directory empty."""
        with suppress(OSError):
            for path in self._directory.iterdir():
                content = path.read_bytes()
                kept = self._store / f"{_digest(content)}-{path.name}"
                if not kept.exists():
                    self._write(kept, content)
        with suppress(OSError):
            for path in self._directory.iterdir():
                path.unlink()

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file that is found under its name only when it is whole."""
        half = path.with_name(f"{os.getpid()}.part")
        try:
            half.write_bytes(content)
            half.replace(path)
        except OSError:
            half.unlink(missing_ok=True)
            raise


_STORE: GraphStore | None = None


def keep_graphs_on_disk() -> None:
    """Let TensorFlow, which has not been imported yet, find the graphs that were compiled before.

    A setting of the whole process: for processes of this project's own. Nothing happens where the user has set
    TensorFlow's flags for XLA, and where no directory can be written.
    """
    global _STORE
    is_too_late = _STORE is not None or "tensorflow" in sys.modules
    # Elsewhere it has not been tried.
    if is_too_late or _FLAGS in os.environ or not sys.platform.startswith("linux"):
        return
    with suppress(OSError, RuntimeError):
        store = compiled_code_directory() / (_PREFIX + _digest_of_surroundings())
        store.mkdir(parents=True, exist_ok=True)
        _remove_oldest(store)
        directory = Path(tempfile.mkdtemp(prefix="fastppo-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        # TensorFlow takes what follows a space for another flag.
        is_one_word = not re.search(r"[\s'\"]", str(directory))
        if is_one_word and shutil.disk_usage(directory).free >= _LEAST_FREE_BYTES:
            _STORE = GraphStore(store, directory)
            os.environ[_FLAGS] = f"--tf_xla_persistent_cache_directory={directory}"


def some_are_on_disk() -> bool:
    """Return whether ``keep_graphs_on_disk`` has found graphs."""
    return _STORE is not None and not _STORE.is_empty


@contextmanager
def graphs_at_hand() -> Iterator[None]:
    """Compile within: what was compiled before is found, and what is new is kept, if ``keep_graphs_on_disk``."""
    if _STORE is None:
        yield
        return
    _STORE.lay_out()
    try:
        yield
    finally:
        # TensorFlow has read it by now; processes that are started from here have nothing to do with it.
        os.environ.pop(_FLAGS, None)
        _STORE.take_back()


def _digest_of_surroundings() -> str:
    """Return a digest of what machine code depends on beside its graph: versions, processor and flags."""
    from llvmlite import binding

    processor = (platform.machine(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    given = (sys.version_info[:2], *_versions(), *processor, os.environ.get("XLA_FLAGS", ""))
    return _digest(repr(given).encode())


def _versions() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield package, version(package)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def _newest_first(directory: Path, pattern: str = _FILES) -> list[Path]:
    return sorted(directory.glob(pattern), key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _remove_oldest(current: Path) -> None:
    """Remove the stores that were used first, but for the last few."""
    os.utime(current)
    for store in _newest_first(current.parent, f"{_PREFIX}*")[_MOST_STORES:]:
        shutil.rmtree(store, ignore_errors=True)
