"""Frames of the environments, drawn by Gymnasium's own ``CartPole-v1``."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from gymnasium.envs.classic_control import CartPoleEnv

from fastcartpole.physics import Parameter, Quantities

Frame = npt.NDArray[np.uint8]


class Renderer:
    """Draws states; Gymnasium's drawing surface is made with the first frame."""

    def __init__(self, render_mode: str = "rgb_array") -> None:
        """Prepare; nothing is drawn and pygame is not imported yet.

        Args:
            render_mode: ``"rgb_array"``, or ``"human"`` to draw into a window.
        """
        self._render_mode = render_mode
        self._artist: CartPoleEnv | None = None

    def frame(self, state: npt.NDArray[np.float64], quantities: Quantities, index: int = 0) -> Frame | None:
        """Draw one state.

        Args:
            state: Position, velocity, angle and angular velocity, shape (4,), float64.
            quantities: The physics: length and threshold set the scale of the drawing.
            index: Which environment's quantities to use, where they differ.

        Returns:
            The frame, shape (400, 600, 3), uint8; None when drawn into a window.

        Raises:
            gymnasium.error.DependencyNotInstalled: If pygame is not installed.
        """
        if self._artist is None:
            self._artist = CartPoleEnv(render_mode=self._render_mode)
        artist = self._artist
        artist.state = state
        artist.length = _entry(quantities["half_length"], index)
        artist.x_threshold = _entry(quantities["position_threshold"], index)
        frame: Frame | None = artist.render()  # type: ignore[no-untyped-call]
        return frame

    def frames(self, states: npt.NDArray[np.float64], quantities: Quantities) -> tuple[Frame, ...]:
        """Draw every environment; ``states`` has shape (4, N)."""
        frames = (self.frame(states[:, index], quantities, index) for index in range(states.shape[1]))
        return tuple(frame for frame in frames if frame is not None)

    def grid(self, states: npt.NDArray[np.float64], quantities: Quantities) -> Frame:
        """Draw every environment into one frame: rows of ceil(sqrt(N)) frames, the rest of the last row black.

        Args:
            states: Shape (4, N), float64.
            quantities: The physics.

        Returns:
            Shape (rows * 400, columns * 600, 3), uint8.
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
        """Release Gymnasium's drawing surface, if there is one."""
        if self._artist is not None:
            self._artist.close()  # type: ignore[no-untyped-call]
            self._artist = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_artist": None}


def _entry(parameter: Parameter, index: int) -> float:
    return float(parameter[index]) if isinstance(parameter, np.ndarray) else parameter
