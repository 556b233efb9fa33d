"""Takes back the agents that a test has used."""

import pytest
from agents import agents_taken_back


@pytest.fixture(autouse=True)
def _agents_taken_back():
    with agents_taken_back():
        yield
