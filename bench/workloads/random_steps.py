"""Environments of Gymnasium's and EnvPool's, stepped with random actions, and our agent in EnvPool's."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from agent import PPO, PPOConfig


class _Steps:
    """A vector environment and actions that were drawn beforehand."""

    def __init__(self, environments: gymnasium.vector.VectorEnv[Any, Any, Any], num_steps: int) -> None:
        self._environments = environments
        space: Any = environments.single_action_space
        shape = (num_steps, environments.num_envs)
        self._actions = np.random.default_rng(0).integers(0, space.n, shape).astype(space.dtype)
        self.work = float(self._actions.size)
        environments.reset()

    def run(self) -> None:
        """Take all steps, going on where the last ones ended."""
        for actions in self._actions:
            self._environments.step(actions)


class RandomSteps(_Steps):
    """Environments of Gymnasium's, one after the other, that begin new episodes within the same step."""

    def __init__(self, env_id: str, num_envs: int, num_steps: int) -> None:
        """Make the environments.

        Args:
            env_id: Their id.
            num_envs: How many.
            num_steps: Steps of each in one run.
        """
        vector_kwargs = {"autoreset_mode": AutoresetMode.SAME_STEP}
        environments = gymnasium.make_vec(
            env_id, num_envs=num_envs, vectorization_mode="sync", vector_kwargs=vector_kwargs
        )
        super().__init__(environments, num_steps)


class RandomStepsInEnvPool(_Steps):
    """EnvPool's own batch."""

    def __init__(self, env_id: str, num_envs: int, num_steps: int) -> None:
        """Make the environments.

        Args:
            env_id: Their id.
            num_envs: How many.
            num_steps: Steps of each in one run.
        """
        super().__init__(_envpool(env_id, num_envs), num_steps)


class OurEpochsInEnvPool:
    """Whole epochs in EnvPool's batch: a rollout, an update, and what is reported of them."""

    def __init__(self, config: PPOConfig) -> None:
        """Build the agent.

        Args:
            config: Of the agent.
        """
        environments, evaluations = (_envpool(str(config.env_id), config.num_envs) for _ in range(2))
        self._agent = PPO(config, environments, evaluation_environments=evaluations)
        self.work = float(config.rollout_size)

    def run(self) -> float:
        """Train for one epoch; return its mean return."""
        return self._agent.train_epoch().mean_return


def _envpool(env_id: str, num_envs: int) -> Any:
    import envpool

    return envpool.make(env_id, env_type="gymnasium", num_envs=num_envs, seed=0)
