"""Rollouts and training of Stable-Baselines3's PPO."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from agent.config import PPOConfig
from bench.workloads.solving import TARGET_RETURN, greedy_mean

# The RL Baselines3 Zoo's settings for CartPole-v1.
_ZOO_ENVS = 8
_ZOO_STEPS = 32
_ZOO_TOTAL = 100_000
_ROLLOUTS_OF_A_RUN = 4


class Sb3Rollouts:
    """Rollouts of Stable-Baselines3 with its default policy: two hidden tanh layers of 64 units per network."""

    def __init__(self, num_envs: int, num_steps: int) -> None:
        """Create the environments, in one process, and the agent.

        Args:
            num_envs: Number of environments N.
            num_steps: Number of steps T per environment and rollout.
        """
        self._agent = PPO("MlpPolicy", make_vec_env("CartPole-v1", num_envs, seed=0), n_steps=num_steps, device="cpu")
        _, self._callback = self._agent._setup_learn(10**9, None)
        self._num_steps = num_steps
        self.work = float(num_envs * num_steps)

    def run(self) -> Any:
        """Play one rollout, continuing where the last one ended; return its buffer."""
        agent = self._agent
        agent.collect_rollouts(agent.env, self._callback, agent.rollout_buffer, self._num_steps)
        return agent.rollout_buffer


class Sb3Training:
    """Training with the settings of the RL Zoo."""

    def __init__(self) -> None:
        """Create the environments and the agent."""
        self._agent = zoo_agent(seed=0)
        self.work = float(_ROLLOUTS_OF_A_RUN * _ZOO_ENVS * _ZOO_STEPS)

    def run(self) -> int:
        """Train; return the number of steps so far."""
        self._agent.learn(int(self.work), reset_num_timesteps=False)
        return int(self._agent.num_timesteps)


class Sb3Elsewhere:
    """Training in any environment with the hyperparameters of a ``PPOConfig``."""

    def __init__(self, config: PPOConfig) -> None:
        """Create the environments, in one process, and the agent.

        Args:
            config: Hyperparameters.
        """
        # With networks this small, two threads are slower than one.
        torch.set_num_threads(1)
        self._agent = PPO(
            "MlpPolicy",
            make_vec_env(str(config.env_id), config.num_envs, seed=config.seed),
            n_steps=config.num_steps,
            batch_size=config.gradient_batch_size,
            n_epochs=config.policy_update_epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            ent_coef=config.entropy_coefficient,
            learning_rate=config.policy_learning_rate,
            clip_range=config.clip_ratio,
            max_grad_norm=config.max_gradient_norm or float("inf"),
            seed=config.seed,
            device="cpu",
        )
        self.work = float(config.rollout_size)

    def run(self) -> int:
        """Train for one rollout and its update; return the number of steps so far."""
        self._agent.learn(int(self.work), reset_num_timesteps=False)
        return int(self._agent.num_timesteps)


class Sb3Solver:
    """Training with the settings of the RL Zoo until CartPole is solved."""

    def solve(self, seed: int) -> tuple[float, float]:
        """Train once.

        Args:
            seed: Seed of all random numbers.

        Returns:
            Training time in s and number of environment steps until the greedy policy's mean return is at least 475;
            NaN if it never is. Evaluations do not count as training time.
        """
        agent, clock = zoo_agent(seed), _Clock()
        agent.learn(_ZOO_TOTAL, callback=clock)
        return clock.seconds, clock.steps


class _Clock(BaseCallback):
    """Evaluates the policy before each rollout, and stops training once it solves CartPole."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = self.steps = math.nan
        self._elapsed = 0.0
        self._started = time.perf_counter()

    def _on_training_start(self) -> None:
        self._started = time.perf_counter()

    def _on_rollout_start(self) -> None:
        self._elapsed += time.perf_counter() - self._started
        if math.isnan(self.seconds) and self.num_timesteps and greedy_mean(_actor_weights(self.model)) >= TARGET_RETURN:
            self.seconds, self.steps = self._elapsed, float(self.num_timesteps)
        self._started = time.perf_counter()

    def _on_step(self) -> bool:
        return math.isnan(self.seconds)


def zoo_agent(seed: int) -> PPO:
    """Return an untrained agent with the settings of the RL Zoo.

    Args:
        seed: Seed of all random numbers.
    """
    return PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", _ZOO_ENVS, seed=seed),
        n_steps=_ZOO_STEPS,
        batch_size=256,
        n_epochs=20,
        gamma=0.98,
        gae_lambda=0.8,
        ent_coef=0.0,
        learning_rate=lambda left: 1e-3 * left,
        clip_range=lambda left: 0.2 * left,
        seed=seed,
        device="cpu",
    )


def _actor_weights(agent: Any) -> list[Any]:
    """Return the kernels, shape (inputs, outputs), and biases of the actor, layer by layer."""
    policy = agent.policy
    layers = [*(layer for layer in policy.mlp_extractor.policy_net if hasattr(layer, "weight")), policy.action_net]
    arrays = [array for layer in layers for array in (layer.weight.detach().numpy().T, layer.bias.detach().numpy())]
    return [np.ascontiguousarray(array) for array in arrays]
