"""Checkpoints: the whole state of a training in one file, without pickles."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

State = dict[str, npt.NDArray[Any]]

# Raised when the entries of a checkpoint change their meaning.
_FORMAT = 1
# What NumPy and zipfile raise on files that are not what they should be.
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
# Entries whose length is not fixed by the configuration.
_OF_ANY_LENGTH = frozenset({"recent_lengths"})


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
        path: What :func:`write_checkpoint` wrote.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged, no checkpoint, or of a newer version.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            state = {name: archive[name] for name in archive.files}
        version = int(state.pop("format"))
    except _SIGNS_OF_DAMAGE as error:
        raise ValueError(f"'{path}' is damaged, or no checkpoint: {error}.") from None
    if version != _FORMAT:
        raise ValueError(f"'{path}' has format {version}; this version of fastppo reads {_FORMAT}.")
    return state


def generator_state(generator: np.random.Generator) -> npt.NDArray[np.str_]:
    """Return the state of a NumPy generator as text, shape ()."""
    return np.array(json.dumps(generator.bit_generator.state))


def restored_generator(state: npt.NDArray[Any]) -> np.random.Generator:
    """Return a NumPy generator that goes on from what :func:`generator_state` returned.

    Raises:
        ValueError: If that is anything else.
    """
    generator = np.random.default_rng()
    try:
        generator.bit_generator.state = json.loads(str(state))
    except (KeyError, OverflowError, TypeError, ValueError):
        raise ValueError(f"the state of a generator must be that of a PCG64 as JSON, got {str(state)!r}.") from None
    return generator


def assert_same_structure(state: State, expected: State) -> None:
    """Check that a state can take the place of another.

    Args:
        state: What is to be checked.
        expected: A state of an agent of the same configuration.

    Raises:
        ValueError: If an entry is missing, unknown, or has another shape or type.
    """
    if state.keys() != expected.keys():
        different = sorted(state.keys() ^ expected.keys())
        raise ValueError(f"the state is of another agent: {', '.join(different)} missing or unknown.")
    for name, array in expected.items():
        given = state[name]
        fits = isinstance(given, np.ndarray) and given.dtype.kind == array.dtype.kind and given.ndim == array.ndim
        if fits and array.dtype.kind != "U":
            fits = given.dtype == array.dtype and (given.shape == array.shape or name in _OF_ANY_LENGTH)
        if not fits:
            raise ValueError(f"state[{name!r}] must be an array of {array.dtype} with shape {array.shape}.")
