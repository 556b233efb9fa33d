"""Actors as Keras models, built here or elsewhere: checking, calling, copying and loading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .environments.spec import EnvironmentSpec
from .errors import reason_of
from .process.backend import computing_on, keras, tf

Rows = npt.NDArray[np.float32]

# Batch sizes with which a model is tried: some accept only one row, or only a fixed number.
_CHECKED_ROWS = (1, 7)


def checked_input_shape(
    subject: str, model: Any, spec: EnvironmentSpec, names: Sequence[str], size: int
) -> tuple[int, ...]:
    """Return the shape in which a model takes one observation: flat, or the environment's own.

    Args:
        subject: Name of the model in messages.
        model: The model; it is called on zeros.
        spec: Spec of the environment.
        names: Required keys of the model's output dictionary; empty if the output is a single array.
        size: Required number of outputs per observation, summed over all arrays.

    Raises:
        ValueError: If the inputs or outputs have the wrong shape, or the outputs are not finite.
    """
    given = getattr(model, "input_shape", None)
    shapes = list(dict.fromkeys([(spec.observation_size,), spec.observation_shape or (spec.observation_size,)]))
    taken = " or ".join(str((None, *shape)) for shape in shapes)
    outputs_expected: Any = {name: (None, size // len(names)) for name in names} or (None, size)
    must = f"{subject} must map shape {taken} to {outputs_expected}"
    possible = [shape for shape in reversed(shapes) if _may_take(given, shape)]
    if not possible:
        raise ValueError(f"{must}, not {given} to {getattr(model, 'output_shape', None)}.")
    errors: list[Exception] = []
    for shape in possible:
        try:
            with computing_on("cpu"):
                answers = [model(np.zeros((rows, *shape), dtype=np.float32)) for rows in _CHECKED_ROWS][-1]
        except Exception as error:
            errors.append(error)
            continue
        _check_outputs(subject, must, answers, names, size, given or (None, *shape))
        return shape
    if given is None or given in [(None, *shape) for shape in shapes]:
        raise ValueError(f"{subject} cannot be evaluated on observations: {reason_of(errors[0])}")
    raise ValueError(f"{must}, not {given} to {getattr(model, 'output_shape', None)}.")


def _may_take(given: Any, shape: tuple[int, ...]) -> bool:
    """Return whether a model with this input shape may take one observation of a shape."""
    # Models that have not been built yet have no input shape.
    if given is None:
        return True
    if not isinstance(given, tuple) or len(given) != len(shape) + 1:
        return False
    return all(size in (None, other) for size, other in zip(given[1:], shape, strict=True))


def _check_outputs(subject: str, must: str, answers: Any, names: Sequence[str], size: int, given: Any) -> None:
    """Check the outputs of a model for a batch of observations.

    Raises:
        ValueError: If the outputs have the wrong type or shape, or are not finite.
    """
    try:
        outputs = outputs_as_rows(answers, names)
    except (KeyError, TypeError, ValueError, tf.errors.InvalidArgumentError):
        wanted = f"a dictionary of {' and '.join(names)}" if names else "one array of logits"
        raise ValueError(f"{must}: {wanted}, not {_kind_of(answers, named=bool(names))}.") from None
    if outputs.shape != (_CHECKED_ROWS[-1], size):
        raise ValueError(f"{must}, not {given} to {_kind_of(answers, named=True)}.")
    if not np.isfinite(outputs).all():
        raise ValueError(f"{subject} must give finite {' and '.join(names) or 'logits'}, which its weights do not.")


def _kind_of(answers: Any, *, named: bool) -> str:
    """Return a description of a model's outputs for a message; that of a dictionary has shapes if ``named``."""
    if tf.is_tensor(answers):
        return str((None, *answers.shape[1:])) if answers.shape.rank else "()"
    if named and isinstance(answers, dict):
        return str({name: (None, *getattr(part, "shape", (None,))[1:]) for name, part in answers.items()})
    return f"a {type(answers).__name__} of outputs"


def as_rows(observations: Any, shape: tuple[int, ...]) -> Any:
    """Reshape observations of shape (B, D) to the input shape of a model, (B, *shape)."""
    return observations if len(shape) == 1 else tf.reshape(observations, (-1, *shape))


def outputs_as_rows(outputs: Any, names: Sequence[str]) -> tf.Tensor:
    """Concatenate a model's outputs, shape (B, P), float32.

    Args:
        outputs: One array, or a dictionary of several.
        names: Keys of the dictionary, in the order of concatenation; empty for a single array.

    Raises:
        TypeError: If the outputs are not a dictionary, or not a single array, as ``names`` requires.
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
    """Return a compiled function from observations, (B, D), to an actor's outputs, (B, P).

    Args:
        actor: Maps observations, flat or in their own shape, to logits, or to means and log standard deviations.
        spec: Spec of the environment.
    """
    head = spec.action_head
    shape = checked_input_shape("the actor", actor, spec, head.output_names, head.num_outputs)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def compiled(observations: tf.Tensor) -> tf.Tensor:
        return outputs_as_rows(actor(as_rows(observations, shape)), head.output_names)

    # One concrete function per batch size: a model may depend on it, and calling them directly skips the shape lookup.
    @cache
    def concrete(rows: int) -> Callable[[tf.Tensor], tf.Tensor]:
        return compiled.get_concrete_function(tf.TensorSpec((rows, spec.observation_size), tf.float32))  # type: ignore[no-any-return]

    def outputs(observations: Rows) -> Rows:
        with computing_on("cpu"):
            # A copy, because kernels are compiled for writable arrays.
            return np.array(concrete(len(observations))(tf.constant(observations)))

    return outputs


def copy_of(model: keras.Model) -> keras.Model:
    """Return an independent copy of a model, with its current weights."""
    with computing_on("cpu"):
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        for layer in copy._flatten_layers():
            if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
                # The layer computes with values derived from its weights.
                layer.finalize_state()
    return copy


def load_actor(path: Path, spec: EnvironmentSpec) -> keras.Model:
    """Load a saved actor without executing any code from the file.

    Args:
        path: A ``.keras`` file, written by fastppo or by any other program.
        spec: Spec of the environment to play.

    Raises:
        ValueError: If the file is not a Keras model, or the model's inputs or outputs do not fit the environment.
    """
    if path.suffix != ".keras":
        raise ValueError(f"'{path}' is not a .keras file.")
    try:
        with computing_on("cpu"):
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises many kinds of exceptions on damaged files.
        raise ValueError(f"'{path}' cannot be loaded as a Keras model: {_reason_of_loading(error)}") from None
    head = spec.action_head
    checked_input_shape(f"'{path}'", model, spec, head.output_names, head.num_outputs)
    return model


def _reason_of_loading(error: Exception) -> str:
    """Return Keras' message without the configurations that it quotes before and after it."""
    return reason_of(Exception(str(error).rpartition("Exception encountered: ")[2].partition(" Full object config")[0]))
