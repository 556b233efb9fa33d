"""TensorFlow's threads are set before any test uses it, as a program that trains does."""

from agent.backend import use_one_thread_per_network

use_one_thread_per_network()
