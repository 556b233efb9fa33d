"""Frames of the environments, drawn by Gymnasium's own ``CartPole-v1``."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from gymnasium.envs.classic_control import CartPoleEnv

from fastcartpole.physics import Parameter, Quantities
from fastcartpole.validation import checked_integer

Frame = npt.NDArray[np.uint8]


class Renderer:
    """Draws states; Gymnasium's drawing surface is created with the first frame.

    Attributes:
        size: Width and height of a frame in pixels.
    """

    def __init__(self, render_mode: str = "rgb_array") -> None:
        """Create a renderer; pygame is not imported before the first frame.

        Args:
            render_mode: ``"rgb_array"``, or ``"human"`` to draw into a window.
        """
        self._render_mode = render_mode
        self._artist: CartPoleEnv | None = None
        self.size = (600, 400)

    def frame(self, state: npt.NDArray[np.float64], quantities: Quantities, index: int = 0) -> Frame | None:
        """Draw one state.

        Args:
            state: Position, velocity, angle and angular velocity, shape (4,), float64.
            quantities: Physical quantities; pole length and position threshold set the scale of the drawing.
            index: Index of the environment whose quantities to use, if they differ.

        Returns:
            The frame, shape (height, width, 3), uint8; None when drawn into a window.

        Raises:
            gymnasium.error.DependencyNotInstalled: If pygame is not installed.
        """
        if self._artist is None:
            self._artist = CartPoleEnv(render_mode=self._render_mode)
        artist = self._artist
        artist.state = state
        artist.screen_width, artist.screen_height = self.size
        artist.length = _entry(quantities["half_length"], index)
        artist.x_threshold = _entry(quantities["position_threshold"], index)
        frame: Frame | None = artist.render()  # type: ignore[no-untyped-call]
        return frame

    def frames(self, states: npt.NDArray[np.float64], quantities: Quantities) -> tuple[Frame, ...]:
        """Draw every environment; ``states`` has shape (4, N)."""
        frames = (self.frame(states[:, index], quantities, index) for index in range(states.shape[1]))
        return tuple(frame for frame in frames if frame is not None)

    def grid(self, states: npt.NDArray[np.float64], quantities: Quantities) -> Frame:
        """Draw all environments into one frame, with ceil(sqrt(N)) frames per row and the rest of the last row black.

        Args:
            states: Shape (4, N), float64.
            quantities: Physical quantities.

        Returns:
            Shape (rows * height, columns * width, 3), uint8.
        """
        frames = self.frames(states, quantities)
        columns = math.ceil(math.sqrt(len(frames)))
        rows = math.ceil(len(frames) / columns)
        height, width, channels = frames[0].shape
        tiles = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
        tiles[: len(frames)] = frames
        by_pixel_row = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
        return by_pixel_row.reshape(rows * height, columns * width, channels)

    def close(self) -> None:
        """Release Gymnasium's drawing surface, if it exists."""
        if self._artist is not None:
            self._artist.close()  # type: ignore[no-untyped-call]
            self._artist = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_artist": None}


class Drawn:
    """Mixin for environments and batches: the size of their frames, under Gymnasium's names.

    Attributes:
        screen_width: Width of a frame in pixels.
        screen_height: Height of a frame in pixels.
    """

    _renderer: Renderer

    @property
    def screen_width(self) -> int:
        """Width of a frame in pixels."""
        return self._renderer.size[0]

    @screen_width.setter
    def screen_width(self, value: int) -> None:
        self._renderer.size = (checked_integer("screen_width", value, minimum=1), self.screen_height)

    @property
    def screen_height(self) -> int:
        """Height of a frame in pixels."""
        return self._renderer.size[1]

    @screen_height.setter
    def screen_height(self, value: int) -> None:
        self._renderer.size = (self.screen_width, checked_integer("screen_height", value, minimum=1))


def _entry(parameter: Parameter, index: int) -> float:
    return float(parameter[index]) if isinstance(parameter, np.ndarray) else parameter
