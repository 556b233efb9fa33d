"""Rollouts and PPO as in PureJaxRL (Lu et al. 2022): gymnax and networks in compiled ``lax.scan`` loops.

This is a reimplementation of the published algorithm for benchmarks. It needs JAX, gymnax and Optax:
``pip install 'fastppo[bench-peers]'``.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any, NamedTuple

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from bench.correctness import Trajectory, check_dynamics
from bench.workloads.solving import TARGET_RETURN, greedy_mean

_GAMMA = 0.99
_LAMBDA = 0.95
_CLIP_RATIO = 0.2
_VALUE_COEFFICIENT = 0.5
_ENTROPY_COEFFICIENT = 0.01
_MAX_GRADIENT_NORM = 0.5
_LEARNING_RATE = 2.5e-4
_EPOCHS = 4
_MINIBATCHES = 4

Parameters = list[tuple[jax.Array, jax.Array]]


class _Transition(NamedTuple):
    """Transitions of a rollout; all arrays have shape (T, N), except observations: (T, N, 4)."""

    observations: jax.Array
    actions: jax.Array
    log_probs: jax.Array
    values: jax.Array
    rewards: jax.Array
    ended: jax.Array


class JaxRollouts:
    """A tanh policy with two hidden layers of 64 units in N gymnax CartPoles, T steps in one ``lax.scan``."""

    def __init__(self, num_envs: int, num_steps: int) -> None:
        """Reset the environments.

        Args:
            num_envs: Number of environments N.
            num_steps: Number of steps T per environment and rollout.
        """
        self._num_steps = num_steps
        self.work = float(num_envs * num_steps)
        key_actor, key_reset, self._key = jax.random.split(jax.random.PRNGKey(0), 3)
        self._actor = _new_network(key_actor, num_outputs=2, last_scale=0.01)
        self._environments = _reset(key_reset, num_envs)

    def run(self) -> float:
        """Play one rollout, continuing where the last one ended; return the sum of its rewards."""
        self._environments, self._key, self._transitions = _roll_out(
            self._actor, self._environments, self._key, self._num_steps
        )
        return float(jax.block_until_ready(self._transitions).rewards.sum())

    def check(self) -> None:
        """Compare the last rollout with Gymnasium's steps."""
        transitions = self._transitions
        observations = np.concatenate([transitions.observations, np.asarray(self._environments[0])[None]])
        actions = np.asarray(transitions.actions, dtype=np.int64)
        check_dynamics(Trajectory(observations, actions, np.asarray(transitions.ended)))


class JaxPPO:
    """PPO with PureJaxRL's hyperparameters; several rollouts and updates run in one compiled call."""

    def __init__(
        self, num_envs: int, num_steps: int, total_updates: int, updates_of_a_run: int = 1, seed: int = 0
    ) -> None:
        """Create networks, optimizer and environments; nothing is compiled yet.

        Args:
            num_envs: Number of environments N.
            num_steps: Number of steps T per environment and rollout; N * T must be a multiple of 4, the number of
                minibatches.
            total_updates: Number of updates over which the learning rate decays linearly to 0.
            updates_of_a_run: Number of updates in one compiled call.
            seed: Seed of all random numbers.
        """
        self._num_steps = num_steps
        self._updates = updates_of_a_run
        self.work = float(num_envs * num_steps * updates_of_a_run)
        self._num_envs = num_envs
        steps = total_updates * _EPOCHS * _MINIBATCHES
        self._optimizer = optax.chain(
            optax.clip_by_global_norm(_MAX_GRADIENT_NORM),
            optax.adam(optax.linear_schedule(_LEARNING_RATE, 0.0, steps), eps=1e-5),
        )
        self._train = jax.jit(self._scan_updates, static_argnums=1)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Start again with new networks, optimizer state and environments.

        Args:
            seed: Seed of all random numbers.
        """
        key_actor, key_critic, key_reset, key = jax.random.split(jax.random.PRNGKey(seed), 4)
        networks = {
            "actor": _new_network(key_actor, num_outputs=2, last_scale=0.01),
            "critic": _new_network(key_critic, num_outputs=1, last_scale=1.0),
        }
        self._carry = networks, self._optimizer.init(networks), _reset(key_reset, self._num_envs), key

    def run(self) -> float:
        """Collect rollouts and update on them; return the mean episode length of the last rollout."""
        self._carry, lengths = self._train(self._carry, self._updates)
        jax.block_until_ready(self._carry)
        return float(lengths[-1])

    def actor_weights(self) -> list[Any]:
        """Return the kernels and biases of the actor, layer by layer."""
        return [np.asarray(array) for layer in self._carry[0]["actor"] for array in layer]

    def _scan_updates(self, carry: Any, num_updates: int) -> Any:
        return jax.lax.scan(lambda carry, _: self._update(*carry), carry, None, num_updates)

    def _update(self, networks: Any, optimizer_state: Any, environments: Any, key: jax.Array) -> Any:
        """Collect one rollout and update on it for ``_EPOCHS`` epochs."""
        environments, key, transitions = _roll_out(networks["actor"], environments, key, self._num_steps)
        values = _outputs(networks["critic"], transitions.observations)[..., 0]
        last_values = _outputs(networks["critic"], environments[0])[..., 0]
        transitions = transitions._replace(values=values)
        advantages = _advantages(transitions, last_values)
        flat = jax.tree.map(
            lambda array: array.reshape(-1, *array.shape[2:]), (transitions, advantages, advantages + values)
        )

        def run_epoch(carry: Any, key: jax.Array) -> Any:
            order = jax.random.permutation(key, flat[1].size)
            minibatches = jax.tree.map(lambda array: array[order].reshape(_MINIBATCHES, -1, *array.shape[1:]), flat)
            return jax.lax.scan(self._gradient_step, carry, minibatches)

        key, *epoch_keys = jax.random.split(key, _EPOCHS + 1)
        (networks, optimizer_state), _ = jax.lax.scan(run_epoch, (networks, optimizer_state), jnp.stack(epoch_keys))
        mean_length = transitions.ended.size / jnp.maximum(transitions.ended.sum(), 1)
        return (networks, optimizer_state, environments, key), mean_length

    def _gradient_step(self, carry: Any, minibatch: Any) -> Any:
        networks, optimizer_state = carry
        gradients = jax.grad(_loss)(networks, *minibatch)
        updates, optimizer_state = self._optimizer.update(gradients, optimizer_state, networks)
        return (optax.apply_updates(networks, updates), optimizer_state), None


class JaxSolver:
    """Training with PureJaxRL's settings for CartPole, 4 environments, until CartPole is solved."""

    _ENVS, _STEPS, _TOTAL_UPDATES, _UPDATES_OF_A_RUN = 4, 128, 976, 4

    def __init__(self) -> None:
        """Create the agent, and compile by training once."""
        self._agent = JaxPPO(self._ENVS, self._STEPS, self._TOTAL_UPDATES, self._UPDATES_OF_A_RUN)
        self._agent.run()

    def solve(self, seed: int) -> tuple[float, float]:
        """Train once.

        Args:
            seed: Seed of all random numbers.

        Returns:
            Training time in s and number of environment steps until the greedy policy's mean return is at least 475;
            NaN if it never is. Evaluations do not count as training time.
        """
        self._agent.reset(seed)
        seconds = 0.0
        for updates in range(self._UPDATES_OF_A_RUN, self._TOTAL_UPDATES + 1, self._UPDATES_OF_A_RUN):
            start = time.perf_counter()
            self._agent.run()
            seconds += time.perf_counter() - start
            if greedy_mean(self._agent.actor_weights()) >= TARGET_RETURN:
                return seconds, float(updates * self._ENVS * self._STEPS)
        return math.nan, math.nan


def _new_network(key: jax.Array, num_outputs: int, last_scale: float) -> Parameters:
    sizes, scales = (4, 64, 64, num_outputs), (2**0.5, 2**0.5, last_scale)
    return [
        (jax.nn.initializers.orthogonal(scale)(layer_key, (inputs, outputs)), jnp.zeros(outputs))
        for layer_key, scale, inputs, outputs in zip(jax.random.split(key, 3), scales, sizes, sizes[1:], strict=False)
    ]


def _outputs(network: Parameters, inputs: jax.Array) -> jax.Array:
    for weights, bias in network[:-1]:
        inputs = jnp.tanh(inputs @ weights + bias)
    weights, bias = network[-1]
    return inputs @ weights + bias


def _reset(key: jax.Array, num_envs: int) -> Any:
    """Return the observations, shape (N, 4), and the states of new episodes."""
    environment, parameters = gymnax.make("CartPole-v1")
    return jax.vmap(environment.reset, in_axes=(0, None))(jax.random.split(key, num_envs), parameters)


@partial(jax.jit, static_argnums=3)
def _roll_out(actor: Parameters, environments: Any, key: jax.Array, num_steps: int) -> Any:
    """Play T steps; return the environments, the next key, and the transitions with values of zero."""
    environment, parameters = gymnax.make("CartPole-v1")

    def step(carry: Any, key: jax.Array) -> Any:
        observations, state = carry
        key_action, key_step = jax.random.split(key)
        logits = _outputs(actor, observations)
        actions = jax.random.categorical(key_action, logits)
        keys = jax.random.split(key_step, len(actions))
        next_observations, state, rewards, terminated, truncated, _ = jax.vmap(
            environment.step, in_axes=(0, 0, 0, None)
        )(keys, state, actions, parameters)
        values = jnp.zeros_like(rewards)
        ended = terminated | truncated
        transition = _Transition(observations, actions, _log_probs(logits, actions), values, rewards, ended)
        return (next_observations, state), transition

    key, key_steps = jax.random.split(key)
    environments, transitions = jax.lax.scan(step, environments, jax.random.split(key_steps, num_steps))
    return environments, key, transitions


def _log_probs(logits: jax.Array, actions: jax.Array) -> jax.Array:
    return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[..., None], axis=-1)[..., 0]


def _advantages(transitions: _Transition, last_values: jax.Array) -> jax.Array:
    """Return generalized advantage estimates, shape (T, N); truncation is treated as termination."""

    def step(carry: Any, transition: _Transition) -> Any:
        advantages, next_values = carry
        continues = 1.0 - transition.ended
        deltas = transition.rewards + _GAMMA * next_values * continues - transition.values
        advantages = deltas + _GAMMA * _LAMBDA * continues * advantages
        return (advantages, transition.values), advantages

    return jax.lax.scan(step, (jnp.zeros_like(last_values), last_values), transitions, reverse=True, unroll=16)[1]


def _loss(networks: Any, transitions: _Transition, advantages: jax.Array, targets: jax.Array) -> jax.Array:
    """Return the sum of policy, value and entropy losses of one minibatch, a scalar."""
    logits = _outputs(networks["actor"], transitions.observations)
    values = _outputs(networks["critic"], transitions.observations)[..., 0]
    normalized = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratios = jnp.exp(_log_probs(logits, transitions.actions) - transitions.log_probs)
    clipped_ratios = jnp.clip(ratios, 1.0 - _CLIP_RATIO, 1.0 + _CLIP_RATIO)
    policy_loss = -jnp.minimum(ratios * normalized, clipped_ratios * normalized).mean()
    clipped_values = transitions.values + jnp.clip(values - transitions.values, -_CLIP_RATIO, _CLIP_RATIO)
    value_loss = 0.5 * jnp.maximum((values - targets) ** 2, (clipped_values - targets) ** 2).mean()
    log_probs = jax.nn.log_softmax(logits)
    entropy = -(jnp.exp(log_probs) * log_probs).sum(axis=-1).mean()
    return policy_loss + _VALUE_COEFFICIENT * value_loss - _ENTROPY_COEFFICIENT * entropy
