"""PPO in PyTorch in a single file, as in CleanRL, with ``fastcartpole`` only: it needs neither Keras nor TensorFlow."""

import time

import numpy as np
import torch
from torch import nn

from fastcartpole import CartPoleVectorEnv

SEED = 0
NUM_ENVS = 64
NUM_STEPS = 128
NUM_ROLLOUTS = 30
UPDATE_EPOCHS = 4
NUM_MINIBATCHES = 4
GAMMA = 0.98
GAE_LAMBDA = 0.95
CLIP_RATIO = 0.2
ENTROPY_COEFFICIENT = 0.01
VALUE_COEFFICIENT = 0.5
LEARNING_RATE = 2.5e-3
MAX_GRADIENT_NORM = 0.5


def network(num_outputs: int, output_gain: float) -> nn.Sequential:
    """Return a network with two hidden tanh layers of 64 units and orthogonal initialization."""
    layers = [nn.Linear(4, 64), nn.Linear(64, 64), nn.Linear(64, num_outputs)]
    for layer, gain in zip(layers, (2**0.5, 2**0.5, output_gain), strict=True):
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


torch.manual_seed(SEED)
torch.set_num_threads(1)
actor, critic = network(2, 0.01), network(1, 1.0)
parameters = [*actor.parameters(), *critic.parameters()]
optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, eps=1e-5)

# With "SameStep", the step that ends an episode returns the first observation of the next one.
environments = CartPoleVectorEnv(NUM_ENVS, autoreset_mode="SameStep")
next_observations = torch.from_numpy(environments.reset(seed=SEED)[0])

observations = torch.zeros(NUM_STEPS, NUM_ENVS, 4)
actions = torch.zeros(NUM_STEPS, NUM_ENVS, dtype=torch.int64)
log_probs, rewards, values, ends = (torch.zeros(NUM_STEPS, NUM_ENVS) for _ in range(4))
lengths = np.zeros(NUM_ENVS, dtype=np.int64)
episode_returns: list[int] = []
start = time.perf_counter()

for rollout in range(1, NUM_ROLLOUTS + 1):
    for step in range(NUM_STEPS):
        with torch.no_grad():
            policy = torch.distributions.Categorical(logits=actor(next_observations))
            action = policy.sample()
            observations[step], actions[step] = next_observations, action
            log_probs[step], values[step] = policy.log_prob(action), critic(next_observations)[:, 0]
            new_observations, new_rewards, terminated, truncated, infos = environments.step(action.numpy())
            rewards[step] = torch.from_numpy(new_rewards)
            if truncated.any():
                # Bootstrap truncated episodes: the critic estimates the return that would have followed.
                final = torch.from_numpy(np.stack(infos["final_obs"][truncated]))
                rewards[step][torch.from_numpy(truncated)] += GAMMA * critic(final)[:, 0]
        ended = terminated | truncated
        ends[step] = torch.from_numpy(ended)
        lengths += 1
        episode_returns += lengths[ended].tolist()
        lengths[ended] = 0
        next_observations = torch.from_numpy(new_observations)

    with torch.no_grad():
        next_values, advantage = critic(next_observations)[:, 0], torch.zeros(NUM_ENVS)
        advantages = torch.zeros_like(rewards)
        for step in reversed(range(NUM_STEPS)):
            delta = rewards[step] + GAMMA * next_values * (1 - ends[step]) - values[step]
            advantage = delta + GAMMA * GAE_LAMBDA * (1 - ends[step]) * advantage
            advantages[step], next_values = advantage, values[step]
    batch = (
        observations.reshape(-1, 4),
        *(part.reshape(-1) for part in (actions, log_probs, advantages, advantages + values)),
    )

    for _ in range(UPDATE_EPOCHS):
        for indices in torch.randperm(NUM_STEPS * NUM_ENVS).chunk(NUM_MINIBATCHES):
            obs, act, old_log_probs, advantage, value_targets = (part[indices] for part in batch)
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            policy = torch.distributions.Categorical(logits=actor(obs))
            ratio = (policy.log_prob(act) - old_log_probs).exp()
            clipped = ratio.clamp(1 - CLIP_RATIO, 1 + CLIP_RATIO)
            policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
            value_loss = (critic(obs)[:, 0] - value_targets).square().mean()
            loss = policy_loss + VALUE_COEFFICIENT * value_loss - ENTROPY_COEFFICIENT * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
            optimizer.step()

    steps, seconds = rollout * NUM_STEPS * NUM_ENVS, time.perf_counter() - start
    print(f"{steps:7d} steps  {seconds:4.1f} s  mean return {np.mean(episode_returns[-100:]):.1f}")
