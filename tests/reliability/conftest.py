"""Configures TensorFlow's threads before any test uses it, as in a program that trains."""

import pytest
from agents import agents_taken_back

from agent.process.backend import use_one_thread_per_network

use_one_thread_per_network()


@pytest.fixture(autouse=True)
def _agents_taken_back():
    with agents_taken_back():
        yield
