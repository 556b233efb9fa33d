"""Gymnasium environments: how they are created, and their properties that the agent needs."""
