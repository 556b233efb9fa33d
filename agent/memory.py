"""Whether a training can fit the machine's memory. Imports no TensorFlow."""

from __future__ import annotations

import itertools

from fastcartpole.memory import BYTES_PER_ENVIRONMENT, assert_fits_memory

from .config import PPOConfig

# Least memory in bytes: of a transition without its observation, in a rollout and in the batch made of it; of an entry
# of the observation there; of its index in the minibatches of a pass; of a weight, its gradient and Adam's moments, in
# actor and critic.
_PER_TRANSITION = 68
_PER_ENTRY = 8
_PER_INDEX = 12
_PER_WEIGHT = 16


def assert_training_fits_memory(config: PPOConfig, observation_size: int) -> None:
    """Check the least memory that environments, rollout, minibatches, networks and optimizers take.

    Args:
        config: What is to be trained.
        observation_size: Entries of an observation.

    Raises:
        MemoryError: If the machine has less.
    """
    passes = max(config.policy_update_epochs, config.value_update_epochs)
    rollout = f"a rollout of {config.rollout_size} steps"
    assert_fits_memory(f"num_envs={config.num_envs}", config.num_envs * BYTES_PER_ENVIRONMENT)
    assert_fits_memory(rollout, config.rollout_size * (_PER_TRANSITION + _PER_ENTRY * observation_size))
    if config.minibatch_size is not None:
        assert_fits_memory(f"{passes} passes over {rollout}", passes * config.rollout_size * _PER_INDEX)
    num_weights = sum(
        inputs * outputs
        for sizes in (config.hidden_sizes, config.critic_sizes)
        for inputs, outputs in itertools.pairwise((observation_size, *sizes))
    )
    critic = "" if config.critic_hidden_sizes is None else f" and critic_hidden_sizes={config.critic_hidden_sizes}"
    assert_fits_memory(f"hidden_sizes={config.hidden_sizes}{critic}", num_weights * _PER_WEIGHT)
