"""The agents that are measured."""

from __future__ import annotations

from agent import PPO
from agent.config import PRESETS, PPOConfig

# The example's settings, but every update takes all its iterations, so that both sides do the same work.
KERAS_WITHOUT_THRESHOLD = PRESETS["keras"].replace(target_kl=None)


def compiled_agent(config: PPOConfig) -> PPO:
    """Return a new agent whose first epoch takes as long as the others."""
    agent = PPO(config)
    agent.compile()
    return agent


def example_arguments(agent: PPO) -> tuple[object, ...]:
    """Return what the Keras example's loop is started with to have this agent's weights and threshold."""
    return agent.actor.get_weights(), agent.critic.get_weights(), agent.config.kl_threshold
