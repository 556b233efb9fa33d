"""TensorFlow and Keras with the settings this project needs: ``from agent.process.backend import keras, tf``."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from ..errors import DeviceError
from .graphs import keep_graphs_on_disk
from .quiet import standard_error_held_back
from .surroundings import hidden_from_imports, imported_quickly, is_command, matplotlib_backend_left_out

# Keras treats an empty name as unset.
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
# TensorFlow's log messages about the machine, such as a missing GPU, would spoil the display; failures still raise.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = os.environ.get("TF_CPP_MIN_LOG_LEVEL") or "3"


def _assert_tensorflow(backend: str) -> None:
    if backend != "tensorflow":
        raise ImportError(
            f"agent needs Keras on TensorFlow, but Keras is to run on {backend!r}: unset the environment variable "
            "KERAS_BACKEND, or set it to 'tensorflow' before Keras is imported."
        )


_assert_tensorflow(os.environ["KERAS_BACKEND"])

# Keras imports matplotlib if it is installed, which takes half a second; no command plots with Keras.
_around_matplotlib = partial(hidden_from_imports, "matplotlib") if is_command() else matplotlib_backend_left_out
if is_command():
    keep_graphs_on_disk()

try:
    with standard_error_held_back(), _around_matplotlib(), imported_quickly():
        import keras
        import tensorflow as tf
except ImportError:
    raise
except Exception as error:
    # Keras raises exceptions of several types if its configuration is invalid.
    raise ImportError(
        f"Keras and TensorFlow cannot be imported: {type(error).__name__}: {error} Keras' configuration is read from "
        "keras.json, in the folder that KERAS_HOME names or in ~/.keras."
    ) from error

_assert_tensorflow(keras.backend.backend())

__all__ = [
    "assert_not_forked",
    "computing_on",
    "hide_gpus",
    "in_single_precision",
    "keras",
    "remarks_of_xla_held_back",
    "tf",
    "use_one_thread_per_network",
]

_DEVICES = {"cpu": "/device:CPU:0", "gpu": "/device:GPU:0"}


# Keras' precision is a setting of the whole process.
_PRECISION = threading.RLock()


@contextmanager
def in_single_precision() -> Iterator[None]:
    """Let Keras create variables in single precision, whatever the program or ``keras.json`` has set."""
    with _PRECISION:
        precision = keras.config.floatx()
        keras.config.set_floatx("float32")
        try:
            yield
        finally:
            keras.config.set_floatx(precision)


@contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Place operations and variables on a device; settings of the process do not change.

    Args:
        device: ``"cpu"`` or ``"gpu"``, which is the first GPU that TensorFlow sees.

    Raises:
        DeviceError: If there is no such device.
    """
    if device == "gpu" and not tf.config.get_visible_devices("GPU"):
        raise DeviceError("device must be 'cpu' where TensorFlow sees no GPU, got 'gpu'.")
    global _IS_IN_USE
    _IS_IN_USE = True
    with tf.device(_DEVICES[device]):
        yield


def remarks_of_xla_held_back() -> AbstractContextManager[None]:
    """Hold back XLA's log messages about its first compilation, which TensorFlow 2.21 and later do not write.

    Newer versions do not hold back standard error, because the message of an abort would be lost.
    """
    major, minor = map(int, tf.__version__.split(".")[:2])
    return standard_error_held_back() if (major, minor) < (2, 21) else nullcontext()


def assert_not_forked() -> None:
    """Check that this process can compute, because TensorFlow's threads do not survive a fork.

    Raises:
        RuntimeError: If the process was forked from one that has computed with this package.
    """
    if _HAS_LOST_ITS_THREADS:
        raise RuntimeError(
            "TensorFlow does not work in a process that was forked from one that has used it; start processes with the "
            "method 'spawn', as multiprocessing.get_context('spawn') does, or use joblib."
        )


_IS_IN_USE = False
_HAS_LOST_ITS_THREADS = False


def _mark_forked_child() -> None:
    global _HAS_LOST_ITS_THREADS
    _HAS_LOST_ITS_THREADS = _IS_IN_USE


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked_child)


def hide_gpus() -> None:
    """Keep TensorFlow from reserving the memory of GPUs, which it does in its first operation.

    This is a setting of the whole process, for the command line and the workers of sweeps only. It has no effect if
    TensorFlow has been used before.
    """
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        # The GPUs have been initialized, and their memory is reserved.
        return


def use_one_thread_per_network() -> None:
    """Give each graph one thread, so that actor and critic are updated in parallel instead of sharing threads.

    This also makes sums independent of the number of cores. It is a setting of the whole process, which TensorFlow
    accepts only before its first operation; afterwards, a warning says that results may differ in their last digits.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() == 1:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(2)
    except RuntimeError:
        warnings.warn(
            "TensorFlow was in use before the first PPO was created and keeps its threads: updates are slower, and a "
            "seed determines the results only up to rounding.",
            RuntimeWarning,
            stacklevel=3,
        )
