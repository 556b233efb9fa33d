"""Episodes of a policy, rendered by the environment."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium
import numpy as np

from ..actors import outputs_of
from ..callbacks import Callback
from ..environments.guarding import Guarded
from ..environments.making import EnvironmentSource
from ..environments.spaces import flatten_one
from ..environments.spec import EnvironmentSpec, spec_of
from ..errors import InvalidTransitionError, OutsideSpaceError, of_the_environment
from ..metrics import EpochMetrics
from ..process.quiet import standard_error_held_back
from ..process.surroundings import environment_variable
from ..runs.directory import RunDirectory
from .animations import Frame, steps_per_frame, write_animation

if TYPE_CHECKING:
    from ..ppo import PPO
    from ..process.backend import keras

# pygame prints a greeting to standard output when it is imported.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

# For environments that do not declare render_fps.
_FRAMES_PER_SECOND = 30.0
# Animations of environments without a time limit end after this number of steps.
_MAX_STEPS = 2000


class Moment(NamedTuple):
    """The state of an episode after a step.

    Attributes:
        steps: Steps so far.
        total_reward: Sum of the rewards so far.
        has_ended: Whether the episode has ended.
    """

    steps: int
    total_reward: float
    has_ended: bool


def play_episode(
    environment: gymnasium.Env[Any, Any], actor: keras.Model, seed: int, *, greedy: bool
) -> Iterator[Moment]:
    """Play one episode, yielding after the reset and after every step.

    Args:
        environment: An environment that fits the actor.
        actor: An actor as for ``agent.evaluate``.
        seed: Seed for the initial state and the actions.
        greedy: Whether to take the most probable action or to sample actions from the policy.

    Raises:
        InvalidTransitionError: If an observation lies outside of its space, or a reward is no number.
        EnvironmentUseError: If the environment does not have the interface of Gymnasium's environments.
        DivergenceError: If a continuous action is infinite or not a number.
    """
    spec, guarded = spec_of(environment), Guarded(environment)
    head, outputs = spec.action_head, outputs_of(actor, spec)
    # Independent of the initial state, which uses the same seed.
    generator = None if greedy else np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    observation, _ = guarded.reset(seed=seed)
    moment = Moment(0, 0.0, has_ended=False)
    yield moment
    while not moment.has_ended:
        try:
            row = flatten_one(environment.observation_space, observation)
            action = head.in_environment(head.chosen(outputs(row[None]), generator))[0]
            observation, reward, terminated, truncated, _ = guarded.step(action)
        except (InvalidTransitionError, OutsideSpaceError) as error:
            fault = f"{guarded.place} gave {error.fault}" if isinstance(error, OutsideSpaceError) else str(error)
            raise InvalidTransitionError(f"{fault}, in step {moment.steps + 1} of an episode.") from error
        moment = Moment(moment.steps + 1, moment.total_reward + float(reward), bool(terminated or truncated))
        yield moment


def frame_rate(spec: EnvironmentSpec) -> float:
    """Return the frame rate of an animation of an environment in real time."""
    per_second = spec.frames_per_second or _FRAMES_PER_SECOND
    return per_second / steps_per_frame(per_second)


def episode_frames(source: EnvironmentSource, actor: keras.Model, seed: int, *, greedy: bool) -> Iterator[Frame]:
    """Play one episode and let the environment draw it.

    Yields the frames of ``drawn_episode``, which describes arguments and errors.
    """
    return (frame for frame, _ in drawn_episode(source, actor, seed, greedy=greedy))


def drawn_episode(
    source: EnvironmentSource, actor: keras.Model, seed: int, *, greedy: bool
) -> Iterator[tuple[Frame, Moment]]:
    """Play one episode and let the environment draw it.

    Args:
        source: Makes the environment, which draws images.
        actor: One that ``agent.evaluate`` takes.
        seed: Fixes the initial state and the actions.
        greedy: As in ``play_episode``.

    Yields:
        As many frames as ``frame_rate`` says, and the last, shape (H, W, 3), uint8, each with the moment it shows.

    Raises:
        UnknownEnvironmentError: If the environment lacks a package for it.
    """
    environment = source.one(render_mode="rgb_array")
    try:
        stride = steps_per_frame(spec_of(environment).frames_per_second or _FRAMES_PER_SECOND)
        for moment in play_episode(environment, actor, seed, greedy=greedy):
            is_last = moment.has_ended or moment.steps == _MAX_STEPS
            if is_last or moment.steps % stride == 0:
                # Rendering to images needs no screen and no video driver.
                with environment_variable("SDL_VIDEODRIVER", "dummy"), of_the_environment():
                    frame: Any = environment.render()
                yield frame, moment
            if is_last:
                return
    finally:
        with of_the_environment():
            environment.close()


class GifRecorder(Callback):
    """Records an episode with sampled actions after chosen epochs; epoch 0 is before training."""

    def __init__(self, run: RunDirectory, source: EnvironmentSource, epochs: Collection[int]) -> None:
        """Store the arguments; nothing is drawn yet.

        Args:
            run: Run directory for the animations.
            source: Creates the environment.
            epochs: Epochs after which to record.
        """
        self._run = run
        self._source = source
        self._epochs = frozenset(epochs)

    def on_train_begin(self, ppo: PPO) -> None:
        """Record the policy before the first epoch, if its epoch is chosen."""
        self._record(ppo, ppo.epoch)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Record the policy after this epoch, if it is chosen."""
        self._record(ppo, metrics.epoch)

    def _record(self, ppo: PPO, epoch: int) -> None:
        if epoch in self._epochs:
            frames = episode_frames(self._source, ppo.actor, ppo.evaluation_seed, greedy=False)
            # Without a screen, SDL complains in every episode, although it does not need one.
            with standard_error_held_back():
                self._run.write_gif(epoch, lambda path: write_animation(path, frames, frame_rate(ppo.spec)))
