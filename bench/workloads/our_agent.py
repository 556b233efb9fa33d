"""Rollouts, updates and epochs of fastppo."""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from agent import PPO, PPOConfig, adapted_preset, evaluate
from agent.kernels.acting import PolicySnapshot
from agent.kernels.forward import padded_weights
from agent.kernels.rollout import Rollout
from agent.learning.minibatches import UpdateBatch
from agent.presets import PRESETS
from agent.process.backend import keras
from agent.rollouts.cartpole import CartPoleCollector
from bench.process import WrongResultError
from bench.workloads.solving import TARGET_RETURN, greedy_mean
from bench.workloads.transitions import initial_weights, some_transitions

_CHECKED_ENVS, _CHECKED_STEPS = 4, 300
# More epochs than a benchmark ever runs.
_ENDLESS = 1_000_000
_LARGEST_ERROR = 1e-4


class OurPolicyRollouts:
    """Rollouts with the (64, 64) policy in the loop; everything that an update needs is stored."""

    def __init__(self, num_envs: int, num_steps: int, max_episode_steps: int | None = 500) -> None:
        """Build the actor and the environments, which are seeded with 0, 1, ...

        Args:
            num_envs: Number of environments N.
            num_steps: Number of steps T per environment and rollout.
            max_episode_steps: Time limit of an episode in steps; None for no limit.
        """
        self._actor = PPO(PRESETS["fast"]).actor
        self._policy = PolicySnapshot(padded_weights(self._actor.get_weights()))
        seeds = np.arange(num_envs, dtype=np.uint64)
        self._collector = CartPoleCollector(num_envs, num_steps, max_episode_steps, seeds, seeds + np.uint64(num_envs))
        self._first: Rollout | None = None
        self.work = float(num_envs * num_steps)
        self.threads = self._collector.num_threads

    def run(self) -> Rollout:
        """Collect one rollout; return it."""
        rollout = self._collector.collect(self._policy)
        self._first = rollout if self._first is None else self._first
        return rollout

    def check(self) -> None:
        """Compare the first rollout with Gymnasium's trajectories and Keras' probabilities."""
        assert self._first is not None
        check_rollout(self._actor, self._first)


class OurUpdate:
    """Updates of preset ``keras`` on the same transitions: 80 policy and 80 value iterations.

    Attributes:
        probe: KL divergence after the first update.
    """

    work = 1.0
    threads = 2

    def __init__(self) -> None:
        """Build the networks; the first update compiles."""
        # No early stopping, so that fastppo and the Keras example do the same work.
        config = PRESETS["keras"].replace(target_kl=None)
        self._agent = PPO(config)
        for network, weights in zip((self._agent.actor, self._agent.critic), initial_weights(), strict=True):
            network.set_weights(weights)
        self._batch = UpdateBatch(*some_transitions(config.rollout_size))
        self.probe: float | None = None

    def run(self) -> float:
        """Update both networks; return the KL divergence."""
        divergence = self._agent.update(self._batch).kl
        self.probe = divergence if self.probe is None else self.probe
        return divergence


def endless(config: PPOConfig) -> PPOConfig:
    """Return ``config`` with a practically unlimited number of epochs, or unchanged if it has a linear schedule."""
    falls = "linear" in (config.learning_rate_schedule, config.clip_ratio_schedule)
    return config if falls else config.replace(epochs=_ENDLESS)


class OurEpochs:
    """Whole epochs: a rollout, an update, and their metrics."""

    def __init__(self, config: PPOConfig, epochs_of_a_run: int = 1) -> None:
        """Build the agent.

        Args:
            config: Configuration of the agent; if it has a linear schedule, with enough epochs for all runs.
            epochs_of_a_run: Number of epochs per run.
        """
        self._agent = PPO(endless(config))
        self._epochs = epochs_of_a_run
        self.work = float(config.rollout_size * epochs_of_a_run)

    def run(self) -> float:
        """Train; return the mean return of the last epoch."""
        for _ in range(self._epochs):
            metrics = self._agent.train_epoch()
        return metrics.mean_return


class OurGradientSteps:
    """Gradient steps alone: each update makes so many that its other costs are negligible."""

    _TIMES = 50

    def __init__(self, config: PPOConfig) -> None:
        """Build the agent and collect the transitions.

        Args:
            config: Configuration whose gradient steps are measured.
        """
        passes = config.policy_update_epochs * self._TIMES, config.value_update_epochs * self._TIMES
        self._agent = PPO(config.replace(policy_update_epochs=passes[0], value_update_epochs=passes[1]))
        self._batch = self._agent.update_batch(self._agent.collect())
        self.work = float(config.rollout_size * self._TIMES)

    def run(self) -> float:
        """Update both networks; return the KL divergence."""
        return self._agent.update(self._batch).kl


class OurSolver:
    """Training with a preset until it stops itself or, if the preset has no target return, until CartPole is solved."""

    def __init__(self, preset: str, num_envs: int) -> None:
        """Store the preset and the number of environments.

        Args:
            preset: Name of the preset.
            num_envs: Number of environments.
        """
        self._preset, self._num_envs = preset, num_envs

    def solve(self, seed: int) -> tuple[float, float, float, float, float]:
        """Train once; compilation and this benchmark's evaluations do not count as training time.

        Args:
            seed: Seed of the training run.

        Returns:
            Five figures: training time in s and number of environment steps until the greedy policy's mean return is
            at least 475; training time and steps until training stopped itself, including the agent's own evaluations;
            and the final policy's mean return over 100 greedy episodes in Gymnasium's CartPole-v1. Times and steps are
            NaN if the event did not happen.
        """
        agent = PPO(adapted_preset(self._preset, num_envs=self._num_envs, seed=seed))
        agent.compile()
        first_s = first_steps = stopped_s = stopped_steps = math.nan
        for _ in range(agent.config.epochs):
            metrics = agent.train_epoch()
            if math.isnan(first_s) and greedy_mean(agent.actor.get_weights()) >= TARGET_RETURN:
                first_s, first_steps = metrics.elapsed_s, float(metrics.env_steps)
                if agent.config.target_return is None:
                    break
            if agent.is_solved:
                stopped_s, stopped_steps = metrics.elapsed_s, float(metrics.env_steps)
                break
        mean_return = evaluate(agent.actor, seed=agent.evaluation_seed).mean
        return first_s, first_steps, stopped_s, stopped_steps, mean_return


def check_rollout(actor: keras.Model, rollout: Rollout) -> None:
    """Compare observations with Gymnasium's for the same actions, bit by bit, and log-probabilities with Keras'.

    Args:
        actor: Actor that collected the rollout.
        rollout: First rollout of environments seeded with 0, 1, ...

    Raises:
        WrongResultError: If an observation differs by a bit, or a log-probability by more than rounding.
    """
    checked = min(_CHECKED_ENVS, rollout.actions.shape[1])
    peer = gymnasium.make_vec(
        "CartPole-v1",
        num_envs=checked,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
    )
    observations, _ = peer.reset(seed=0)
    for t, actions in enumerate(rollout.actions[:_CHECKED_STEPS, :checked]):
        if not np.array_equal(rollout.observations[t, :checked], observations):
            raise WrongResultError(f"The rollout's observations differ from those of Gymnasium at step {t}.")
        observations, *_ = peer.step(actions)
    peer.close()
    error = np.abs(_log_probs(actor, rollout) - rollout.log_probs.reshape(-1)).max()
    # The condition is negated so that a NaN is an error too.
    if not error <= _LARGEST_ERROR:
        raise WrongResultError(f"The rollout's log-probabilities are up to {error} away from those of Keras.")


def _log_probs(actor: keras.Model, rollout: Rollout) -> npt.NDArray[np.float32]:
    """Return the log-probabilities of all actions from the logits that Keras computes, shape (T * N,)."""
    logits = np.asarray(actor(rollout.observations.reshape(-1, 4)))
    chosen = rollout.actions.reshape(-1)
    return np.asarray(logits[np.arange(chosen.size), chosen] - np.logaddexp(logits[:, 0], logits[:, 1]))
