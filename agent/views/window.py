"""Episodes of a policy in a window."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import gymnasium

from ..environments.making import EnvironmentSource
from ..errors import of_the_environment
from ..process.quiet import standard_error_held_back
from .rendering import play_episode

# After .rendering, which hides pygame's greeting on standard output.
import pygame  # isort: skip

if TYPE_CHECKING:
    from ..process.backend import keras


class NoScreenError(RuntimeError):
    """Raised if no window can be opened."""


class Window:
    """A window in which an environment renders itself in real time."""

    def __init__(self, source: EnvironmentSource) -> None:
        """Create the environment; its first episode opens the window.

        Args:
            source: Creates the environment.

        Raises:
            NoScreenError: If there is no screen.
            UnknownEnvironmentError: If the environment cannot render to a window, or lacks a package for it.
        """
        try:
            with standard_error_held_back():
                pygame.display.init()
        except pygame.error as error:
            raise NoScreenError(f"no window can be opened: {error}") from None
        # Without a screen, SDL may choose a driver that shows nothing and then crash in it.
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
        with of_the_environment():
            self._environment.close()

    def play(self, actor: keras.Model, seed: int, *, greedy: bool) -> float | None:
        """Play one episode.

        Args:
            actor: An actor as for ``agent.evaluate``.
            seed: Seed for the initial state and the actions.
            greedy: Whether to take the most probable action or to sample actions from the policy.

        Returns:
            The return of the episode; None if the user closed the window.
        """
        episode_return = 0.0
        for moment in play_episode(self._environment, actor, seed, greedy=greedy):
            # Gymnasium renders, but does not handle the request to close the window.
            if pygame.event.peek(pygame.QUIT):
                return None
            episode_return = moment.total_reward
        return episode_return
