"""A scalar single-precision CartPole in C, compiled for this machine; needs a C compiler."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bench.correctness import Trajectory, check_dynamics
from bench.workloads.stepping import num_checked_steps, num_steps_of_run

_SOURCE = Path(__file__).with_name("scalar_cartpole.c")
_ENVIRONMENT_BYTES = 24


class ScalarRollouts:
    """Rollouts of N environments of the C implementation on one thread, with all results stored."""

    threads = 1

    def __init__(self, num_envs: int) -> None:
        """Compile the library and reset the environments.

        Args:
            num_envs: Number of environments N.

        Raises:
            RuntimeError: If there is no C compiler, or compilation fails.
        """
        self._num_envs = num_envs
        self._num_steps = max(8, 4 * num_steps_of_run(num_envs))
        self.work = float(num_envs * self._num_steps)
        self._library = _compiled()
        self._environments = np.zeros(num_envs * _ENVIRONMENT_BYTES, dtype=np.uint8)
        shape = (self._num_steps, num_envs)
        self.rewards = np.empty(shape, dtype=np.float64)
        self.terminated = np.empty(shape, dtype=np.bool_)
        self._observations = np.empty((*shape, 4), dtype=np.float32)
        self._actions = np.empty(shape, dtype=np.int64)
        self._truncated = np.empty(shape, dtype=np.bool_)
        self._outputs = (self._observations, self._actions, self.rewards, self.terminated, self._truncated)
        self._library.reset_all(_pointer(self._environments), ctypes.c_int64(num_envs))

    def run(self) -> float:
        """Play T steps with random actions, overwriting the stored results; return the sum of the rewards."""
        self._library.roll_out(
            _pointer(self._environments),
            ctypes.c_int64(self._num_envs),
            ctypes.c_int64(self._num_steps),
            *(_pointer(array) for array in self._outputs),
        )
        return float(self.rewards.sum())

    def check(self) -> None:
        """Compare the last rollout with Gymnasium's steps."""
        # Observations are stored after each step, so the one before the first step is missing.
        stop = min(self._num_steps, num_checked_steps(self._num_envs))
        ended = (self.terminated | self._truncated)[1:stop]
        check_dynamics(Trajectory(self._observations[:stop], self._actions[1:stop], ended))


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
