"""What people look at: displays, plots, animations, windows, TensorBoard."""
