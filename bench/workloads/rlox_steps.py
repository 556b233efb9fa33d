"""Steps of rlox's CartPole, which is written in Rust, with random actions."""

from __future__ import annotations

import numpy as np
import rlox

from bench.correctness import Trajectory, check_dynamics, random_actions
from bench.workloads.stepping import num_checked_steps, num_steps_of_run


class RloxSteps:
    """Steps of a batch with all results returned; rlox chooses the number of threads."""

    def __init__(self, num_envs: int) -> None:
        """Create and reset the environments.

        Args:
            num_envs: Number of environments.
        """
        self._environments = rlox.VecEnv(num_envs, seed=0)
        # The fastest of the dtypes that rlox accepts.
        self._actions = random_actions(0, num_steps_of_run(num_envs), num_envs).astype(np.uint32)
        self.work = float(self._actions.size)
        self._environments.reset_all()

    def run(self) -> float:
        """Step through all actions; return the sum of the last rewards."""
        for row in self._actions:
            results = self._environments.step_all(row)
        return float(results["rewards"].sum())

    def check(self) -> None:
        """Compare a trajectory with Gymnasium's steps."""
        num_envs = self._actions.shape[1]
        observations = [np.array(self._environments.reset_all())]
        actions = random_actions(1, num_checked_steps(num_envs), num_envs)
        ended = []
        for row in actions.astype(np.uint32):
            results = self._environments.step_all(row)
            observations.append(np.array(results["obs"]))
            ended.append(results["terminated"].astype(bool) | results["truncated"].astype(bool))
        check_dynamics(Trajectory(np.array(observations), actions, np.array(ended)))
