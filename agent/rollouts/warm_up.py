"""Ahead-of-time compilation of the Numba kernels of a training. Does not import TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import PPOConfig
from ..environments.spec import EnvironmentSpec
from ..kernels.acting import PolicySnapshot
from ..kernels.advantages import advantages_and_returns, explained_variance, normalized
from ..kernels.forward import MLPWeights, padded_weights, state_values
from ..kernels.normalizing import Moments, discounted_returns, moments_of, normalized_rows
from ..kernels.rollout import new_rollout
from .acting import acting
from .cartpole import OBSERVATION_SIZE, CartPoleCollector, compile_step, rollout_kernel_is_on_disk
from .choosing import played_by, plays_on_the_kernel

_COMPILE = """
import importlib, sys
_, place, name, function = sys.argv
# The directory of this package comes last, because it may contain many other packages.
sys.path.append(place)
getattr(importlib.import_module(name), function)()
"""
_PLACE = Path(__file__).parents[2]


def compile_rollout_kernel() -> None:
    """Compile the rollout kernel, or load it from disk, by playing one step."""
    seeds = np.zeros(1, dtype=np.uint64)
    CartPoleCollector(1, 1, 1, seeds, seeds).collect(PolicySnapshot(_some_weights(OBSERVATION_SIZE)))


def compile_acting_kernel(policy: PolicySnapshot, spec: EnvironmentSpec) -> None:
    """Compile the kernel that acts in a vector environment, or load it from disk, by acting once.

    Args:
        policy: A policy of the training.
        spec: Properties of the environment.
    """
    head = spec.action_head
    streams = np.zeros((4, 1), dtype=np.uint64)
    observations = np.zeros((1, spec.observation_size), dtype=np.float32)
    actions: npt.NDArray[Any] = np.zeros((1, head.num_entries), dtype=head.acting_dtype)
    log_probs = np.zeros(1, dtype=np.float32)
    acting(policy, head)(observations, streams, False, actions, log_probs)


def compile_kernels_of_updates(spec: EnvironmentSpec, *, is_normalized: bool = False) -> None:
    """Compile the kernels that prepare a rollout for an update, or load them from disk.

    Args:
        spec: Properties of the environment.
        is_normalized: Whether to include the kernels that normalize observations and scale rewards.
    """
    observation_size, head = spec.observation_size, spec.action_head
    weights = _some_weights(observation_size)
    rollout = new_rollout(1, 1, observation_size, 1, head.action_shape, head.stored_dtype)
    for array in rollout:
        array.fill(0)
    values, last_values, final_values = (
        state_values(weights, group.reshape(-1, observation_size)).reshape(group.shape[:-1])
        for group in (rollout.observations, rollout.last_observations, rollout.final_observations)
    )
    advantages, returns = advantages_and_returns(rollout, values, last_values, final_values, 1.0, 1.0)
    normalized(advantages, rollout.valid)
    # Evaluations choose actions with a separate kernel.
    head.chosen(np.zeros((1, head.num_outputs), dtype=np.float32), None)
    explained_variance(values.reshape(-1), returns.reshape(-1), rollout.valid.reshape(-1))
    if is_normalized:
        valid = rollout.valid.reshape(-1)
        moments = Moments.of_nothing(observation_size).including(rollout.observations[0], valid)
        normalized_rows(rollout.observations[0], moments.means.astype(np.float32), moments.deviations)
        moments_of(discounted_returns(rollout.rewards, rollout.terminated, 1.0, np.zeros(1)), valid)


class RolloutCompilation:
    """Compiles the rollout kernel in other processes, so that this process can load it from disk.

    This takes about as long as importing TensorFlow and compiling the update. Threads would block each other, because
    compilation runs mostly in Python. No process is started if the kernel is in the disk cache, or cannot be cached.

    Attributes:
        is_needed: Whether the kernel had to be compiled.
    """

    def __init__(self, config: PPOConfig) -> None:
        """Start the processes, if the kernel has to be compiled.

        Args:
            config: Configuration of the upcoming training.
        """
        self._processes: list[subprocess.Popen[bytes]] = []
        self.is_needed = plays_on_the_kernel(config, played_by(config)) and not rollout_kernel_is_on_disk()
        if self.is_needed:
            # The second process compiles a part that the first one needs last and then finds on disk.
            for function in (compile_rollout_kernel, compile_step):
                # With -c, Python would search the current folder first; -P prevents this.
                command = [sys.executable, "-P", "-c", _COMPILE, str(_PLACE), function.__module__, function.__name__]
                nowhere = subprocess.DEVNULL
                self._processes.append(subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere))

    def __enter__(self) -> RolloutCompilation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def wait(self) -> None:
        """Wait for the processes to end; a kernel that they failed to compile is compiled when it is first called."""
        for process in self._processes:
            process.wait()


def _some_weights(observation_size: int, num_outputs: int = 2) -> MLPWeights:
    """Return the weights of a small network; all networks have the same types."""
    shapes = ((observation_size, 4), (4,), (4, num_outputs), (num_outputs,))
    return padded_weights([np.zeros(shape, dtype=np.float32) for shape in shapes])
