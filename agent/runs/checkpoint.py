"""Checkpoints: the whole state of a training in one file, without pickles."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..state import State

# Raised when the entries of a checkpoint change their meaning.
_FORMAT = 2
# What NumPy and zipfile raise on bytes that are not what they should be.
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
        path: Ends in ``.npz``; overwritten.
        state: What ``PPO.get_state`` returned.

    Raises:
        OSError: If the file cannot be written.
    """
    with path.open("wb") as file:
        np.savez(file, **{"format": np.array(_FORMAT), **state})  # type: ignore[arg-type]


def read_checkpoint(path: Path) -> State:
    """Return the state a checkpoint holds, for ``PPO.set_state``.

    Args:
        path: What ``write_checkpoint`` wrote.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged, no checkpoint, or of a newer version.
    """
    # The whole file first: what is wrong with places inside it then, no system reports as its own error.
    content = io.BytesIO(path.read_bytes())
    try:
        with np.load(content, allow_pickle=False) as archive:
            state = {name: archive[name] for name in archive.files}
        version = int(state.pop("format"))
    except _SIGNS_OF_DAMAGE as error:
        raise ValueError(f"'{path}' is damaged, or no checkpoint: {error}.") from None
    if version not in (1, _FORMAT):
        raise ValueError(f"'{path}' has format {version}; this version of fastppo reads 1 and {_FORMAT}.")
    return state
