"""Animations of a policy, drawn by Gymnasium."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agent.callbacks import Callback
from agent.metrics import EpochMetrics
from agent.quiet import standard_error_held_back
from agent.run_directory import RunDirectory

if TYPE_CHECKING:
    from agent.backend import keras
    from agent.training import PPO

# pygame greets on standard output when it is imported.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

# Viewers slow down animations whose frames are shorter than 20 ms, and 20 ms is a time step of CartPole.
_STEPS_PER_FRAME = 2
_FRAME_MILLISECONDS = 40
# CartPole's drawing has five colours, and blends of them along slanted edges.
_COLORS = 16
_SHRINK = 2

Frame = npt.NDArray[np.uint8]


def missing_packages() -> list[str]:
    """Return which of the packages that draw and write animations are not installed."""
    return [name for name, module in (("pygame", "pygame"), ("pillow", "PIL")) if not importlib.util.find_spec(module)]


def play_episode(actor: keras.Model, seed: int) -> list[Frame]:
    """Play one episode of Gymnasium's ``CartPole-v1``, actions sampled from the policy.

    Args:
        actor: Observations (B, 4), float32, to logits (B, 2).
        seed: Fixes the initial state and the actions.

    Returns:
        Every second frame and the last, shape (400, 600, 3), uint8.

    Raises:
        gymnasium.error.DependencyNotInstalled: If pygame is not installed.
    """
    import gymnasium

    from agent.policy import sample_action

    environment = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    generator = np.random.default_rng(seed)
    observation, _ = environment.reset(seed=seed)
    frames, ended, step = [_drawn(environment)], False, 0
    while not ended:
        logits = np.asarray(actor(observation[None]))[0]
        action, _ = sample_action(logits[0], logits[1], generator.random())
        observation, _, terminated, truncated, _ = environment.step(action)
        ended, step = terminated or truncated, step + 1
        if ended or step % _STEPS_PER_FRAME == 0:
            frames.append(_drawn(environment))
    environment.close()
    return frames


def write_gif(path: Path, frames: list[Frame]) -> None:
    """Write frames as an animation in real time, endlessly repeated, at half their size.

    Args:
        path: Where to write.
        frames: At least one, shape (H, W, 3), uint8, two time steps of CartPole apart.

    Raises:
        ImportError: If Pillow is not installed.
        OSError: If the file cannot be written.
    """
    from PIL import Image

    images = [Image.fromarray(frame).reduce(_SHRINK) for frame in frames]
    palette = images[0].quantize(_COLORS)
    first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    first.save(path, format="GIF", save_all=True, append_images=others, duration=_FRAME_MILLISECONDS, loop=0)


class GifRecorder(Callback):
    """Records the policy before the training, if epoch 0 is asked for, and after chosen epochs."""

    def __init__(self, run: RunDirectory, epochs: Collection[int]) -> None:
        """Prepare; nothing is drawn yet.

        Args:
            run: Where the animations go.
            epochs: After which epochs to record.
        """
        self._run = run
        self._epochs = frozenset(epochs)

    def on_train_begin(self, ppo: PPO) -> None:
        """Record the untrained policy."""
        self._record(ppo, ppo.epoch)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Record the policy after this epoch."""
        self._record(ppo, metrics.epoch)

    def _record(self, ppo: PPO, epoch: int) -> None:
        if epoch in self._epochs:
            # Where there is no screen, the drawing library says so for every episode, although it needs none.
            with standard_error_held_back():
                frames = play_episode(ppo.actor, ppo.evaluation_seed)
            self._run.write_gif(epoch, lambda path: write_gif(path, frames))


def _drawn(environment: Any) -> Frame:
    frame: Frame = environment.render()
    return frame
