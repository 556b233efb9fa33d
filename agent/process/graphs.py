"""A disk cache of the graphs that XLA compiles, because compiling those of a training takes seconds.

TensorFlow has such a cache (the flag ``tf_xla_persistent_cache_directory``), but a truncated file ends the training,
and versions and processor are not checked. TensorFlow is therefore given a directory of this process alone. While a
training compiles, the directory contains the intact files from the same versions and processor; new files are added to
the cache.
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
# TensorFlow is distributed under several names.
_PACKAGES = ("tensorflow", "tensorflow-cpu", "tf-nightly", "keras")
_PREFIX = "graphs-"
_FILES = "*-*.pb"
# Stores for other versions and processors are kept, because several machines may share a home folder.
_MAX_STORES = 4
# A training's graphs take less than one MiB.
_MOST_BYTES = 16 * 2**20
_MIN_FREE_BYTES = 64 * 2**20
_DIGITS = 16


class GraphStore:
    """The compiled graphs on disk, and the directory where TensorFlow reads and writes them."""

    def __init__(self, store: Path, directory: Path) -> None:
        """Create the store, without reading the disk.

        Args:
            store: Existing directory with graphs from the same versions and processor.
            directory: Empty directory of this process alone.
        """
        self._store, self._directory = store, directory

    @property
    def is_empty(self) -> bool:
        """Whether the store contains no graphs."""
        return not any(self._store.glob(_FILES))

    def lay_out(self) -> None:
        """Copy the graphs to where TensorFlow finds them; remove damaged graphs and those beyond the size limit."""
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
        """Store the graphs that TensorFlow has added, and empty the directory."""
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
        """Write a file atomically, so that it never appears under its name incomplete."""
        half = path.with_name(f"{os.getpid()}.part")
        try:
            half.write_bytes(content)
            half.replace(path)
        except OSError:
            half.unlink(missing_ok=True)
            raise


_STORE: GraphStore | None = None


def keep_graphs_on_disk() -> None:
    """Let TensorFlow find graphs that were compiled before; call this before TensorFlow is imported.

    This is a setting of the whole process, for the command line only. It has no effect if the user has set TensorFlow's
    flags for XLA, or if no directory can be written.
    """
    global _STORE
    is_too_late = _STORE is not None or "tensorflow" in sys.modules
    # Other systems are untested.
    if is_too_late or _FLAGS in os.environ or not sys.platform.startswith("linux"):
        return
    with suppress(OSError, RuntimeError):
        store = compiled_code_directory() / (_PREFIX + _digest_of_surroundings())
        store.mkdir(parents=True, exist_ok=True)
        _remove_oldest(store)
        directory = Path(tempfile.mkdtemp(prefix="fastppo-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        # TensorFlow would read the text after a space as another flag.
        is_one_word = not re.search(r"[\s'\"]", str(directory))
        if is_one_word and shutil.disk_usage(directory).free >= _MIN_FREE_BYTES:
            _STORE = GraphStore(store, directory)
            os.environ[_FLAGS] = f"--tf_xla_persistent_cache_directory={directory}"


def some_are_on_disk() -> bool:
    """Return whether ``keep_graphs_on_disk`` has found graphs."""
    return _STORE is not None and not _STORE.is_empty


@contextmanager
def graphs_at_hand() -> Iterator[None]:
    """Let compilations use and extend the graphs on disk, if ``keep_graphs_on_disk`` has been called."""
    if _STORE is None:
        yield
        return
    _STORE.lay_out()
    try:
        yield
    finally:
        # TensorFlow has read the flags by now, and child processes must not inherit them.
        os.environ.pop(_FLAGS, None)
        _STORE.take_back()


def _digest_of_surroundings() -> str:
    """Return a digest of everything but the graph that machine code depends on: versions, processor and flags."""
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
    """Remove all but the most recently used stores."""
    os.utime(current)
    for store in _newest_first(current.parent, f"{_PREFIX}*")[_MAX_STORES:]:
        shutil.rmtree(store, ignore_errors=True)
