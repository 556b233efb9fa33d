"""Agents that begin with what was compiled for others: bit for bit new ones, as ``test_restart.py`` shows.

Most of a short training is compilation; this spares the tests all that is not about it.
"""

from contextlib import contextmanager

from agent import PPO
from agent.process.backend import use_one_thread_per_network

# Before any test uses TensorFlow, as a program that trains does.
use_one_thread_per_network()

_IDLE, _IN_USE = [], []
_MOST_IDLE = 12


def new_agent(config):
    """Return an agent at the beginning of its training; it is the caller's until the test ends."""
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
    """Take back the agents that were handed out, but for the first ones, to be handed out again."""
    _IDLE.extend(_IN_USE[first:])
    del _IN_USE[first:]
    del _IDLE[:-_MOST_IDLE]


@contextmanager
def agents_taken_back():
    """Take back the agents that are handed out within."""
    first = len(_IN_USE)
    try:
        yield
    finally:
        take_back_agents(first)
