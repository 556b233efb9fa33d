"""Settings of the process: TensorFlow, standard streams, environment variables and signals."""
