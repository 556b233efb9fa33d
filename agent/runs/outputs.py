"""What a training writes into its run directory beside its figures and its networks."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

EVERY = 50_000
"""Default number of environment steps between checkpoints, and between validations."""


def assert_tensorboard() -> None:
    """Check that event files can be written.

    Raises:
        ImportError: If TensorBoard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise ImportError("event files need tensorboard: pip install 'fastppo[tensorboard]'.")


@dataclass(frozen=True)
class Outputs:
    """What is kept of a training, and how often.

    Attributes:
        checkpoint_every: Environment steps from one checkpoint to the next, at least 1.
        eval_every: Likewise from one validation to the next.
        gif_epochs: After which epochs an episode is recorded.
        tensorboard: Whether TensorBoard's event files are written.
    """

    checkpoint_every: int = EVERY
    eval_every: int = EVERY
    gif_epochs: tuple[int, ...] = ()
    tensorboard: bool = False
