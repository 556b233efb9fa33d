"""Actors as Keras models: of this project's networks or any others', copied and read from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .errors import reason_of
from .process.backend import computing_on, keras, tf

# Rows that a model of others is tried with: some take one alone, or a number of their own.
_CHECKED_ROWS = (1, 7)


def copy_of(model: keras.Model) -> keras.Model:
    """Return a model of the same layers with weights of its own, which are the same now."""
    with computing_on("cpu"):
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    return copy


def load_actor(path: Path, observation_size: int, num_outputs: int) -> keras.Model:
    """Return a saved actor; nothing in the file is executed.

    Args:
        path: A ``.keras`` file, of this project or any other.
        observation_size: D, the inputs it must have.
        num_outputs: A, the outputs it must have.

    Raises:
        ValueError: If it is no Keras model, or not one with so many inputs and outputs.
    """
    if path.suffix != ".keras":
        raise ValueError(f"'{path}' is no .keras file.")
    try:
        with computing_on("cpu"):
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises exceptions of many kinds on damaged files.
        raise ValueError(f"'{path}' cannot be loaded as a Keras model: {_reason_of_loading(error)}") from None
    _check_actor(model, path, observation_size, num_outputs)
    return model


def _reason_of_loading(error: Exception) -> str:
    """Return what Keras says, without the configurations that it quotes before and after."""
    return reason_of(Exception(str(error).rpartition("Exception encountered: ")[2].partition(" Full object config")[0]))


def _check_actor(model: Any, path: Path, observation_size: int, num_outputs: int) -> None:
    """Check that a model gives so many logits for each row of observations, by asking it.

    Raises:
        ValueError: If it does not.
    """
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    expected = f"shape {(None, observation_size)} to {(None, num_outputs)}"
    try:
        with computing_on("cpu"):
            logits = [model(np.zeros((rows, observation_size), dtype=np.float32)) for rows in _CHECKED_ROWS][-1]
    except Exception as error:
        if shapes[0] == (None, observation_size):
            raise ValueError(f"'{path}' cannot be evaluated on observations: {reason_of(error)}") from None
        raise ValueError(f"'{path}' must map {expected}, not {shapes[0]} to {shapes[1]}.") from None
    if not isinstance(logits, tf.Tensor):
        kind = type(logits).__name__
        raise ValueError(f"'{path}' must map {expected}: one array of logits, not a {kind} of outputs.")
    if logits.shape != (_CHECKED_ROWS[-1], num_outputs):
        raise ValueError(f"'{path}' must map {expected}, not {shapes[0]} to {shapes[1]}.")
    if not np.isfinite(np.asarray(logits, dtype=np.float64)).all():
        raise ValueError(f"'{path}' must give finite logits, which its weights do not.")
