"""Files that are there whole, or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_Result = TypeVar("_Result")


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
    try:
        result = write(temporary)
        if is_new and path.exists():
            raise FileExistsError(errno.EEXIST, "It exists by now", str(path))
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
