"""The optional outputs of a training run, besides its metrics and networks."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

EVERY = 50_000
"""Default number of environment steps between checkpoints, and between validations."""


def assert_tensorboard() -> None:
    """Check that TensorBoard is installed, which writes the event files.

    Raises:
        ImportError: If TensorBoard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise ImportError("event files need tensorboard: pip install 'fastppo[tensorboard]'.")


@dataclass(frozen=True)
class Outputs:
    """The outputs to save during training, and how often.

    Attributes:
        checkpoint_every: Environment steps between checkpoints, at least 1.
        eval_every: Environment steps between validations, at least 1.
        gif_epochs: Epochs after which to record an episode.
        tensorboard: Whether to write TensorBoard event files.
    """

    checkpoint_every: int = EVERY
    eval_every: int = EVERY
    gif_epochs: tuple[int, ...] = ()
    tensorboard: bool = False
