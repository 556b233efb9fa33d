"""Steps of gymnax's CartPole on JAX with random actions, inside one compiled ``lax.scan``."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np

from bench.correctness import Trajectory, check_dynamics
from bench.workloads.stepping import num_checked_steps, num_steps_of_run


class GymnaxRollouts:
    """Rollouts of a batch with all results stored; XLA chooses the number of threads."""

    def __init__(self, num_envs: int) -> None:
        """Reset the environments.

        Args:
            num_envs: Number of environments.
        """
        key_reset, self._key = jax.random.split(jax.random.PRNGKey(0))
        environment, parameters = gymnax.make("CartPole-v1")
        reset = jax.vmap(environment.reset, in_axes=(0, None))
        self._environments = reset(jax.random.split(key_reset, num_envs), parameters)
        self._num_envs = num_envs
        self._num_steps = max(8, 4 * num_steps_of_run(num_envs))
        self.work = float(num_envs * self._num_steps)

    def run(self) -> float:
        """Play one rollout, continuing where the last one ended; return the sum of its rewards."""
        self._environments, self._key, results = _roll_out(self._environments, self._key, self._num_steps)
        return float(jax.block_until_ready(results)[2].sum())

    def check(self) -> None:
        """Compare a trajectory with Gymnasium's steps."""
        fresh = GymnaxRollouts(self._num_envs)
        steps = num_checked_steps(self._num_envs)
        (last, _), _, (observations, actions, _, ended) = _roll_out(fresh._environments, fresh._key, steps)
        check_dynamics(
            Trajectory(
                np.concatenate([observations, np.asarray(last)[None]]),
                np.asarray(actions, dtype=np.int64),
                np.asarray(ended),
            )
        )


@partial(jax.jit, static_argnums=2)
def _roll_out(environments: Any, key: jax.Array, num_steps: int) -> Any:
    """Return the environments, the next key, and observations, actions, rewards and ends of episodes, T x N each."""
    environment, parameters = gymnax.make("CartPole-v1")

    def step(carry: Any, key: jax.Array) -> Any:
        observations, state = carry
        key_action, key_step = jax.random.split(key)
        actions = jax.random.bernoulli(key_action, shape=observations.shape[:1]).astype(jnp.int32)
        next_observations, state, rewards, terminated, truncated, _ = jax.vmap(
            environment.step, in_axes=(0, 0, 0, None)
        )(jax.random.split(key_step, len(actions)), state, actions, parameters)
        return (next_observations, state), (observations, actions, rewards, terminated | truncated)

    key, key_steps = jax.random.split(key)
    environments, results = jax.lax.scan(step, environments, jax.random.split(key_steps, num_steps))
    return environments, key, results
