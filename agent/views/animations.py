"""Animations as files, from frames drawn by Gymnasium."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Viewers slow down animations whose frames are shorter than 20 ms, and 20 ms is a time step of CartPole.
STEPS_PER_FRAME = 2
"""Time steps of CartPole from one frame of an animation to the next."""
_FRAME_MILLISECONDS = 40
# CartPole's drawing has five colours, and blends of them along slanted edges.
_COLORS = 16
_SHRINK = 2
_COLUMNS = 3
_BORDER, _GREY = 2, 192
_CAPTION_POSITION, _CAPTION_SIZE = (12, 8), 26

SUFFIXES = (".gif", ".mp4")
"""The formats animations are written in."""

Frame = npt.NDArray[np.uint8]
"""An image, shape (H, W, 3)."""


def missing_packages(suffix: str = ".gif") -> list[str]:
    """Return which of the packages that draw and write animations of this format are not installed."""
    packages = {"pygame": "pygame", "pillow": "PIL"}
    if suffix == ".mp4":
        packages |= {"imageio": "imageio", "imageio-ffmpeg": "imageio_ffmpeg"}
    return [name for name, module in packages.items() if not importlib.util.find_spec(module)]


def captioned(frames: Iterable[Frame], caption: str) -> Iterator[Frame]:
    """Return the frames with a line of text in the upper left corner.

    Raises:
        ImportError: If Pillow is not installed.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_CAPTION_SIZE)
    for frame in frames:
        image = Image.fromarray(frame)
        ImageDraw.Draw(image).text(_CAPTION_POSITION, caption, fill="black", font=font)
        yield np.asarray(image)


def side_by_side(animations: Sequence[Iterable[Frame]]) -> Iterator[Frame]:
    """Return one animation of several, three in a row; those that end keep their last frame until all have ended.

    Args:
        animations: At least one, each of at least one frame, all frames of the same shape.
    """
    columns = min(len(animations), _COLUMNS)
    rows = math.ceil(len(animations) / columns)
    shown: list[Frame | None] = [None] * len(animations)
    for frames in itertools.zip_longest(*animations):
        shown = [last if frame is None else frame for frame, last in zip(frames, shown, strict=True)]
        panels = [panel for panel in shown if panel is not None]
        panels += [np.full_like(panels[0], 255)] * (rows * columns - len(panels))
        panels = [panel if index % columns == 0 else _bordered(panel) for index, panel in enumerate(panels)]
        starts = range(0, rows * columns, columns)
        yield np.concatenate([np.concatenate(panels[start : start + columns], axis=1) for start in starts], axis=0)


def _bordered(panel: Frame) -> Frame:
    """Return the panel with a grey line at its left."""
    bordered = panel.copy()
    bordered[:, :_BORDER] = _GREY
    return bordered


def write_animation(path: Path, frames: Iterable[Frame]) -> None:
    """Write frames as an animation in real time: a GIF, endlessly repeated and at half their size, or an MP4 film.

    Args:
        path: Where to write; the suffix, ``.gif`` or ``.mp4``, says which.
        frames: At least one, shape (H, W, 3), uint8, two time steps of CartPole apart.

    Raises:
        ImportError: If Pillow, or for films imageio, is not installed.
        OSError: If the file cannot be written.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(path, frames)
    else:
        _write_mp4(path, frames)


def _write_gif(path: Path, frames: Iterable[Frame]) -> None:
    from PIL import Image

    images = (Image.fromarray(frame).reduce(_SHRINK) for frame in frames)
    first = next(images)
    palette = first.quantize(_COLORS, Image.Quantize.MAXCOVERAGE)
    others = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
    palette.save(path, format="GIF", save_all=True, append_images=others, duration=_FRAME_MILLISECONDS, loop=0)


def _write_mp4(path: Path, frames: Iterable[Frame]) -> None:
    import imageio.v2

    film: Any = imageio.v2.get_writer(
        path, format="FFMPEG", fps=1000 // _FRAME_MILLISECONDS, codec="libx264", macro_block_size=2
    )
    with film:
        for frame in frames:
            film.append_data(frame)
