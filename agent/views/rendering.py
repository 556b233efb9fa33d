"""Episodes of a policy, drawn by the environment itself."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium
import numpy as np

from ..actors import outputs_of
from ..callbacks import Callback
from ..environments.making import EnvironmentSource
from ..environments.spaces import flatten_one
from ..environments.spec import EnvironmentSpec, spec_of
from ..errors import of_the_environment
from ..metrics import EpochMetrics
from ..process.quiet import standard_error_held_back
from ..process.surroundings import environment_variable
from ..runs.directory import RunDirectory
from .animations import Frame, steps_per_frame, write_animation

if TYPE_CHECKING:
    from ..ppo import PPO
    from ..process.backend import keras

# pygame greets on standard output when it is imported.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

# Of environments that do not say at which rate they are drawn.
_FRAMES_PER_SECOND = 30.0
# An animation of an environment without a limit ends after so many steps.
_MOST_STEPS = 2000


class Moment(NamedTuple):
    """Where an episode stands.

    Attributes:
        steps: Steps played so far.
        total_reward: Sum of the rewards so far.
        has_ended: Whether the episode has ended.
    """

    steps: int
    total_reward: float
    has_ended: bool


def play_episode(
    environment: gymnasium.Env[Any, Any], actor: keras.Model, seed: int, *, greedy: bool
) -> Iterator[Moment]:
    """Play one episode, pausing after the reset and after every step.

    Args:
        environment: One that the actor can play.
        actor: One that ``agent.evaluate`` takes.
        seed: Fixes the initial state and the actions.
        greedy: Whether the most probable action is taken, or actions are drawn with the policy's probabilities.
    """
    spec = spec_of(environment)
    head, outputs = spec.action_head, outputs_of(actor, spec)
    # Away from the initial state's stream, which starts from the same seed.
    generator = None if greedy else np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    with of_the_environment():
        observation, _ = environment.reset(seed=seed)
    moment = Moment(0, 0.0, has_ended=False)
    yield moment
    while not moment.has_ended:
        row = flatten_one(environment.observation_space, observation)
        (action,) = head.in_environment(head.chosen(outputs(row[None]), generator))
        with of_the_environment():
            observation, reward, terminated, truncated, _ = environment.step(action)
        moment = Moment(moment.steps + 1, moment.total_reward + float(reward), bool(terminated or truncated))
        yield moment


def frame_rate(spec: EnvironmentSpec) -> float:
    """Return how many frames of an animation there are in a second of an environment."""
    per_second = spec.frames_per_second or _FRAMES_PER_SECOND
    return per_second / steps_per_frame(per_second)


def episode_frames(source: EnvironmentSource, actor: keras.Model, seed: int, *, greedy: bool) -> Iterator[Frame]:
    """Play one episode and let the environment draw it.

    Args:
        source: Makes the environment, which draws images.
        actor: One that ``agent.evaluate`` takes.
        seed: Fixes the initial state and the actions.
        greedy: As in ``play_episode``.

    Yields:
        As many frames as ``frame_rate`` says, and the last, shape (H, W, 3), uint8.

    Raises:
        UnknownEnvironmentError: If the environment lacks a package for it.
    """
    environment = source.one(render_mode="rgb_array")
    try:
        stride = steps_per_frame(spec_of(environment).frames_per_second or _FRAMES_PER_SECOND)
        for moment in play_episode(environment, actor, seed, greedy=greedy):
            is_last = moment.has_ended or moment.steps == _MOST_STEPS
            if is_last or moment.steps % stride == 0:
                # Frames need no screen, and no driver for one.
                with environment_variable("SDL_VIDEODRIVER", "dummy"), of_the_environment():
                    frame: Any = environment.render()
                yield frame
            if is_last:
                return
    finally:
        environment.close()


class GifRecorder(Callback):
    """Records the policy, actions sampled, before the training, if epoch 0 is asked for, and after chosen epochs."""

    def __init__(self, run: RunDirectory, source: EnvironmentSource, epochs: Collection[int]) -> None:
        """Prepare; nothing is drawn yet.

        Args:
            run: Where the animations go.
            source: Makes the environment.
            epochs: After which epochs to record.
        """
        self._run = run
        self._source = source
        self._epochs = frozenset(epochs)

    def on_train_begin(self, ppo: PPO) -> None:
        """Record the untrained policy."""
        self._record(ppo, ppo.epoch)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Record the policy after this epoch."""
        self._record(ppo, metrics.epoch)

    def _record(self, ppo: PPO, epoch: int) -> None:
        if epoch in self._epochs:
            frames = episode_frames(self._source, ppo.actor, ppo.evaluation_seed, greedy=False)
            # Where there is no screen, the drawing library says so for every episode, although it needs none.
            with standard_error_held_back():
                self._run.write_gif(epoch, lambda path: write_animation(path, frames, frame_rate(ppo.spec)))
