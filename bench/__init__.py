"""Benchmarks of fastppo and its peers, side by side."""
