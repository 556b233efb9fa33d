"""Actors as Keras models, of this project or any other: checked, asked for their outputs, copied, read from files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .environments.spec import EnvironmentSpec
from .errors import reason_of
from .process.backend import computing_on, keras, tf

Rows = npt.NDArray[np.float32]

# Rows that a model of others is tried with: some take one alone, or a number of their own.
_CHECKED_ROWS = (1, 7)


def checked_input_shape(
    subject: str, model: Any, spec: EnvironmentSpec, names: Sequence[str], size: int
) -> tuple[int, ...]:
    """Return the shape in which a model takes one observation: a vector's, or the environment's own.

    Args:
        subject: What messages call the model.
        model: It is asked for its outputs.
        spec: Of the environment.
        names: Of the entries of a dictionary of outputs that it must give; none for a single array.
        size: How many numbers it must give for each observation, all outputs together.

    Raises:
        ValueError: If it takes or gives something else, or numbers that are not finite.
    """
    given = getattr(model, "input_shape", None)
    vector = (spec.observation_size,)
    # A model that has not been called yet says nothing: it is asked for vectors.
    shape = vector if given is None else given[1:] if isinstance(given, tuple) else ()
    outputs_expected: Any = {name: (None, size // len(names)) for name in names} or (None, size)
    own = f" or {(None, *spec.observation_shape)}" if spec.observation_shape not in ((), vector) else ""
    expected = f"shape {(None, *vector)}{own} to {outputs_expected}"
    mismatch = f"{subject} must map {expected}, not {given} to {getattr(model, 'output_shape', None)}."
    if shape not in (vector, spec.observation_shape):
        raise ValueError(mismatch)
    try:
        with computing_on("cpu"):
            answers = [model(np.zeros((rows, *shape), dtype=np.float32)) for rows in _CHECKED_ROWS][-1]
    except Exception as error:
        if given == (None, *shape):
            raise ValueError(f"{subject} cannot be evaluated on observations: {reason_of(error)}") from None
        raise ValueError(mismatch) from None
    try:
        outputs = outputs_as_rows(answers, names)
    except (KeyError, TypeError, ValueError):
        kind = "an array" if tf.is_tensor(answers) else f"a {type(answers).__name__} of outputs"
        wanted = f"a dictionary of {' and '.join(names)}" if names else "one array of logits"
        raise ValueError(f"{subject} must map {expected}: {wanted}, not {kind}.") from None
    if outputs.shape != (_CHECKED_ROWS[-1], size):
        raise ValueError(mismatch)
    if not np.isfinite(outputs).all():
        raise ValueError(f"{subject} must give finite {' and '.join(names) or 'logits'}, which its weights do not.")
    return shape


def as_rows(observations: Any, shape: tuple[int, ...]) -> Any:
    """Return observations, vectors of shape (B, D), in the shape a model takes, (B, *shape)."""
    return observations if len(shape) == 1 else tf.reshape(observations, (-1, *shape))


def outputs_as_rows(outputs: Any, names: Sequence[str]) -> tf.Tensor:
    """Return a model's outputs side by side, shape (B, P), float32.

    Args:
        outputs: One array, or a dictionary of several.
        names: The entries of the dictionary, in the order in which they are put; none for a single array.

    Raises:
        TypeError: If there is another number of arrays than expected.
        KeyError: If an entry is missing.
    """
    if names:
        if not isinstance(outputs, dict):
            raise TypeError(f"outputs must be a dictionary of {', '.join(names)}, got {type(outputs).__name__}.")
        return tf.concat([tf.cast(outputs[name], tf.float32) for name in names], axis=1)
    if not tf.is_tensor(outputs):
        raise TypeError(f"outputs must be one array, got {type(outputs).__name__}.")
    return tf.cast(outputs, tf.float32)


def outputs_of(actor: keras.Model, spec: EnvironmentSpec) -> Callable[[Rows], Rows]:
    """Return a compiled function from observations, (B, D), to an actor's outputs, (B, P), as its weights are now.

    Args:
        actor: Takes observations as vectors or in their own shape; gives logits, or means and logarithms of deviations.
        spec: Of its environment.
    """
    head = spec.action_head
    shape = checked_input_shape("the actor", actor, spec, head.output_names, head.num_outputs)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def compiled(observations: tf.Tensor) -> tf.Tensor:
        return outputs_as_rows(actor(as_rows(observations, shape)), head.output_names)

    def outputs(observations: Rows) -> Rows:
        with computing_on("cpu"):
            return np.asarray(compiled(tf.constant(observations)))

    return outputs


def copy_of(model: keras.Model) -> keras.Model:
    """Return a model of the same layers with weights of its own, which are the same now."""
    with computing_on("cpu"):
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        for layer in copy._flatten_layers():
            if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
                # It computes with what it has made of its weights.
                layer.finalize_state()
    return copy


def load_actor(path: Path, spec: EnvironmentSpec) -> keras.Model:
    """Return a saved actor; nothing in the file is executed.

    Args:
        path: A ``.keras`` file, of this project or any other.
        spec: Of the environment it is to play.

    Raises:
        ValueError: If it is no Keras model, or not one with such inputs and outputs.
    """
    if path.suffix != ".keras":
        raise ValueError(f"'{path}' is no .keras file.")
    try:
        with computing_on("cpu"):
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises exceptions of many kinds on damaged files.
        raise ValueError(f"'{path}' cannot be loaded as a Keras model: {_reason_of_loading(error)}") from None
    head = spec.action_head
    checked_input_shape(f"'{path}'", model, spec, head.output_names, head.num_outputs)
    return model


def _reason_of_loading(error: Exception) -> str:
    """Return what Keras says, without the configurations that it quotes before and after."""
    return reason_of(Exception(str(error).rpartition("Exception encountered: ")[2].partition(" Full object config")[0]))
