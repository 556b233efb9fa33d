"""How long it takes to solve CartPole-v1, and how reliably, over many seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent import PPO, evaluate, preset_config
from agent.collect import greedy_episode_lengths
from agent.policy import padded_weights
from bench.agents import compiled_agent
from bench.harness import Distribution

_TARGET_RETURN = 475.0
_EPISODES = 100
_EPISODE_STEPS = 500

# What is reported of the runs: a description, the unit, and the attribute of Run.
FIGURES = (
    ("time to a policy with mean return 475", "s", "first_s"),
    ("steps to a policy with mean return 475", "steps", "first_steps"),
    ("time until the training stopped itself", "s", "stopped_s"),
    ("steps until the training stopped itself", "steps", "stopped_steps"),
    ("mean return in Gymnasium, 100 episodes", "", "mean_return"),
)


@dataclass(frozen=True)
class Run:
    """One training of preset ``fast``.

    Attributes:
        first_s: Training time in s until the greedy policy's mean return over 100 episodes first was at least 475; NaN
            if it never was.
        first_steps: Environment steps until then; NaN likewise.
        stopped_s: Training time in s until the training ended by itself, its own evaluation included; NaN if it took
            all its steps without being solved.
        stopped_steps: Environment steps until then; NaN likewise.
        mean_return: Mean of 100 greedy episodes in Gymnasium's CartPole-v1 after the training.
    """

    first_s: float
    first_steps: float
    stopped_s: float
    stopped_steps: float
    mean_return: float


def measure(num_envs: Iterable[int], num_seeds: int) -> Iterator[Distribution]:
    """Train with seeds 0, 1, ... and report the distributions.

    The code is compiled before the clock starts; whether a policy solves CartPole is evaluated while it stands still.

    Args:
        num_envs: Batch sizes.
        num_seeds: Trainings at each size, at least 1.

    Yields:
        Times, steps and returns.
    """
    for size in num_envs:
        runs = [train_until_solved(size, seed) for seed in range(num_seeds)]
        for case, unit, attribute in FIGURES:
            yield Distribution(case, size, unit, tuple(getattr(run, attribute) for run in runs))


def train_until_solved(num_envs: int, seed: int) -> Run:
    """Train preset ``fast`` until it stops itself.

    Args:
        num_envs: Size of the batch.
        seed: Seed of the training.
    """
    agent = compiled_agent(preset_config("fast", num_envs=num_envs, seed=seed))
    seeds = np.random.SeedSequence(agent.evaluation_seed).generate_state(_EPISODES, np.uint64).astype(np.uint64)
    first_s = first_steps = stopped_s = stopped_steps = math.nan
    for _ in range(agent.config.epochs):
        metrics = agent.train_epoch()
        if math.isnan(first_s) and _greedy_mean(agent, seeds) >= _TARGET_RETURN:
            first_s, first_steps = metrics.elapsed_s, float(metrics.env_steps)
        if agent.is_solved:
            stopped_s, stopped_steps = metrics.elapsed_s, float(metrics.env_steps)
            break
    return Run(first_s, first_steps, stopped_s, stopped_steps, evaluate(agent.actor, seed=agent.evaluation_seed).mean)


def _greedy_mean(agent: PPO, seeds: npt.NDArray[np.uint64]) -> float:
    weights = padded_weights(agent.actor.get_weights())
    return float(greedy_episode_lengths(weights, seeds, _EPISODE_STEPS).mean())
