"""The user's own Keras models as networks to train."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from ..actors import as_rows, checked_input_shape, outputs_as_rows
from ..config import PPOConfig
from ..environments.heads import CategoricalHead
from ..environments.spec import EnvironmentSpec
from ..process.backend import computing_on, keras, tf
from .raw_models import REWARD_SCALE

# The number of observations on which a model is tried.
_CHECKED_ROWS = 3


class OwnNetwork:
    """A custom Keras model with any layers.

    Attributes:
        model: The model.
        variables: Its trainable variables.
        input_shape: Shape of one observation as the model takes it.
    """

    def __init__(
        self,
        name: str,
        model: keras.Model,
        config: PPOConfig,
        spec: EnvironmentSpec,
        output_names: Sequence[str],
        size: int,
    ) -> None:
        """Check the model.

        Args:
            name: ``actor`` or ``critic``, for messages.
            model: Maps observations, flat or in their own shape, to outputs.
            config: Configuration of the training run.
            spec: Spec of the environment.
            output_names: Required keys of the output dictionary; empty if the output is a single array.
            size: Required number of outputs per observation, summed over all arrays.

        Raises:
            TypeError: If it is not a Keras model.
            ValueError: If its inputs or outputs have the wrong shape, it cannot be trained, or observations would be
                normalized twice or rounded.
        """
        if not isinstance(model, keras.Model):
            raise TypeError(f"{name} must be a Keras model, got {model!r}.")
        self.model = model
        self._names = tuple(output_names)
        self.input_shape: tuple[int, ...] = checked_input_shape(name, model, spec, self._names, size)
        self.variables: list[keras.Variable] = model.trainable_variables
        rows = np.random.default_rng(0).normal(size=(_CHECKED_ROWS, *self.input_shape)).astype(np.float32)
        _check_variables(name, model, rows, self._names)
        _assert_normalized_once(name, model, config)
        _assert_takes_fractions(name, model, rows, self._names, config, spec)
        if name == "actor" and isinstance(spec.action_head, CategoricalHead):
            _warn_of_probabilities(model, self(tf.constant(rows.reshape(_CHECKED_ROWS, -1))), spec.action_head.sizes)

    def outputs(self, weights: Sequence[tf.Tensor], observations: tf.Tensor) -> tf.Tensor:
        """Return the differentiable outputs with the given weights; see ``agent.learning.networks.Network``."""
        with keras.StatelessScope(state_mapping=list(zip(self.variables, weights, strict=True))):
            outputs = self.model(as_rows(observations, self.input_shape), training=True)
        return outputs_as_rows(outputs, self._names)

    def __call__(self, observations: tf.Tensor) -> tf.Tensor:
        """Return the current outputs of the model, shape (B, P), float32, for observations of shape (B, D)."""
        return outputs_as_rows(self.model(as_rows(observations, self.input_shape), training=False), self._names)


def _check_variables(name: str, model: keras.Model, rows: npt.NDArray[np.float32], names: Sequence[str]) -> None:
    """Check that a model can be trained from a compiled graph.

    Raises:
        ValueError: If the model has no trainable variables, or has state or losses that would be ignored.
    """
    if not model.trainable_variables:
        raise ValueError(f"{name} must have trainable variables, got a model without any.")
    for variable in model.trainable_variables:
        if variable.dtype != "float32":
            raise ValueError(f"{name} must have variables of float32, got {variable.path} of {variable.dtype}.")
    if model.losses:
        raise ValueError(f"{name} must have no losses of its own, got those of {_with_losses(model)}.")
    if changed := _changed_by_training(model, rows):
        raise ValueError(
            f"{name} must have no state that changes while it is trained, such as that of batch normalization or "
            f"dropout, got {', '.join(changed)}."
        )
    if unused := _without_gradient(model, rows, names):
        raise ValueError(
            f"{name} must have no trained variables that its outputs do not depend on, got {', '.join(unused)}."
        )
    with computing_on("cpu"):
        given = [tf.nest.flatten(model(rows, training=training)) for training in (False, True)]
    if not all(np.allclose(one, other, rtol=1e-4, atol=1e-5) for one, other in zip(*given, strict=True)):
        raise ValueError(f"{name} must give the same outputs while it is trained as otherwise, which it does not.")


def _assert_normalized_once(name: str, model: keras.Model, config: PPOConfig) -> None:
    """Check that a model does not normalize what the agent normalizes, as actors and critics of saved runs do.

    Raises:
        ValueError: If it does.
    """
    for layer in model._flatten_layers():
        is_doubled = {
            "normalize_observations": config.normalize_observations and isinstance(layer, keras.layers.Normalization),
            "normalize_rewards": config.normalize_rewards and name == "critic" and layer.name == REWARD_SCALE,
        }
        for setting in (setting for setting, is_set in is_doubled.items() if is_set):
            raise ValueError(
                f"{setting} must be False with this {name}, whose layer '{layer.name}' does the same already. If it is "
                "that of a saved run, its statistics then stay as they are; fastppo.load(run) continues the run itself."
            )


def _assert_takes_fractions(
    name: str,
    model: keras.Model,
    rows: npt.NDArray[np.float32],
    names: Sequence[str],
    config: PPOConfig,
    spec: EnvironmentSpec,
) -> None:
    """Check that a model does not round observations that are not whole numbers.

    Raises:
        ValueError: If it does.
    """
    dtypes = [str(tensor.dtype) for tensor in getattr(model, "inputs", None) or ()]
    whole = next((dtype for dtype in dtypes if not dtype.startswith(("float", "bfloat"))), None)
    space = spec.observation_space
    if whole is not None and _has_fractions(space):
        raise ValueError(f"{name} must take observations of {space}, got a model whose input is {whole}.")
    if not config.normalize_observations:
        return
    observations = tf.constant(rows)
    with computing_on("cpu"), tf.GradientTape() as tape:
        tape.watch(observations)
        total = tf.reduce_sum(outputs_as_rows(model(observations), names))
    # Conversions to integers have no gradient.
    if whole is not None or tape.gradient(total, observations) is None:
        raise ValueError(
            f"normalize_observations must be False with this {name}, which takes whole numbers"
            f"{f' of {whole}' if whole else ''}: normalized observations would be rounded."
        )


def _has_fractions(space: Any) -> bool:
    """Return whether observations may contain numbers that are not whole."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return any(map(_has_fractions, parts))
    return isinstance(space, spaces.Box) and space.dtype.kind == "f"


def _warn_of_probabilities(model: keras.Model, outputs: tf.Tensor, sizes: Sequence[int]) -> None:
    """Warn if an actor's outputs are probabilities instead of logits."""
    last = _last_layer(model)
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__).lower()
    parts = np.split(np.asarray(outputs), np.cumsum(sizes)[:-1], axis=1)
    are_shares = all((part >= 0.0).all() and np.allclose(part.sum(axis=1), 1.0, atol=1e-5) for part in parts)
    if activation in ("softmax", "sigmoid") or are_shares:
        warnings.warn(
            f"actor must return logits, but its layer '{getattr(last, 'name', model.name)}' returns probabilities, "
            "which would be trained as logits: leave the activation out.",
            RuntimeWarning,
            stacklevel=2,
        )


def _last_layer(model: keras.Model) -> Any:
    """Return the layer that returns a model's outputs; None if it has no graph of layers."""
    layer: Any = model
    while isinstance(layer, keras.Model):
        outputs = getattr(layer, "outputs", None)
        if not outputs:
            return None
        layer = outputs[0]._keras_history.operation
    return layer


def _with_losses(model: keras.Model) -> str:
    return ", ".join(layer.name for layer in model.layers if layer.losses) or model.name


def _changed_by_training(model: keras.Model, rows: npt.NDArray[np.float32]) -> list[str]:
    """Return the paths of the variables that a call in training mode changes."""
    variables = model.non_trainable_variables
    if not variables:
        return []
    # In this scope, assignments do not change the variables themselves.
    with computing_on("cpu"), keras.StatelessScope() as scope:
        model(rows, training=True)
    return [variable.path for variable in variables if _is_other(scope.get_current_value(variable), variable)]


def _without_gradient(model: keras.Model, rows: npt.NDArray[np.float32], names: Sequence[str]) -> list[str]:
    """Return the paths of the trainable variables that do not affect the required outputs."""
    with computing_on("cpu"), tf.GradientTape() as tape:
        total = tf.reduce_sum(outputs_as_rows(model(rows, training=True), names))
    variables = model.trainable_variables
    gradients = tape.gradient(total, [variable.value for variable in variables])
    return [variable.path for variable, gradient in zip(variables, gradients, strict=True) if gradient is None]


def _is_other(value: Any, variable: keras.Variable) -> bool:
    return value is not None and not np.array_equal(np.asarray(value), variable.numpy())


def assert_nothing_is_shared(actor: keras.Model, critic: keras.Model) -> None:
    """Check that two models share no trainable variables, because they are trained in parallel.

    Raises:
        ValueError: If they do.
    """
    of_actor = {id(variable) for variable in actor.trainable_variables}
    shared = [variable.path for variable in critic.trainable_variables if id(variable) in of_actor]
    if shared:
        raise ValueError(f"actor and critic must share no trained variables, got {', '.join(shared)} in both.")
