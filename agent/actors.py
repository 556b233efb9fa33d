"""Actors as Keras models, of this project or any other: checked, asked for their outputs, copied, read from files."""

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
    """Return whether a model may take one observation in a shape, by what it says of its inputs."""
    # A model that has not been called yet says nothing.
    if given is None:
        return True
    if not isinstance(given, tuple) or len(given) != len(shape) + 1:
        return False
    return all(size in (None, other) for size, other in zip(given[1:], shape, strict=True))


def _check_outputs(subject: str, must: str, answers: Any, names: Sequence[str], size: int, given: Any) -> None:
    """Check what a model gives for some rows of observations.

    Raises:
        ValueError: If it is something else than it must be, or not finite.
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
    """Return what a model has given, for a message; with shapes where ``named``, any number of rows as None."""
    if tf.is_tensor(answers):
        return str((None, *answers.shape[1:])) if answers.shape.rank else "()"
    if named and isinstance(answers, dict):
        return str({name: (None, *getattr(part, "shape", (None,))[1:]) for name, part in answers.items()})
    return f"a {type(answers).__name__} of outputs"


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

    # A model may compute with the number of rows. The concrete functions: one of many would look up the shape.
    @cache
    def concrete(rows: int) -> Callable[[tf.Tensor], tf.Tensor]:
        return compiled.get_concrete_function(tf.TensorSpec((rows, spec.observation_size), tf.float32))  # type: ignore[no-any-return]

    def outputs(observations: Rows) -> Rows:
        with computing_on("cpu"):
            # A copy: kernels are compiled for arrays that can be written to.
            return np.array(concrete(len(observations))(tf.constant(observations)))

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
