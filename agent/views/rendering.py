"""Episodes of a policy in Gymnasium's CartPole-v1, drawn by Gymnasium."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from ..callbacks import Callback
from ..kernels.sampling import sample_action
from ..metrics import EpochMetrics
from ..process.backend import computing_on
from ..process.quiet import standard_error_held_back
from ..process.surroundings import environment_variable
from ..runs.directory import RunDirectory
from .animations import STEPS_PER_FRAME, Frame, write_animation

if TYPE_CHECKING:
    from ..ppo import PPO
    from ..process.backend import keras

# pygame greets on standard output when it is imported.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")


def play_episode(
    environment: gymnasium.Env[Any, Any], actor: keras.Model, seed: int, *, greedy: bool
) -> Iterator[tuple[int, bool]]:
    """Play one episode, pausing after the reset and after every step.

    Args:
        environment: CartPole.
        actor: Observations (B, 4), float32, to logits (B, 2).
        seed: Fixes the initial state and the actions.
        greedy: Whether the more probable action is taken, or actions are drawn with the policy's probabilities.

    Yields:
        Steps played so far, and whether the episode has ended.
    """
    # Away from the initial state's stream, which starts from the same seed.
    generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    observation, _ = environment.reset(seed=seed)
    step, ended = 0, False
    yield step, ended
    while not ended:
        with computing_on("cpu"):
            logits = np.asarray(actor(observation[None]), dtype=np.float32)[0]
        action = logits.argmax() if greedy else sample_action(logits[0], logits[1], generator.random())[0]
        observation, _, terminated, truncated, _ = environment.step(int(action))
        step, ended = step + 1, terminated or truncated
        yield step, ended


def episode_frames(actor: keras.Model, seed: int, *, greedy: bool) -> Iterator[Frame]:
    """Play one episode of Gymnasium's ``CartPole-v1`` and draw it.

    Args:
        actor: Observations (B, 4), float32, to logits (B, 2).
        seed: Fixes the initial state and the actions.
        greedy: As in :func:`play_episode`.

    Yields:
        Every second frame and the last, shape (400, 600, 3), uint8.

    Raises:
        gymnasium.error.DependencyNotInstalled: If pygame is not installed.
    """
    environment = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    try:
        for step, ended in play_episode(environment, actor, seed, greedy=greedy):
            if ended or step % STEPS_PER_FRAME == 0:
                # Frames need no screen, and no driver for one.
                with environment_variable("SDL_VIDEODRIVER", "dummy"):
                    frame: Any = environment.render()
                yield frame
    finally:
        environment.close()


class GifRecorder(Callback):
    """Records the policy, actions sampled, before the training, if epoch 0 is asked for, and after chosen epochs."""

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
            frames = episode_frames(ppo.actor, ppo.evaluation_seed, greedy=False)
            # Where there is no screen, the drawing library says so for every episode, although it needs none.
            with standard_error_held_back():
                self._run.write_gif(epoch, lambda path: write_animation(path, frames))
