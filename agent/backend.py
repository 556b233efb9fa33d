"""TensorFlow and Keras, imported with the settings this project needs: ``from agent.backend import keras, tf``."""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# TensorFlow's remarks on the machine (no GPU found, and the like) would spoil the display; failures raise exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _assert_tensorflow(backend: str) -> None:
    if backend != "tensorflow":
        raise ImportError(
            f"agent needs Keras on TensorFlow, but Keras is to run on {backend!r}: unset the environment variable "
            "KERAS_BACKEND, or set it to 'tensorflow' before Keras is imported."
        )


_assert_tensorflow(os.environ["KERAS_BACKEND"])

import keras
import tensorflow as tf

_assert_tensorflow(keras.backend.backend())

__all__ = ["keras", "tf", "use_one_thread_per_network"]


def use_one_thread_per_network() -> None:
    """Give each graph one thread, so that actor and critic are updated side by side instead of sharing their threads.

    It also makes sums independent of the number of cores. It is a setting of the whole process, which TensorFlow takes
    only before its first operation: afterwards a warning says that results may differ in their last digits.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() == 1:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(2)
    except RuntimeError:
        warnings.warn(
            "TensorFlow was in use before the first PPO was made and keeps its threads: updates are slower, and a seed "
            "fixes the results only up to rounding.",
            RuntimeWarning,
            stacklevel=3,
        )
