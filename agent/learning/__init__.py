"""The networks and their update, in TensorFlow."""
