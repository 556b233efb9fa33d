"""Files that are there whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_Result = TypeVar("_Result")


def write_atomically(path: Path, write: Callable[[Path], _Result]) -> _Result:
    """Let ``write`` fill a temporary file or directory beside ``path``, then rename it.

    Args:
        path: Where it goes, in place of the file that may be there. On failure that file stays as it was.
        write: Is given the temporary path, which has the same suffix.

    Returns:
        What ``write`` returned.

    Raises:
        OSError: If it cannot be written.
    """
    temporary = path.with_name(temporary_name(path, str(os.getpid())))
    try:
        result = write(temporary)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)
    return result


def temporary_name(path: Path, process: str) -> str:
    """Return the name that a process, by its number, gives the temporary file beside ``path``."""
    return f".{path.stem}.{process}{path.suffix}"
