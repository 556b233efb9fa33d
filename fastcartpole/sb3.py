"""The environment as a Stable-Baselines3 ``VecEnv``; needs ``stable_baselines3``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from fastcartpole.vector_env import CartPoleVectorEnv


class CartPoleVecEnv(VecEnv):
    """A :class:`fastcartpole.CartPoleVectorEnv` in Stable-Baselines3's interface.

    Episodes that end are started anew within the same step; their last observation stands in the infos as
    ``terminal_observation``, and ``TimeLimit.truncated`` tells whether the time limit alone ended them, in which case
    Stable-Baselines3 bootstraps the value.
    """

    def __init__(self, environments: CartPoleVectorEnv) -> None:
        """Wrap a batch of environments.

        Args:
            environments: Made with ``autoreset_mode=AutoresetMode.SAME_STEP``.

        Raises:
            ValueError: If it was made with another autoreset mode.
        """
        if environments.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"environments must have autoreset_mode SAME_STEP, got {environments.autoreset_mode}.")
        self.environments = environments
        self._actions: npt.NDArray[np.int64] | None = None
        super().__init__(environments.num_envs, environments.single_observation_space, environments.single_action_space)

    def reset(self) -> VecEnvObs:
        """Start new episodes, seeded where :meth:`seed` was called before; return observations (N, 4), float32."""
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observations, _ = self.environments.reset(seed=seeds)
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Keep the actions, shape (N,), for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take the actions; return observations, rewards (float32), dones and one info for each environment.

        Raises:
            RuntimeError: If :meth:`step_async` has not been called.
        """
        if self._actions is None:
            raise RuntimeError("Call step_async() before step_wait().")
        actions, self._actions = self._actions, None
        observations, rewards, terminated, truncated, step_infos = self.environments.step(actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        dones = terminated | truncated
        for index in np.flatnonzero(dones):
            infos[index]["terminal_observation"] = step_infos["final_obs"][index]
            infos[index]["TimeLimit.truncated"] = bool(truncated[index] and not terminated[index])
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close the environments."""
        self.environments.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """Return a frame of each environment."""
        frames = self.environments.render()
        return list(frames) if isinstance(frames, tuple) else [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return the batch's attribute once for each chosen environment."""
        value = getattr(self.environments, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: the environments are one object, set up when it is made.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"{attr_name} cannot be set: pass settings to make_vec_env() instead.")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: there are no single environments to call.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"{method_name}() cannot be called on one of the environments: they are one batch.")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Return False for each chosen environment: none is wrapped."""
        return [False for _ in self._get_indices(indices)]


def make_vec_env(num_envs: int = 1, seed: int | None = None, **kwargs: Any) -> CartPoleVecEnv:
    """Return environments that Stable-Baselines3's algorithms take as they are.

    Args:
        num_envs: Number of environments N, at least 1.
        seed: Environment i is seeded with ``seed + i`` at the first reset; None for the system's entropy.
        kwargs: Further arguments of :class:`fastcartpole.CartPoleVectorEnv`.

    Returns:
        The environments.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of its range.
    """
    environments = CartPoleVecEnv(CartPoleVectorEnv(num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs))
    environments.seed(seed)
    return environments
