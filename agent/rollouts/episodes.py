"""Whole episodes in a vector environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidTransitionError
from .collector import Episodes
from .stepping import Stepper

Act = Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]


def play(
    stepper: Stepper,
    act: Act,
    seed: np.random.SeedSequence | int,
    episodes: int,
    max_episode_steps: int,
    on_episodes: Callable[[int], object] = lambda _: None,
) -> Episodes:
    """Play whole episodes, of which each environment plays a fixed share.

    The shares are fixed beforehand, so that short episodes are not overrepresented. An environment plays its episodes
    one after the other.

    Args:
        stepper: N environments, which are reset first.
        act: Function from observations, shape (N, D), to actions, discrete or continuous, shape (N, K).
        seed: Seed of the environments.
        episodes: Number of episodes.
        max_episode_steps: Number of steps after which episodes are cut off.
        on_episodes: Called with the number of episodes so far whenever one has ended.

    Returns:
        The episodes, grouped by environment.

    Raises:
        InvalidTransitionError: If an observation or a reward is infinite or not a number.
        DivergenceError: If a continuous action is infinite or not a number.
    """
    try:
        return _played(stepper, act, seed, episodes, max_episode_steps, on_episodes)
    except InvalidTransitionError as error:
        raise InvalidTransitionError(f"{error}, in an evaluation.") from error


def _played(
    stepper: Stepper,
    act: Act,
    seed: np.random.SeedSequence | int,
    episodes: int,
    max_episode_steps: int,
    on_episodes: Callable[[int], object],
) -> Episodes:
    num_envs = stepper.environments.num_envs
    shares = np.diff(np.arange(num_envs + 1) * episodes // num_envs)
    results: list[list[tuple[float, int, bool]]] = [[] for _ in range(num_envs)]
    returns, lengths = np.zeros(num_envs), np.zeros(num_envs, dtype=np.int64)
    is_playing = shares > 0
    env_steps = 0
    stepper.reset(seed)
    while is_playing.any():
        _check_observations(stepper.observations)
        counts = is_playing & ~stepper.ignored
        step = stepper.step(act(stepper.observations))
        env_steps += num_envs
        returns += np.where(counts, step.rewards, 0.0)
        lengths += counts
        ended = step.terminated | step.truncated
        is_cut_off = ~ended & (lengths >= max_episode_steps)
        for n in np.flatnonzero(counts & (ended | is_cut_off)).tolist():
            results[n].append((returns[n], lengths[n], bool(is_cut_off[n])))
            returns[n], lengths[n] = 0.0, 0
            on_episodes(sum(map(len, results)))
            # An episode that was cut off continues in the environment, but does not count any more.
            is_playing[n] = len(results[n]) < shares[n] and not is_cut_off[n]
    columns = zip(*(result for of_one in results for result in of_one), strict=True)
    all_returns, all_lengths, cut_off = (np.array(column) for column in columns)
    if not np.isfinite(all_returns).all():
        raise InvalidTransitionError("an environment gave a reward that is infinite or not a number")
    return Episodes(all_returns, all_lengths, cut_off, env_steps)


def _check_observations(observations: npt.NDArray[np.float32]) -> None:
    """Raise an ``InvalidTransitionError`` for the first environment whose observation is not finite."""
    if np.isfinite(observations).all():
        return
    index = int(np.flatnonzero(~np.isfinite(observations).all(axis=1))[0])
    raise InvalidTransitionError(f"environment {index} gave an observation that is infinite or not a number")
