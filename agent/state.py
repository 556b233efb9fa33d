"""The state of an agent, a dictionary of arrays of numbers or text, and its validation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

State = dict[str, npt.NDArray[Any]]

# Entries whose length is not fixed by the configuration.
_OF_ANY_LENGTH = frozenset({"recent_lengths", "recent_returns"})


def generator_state(generator: np.random.Generator) -> npt.NDArray[np.str_]:
    """Return the state of a NumPy generator as text, shape ()."""
    return np.array(json.dumps(generator.bit_generator.state))


def restored_generator(state: npt.NDArray[Any]) -> np.random.Generator:
    """Return a NumPy generator in the state that ``generator_state`` returned.

    Raises:
        ValueError: If it is not such a state.
    """
    generator = np.random.default_rng()
    try:
        generator.bit_generator.state = json.loads(str(state))
    except (KeyError, OverflowError, TypeError, ValueError):
        raise ValueError(f"the state of a generator must be that of a PCG64 as JSON, got {str(state)!r}.") from None
    return generator


def assert_same_structure(state: State, expected: State) -> None:
    """Check that a state has the same structure as another.

    Args:
        state: The state to check.
        expected: A state of an agent with the same configuration.

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
