"""Checkpoints: the whole state of a training run in one file, without pickles."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..state import State

# Incremented when the entries of a checkpoint change their meaning.
_FORMAT = 2
# Exceptions that NumPy and zipfile raise on damaged files.
_SIGNS_OF_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    AttributeError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def write_checkpoint(path: Path, state: State) -> None:
    """Write a state as an ``.npz`` file.

    Args:
        path: File to write, ending in ``.npz``; an existing file is overwritten.
        state: A state returned by ``PPO.get_state``.

    Raises:
        OSError: If the file cannot be written.
    """
    with path.open("wb") as file:
        np.savez(file, **{"format": np.array(_FORMAT), **state})  # type: ignore[arg-type]


def read_checkpoint(path: Path) -> State:
    """Return the state in a checkpoint, for ``PPO.set_state``.

    Args:
        path: A file written by ``write_checkpoint``.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is damaged, not a checkpoint, or from a newer version.
    """
    # Read the whole file first: seeking to a damaged offset could otherwise raise an OSError.
    content = io.BytesIO(path.read_bytes())
    try:
        with np.load(content, allow_pickle=False) as archive:
            state = {name: archive[name] for name in archive.files}
        version = int(state.pop("format"))
    except _SIGNS_OF_DAMAGE as error:
        raise ValueError(f"'{path}' is damaged, or not a checkpoint: {error}.") from None
    if version not in (1, _FORMAT):
        raise ValueError(f"'{path}' has format {version}; this version of fastppo reads 1 and {_FORMAT}.")
    return state
