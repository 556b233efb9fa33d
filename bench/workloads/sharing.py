"""Training runs that share the machine with another run, or use only half of its cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from agent import PPO, PPOConfig
from bench.process import PeerError
from bench.workloads.our_agent import OurEpochs, endless

# For each number that it reads, trains that many epochs.
_COMPANION = """
import json, sys
from agent import PPO, PPOConfig
agent = PPO(PPOConfig.from_dict(json.loads(sys.stdin.readline())))
agent.compile()
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        agent.train_epoch()
    print("done", flush=True)
"""


class OneOfTwoTrainings:
    """Epochs of two training runs in separate processes, started together and timed until both have finished."""

    def __init__(self, config: PPOConfig, epochs_of_a_run: int) -> None:
        """Build both agents.

        Args:
            config: Configuration of both agents.
            epochs_of_a_run: Number of epochs per agent and run.

        Raises:
            PeerError: If the other process ends unexpectedly.
        """
        config = endless(config)
        self._agent = PPO(config)
        self._epochs = epochs_of_a_run
        self.work = float(config.rollout_size * epochs_of_a_run)
        self._other = subprocess.Popen(
            [sys.executable, "-c", _COMPANION], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say(json.dumps(config.as_dict()))
        self._wait()

    def run(self) -> float:
        """Train; return the mean return of the last epoch."""
        self._say(str(self._epochs))
        for _ in range(self._epochs):
            metrics = self._agent.train_epoch()
        self._wait()
        return metrics.mean_return

    def _say(self, line: str) -> None:
        assert self._other.stdin is not None
        self._other.stdin.write(line + "\n")
        self._other.stdin.flush()

    def _wait(self) -> None:
        assert self._other.stdout is not None
        if not self._other.stdout.readline():
            raise PeerError("The other training ended unexpectedly.")


class OnHalfOfTheCores(OurEpochs):
    """Epochs of one training run on half of the cores: the time of two runs at once if sharing had no overhead."""

    def __init__(self, config: PPOConfig, epochs_of_a_run: int) -> None:
        """Restrict the process to half of its cores, and build the agent.

        Args:
            config: Configuration of the agent.
            epochs_of_a_run: Number of epochs per run.

        Raises:
            PeerError: If there is only one core, or the system cannot restrict a process to some of its cores.
        """
        if not hasattr(os, "sched_setaffinity"):
            raise PeerError("This system cannot restrict a process to some of its cores.")
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise PeerError("There is only one core.")
        # Restrict each existing thread; new threads inherit the restriction.
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores[: len(cores) // 2])
        super().__init__(config, epochs_of_a_run)
