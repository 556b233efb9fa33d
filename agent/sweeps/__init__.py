"""Sweeps: training every combination of settings and seeds, on all cores or on a cluster, and their statistics."""
