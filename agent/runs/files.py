"""Atomic writes and locks: files exist completely or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_Result = TypeVar("_Result")
_LOCKS_DIRECTORIES = fcntl is not None
_CANNOT_WAIT = frozenset({errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_NO_LOCKS_HERE = frozenset({errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_LOCK_FILE = ".lock"
_IN_USE = "Another training or command is working in it"
# Windows refuses to replace a file that another program has open: number of attempts, and seconds between them.
_ATTEMPTS, _PAUSE_S = 20, 0.05


@contextmanager
def locked_directory(path: Path) -> Iterator[None]:
    """Lock a directory against other processes; a killed process leaves no lock behind.

    On Windows, which cannot lock directories, a lock file inside the directory is used while the lock is held.
    Directories that do not exist, and those on file systems without locks, are not locked.

    Args:
        path: The directory.

    Raises:
        BlockingIOError: If another process holds the lock.
    """
    if not path.is_dir():
        yield
        return
    if not _LOCKS_DIRECTORIES:
        with _locked_file(path):
            yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                raise BlockingIOError(error.errno, _IN_USE, str(path)) from None
            if error.errno not in _NO_LOCKS_HERE:
                raise
        yield
    finally:
        # Closing the descriptor is not enough: processes forked in the meantime may hold it open.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


@contextmanager
def _locked_file(directory: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(directory / _LOCK_FILE, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(errno.EAGAIN, _IN_USE, str(directory)) from None
    try:
        yield
    finally:
        lock.release()
        # Windows refuses this if another process has opened the file in the meantime.
        with suppress(OSError):
            Path(lock.lock_file).unlink()


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Add the name of the file to an OSError, which some libraries, and errors on closing a file, omit.

    Args:
        path: The path to report to the user.

    Raises:
        OSError: The error raised in this context, with ``filename`` set.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def write_atomically(path: Path, write: Callable[[Path], _Result], *, is_new: bool = False) -> _Result:
    """Write a temporary file or directory next to ``path`` and rename it to ``path``.

    The data is flushed to disk before renaming, so that a kill or a power failure leaves the old file or the new one.

    Args:
        path: The path to write; an existing file is replaced, and left unchanged on failure.
        write: Function that writes to the temporary path it receives, which has the same suffix.
        is_new: Whether to fail if ``path`` exists.

    Returns:
        The return value of ``write``.

    Raises:
        FileExistsError: If ``is_new`` is set and ``path`` exists.
        OSError: If the file cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    with errors_named(path):
        try:
            result = write(temporary)
            if is_new and path.exists():
                raise FileExistsError(errno.EEXIST, "It exists already")
            write_through(temporary)
            _replace(temporary, path)
            _write_through_one(path.parent)
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary)
            temporary.unlink(missing_ok=True)
    return result


def _replace(new: Path, path: Path) -> None:
    """Rename a file or a directory, replacing an existing one."""
    if not (new.is_dir() and path.is_dir()):
        _replace_file(new, path)
        return
    # No system can replace a directory that is not empty.
    old = new.with_name(f"{new.name}.old")
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old)


def _replace_file(new: Path, path: Path) -> None:
    for attempts_left in range(_ATTEMPTS if os.name == "nt" else 1, 0, -1):
        try:
            os.replace(new, path)
            break
        except PermissionError:
            if attempts_left == 1:
                raise
            time.sleep(_PAUSE_S)


def append_lines(path: Path, text: str) -> None:
    """Append complete lines to a file in one write.

    Raises:
        OSError: If they cannot be written; the error names the file.
    """
    with errors_named(path), path.open("a", newline="", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def make_directory(path: Path) -> list[Path]:
    """Create a directory and its parents, and flush them to disk.

    Returns:
        The directories that were created, innermost first.

    Raises:
        OSError: If a directory cannot be created.
    """
    new = [directory for directory in (path, *path.parents) if not directory.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for directory in reversed(new):
        _write_through_one(directory.parent)
    return new


def write_through(path: Path) -> None:
    """Flush a file, or a directory with everything in it, to disk.

    Raises:
        OSError: If it cannot be written.
    """
    if path.is_dir():
        for entry in path.iterdir():
            write_through(entry)
    _write_through_one(path)


def _write_through_one(path: Path) -> None:
    """Flush a file, or the entries of a directory, to disk."""
    is_directory = path.is_dir()
    if is_directory and os.name == "nt":
        # Windows cannot open directories, and flushes their entries itself.
        return
    descriptor = os.open(path, os.O_RDONLY if is_directory else os.O_RDWR)
    try:
        _flush(descriptor)
    except OSError as error:
        # Some file systems, mostly network ones, cannot flush directories.
        if not (is_directory and error.errno in _CANNOT_WAIT):
            raise
    finally:
        os.close(descriptor)


def _flush(descriptor: int) -> None:
    if hasattr(fcntl, "F_FULLFSYNC"):
        # On macOS, fsync does not flush the disk's cache; F_FULLFSYNC does, but not every file system supports it.
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def name_without_process(name: str) -> str | None:
    """Return the final name of a temporary file; None if the name is not that of a temporary file."""
    match = re.fullmatch(r"\.(.+)\.\d+(\.\w+)", name)
    return match[1] + match[2] if match else None
