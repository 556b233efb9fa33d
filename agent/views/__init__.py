"""Displays, plots, animations, windows and TensorBoard event files."""
