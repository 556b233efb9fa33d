"""Animation files of frames rendered by environments."""

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

# Viewers slow down animations with frames shorter than 20 ms; half that frame rate is smooth enough.
_FRAMES_PER_SECOND = 25
# Most environments draw a few flat colours, blended along slanted edges. A frame with a pixel farther than this from
# the palette of the first frame gets its own palette.
_COLORS = 16
_MAX_DIFFERENCE = 80
# Wider frames are halved in GIFs.
_WIDEST, _SHRINK = 400, 2
_COLUMNS = 3
_BORDER, _GREY = 2, 192
# For frames 400 pixels high.
_CAPTION_POSITION, _CAPTION_SIZE, _CAPTION_HEIGHT = (12, 8), 26, 400
_SMALLEST_CAPTION = 10

SUFFIXES = (".gif", ".mp4")
"""The file formats of animations."""

Frame = npt.NDArray[np.uint8]
"""An image, shape (H, W, 3)."""


def steps_per_frame(frames_per_second: float) -> int:
    """Return the number of environment steps per frame of an animation, for an environment with this frame rate."""
    return max(1, round(frames_per_second / _FRAMES_PER_SECOND))


def missing_packages(suffix: str = ".gif") -> list[str]:
    """Return the packages that animations of this format need and that are not installed."""
    packages = {"pygame": "pygame", "pillow": "PIL"}
    if suffix == ".mp4":
        packages |= {"imageio": "imageio", "imageio-ffmpeg": "imageio_ffmpeg"}
    return [name for name, module in packages.items() if not importlib.util.find_spec(module)]


def captioned(frames: Iterable[Frame], caption: str) -> Iterator[Frame]:
    """Yield the frames with a caption in the upper left corner.

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
    """Combine several animations into one, three per row; after its end, each shows its last frame, faded.

    Args:
        animations: At least one animation, each with at least one frame; all frames have the same shape.
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
    """Return a faded panel, for an episode that has ended."""
    return np.asarray((panel.astype(np.uint16) + _GREY) // 2, dtype=np.uint8)


def _bordered(panel: Frame) -> Frame:
    """Return the panel with a grey line along its left edge."""
    bordered = panel.copy()
    bordered[:, :_BORDER] = _GREY
    return bordered


def write_animation(path: Path, frames: Iterable[Frame], frames_per_second: float) -> None:
    """Write frames as a real-time animation: a looping GIF or an MP4 video.

    In GIFs, frames wider than 400 pixels are halved in size.

    Args:
        path: File to write; its suffix, ``.gif`` or ``.mp4``, determines the format.
        frames: At least one frame, each of shape (H, W, 3), uint8.
        frames_per_second: Frame rate.

    Raises:
        ImportError: If Pillow, or imageio for MP4, is not installed.
        OSError: If the file cannot be written.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(path, frames, frames_per_second)
    else:
        write_mp4(path, frames, frames_per_second)


def _write_gif(path: Path, frames: Iterable[Frame], frames_per_second: float) -> None:
    from PIL import Image

    images = (shrunk(Image.fromarray(frame)) for frame in frames)
    palette = next(images).quantize(_COLORS, Image.Quantize.MAXCOVERAGE)
    others = (_in_few_colors(image, palette) for image in images)
    duration = round(1000 / frames_per_second)
    palette.save(path, format="GIF", save_all=True, append_images=others, duration=duration, loop=0)


def shrunk(image: Image.Image) -> Image.Image:
    """Return an image at half its size if it is wider than 400 pixels, else as it is."""
    return image.reduce(_SHRINK) if image.width > _WIDEST else image


def _in_few_colors(image: Image.Image, palette: Image.Image) -> Image.Image:
    """Return an image in the colours of a palette, or in its own colours if those do not fit."""
    from PIL import Image, ImageChops

    quantized = image.quantize(palette=palette, dither=Image.Dither.NONE)
    differences: Any = ImageChops.difference(quantized.convert("RGB"), image).getextrema()
    if max(highest for _, highest in differences) <= _MAX_DIFFERENCE:
        return quantized
    return image.quantize(_COLORS, Image.Quantize.MAXCOVERAGE)


def write_mp4(path: Path, frames: Iterable[Frame], frames_per_second: float, rate_factor: int | None = None) -> None:
    """Write frames as an MP4 film.

    Args:
        path: Where to write.
        frames: At least one, shape (H, W, 3), uint8.
        frames_per_second: Of these frames.
        rate_factor: The constant rate factor of x264: 18 looks like the original, 51 is smallest; None for imageio's
            default.

    Raises:
        ImportError: If imageio is not installed.
        OSError: If the file cannot be written.
    """
    import imageio.v2

    quality: dict[str, Any] = {}
    if rate_factor is not None:
        quality = {"quality": None, "output_params": ["-crf", str(rate_factor), "-preset", "veryslow"]}
    film: Any = imageio.v2.get_writer(
        path, format="FFMPEG", fps=frames_per_second, codec="libx264", macro_block_size=2, **quality
    )
    with film:
        for frame in frames:
            film.append_data(frame)
