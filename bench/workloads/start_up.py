"""The phases of a start, timed in a new process."""

from __future__ import annotations

import importlib
import itertools
import time

PARTS = (
    "import of TensorFlow and Keras",
    "import of Numba and this project",
    "building the agent",
    "tracing and compiling the update",
    "loading the compiled rollout",
    "first epoch",
)
"""Phases that ``StartUp.parts`` times, in order."""


class StartUp:
    """The start of a training run, in a process that has not imported any of its modules yet."""

    def parts(self, num_envs: int) -> list[float]:
        """Start a training run, and return the durations of its phases in s.

        Args:
            num_envs: Number of environments of preset ``fast``.
        """
        times = [time.perf_counter()]
        for module in ("keras", "agent.ppo"):
            importlib.import_module(module)
            times.append(time.perf_counter())
        from agent import PPO, adapted_preset

        agent = PPO(adapted_preset("fast", num_envs=num_envs))
        times.append(time.perf_counter())
        for step in (agent.compile_update, agent.compile, agent.train_epoch):
            step()
            times.append(time.perf_counter())
        return [end - start for start, end in itertools.pairwise(times)]
