"""Compilation ahead of time of the Numba kernels of a training. Imports no TensorFlow."""

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
# Where this package is: last, for it may be among many others.
sys.path.append(place)
getattr(importlib.import_module(name), function)()
"""
_PLACE = Path(__file__).parents[2]


def compile_rollout_kernel() -> None:
    """Compile the kernel of rollouts, or load it from disk, by playing one step."""
    seeds = np.zeros(1, dtype=np.uint64)
    CartPoleCollector(1, 1, 1, seeds, seeds).collect(PolicySnapshot(_some_weights(OBSERVATION_SIZE)))


def compile_acting_kernel(policy: PolicySnapshot, spec: EnvironmentSpec) -> None:
    """Compile the kernel that acts in a vector environment, or load it from disk, by acting once.

    Args:
        policy: One of the training.
        spec: Of its environment.
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
        spec: Of the environment.
        is_normalized: Whether observations are normalized and rewards scaled.
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
    # Evaluations choose actions by a kernel of their own.
    head.chosen(np.zeros((1, head.num_outputs), dtype=np.float32), None)
    explained_variance(values.reshape(-1), returns.reshape(-1), rollout.valid.reshape(-1))
    if is_normalized:
        valid = rollout.valid.reshape(-1)
        moments = Moments.of_nothing(observation_size).including(rollout.observations[0], valid)
        normalized_rows(rollout.observations[0], moments.means.astype(np.float32), moments.deviations)
        moments_of(discounted_returns(rollout.rewards, rollout.terminated, 1.0, np.zeros(1)), valid)


class RolloutCompilation:
    """Other processes that compile the kernel of rollouts, for this one to load it from disk.

    They take about as long as TensorFlow takes to be imported and to compile the update; threads would wait for each
    other, for all are mostly Python. Nothing is started where the kernel is on disk already, or cannot be kept there.

    Attributes:
        is_needed: Whether there was something to compile.
    """

    def __init__(self, config: PPOConfig) -> None:
        """Start the processes, if there is something to compile.

        Args:
            config: Of the training that is to come.
        """
        self._processes: list[subprocess.Popen[bytes]] = []
        self.is_needed = plays_on_the_kernel(config, played_by(config)) and not rollout_kernel_is_on_disk()
        if self.is_needed:
            # The second compiles a part of what the first one needs last, and finds on disk then.
            for function in (compile_rollout_kernel, compile_step):
                # -P: with -c, Python looks for modules in the current folder first.
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
        """Wait for the processes to end; what failed will be compiled where it is called first."""
        for process in self._processes:
            process.wait()


def _some_weights(observation_size: int, num_outputs: int = 2) -> MLPWeights:
    """Return weights of a small network; those of any other have the same types."""
    shapes = ((observation_size, 4), (4,), (4, num_outputs), (num_outputs,))
    return padded_weights([np.zeros(shape, dtype=np.float32) for shape in shapes])
