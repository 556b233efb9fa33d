"""Numba kernels: the networks' forward pass, sampling of actions, and advantages."""
