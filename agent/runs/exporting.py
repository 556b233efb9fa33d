"""Export of trained actors to the formats of other libraries."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import numpy.typing as npt

from ..actors import checked_input_shape, load_actor, outputs_as_rows, outputs_of
from ..environments.spec import EnvironmentSpec
from ..errors import reason_of
from ..process.backend import computing_on, keras, tf
from ..process.quiet import standard_error_held_back

Format = Literal["keras", "saved_model", "onnx"]
Outputs = npt.NDArray[np.float32]
Shape = tuple[int, ...]

_CHECKED_OBSERVATIONS = 1000
_SPREAD = 3.0
# Libraries sum in different orders.
_TOLERANCE = 1e-5
# ONNX names of input dtypes other than float32.
_ONNX_TYPES = {
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class ExportError(RuntimeError):
    """Raised if the actor cannot be converted, or if the exported model gives different outputs."""


def missing_packages(file_format: Format) -> list[str]:
    """Return the packages needed to write and check a format that are not installed."""
    return [name for name in ("onnx", "onnxruntime", "tf2onnx") if file_format == "onnx" and not find_spec(name)]


def export_actor(actor: keras.Model, spec: EnvironmentSpec, path: Path, file_format: Format) -> float:
    """Write the actor, read it back, and compare its outputs on 1,000 random observations.

    Args:
        actor: An actor that ``fastppo.evaluate`` accepts.
        spec: Description of its environment.
        path: Path of the output: a directory for a SavedModel, otherwise a file.
        file_format: A Keras archive, a TensorFlow SavedModel, or ONNX.

    Returns:
        The largest difference between two outputs.

    Raises:
        ExportError: If a difference exceeds rounding errors, or if the format lacks one of the actor's layers.
        ImportError: If a package is not installed.
        ValueError: If the actor does not fit the environment.
        OSError: If the output cannot be written.
    """
    observations = _random_observations(spec)
    head = spec.action_head
    shape = checked_input_shape("the actor", actor, spec, head.output_names, head.num_outputs)
    expected = outputs_of(actor, spec)(observations)
    with computing_on("cpu"), standard_error_held_back(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' converter to ONNX uses names that NumPy has deprecated.
        try:
            _write(actor, shape, path, file_format)
            exported = _READERS[file_format](path, spec, shape)(observations)
        except (ImportError, OSError):
            raise
        except Exception as error:
            # Converters and readers raise exceptions of many kinds.
            raise ExportError(f"the actor cannot be converted to {file_format}: {reason_of(error)}.") from None
    if not np.allclose(exported, expected, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
        raise ExportError("the exported model and the actor give different outputs.")
    return float(np.nanmax(np.abs(exported - expected), initial=0.0))


def _random_observations(spec: EnvironmentSpec) -> Outputs:
    """Return random observations within the bounds of their space, shape (1000, D), float32."""
    space: Any = gymnasium.spaces.flatten_space(spec.observation_space)
    observations = np.random.default_rng(0).normal(scale=_SPREAD, size=(_CHECKED_OBSERVATIONS, spec.observation_size))
    return np.clip(observations, space.low.reshape(-1), space.high.reshape(-1)).astype(np.float32)


def _write(actor: keras.Model, shape: Shape, path: Path, file_format: Format) -> None:
    if file_format == "keras":
        actor.save(path)
    else:
        name = {"saved_model": "tf_saved_model", "onnx": "onnx"}[file_format]
        (inputs,) = actor.inputs
        # Any number of rows, even if the model was built with a fixed one.
        signature = [keras.InputSpec(dtype=inputs.dtype, shape=(None, *shape), name=inputs.name)]
        with _statistics_as_constants(actor):
            actor.export(path, format=name, verbose=False, input_signature=signature)


@contextmanager
def _statistics_as_constants(model: keras.Model) -> Iterator[None]:
    """Let normalization layers use NumPy arrays, which tracing turns into constants.

    Their own tensors would be captured, and the converter to ONNX would make them inputs.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Normalization)]
    before = [(layer.mean, layer.variance) for layer in layers]
    for layer in layers:
        layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    try:
        yield
    finally:
        for layer, statistics in zip(layers, before, strict=True):
            layer.mean, layer.variance = statistics


def _keras_outputs(path: Path, spec: EnvironmentSpec, _: Shape) -> Callable[[Outputs], Outputs]:
    return outputs_of(load_actor(path, spec), spec)


def _saved_model_outputs(path: Path, spec: EnvironmentSpec, shape: Shape) -> Callable[[Outputs], Outputs]:
    model = tf.saved_model.load(path)
    names = spec.action_head.output_names
    return lambda rows: np.asarray(outputs_as_rows(model.serve(rows.reshape(-1, *shape)), names))


def _onnx_outputs(path: Path, spec: EnvironmentSpec, shape: Shape) -> Callable[[Outputs], Outputs]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    dtype = _ONNX_TYPES.get(given.type, np.float32)
    # Their order varies, so several outputs are fetched by name.
    names = list(spec.action_head.output_names) or None

    def outputs(rows: Outputs) -> Outputs:
        parts: Any = session.run(names, {given.name: rows.reshape(-1, *shape).astype(dtype)})
        return np.concatenate(parts, axis=1)

    return outputs


_READERS: dict[Format, Callable[[Path, EnvironmentSpec, Shape], Callable[[Outputs], Outputs]]] = {
    "keras": _keras_outputs,
    "saved_model": _saved_model_outputs,
    "onnx": _onnx_outputs,
}
