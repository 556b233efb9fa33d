"""Measurements of fastppo, side by side with its peers."""
