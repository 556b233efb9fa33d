"""TensorFlow and Keras, imported with the settings this project needs: ``from agent.backend import keras, tf``."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# TensorFlow's remarks on the machine (no GPU found, and the like) would spoil the display; failures raise exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"agent needs Keras on TensorFlow, but Keras runs on {keras.backend.backend()!r}: "
        "unset the environment variable KERAS_BACKEND, or set it to 'tensorflow' before Keras is imported."
    )

__all__ = ["keras", "tf", "use_one_thread_per_network"]


def use_one_thread_per_network() -> None:
    """Give each graph one thread, so that actor and critic are updated side by side instead of sharing their threads.

    A setting of the whole process, for programs that only train: called before TensorFlow's first operation, else
    without effect.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(2)
    except RuntimeError:
        pass
