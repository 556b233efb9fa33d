"""What Numba compiles: the networks' forward pass, sampling, advantages."""
