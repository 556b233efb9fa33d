"""Animations as files, from frames that environments have drawn."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

# Viewers slow down animations whose frames are shorter than 20 ms; half as many are smooth enough.
_FRAMES_PER_SECOND = 25
# Most drawings have a few flat colours, and blends of them along slanted edges. A frame with a pixel farther than this
# from the colours of the first frame gets colours of its own.
_COLORS = 16
_MOST_DIFFERENCE = 80
# GIFs of wider frames are halved.
_WIDEST, _SHRINK = 400, 2
_COLUMNS = 3
_BORDER, _GREY = 2, 192
# For frames 400 pixels high.
_CAPTION_POSITION, _CAPTION_SIZE, _CAPTION_HEIGHT = (12, 8), 26, 400
_SMALLEST_CAPTION = 10

SUFFIXES = (".gif", ".mp4")
"""The formats animations are written in."""

Frame = npt.NDArray[np.uint8]
"""An image, shape (H, W, 3)."""


def steps_per_frame(frames_per_second: float) -> int:
    """Return how many steps there are from one frame of an animation to the next, for steps drawn at this rate."""
    return max(1, round(frames_per_second / _FRAMES_PER_SECOND))


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

    for frame in frames:
        font = ImageFont.load_default(max(_SMALLEST_CAPTION, frame.shape[0] * _CAPTION_SIZE // _CAPTION_HEIGHT))
        image = Image.fromarray(frame)
        ImageDraw.Draw(image).text(_CAPTION_POSITION, caption, fill="black", font=font)
        yield np.asarray(image)


def side_by_side(animations: Sequence[Iterable[Frame]]) -> Iterator[Frame]:
    """Return one animation of several, three in a row; those that end keep their last frame, faded, until all have.

    Args:
        animations: At least one, each of at least one frame, all frames of the same shape.
    """
    columns = min(len(animations), _COLUMNS)
    rows = math.ceil(len(animations) / columns)
    last: dict[int, Frame] = {}
    for frames in itertools.zip_longest(*animations):
        last |= {index: frame for index, frame in enumerate(frames) if frame is not None}
        panels = [last[index] if frame is not None else _faded(last[index]) for index, frame in enumerate(frames)]
        panels += [np.full_like(panels[0], 255)] * (rows * columns - len(panels))
        panels = [panel if index % columns == 0 else _bordered(panel) for index, panel in enumerate(panels)]
        starts = range(0, rows * columns, columns)
        yield np.concatenate([np.concatenate(panels[start : start + columns], axis=1) for start in starts], axis=0)


def _faded(panel: Frame) -> Frame:
    """Return the panel of an episode that has ended, paler than the others."""
    return np.asarray((panel.astype(np.uint16) + _GREY) // 2, dtype=np.uint8)


def _bordered(panel: Frame) -> Frame:
    """Return the panel with a grey line at its left."""
    bordered = panel.copy()
    bordered[:, :_BORDER] = _GREY
    return bordered


def write_animation(path: Path, frames: Iterable[Frame], frames_per_second: float) -> None:
    """Write frames as an animation in real time: a GIF, endlessly repeated, or an MP4 film.

    In a GIF, frames wider than 400 pixels are half their size.

    Args:
        path: Where to write; the suffix, ``.gif`` or ``.mp4``, says which.
        frames: At least one, shape (H, W, 3), uint8.
        frames_per_second: Of these frames.

    Raises:
        ImportError: If Pillow, or for films imageio, is not installed.
        OSError: If the file cannot be written.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(path, frames, frames_per_second)
    else:
        _write_mp4(path, frames, frames_per_second)


def _write_gif(path: Path, frames: Iterable[Frame], frames_per_second: float) -> None:
    from PIL import Image

    images = (_shrunk(Image.fromarray(frame)) for frame in frames)
    palette = next(images).quantize(_COLORS, Image.Quantize.MAXCOVERAGE)
    others = (_in_few_colors(image, palette) for image in images)
    duration = round(1000 / frames_per_second)
    palette.save(path, format="GIF", save_all=True, append_images=others, duration=duration, loop=0)


def _shrunk(image: Image.Image) -> Image.Image:
    return image.reduce(_SHRINK) if image.width > _WIDEST else image


def _in_few_colors(image: Image.Image, palette: Image.Image) -> Image.Image:
    """Return an image in the colours of another, or in its own where those do not fit."""
    from PIL import Image, ImageChops

    quantized = image.quantize(palette=palette, dither=Image.Dither.NONE)
    differences: Any = ImageChops.difference(quantized.convert("RGB"), image).getextrema()
    if max(highest for _, highest in differences) <= _MOST_DIFFERENCE:
        return quantized
    return image.quantize(_COLORS, Image.Quantize.MAXCOVERAGE)


def _write_mp4(path: Path, frames: Iterable[Frame], frames_per_second: float) -> None:
    import imageio.v2

    film: Any = imageio.v2.get_writer(path, format="FFMPEG", fps=frames_per_second, codec="libx264", macro_block_size=2)
    with film:
        for frame in frames:
            film.append_data(frame)
