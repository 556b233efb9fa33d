"""``CartPoleEnv``: a single CartPole as a Gymnasium environment."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from fastcartpole.attributes import Physical
from fastcartpole.batch import RESET_HIGH, RESET_LOW
from fastcartpole.kernels import specialized
from fastcartpole.physics import INTEGRATORS, CartPoleParameters, Parameter, step_state
from fastcartpole.rendering import Drawn, Renderer
from fastcartpole.spaces import action_space, observation_space
from fastcartpole.trigonometry import warn_where_numpy_differs
from fastcartpole.validation import checked_choice, checked_reset_options, checked_state

_RENDER_MODES = ["human", "rgb_array"]
# Copying an array is faster than creating one.
_BLANK = np.zeros(4, dtype=np.float32)
_INTEGERS = frozenset({int, np.int8, np.int16, np.int32, np.int64})


class CartPoleEnv(Physical, Drawn, gymnasium.Env[Any, Any]):
    """A single CartPole, bit-identical to Gymnasium's ``CartPole-v1`` and, like its class, without a time limit.

    ``gymnasium.make("fastcartpole/CartPole-v1")`` adds the limit of 500 steps. Observations are float32 of shape (4,):
    position (m), velocity (m/s), angle (rad), angular velocity (rad/s). Action 0 pushes to the left, 1 to the right.

    The physics and the state can be read and set under the names of Gymnasium's class; see
    ``fastcartpole.attributes.Physical``.

    Attributes:
        sutton_barto_reward: Whether a step is rewarded with 0, or -1 on termination, instead of always 1.
        steps_beyond_terminated: Number of steps taken since the episode terminated; None before that.
    """

    metadata: dict[str, Any] = {"render_modes": _RENDER_MODES, "render_fps": 50}

    def __init__(
        self,
        *,
        sutton_barto_reward: bool = False,
        parameters: CartPoleParameters | None = None,
        kinematics_integrator: str = "euler",
        render_mode: str | None = None,
    ) -> None:
        """Create the environment; call ``reset`` before the first step.

        Args:
            sutton_barto_reward: Whether a step is rewarded with 0, or -1 on termination, instead of always 1.
            parameters: Physical parameters, numbers only; None for those of ``CartPole-v1``.
            kinematics_integrator: ``"euler"`` or ``"semi-implicit euler"``.
            render_mode: ``"rgb_array"``, ``"human"``, or None.

        Raises:
            TypeError: If ``parameters`` is not a ``CartPoleParameters``.
            ValueError: If an argument is out of range or a parameter is an array.
        """
        self.parameters = CartPoleParameters() if parameters is None else parameters
        self.kinematics_integrator = kinematics_integrator
        self.render_mode = render_mode
        self.sutton_barto_reward = bool(sutton_barto_reward)
        self.observation_space = observation_space(self.parameters)
        self.action_space = action_space()
        self._state = np.zeros(4)
        self._is_reset = False
        # Whether the caller may hold, and change, the array of the state.
        self._is_handed_out = False
        self.steps_beyond_terminated: int | None = None
        warn_where_numpy_differs()
        self._compile()
        self._is_made = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start a new episode.

        Args:
            seed: A non-negative integer seeds the generator of initial states; None continues it.
            options: ``"low"`` and ``"high"`` bound the initial state variables (default -0.05 and 0.05).

        Returns:
            The observation, shape (4,), float32, and an empty dictionary.

        Raises:
            gymnasium.error.Error: If the seed is not a non-negative integer.
            TypeError: If the options are not a dictionary.
            ValueError: If the bounds are not finite numbers with low <= high.
        """
        low, high = checked_reset_options(options, RESET_LOW, RESET_HIGH)
        super().reset(seed=seed)
        state = self.np_random.uniform(low, high, 4)
        # Faster than single assignments, and bypasses the checks of __setattr__.
        vars(self).update(_state=state, _is_reset=True, _is_handed_out=False, steps_beyond_terminated=None)
        if self._render_mode == "human":
            self.render()
        return state.astype(np.float32), {}

    def step(self, action: int) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one action.

        Args:
            action: 0 or 1.

        Returns:
            ``(observation, reward, terminated, truncated, info)``: float32 of shape (4,), float, bool, False and an
            empty dictionary. Steps after termination are rewarded with 0 (-1 with ``sutton_barto_reward``); the first
            of them warns.

        Raises:
            ValueError: If the action is neither 0 nor 1.
            gymnasium.error.ResetNeeded: If ``reset`` has not been called.
        """
        # Plain integers skip the check against the space, which takes as long as the rest of the step.
        is_plain = type(action) in _INTEGERS and 0 <= action <= 1
        if not is_plain and not self.action_space.contains(action):
            raise ValueError(f"action must be 0 or 1, got {action!r}.")
        if not self._is_reset:
            raise gymnasium.error.ResetNeeded("Call reset() before step().")
        if self._is_handed_out:
            # The caller keeps the old array; this step continues with a copy that includes the caller's changes.
            self._state, self._is_handed_out = self._state.copy(), False
        observation = _BLANK.copy()
        terminated = self._step_state(self._state, action, self._is_semi_implicit, self._constants, observation)
        reward = self._reward_of_a_fall() if terminated else 0.0 if self.sutton_barto_reward else 1.0
        if self._render_mode == "human":
            self.render()
        return observation, reward, terminated, False, {}

    def render(self) -> npt.NDArray[np.uint8] | None:
        """Draw the environment as Gymnasium does.

        Returns:
            With ``"rgb_array"`` a frame, shape (400, 600, 3), uint8; with ``"human"`` None, after updating the window;
            without a render mode None, after a warning.

        Raises:
            gymnasium.error.DependencyNotInstalled: If pygame is not installed.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing: the environment was made without a render_mode.")
            return None
        return self._renderer.frame(self._state, self._quantities) if self._is_reset else None

    def close(self) -> None:
        """Close the window, if it is open."""
        self._renderer.close()

    @property
    def state(self) -> npt.NDArray[np.float64] | None:
        """The physical state, shape (4,), float64, or None before the first reset.

        It may be set to four finite numbers, which makes a reset unnecessary, or changed in place until the next step,
        which continues with a copy. Numbers of other types are converted to float64.
        """
        self._is_handed_out = True
        return self._state if self._is_reset else None

    @state.setter
    def state(self, value: npt.ArrayLike) -> None:
        self._state = checked_state(value, (4,))
        self._is_reset, self._is_handed_out = True, False

    @property
    def kinematics_integrator(self) -> str:
        """``"euler"`` or ``"semi-implicit euler"``."""
        return "semi-implicit euler" if self._is_semi_implicit else "euler"

    @kinematics_integrator.setter
    def kinematics_integrator(self, value: str) -> None:
        self._is_semi_implicit = checked_choice("kinematics_integrator", value, INTEGRATORS) == INTEGRATORS[1]

    @property
    def render_mode(self) -> str | None:
        """``"rgb_array"``, ``"human"``, or None."""
        return self._render_mode

    @render_mode.setter
    def render_mode(self, value: str | None) -> None:
        self._render_mode = value if value is None else checked_choice("render_mode", value, _RENDER_MODES)
        previous = self.__dict__.get("_renderer")
        self._renderer: Renderer = Renderer(self._render_mode or "rgb_array")
        if previous is not None:
            previous.close()
            self._renderer.size = previous.size

    def _assert_fits(self, name: str, value: Parameter) -> None:
        if isinstance(value, np.ndarray):
            raise ValueError(f"{name} and the other parameters of one environment must be numbers, got an array.")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_step_state"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._compile()

    def _compile(self) -> None:
        self._step_state = specialized(
            step_state, np.zeros(4), 0, self._is_semi_implicit, self._constants, np.empty(4, dtype=np.float32)
        )

    def _reward_of_a_fall(self) -> float:
        if self.steps_beyond_terminated is None:
            self.steps_beyond_terminated = 0
            return -1.0 if self.sutton_barto_reward else 1.0
        if self.steps_beyond_terminated == 0:
            gymnasium.logger.warn(
                "step() was called after the episode had terminated: call reset() first; the results of further steps "
                "are undefined."
            )
        self.steps_beyond_terminated += 1
        return -1.0 if self.sutton_barto_reward else 0.0
