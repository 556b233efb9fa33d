"""A policy in a window."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import gymnasium

from ..environments.making import EnvironmentSource
from ..process.quiet import standard_error_held_back
from .rendering import play_episode

# After the module that keeps pygame from greeting on standard output.
import pygame  # isort: skip

if TYPE_CHECKING:
    from ..process.backend import keras


class NoScreenError(RuntimeError):
    """Raised where no window can be opened."""


class Window:
    """The window in which an environment draws itself, in real time."""

    def __init__(self, source: EnvironmentSource) -> None:
        """Open nothing yet.

        Args:
            source: Makes the environment.

        Raises:
            NoScreenError: If there is no screen.
            UnknownEnvironmentError: If the environment draws no window, or lacks a package for it.
        """
        try:
            with standard_error_held_back():
                pygame.display.init()
        except pygame.error as error:
            raise NoScreenError(f"no window can be opened: {error}") from None
        # Where it finds no screen, SDL may settle for a driver that shows nothing, and crashes in it.
        if pygame.display.get_driver() == "offscreen":
            pygame.display.quit()
            raise NoScreenError("no window can be opened: there is no screen")
        self._environment: gymnasium.Env[Any, Any] = source.one(render_mode="human")

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the window."""
        self._environment.close()

    def play(self, actor: keras.Model, seed: int, *, greedy: bool) -> float | None:
        """Play one episode.

        Args:
            actor: One that ``agent.evaluate`` takes.
            seed: Fixes the initial state and the actions.
            greedy: Whether the most probable action is taken, or actions are drawn with the policy's probabilities.

        Returns:
            Its return; None where the user closed the window.
        """
        episode_return = 0.0
        for moment in play_episode(self._environment, actor, seed, greedy=greedy):
            # Gymnasium draws, but does not hear that the window is to be closed.
            if pygame.event.peek(pygame.QUIT):
                return None
            episode_return = moment.total_reward
        return episode_return
