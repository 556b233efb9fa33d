"""What the process is set to: TensorFlow, its standard streams, its environment, its signals."""
