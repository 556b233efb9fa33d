"""A reimplementation of PPO as in CleanRL's single-file implementations, in PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import nn

from agent.config import PPOConfig


class TorchPPO:
    """Rollouts in a ``SyncVectorEnv`` and updates on shuffled minibatches; actor and critic are separate networks.

    As in CleanRL, truncation is treated as termination, and final observations are ignored.
    """

    def __init__(self, config: PPOConfig) -> None:
        """Create the environments, the networks and the optimizer.

        Args:
            config: Hyperparameters; the environment must have discrete actions.
        """
        # With networks this small, two threads are slower than one.
        torch.set_num_threads(1)
        torch.manual_seed(config.seed)
        self._config = config
        self._environments = gymnasium.make_vec(
            str(config.env_id),
            num_envs=config.num_envs,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        )
        observations: Any = self._environments.single_observation_space
        actions: Any = self._environments.single_action_space
        self._actor = _mlp((*observations.shape, *config.hidden_sizes, int(actions.n)), 0.01)
        self._critic = _mlp((*observations.shape, *config.hidden_sizes, 1), 1.0)
        self._parameters = [*self._actor.parameters(), *self._critic.parameters()]
        self._optimizer = torch.optim.Adam(self._parameters, lr=config.policy_learning_rate, eps=config.adam_epsilon)
        shape = (config.num_steps, config.num_envs)
        self._observations = torch.zeros((*shape, *observations.shape))
        self._actions, self._log_probs, self._rewards, self._values = (torch.zeros(shape) for _ in range(4))
        self._dones = torch.zeros((config.num_steps + 1, config.num_envs))
        self._next = torch.tensor(self._environments.reset(seed=config.seed)[0])
        self.work = float(config.rollout_size)

    def run(self) -> float:
        """Collect one rollout and update on it; return the last loss."""
        self._collect()
        advantages = self._advantages()
        return self._update(advantages, advantages + self._values)

    def _collect(self) -> None:
        self._dones[0] = self._dones[-1]
        for step in range(self._config.num_steps):
            with torch.no_grad():
                policy: Any = torch.distributions.Categorical(logits=self._actor(self._next))
                action = policy.sample()
                self._observations[step] = self._next
                self._values[step] = self._critic(self._next).flatten()
                self._actions[step] = action
                self._log_probs[step] = policy.log_prob(action)
            observations, rewards, terminated, truncated, _ = self._environments.step(action.numpy())
            self._rewards[step] = torch.tensor(rewards)
            self._dones[step + 1] = torch.tensor(np.logical_or(terminated, truncated))
            self._next = torch.tensor(observations)

    def _advantages(self) -> torch.Tensor:
        gamma, decay = self._config.gamma, self._config.gamma * self._config.gae_lambda
        advantages = torch.zeros_like(self._rewards)
        with torch.no_grad():
            next_values, last = self._critic(self._next).flatten(), torch.zeros(self._config.num_envs)
        for step in reversed(range(self._config.num_steps)):
            continues = 1.0 - self._dones[step + 1]
            delta = self._rewards[step] + gamma * next_values * continues - self._values[step]
            last = delta + decay * continues * last
            advantages[step] = last
            next_values = self._values[step]
        return advantages

    def _update(self, advantages: torch.Tensor, returns: torch.Tensor) -> float:
        config = self._config
        observations = self._observations.flatten(0, 1)
        actions, log_probs = self._actions.flatten(), self._log_probs.flatten()
        advantages, returns, values = advantages.flatten(), returns.flatten(), self._values.flatten()
        loss = torch.zeros(())
        for _ in range(config.policy_update_epochs):
            order: Any = torch.randperm(config.rollout_size)
            for rows in order.split(config.gradient_batch_size):
                policy: Any = torch.distributions.Categorical(logits=self._actor(observations[rows]))
                ratios = torch.exp(policy.log_prob(actions[rows]) - log_probs[rows])
                normalized = (advantages[rows] - advantages[rows].mean()) / (advantages[rows].std() + 1e-8)
                clipped = torch.clamp(ratios, 1 - config.clip_ratio, 1 + config.clip_ratio)
                policy_loss = torch.max(-normalized * ratios, -normalized * clipped).mean()
                new_values = self._critic(observations[rows]).flatten()
                change = torch.clamp(new_values - values[rows], -config.clip_ratio, config.clip_ratio)
                errors = torch.max((new_values - returns[rows]) ** 2, (values[rows] + change - returns[rows]) ** 2)
                entropy = policy.entropy().mean()
                loss = policy_loss - config.entropy_coefficient * entropy + 0.25 * errors.mean()
                self._optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self._parameters, config.max_gradient_norm or float("inf"))
                self._optimizer.step()
        return float(loss)


def _mlp(sizes: tuple[int, ...], output_gain: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layer = nn.Linear(inputs, outputs)
        is_last = index == len(sizes) - 2
        nn.init.orthogonal_(layer.weight, output_gain if is_last else 2**0.5)
        nn.init.zeros_(layer.bias)
        layers += [layer] if is_last else [layer, nn.Tanh()]
    return nn.Sequential(*layers)
