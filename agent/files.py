"""Files that are there whole, or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

_Result = TypeVar("_Result")
_NO_LOCKS_HERE = frozenset({errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})


@contextmanager
def locked_directory(path: Path) -> Iterator[None]:
    """Keep other processes from locking the directory; a process that is killed leaves no lock behind.

    Systems without ``fcntl`` (Windows) do without, as do directories that are not there, and file systems that lock no
    directories.

    Args:
        path: The directory.

    Raises:
        BlockingIOError: If another process holds the lock.
    """
    if fcntl is None or not path.is_dir():
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
        yield
    finally:
        os.close(descriptor)


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
            os.replace(temporary, path)
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary)
            temporary.unlink(missing_ok=True)
    return result


def name_without_process(name: str) -> str | None:
    """Return the name of the file that a temporary file of this name was to become; None if it is no such file."""
    match = re.fullmatch(r"\.(.+)\.\d+(\.\w+)", name)
    return match[1] + match[2] if match else None
