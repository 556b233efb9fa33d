"""Agents that tests have used are taken back."""

import pytest
from agents import agents_taken_back


@pytest.fixture(autouse=True)
def _agents_taken_back():
    with agents_taken_back():
        yield
