"""Check that training can fit the machine's memory. Does not import TensorFlow."""

from __future__ import annotations

import itertools

from fastcartpole.memory import BYTES_PER_ENVIRONMENT, assert_fits_memory

from .config import PPOConfig

# Minimum memory in bytes.
# A transition without its observation, in the rollout and in the batch made from it.
_PER_TRANSITION = 68
# An entry of an observation, in the same two places.
_PER_ENTRY = 8
# The index of a transition in the minibatches of one pass.
_PER_INDEX = 12
# A weight with its gradient and Adam's two moments.
_PER_WEIGHT = 16


def assert_training_fits_memory(config: PPOConfig, observation_size: int) -> None:
    """Check the minimum memory of environments, rollout, minibatches, networks and optimizers.

    Args:
        config: The configuration of the training run.
        observation_size: Number of entries of an observation.

    Raises:
        MemoryError: If the machine has less memory.
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
