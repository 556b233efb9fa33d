"""CartPole as a Stable-Baselines3 ``VecEnv``; requires ``stable_baselines3``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from fastcartpole.attributes import Quantity
from fastcartpole.batch import RESET_HIGH, RESET_LOW
from fastcartpole.env import CartPoleEnv
from fastcartpole.physics import CartPoleParameters
from fastcartpole.validation import checked_reset_options
from fastcartpole.vector_env import CartPoleVectorEnv

# Attributes of the batch with one entry per environment along the first axis (``state``: along the last axis).
_ONE_ENTRY_EACH = ("np_random", "np_random_seed", "steps", "prev_done")
_FOR_A_SINGLE_ENVIRONMENT = {"observation_space": "single_observation_space", "action_space": "single_action_space"}


class CartPoleVecEnv(VecEnv):
    """A ``fastcartpole.CartPoleVectorEnv`` with Stable-Baselines3's interface.

    An environment whose episode ends is reset within the same step; the last observation is in its info as
    ``terminal_observation``. ``TimeLimit.truncated`` in every info tells whether only the time limit has ended the
    episode, in which case Stable-Baselines3 bootstraps the value.

    The environments can be addressed individually, as in ``DummyVecEnv``: ``get_attr`` and ``set_attr`` accept the
    attribute names of Gymnasium's ``CartPole-v1``, and ``env_method`` can reset and render. Only ``step`` always acts
    on all of them.
    """

    def __init__(self, environments: CartPoleVectorEnv) -> None:
        """Wrap a batch of environments.

        Args:
            environments: Batch with ``autoreset_mode=AutoresetMode.SAME_STEP`` and ``seeding="independent"``.

        Raises:
            ValueError: If the batch has another autoreset mode or seeding.
        """
        if environments.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"environments must have autoreset_mode SAME_STEP, got {environments.autoreset_mode}.")
        if environments.seeding != "independent":
            raise ValueError(f"environments must have seeding 'independent', got {environments.seeding!r}.")
        self.environments = environments
        self._actions: npt.NDArray[np.int64] | None = None
        super().__init__(environments.num_envs, environments.single_observation_space, environments.single_action_space)
        # The metadata of a single environment, which video recorders read.
        self.metadata = dict(CartPoleEnv.metadata)

    def reset(self) -> VecEnvObs:
        """Start new episodes, with the seeds and options set by ``seed`` and ``set_options``.

        Returns:
            Observations, shape (N, 4), float32.

        Raises:
            TypeError: If an environment's options are not a dictionary.
            ValueError: If there are not N options, or the bounds of one are not finite numbers with low <= high.
        """
        if len(self._options) != self.num_envs:
            raise ValueError(
                f"options must have one entry for each of the {self.num_envs} environments, got {len(self._options)}."
            )
        bounds = [checked_reset_options(options, RESET_LOW, RESET_HIGH) for options in self._options]
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observations = self._reset_within(bounds, seeds)
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Store the actions, shape (N,), for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take the actions; return observations, rewards (float32), dones and one info per environment.

        Raises:
            RuntimeError: If ``step_async`` has not been called.
        """
        if self._actions is None:
            raise RuntimeError("Call step_async() before step_wait().")
        actions, self._actions = self._actions, None
        observations, rewards, terminated, truncated, step_infos = self.environments.step(actions)
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        dones = terminated | truncated
        for index in np.flatnonzero(dones):
            infos[index]["terminal_observation"] = step_infos["final_obs"][index]
            infos[index]["TimeLimit.truncated"] = bool(truncated[index] and not terminated[index])
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close the environments."""
        self.environments.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """Return a frame of each environment, shape (400, 600, 3), uint8.

        If the render mode is not ``"rgb_array"``, return None for each environment, after a warning.
        """
        if self.render_mode != "rgb_array":
            warnings.warn(f"render_mode must be 'rgb_array' for images, it is {self.render_mode!r}.", stacklevel=2)
            return [None] * self.num_envs
        return list(self.environments.render() or ())

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of each chosen environment: its own entry, if the batch has one per environment.

        Raises:
            AttributeError: If there is no such attribute.
        """
        return [self._attribute(attr_name, index) for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the chosen environments; it takes effect with the next step.

        The physical quantities, ``state`` and ``steps`` may differ between environments; all other attributes must be
        set for all environments.

        Raises:
            TypeError: If the value has the wrong type.
            ValueError: If the value is out of range, or if only some environments were chosen for an attribute that all
                share.
        """
        chosen = list(self._get_indices(indices))
        if isinstance(getattr(CartPoleVectorEnv, attr_name, None), Quantity):
            values = np.broadcast_to(getattr(self.environments, attr_name), self.num_envs).copy()
            values[chosen] = value
            # One number for all environments is faster than an array of equal numbers.
            setattr(self.environments, attr_name, values[0].item() if (values == values[0]).all() else values)
        elif attr_name == "state":
            state = np.zeros((4, self.num_envs)) if self.environments.state is None else self.environments.state.copy()
            state[:, chosen] = np.reshape(value, (4, 1))
            self.environments.state = state
        elif attr_name == "steps":
            steps = self.environments.steps.copy()
            steps[chosen] = value
            self.environments.steps = steps
        elif set(chosen) == set(range(self.num_envs)):
            setattr(self.environments, attr_name, value)
        else:
            raise ValueError(f"{attr_name} is the same for all environments: set it without indices.")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of each chosen environment.

        Supported are ``reset``, ``render``, ``get_wrapper_attr``, ``set_wrapper_attr`` and ``has_wrapper_attr``.

        Returns:
            The results of the method, one per chosen environment.

        Raises:
            AttributeError: If there is no such method.
            NotImplementedError: If the method cannot be called on one environment of a batch, such as ``step``.
        """
        methods: dict[str, Callable[..., Any]] = {
            "reset": self._reset_one,
            "render": lambda index: self.get_images()[index],
            "get_wrapper_attr": lambda index, name: self._attribute(name, index),
            "has_wrapper_attr": lambda _, name: self.has_attr(name),
            "set_wrapper_attr": lambda index, name, value: self.set_attr(name, value, index),
        }
        if method_name not in methods:
            if not hasattr(CartPoleEnv, method_name):
                raise AttributeError(f"The environments have no method {method_name!r}.")
            raise NotImplementedError(f"{method_name}() cannot be called on single environments: they are one batch.")
        method = methods[method_name]
        return [method(index, *method_args, **method_kwargs) for index in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Return False for each chosen environment: none is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def _attribute(self, name: str, index: int) -> Any:
        """Return an attribute of environment ``index``."""
        value = getattr(self.environments, _FOR_A_SINGLE_ENVIRONMENT.get(name, name))
        if isinstance(getattr(CartPoleVectorEnv, name, None), Quantity):
            return value[index].item() if isinstance(value, np.ndarray) else value
        if name in _ONE_ENTRY_EACH:
            return value[index]
        if name == "state":
            return None if value is None else value[:, index]
        if name == "parameters":
            names = CartPoleParameters.__dataclass_fields__
            return CartPoleParameters(
                **{field: np.broadcast_to(getattr(value, field), self.num_envs)[index] for field in names}
            )
        if name == "metadata":
            return self.metadata
        return value

    def _reset_within(
        self, bounds: Sequence[tuple[float, float]], seeds: Sequence[int | None] | None
    ) -> npt.NDArray[np.float32]:
        """Start new episodes, each with initial state variables within its own bounds."""
        kinds = sorted(set(bounds))
        if len(kinds) == 1 or self.environments.state is None:
            observations, _ = self.environments.reset(seed=seeds, options={"low": kinds[0][0], "high": kinds[0][1]})
        if len(kinds) > 1:
            for low, high in kinds:
                mask = np.array([own == (low, high) for own in bounds])
                observations, _ = self.environments.reset(
                    seed=seeds, options={"low": low, "high": high, "reset_mask": mask}
                )
        return observations

    def _reset_one(
        self, index: int, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start a new episode in one environment, like Gymnasium's ``reset``."""
        low, high = checked_reset_options(options, RESET_LOW, RESET_HIGH)
        mask = np.arange(self.num_envs) == index
        seeds = [seed if is_chosen else None for is_chosen in mask]
        observations, infos = self.environments.reset(
            seed=seeds, options={"low": low, "high": high, "reset_mask": mask}
        )
        return observations[index], infos


def make_vec_env(
    num_envs: int = 1, seed: int | None = None, monitor_dir: str | Path | None = None, **kwargs: Any
) -> VecMonitor:
    """Return environments for Stable-Baselines3's algorithms, like its own ``make_vec_env``.

    They are monitored: the infos contain the returns and lengths of episodes, and training logs their means.

    Args:
        num_envs: Number of environments N, at least 1.
        seed: Environment i is seeded with ``seed + i`` at the first reset; None uses the system's entropy.
        monitor_dir: Directory for ``0.monitor.csv``, which records returns and lengths; None for no file.
        kwargs: Further arguments of ``fastcartpole.CartPoleVectorEnv``; ``render_mode`` defaults to ``"rgb_array"``.

    Returns:
        A ``VecMonitor`` around a ``CartPoleVecEnv``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.
    """
    settings = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_mode": "rgb_array", **kwargs}
    environments = CartPoleVecEnv(CartPoleVectorEnv(num_envs, **settings))
    if seed is not None:
        environments.action_space.seed(seed)
    if monitor_dir is not None:
        Path(monitor_dir).mkdir(parents=True, exist_ok=True)
    monitored = VecMonitor(environments, None if monitor_dir is None else str(Path(monitor_dir) / "0"))
    # Stable-Baselines3's wrappers do not forward the metadata.
    monitored.metadata = environments.metadata
    monitored.seed(seed)
    return monitored
