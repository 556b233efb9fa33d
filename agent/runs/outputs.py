"""The optional outputs of a training run, besides its metrics and networks."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from ..validation import checked_integer

CHECKPOINT_EVERY, EVAL_EVERY = 50_000, 10_000
"""Default numbers of environment steps between checkpoints, and between candidates for the best policy."""


def assert_tensorboard() -> None:
    """Check that TensorBoard is installed, which writes the event files.

    Raises:
        ImportError: If TensorBoard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise ImportError("event files need tensorboard: pip install 'fastppo[tensorboard]'.")


@dataclass(frozen=True)
class Outputs:
    """The outputs to save during training, and how often. They belong to the run, whose ``config.json`` holds them.

    Attributes:
        checkpoint_every: Environment steps between checkpoints, at least 1.
        eval_every: Environment steps between candidates for the best policy, at least 1.
        eval_episodes: Number of episodes of the evaluation at the end, at least 1; None chooses it by the length of
            training and of episodes.
        gif_epochs: Epochs after which to record an episode.
        tensorboard: Whether to write TensorBoard event files.
    """

    checkpoint_every: int = CHECKPOINT_EVERY
    eval_every: int = EVAL_EVERY
    eval_episodes: int | None = None
    gif_epochs: tuple[int, ...] = ()
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Check every field; a list of epochs, as JSON has it, becomes a tuple.

        Raises:
            TypeError: If a field has the wrong type.
            ValueError: If a field is out of range.
        """
        for name in ("checkpoint_every", "eval_every"):
            checked_integer(name, getattr(self, name), minimum=1)
        if self.eval_episodes is not None:
            checked_integer("eval_episodes", self.eval_episodes, minimum=1)
        if not isinstance(self.gif_epochs, (list, tuple)):
            raise TypeError(f"gif_epochs must be a list of epochs, got {self.gif_epochs!r}.")
        object.__setattr__(
            self, "gif_epochs", tuple(checked_integer("gif_epochs", epoch, minimum=0) for epoch in self.gif_epochs)
        )
        if not isinstance(self.tensorboard, bool):
            raise TypeError(f"tensorboard must be True or False, got {self.tensorboard!r}.")
