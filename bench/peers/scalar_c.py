"""The scalar single-precision CartPole in C, compiled for this machine where there is a C compiler."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

_SOURCE = Path(__file__).with_name("scalar_cartpole.c")
_ENVIRONMENT_BYTES = 24


class ScalarCartPole:
    """N environments of the C implementation, on one thread.

    Attributes:
        num_envs: N.
    """

    def __init__(self, num_envs: int, num_steps: int) -> None:
        """Compile and reset.

        Args:
            num_envs: Number of environments N.
            num_steps: Steps T of one rollout.

        Raises:
            RuntimeError: If there is no C compiler, or it fails.
        """
        self.num_envs = num_envs
        self._num_steps = num_steps
        self._library = _compiled()
        self._environments = np.zeros(num_envs * _ENVIRONMENT_BYTES, dtype=np.uint8)
        shape = (num_steps, num_envs)
        self.rewards = np.empty(shape, dtype=np.float64)
        self.terminated = np.empty(shape, dtype=np.bool_)
        self._outputs = (
            np.empty((*shape, 4), dtype=np.float32),
            np.empty(shape, dtype=np.int64),
            self.rewards,
            self.terminated,
            np.empty(shape, dtype=np.bool_),
        )
        self._library.reset_all(_pointer(self._environments), ctypes.c_int64(num_envs))

    def roll_out(self) -> float:
        """Play T steps with random actions, into the same arrays; return the sum of the rewards."""
        self._library.roll_out(
            _pointer(self._environments),
            ctypes.c_int64(self.num_envs),
            ctypes.c_int64(self._num_steps),
            *(_pointer(array) for array in self._outputs),
        )
        return float(self.rewards.sum())


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _compiled() -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise RuntimeError("no C compiler found (cc, gcc or clang)")
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory) / "scalar_cartpole.so"
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(_SOURCE), "-o", str(library), "-lm"]
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
        if completed.returncode:
            raise RuntimeError(f"the C compiler failed: {completed.stderr.strip().splitlines()[-1]}")
        return ctypes.CDLL(str(library))
