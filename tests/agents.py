"""Agents that reuse the compiled code of earlier ones; ``test_restart.py`` shows that they equal new ones bit for bit.

Most of a short training run is compilation, which tests that are not about it can avoid in this way.
"""

from contextlib import contextmanager

from agent import PPO
from agent.process.backend import use_one_thread_per_network

# This must come before any test uses TensorFlow, as in a program that trains.
use_one_thread_per_network()

_IDLE, _IN_USE = [], []
_MAX_IDLE = 12


def new_agent(config):
    """Return an untrained agent, which the caller may use until the test ends."""
    for agent in _IDLE:
        ours = agent.config
        if (ours.env_id, ours.compiled_settings) == (config.env_id, config.compiled_settings):
            _IDLE.remove(agent)
            agent.restart(config)
            break
    else:
        agent = PPO(config)
    _IN_USE.append(agent)
    return agent


def take_back_agents(first=0):
    """Take back all agents in use except the first ones, so that ``new_agent`` can return them again."""
    _IDLE.extend(_IN_USE[first:])
    del _IN_USE[first:]
    del _IDLE[:-_MAX_IDLE]


@contextmanager
def agents_taken_back():
    """Take back the agents that ``new_agent`` returns within this context."""
    first = len(_IN_USE)
    try:
        yield
    finally:
        take_back_agents(first)
