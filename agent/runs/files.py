"""Files that are there whole, or not at all."""

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
# How often and for how long in s a file that another program has open is tried to be replaced, which Windows refuses.
_ATTEMPTS, _PAUSE_S = 20, 0.05


@contextmanager
def locked_directory(path: Path) -> Iterator[None]:
    """Keep other processes from locking the directory; a process that is killed leaves no lock behind.

    Where the system locks no directories (Windows), it is a file within, as long as the lock is held. Directories that
    are not there, and those of file systems without locks, are not locked.

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
        # Closing alone would not do: processes that were forked meanwhile may hold the descriptor open.
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
        # Windows refuses this where another process has it by now.
        with suppress(OSError):
            Path(lock.lock_file).unlink()


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Let an OSError tell which file could not be written: not every library, and no file that is closed, does.

    Args:
        path: The file as the user knows it.

    Raises:
        OSError: The one that was raised within, with ``filename`` set.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def write_atomically(path: Path, write: Callable[[Path], _Result], *, is_new: bool = False) -> _Result:
    """Let ``write`` fill a temporary file or directory beside ``path``, then rename it.

    What is renamed is on the disk before: a power cut leaves the old file or the new one, as a kill does.

    Args:
        path: Where it goes, in place of the file that may be there. On failure that file stays as it was.
        write: Is given the temporary path, which has the same suffix.
        is_new: Whether nothing may be there when it is renamed.

    Returns:
        What ``write`` returned.

    Raises:
        FileExistsError: If something is there that may not be.
        OSError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    with errors_named(path):
        try:
            result = write(temporary)
            if is_new and path.exists():
                raise FileExistsError(errno.EEXIST, "It exists by now")
            write_through(temporary)
            _replace(temporary, path)
            _write_through_one(path.parent)
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary)
            temporary.unlink(missing_ok=True)
    return result


def _replace(new: Path, path: Path) -> None:
    """Rename a file or a directory to the name of another, which is gone then."""
    if not (new.is_dir() and path.is_dir()):
        _replace_file(new, path)
        return
    # No system replaces a directory that is not empty.
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
    """Append whole lines to a file, in one write.

    Raises:
        OSError: If they cannot be written; it names the file.
    """
    with errors_named(path), path.open("a", newline="", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def make_directory(path: Path) -> list[Path]:
    """Make a directory and those it is to be in, and wait until they are on the disk.

    Returns:
        Those that were new, the innermost first.

    Raises:
        OSError: If they cannot be made.
    """
    new = [directory for directory in (path, *path.parents) if not directory.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for directory in reversed(new):
        _write_through_one(directory.parent)
    return new


def write_through(path: Path) -> None:
    """Wait until a file, or a directory with everything below it, is on the disk.

    Raises:
        OSError: If it cannot be written.
    """
    if path.is_dir():
        for entry in path.iterdir():
            write_through(entry)
    _write_through_one(path)


def _write_through_one(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    is_directory = path.is_dir()
    if is_directory and os.name == "nt":
        # Windows opens no directories, and writes their entries by itself.
        return
    descriptor = os.open(path, os.O_RDONLY if is_directory else os.O_RDWR)
    try:
        _flush(descriptor)
    except OSError as error:
        # Some file systems, of networks above all, cannot do this for directories.
        if not (is_directory and error.errno in _CANNOT_WAIT):
            raise
    finally:
        os.close(descriptor)


def _flush(descriptor: int) -> None:
    if hasattr(fcntl, "F_FULLFSYNC"):
        # What macOS calls fsync leaves it to the disk when to write; not every file system has more.
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def name_without_process(name: str) -> str | None:
    """Return the name of the file that a temporary file of this name was to become; None if it is no such file."""
    match = re.fullmatch(r"\.(.+)\.\d+(\.\w+)", name)
    return match[1] + match[2] if match else None
