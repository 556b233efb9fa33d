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

# Keras takes an empty name for none.
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
# TensorFlow's remarks on the machine (no GPU found, and the like) would spoil the display; failures raise exceptions.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = os.environ.get("TF_CPP_MIN_LOG_LEVEL") or "3"


def _assert_tensorflow(backend: str) -> None:
    if backend != "tensorflow":
        raise ImportError(
            f"agent needs Keras on TensorFlow, but Keras is to run on {backend!r}: unset the environment variable "
            "KERAS_BACKEND, or set it to 'tensorflow' before Keras is imported."
        )


_assert_tensorflow(os.environ["KERAS_BACKEND"])

# Keras imports matplotlib where it finds it, which takes half a second; no command draws with Keras.
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
    # Keras raises exceptions of several kinds where it cannot take its configuration.
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


# Keras' precision is one of the whole process.
_PRECISION = threading.RLock()


@contextmanager
def in_single_precision() -> Iterator[None]:
    """Let Keras make variables of single precision within, whatever the program or its file ``keras.json`` asks for."""
    with _PRECISION:
        precision = keras.config.floatx()
        keras.config.set_floatx("float32")
        try:
            yield
        finally:
            keras.config.set_floatx(precision)


@contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Place what is computed or created within on a device; the process's own settings stay as they are.

    Args:
        device: ``"cpu"`` or ``"gpu"``: the first that TensorFlow sees.

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
    """Hold back what XLA says of its first compilation within; since TensorFlow 2.21 it says nothing.

    Only there: what aborts the process while standard error is held back dies without a word.
    """
    major, minor = map(int, tf.__version__.split(".")[:2])
    return standard_error_held_back() if (major, minor) < (2, 21) else nullcontext()


def assert_not_forked() -> None:
    """Check that this process can compute: TensorFlow's threads do not survive a fork.

    Raises:
        RuntimeError: If the process was forked from one that has computed something here.
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
    """Keep TensorFlow from taking the memory of the machine's GPUs, which it does with its first operation.

    A setting of the whole process: for processes of this project's own, the command line and a sweep's workers. Where
    TensorFlow has been used before, nothing changes.
    """
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        # The GPUs have been initialized: their memory is taken.
        return


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
