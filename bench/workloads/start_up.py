"""The parts of a start, each timed in a new process."""

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
"""What ``StartUp.parts`` times, in order."""


class StartUp:
    """A process in which nothing of it has happened yet."""

    def parts(self, num_envs: int) -> list[float]:
        """Start, and return the durations of the parts in s.

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
