"""Web pages that show policies: CartPole live in the browser, other environments as recorded episodes.

A page is a single file and needs no network. Its style, scripts and skeletons are the files in ``page/``.
"""

from __future__ import annotations

import base64
import html
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..environments.making import EnvironmentSource
from ..environments.spec import EnvironmentSpec
from ..formatting import format_episode_return
from ..process.quiet import standard_error_held_back
from .animations import Frame, missing_packages, shrunk, write_mp4
from .rendering import drawn_episode, frame_rate

if TYPE_CHECKING:
    from ..process.backend import keras

MAX_BYTES = 200_000
"""Size of the largest page that is written: one that can be sent by mail or embedded anywhere."""

_FILES = Path(__file__).parent / "page"
_SEED = 0
_BYTES_PER_BASE64 = 3 / 4
# What a policy's label and figures take, at most.
_BYTES_OF_FIGURES = 200
# From the best to the smallest: how often the frames are halved, and x264's constant rate factor.
_ENCODINGS = ((0, 26), (0, 32), (0, 38), (1, 32), (1, 38), (1, 44), (2, 44), (2, 50))

_ACTIVATIONS = frozenset({"linear", "tanh", "relu", "elu", "silu"})
_CHECKED_OBSERVATIONS = 1000
# Sums in double precision against those of another order in single precision.
_TOLERANCE = 1e-4

Layer = dict[str, Any]
"""What a page computes of an actor in one go: its kind and its numbers, arrays of float32."""


class PageError(ValueError):
    """Raised if the policies do not fit on a page."""


class UnknownLayersError(PageError):
    """Raised if an actor has layers that a page cannot compute."""


class ShownPolicy(NamedTuple):
    """A policy of a page.

    Attributes:
        label: Text beside the slider, such as ``"after epoch 8"``.
        actor: The Keras model.
    """

    label: str
    actor: keras.Model


def missing_packages_of_recordings() -> list[str]:
    """Return which of the packages that draw and record episodes are not installed."""
    return missing_packages(".mp4")


def layers_of(actor: keras.Model) -> list[Layer] | None:
    """Return the layers of an actor of CartPole as a page computes them, or None if a page cannot.

    Pages know dense layers with the activations of ``agent.PPOConfig``, normalization and clips, one after the other.
    Whether these are all that the actor computes is checked on 1,000 random observations.

    Args:
        actor: Maps observations, shape (B, 4), float32, to logits, shape (B, 2).
    """
    layers = _layers_in_order(actor)
    if layers is None:
        return None
    observations = np.random.default_rng(0).normal(size=(_CHECKED_OBSERVATIONS, 4)).astype(np.float32)
    expected = np.asarray(actor(observations))
    try:
        actual = _computed(layers, observations)
    except ValueError:
        # The layers do not follow one another.
        return None
    agrees = actual.shape == expected.shape and np.allclose(actual, expected, rtol=_TOLERANCE, atol=_TOLERANCE)
    return layers if agrees else None


def _layers_in_order(model: keras.Model) -> list[Layer] | None:
    from ..process.backend import keras

    layers: list[Layer] = []
    for operation in getattr(model, "operations", model.layers):
        if isinstance(operation, keras.Model):
            inner = _layers_in_order(operation)
            if inner is None:
                return None
            layers += inner
        elif not isinstance(operation, keras.layers.InputLayer):
            layer = _described(operation)
            if layer is None:
                return None
            layers.append(layer)
    return layers


def _described(operation: Any) -> Layer | None:
    """Return one layer or operation of Keras as a page has it, or None if pages do not know it."""
    from ..process.backend import keras

    if type(operation) is keras.layers.Dense:
        activation = getattr(operation.activation, "__name__", "")
        kernel = np.asarray(operation.kernel, dtype=np.float32)
        bias = np.zeros(kernel.shape[1], np.float32) if operation.bias is None else np.asarray(operation.bias)
        layer = {"kind": "dense", "kernel": kernel, "bias": bias.astype(np.float32), "activation": activation}
        return layer if activation in _ACTIVATIONS else None
    if type(operation) is keras.layers.Normalization:
        mean, variance = (np.asarray(part, np.float32).reshape(-1) for part in (operation.mean, operation.variance))
        deviation = np.maximum(np.sqrt(variance), np.float32(keras.config.epsilon()))
        return {"kind": "normalization", "mean": mean, "deviation": deviation}
    if type(operation).__name__ == "Clip":
        return {"kind": "clip", "low": float(operation.x_min), "high": float(operation.x_max)}
    return None


def _computed(layers: Iterable[Layer], observations: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return what a page computes, in NumPy; ``cartpole.js`` does the same for one observation."""
    functions: dict[str, Callable[[Any], Any]] = {
        "linear": lambda x: x,
        "tanh": np.tanh,
        "relu": lambda x: np.maximum(x, 0),
        "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        "silu": lambda x: x / (1 + np.exp(-x)),
    }
    values = observations.astype(np.float64)
    for layer in layers:
        if layer["kind"] == "dense":
            values = functions[layer["activation"]](values @ layer["kernel"] + layer["bias"])
        elif layer["kind"] == "normalization":
            values = (values - layer["mean"]) / layer["deviation"]
        else:
            values = np.clip(values, layer["low"], layer["high"])
    return values


def _as_json(layer: Layer) -> Layer:
    """Return a layer with its arrays as base64 of little-endian float32."""
    return {
        name: base64.b64encode(value.astype("<f4").tobytes()).decode() if isinstance(value, np.ndarray) else value
        for name, value in layer.items()
    }


def policies_that_fit(layers: Sequence[Layer]) -> int:
    """Return how many policies of this size fit on a live page."""
    empty = len(_live_page("", "", []).encode())
    return (MAX_BYTES - empty) // (len(json.dumps([_as_json(layer) for layer in layers])) + _BYTES_OF_FIGURES)


def write_live_page(path: Path, policies: Sequence[ShownPolicy], title: str, note: str) -> int:
    """Write a page on which policies balance the pole in the browser, which computes the physics and the actor.

    Args:
        path: The file.
        policies: At least one; the slider chooses among them, and begins with the last.
        title: The page's heading, plain text.
        note: A line below everything else, plain text.

    Returns:
        The size of the page in bytes.

    Raises:
        UnknownLayersError: If an actor has layers that a page cannot compute.
        PageError: If the page would be larger than ``MAX_BYTES``.
        OSError: If the file cannot be written.
    """
    shown = []
    for policy in policies:
        layers = layers_of(policy.actor)
        if layers is None:
            raise UnknownLayersError(f"the actor '{policy.label}' has layers that a page cannot compute.")
        shown.append({"label": policy.label, "layers": [_as_json(layer) for layer in layers]})
    return _written(path, _live_page(title, note, shown), len(policies))


def _live_page(title: str, note: str, policies: list[dict[str, Any]]) -> str:
    from fastcartpole import CartPoleParameters
    from fastcartpole.batch import RESET_HIGH

    # Numbers for one environment: every parameter of CartPole-v1 is one.
    physics = {name: float(value) for name, value in CartPoleParameters().quantities().items()}
    data = {"physics": {**physics, "initial_state_limit": RESET_HIGH}, "policies": policies}
    return _page(title, note, "live.html", ("chooser.js", "cartpole.js", "live.js"), data)


def write_recorded_page(
    path: Path, source: EnvironmentSource, spec: EnvironmentSpec, policies: Sequence[ShownPolicy], title: str, note: str
) -> int:
    """Write a page with one recorded episode of each policy, as the environment draws itself.

    The episodes are greedy, and all begin with the same seed. The fewer there are, the sharper they are.

    Args:
        path: The file.
        source: Makes the environment.
        spec: Its description.
        policies: At least one; the slider chooses among them, and begins with the last.
        title: The page's heading, plain text.
        note: A line below everything else, plain text.

    Returns:
        The size of the page in bytes.

    Raises:
        PageError: If the episodes do not fit.
        ImportError: If a package that draws or records is not installed.
        UnknownEnvironmentError: If the environment lacks a package for drawing.
        OSError: If the file cannot be written.
    """
    empty = len(_page(title, note, "recorded.html", ("chooser.js", "recorded.js"), {"policies": []}).encode())
    budget = int((MAX_BYTES - empty) / len(policies) * _BYTES_PER_BASE64) - _BYTES_OF_FIGURES
    shown = [_recording(source, spec, policy, budget) for policy in policies]
    page = _page(title, note, "recorded.html", ("chooser.js", "recorded.js"), {"policies": shown})
    return _written(path, page, len(policies))


def _recording(source: EnvironmentSource, spec: EnvironmentSpec, policy: ShownPolicy, budget: int) -> dict[str, str]:
    """Return one episode as a video of at most ``budget`` bytes, and what to say of it."""
    from PIL import Image

    frames: list[Frame] = []
    # Where there is no screen, the drawing library says so although it needs none.
    with standard_error_held_back():
        for frame, moment in drawn_episode(source, policy.actor, _SEED, greedy=True):
            frames.append(np.asarray(shrunk(Image.fromarray(frame))))
            last = moment
    return {
        "label": policy.label,
        "figures": f"Return {format_episode_return(last.total_reward)} in {last.steps:,} steps",
        "video": base64.b64encode(_video_within(budget, frames, frame_rate(spec))).decode(),
    }


def _video_within(budget: int, frames: list[Frame], frames_per_second: float) -> bytes:
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="fastppo-") as directory:
        video = Path(directory) / "episode.mp4"
        for halvings, rate_factor in _ENCODINGS:
            smaller = (np.asarray(Image.fromarray(frame).reduce(2**halvings)) for frame in frames)
            write_mp4(video, smaller, frames_per_second, rate_factor)
            content = video.read_bytes()
            if len(content) <= budget:
                return content
    raise PageError(
        f"an episode of {len(frames)} frames does not fit into {budget:,} bytes of a page: choose fewer epochs."
    )


def _page(title: str, note: str, body: str, scripts: Iterable[str], data: dict[str, Any]) -> str:
    parts = {
        "title": html.escape(title),
        "note": html.escape(note),
        "style": _file("page.css"),
        "body": Template(_file(body)).substitute(chooser=_file("chooser.html").rstrip()),
        "script": "".join(map(_file, scripts)),
        # Within a script element nothing but its end tag has a meaning.
        "data": json.dumps(data, separators=(",", ":")).replace("</", "<\\/"),
    }
    return Template(_file("page.html")).substitute(parts)


def _file(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


def _written(path: Path, page: str, num_policies: int) -> int:
    content = page.encode()
    if len(content) > MAX_BYTES:
        message = f"a page with {num_policies} policies has {len(content):,} bytes, at most {MAX_BYTES:,} are allowed: "
        raise PageError(message + ("choose fewer epochs." if num_policies > 1 else "the actor is too large."))
    path.write_bytes(content)
    return len(content)
