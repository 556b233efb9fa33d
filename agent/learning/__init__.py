"""What learns, in TensorFlow: the networks and their update."""
