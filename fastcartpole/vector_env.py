"""``CartPoleVectorEnv``: a batch of CartPole environments as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from fastcartpole.attributes import Physical
from fastcartpole.batch import (
    DISABLED,
    NEXT_STEP,
    POLYNOMIAL,
    RESET_HIGH,
    RESET_LOW,
    SAME_STEP,
    BatchState,
    copy_batch_state,
    new_batch_state,
    reset_batch,
    rewards_of,
    step_limit,
    step_rules,
    write_observations,
)
from fastcartpole.kernels import IN_USE, OneThread, specialized
from fastcartpole.memory import BYTES_PER_ENVIRONMENT, assert_fits_memory
from fastcartpole.physics import INTEGRATORS, CartPoleParameters, Parameter
from fastcartpole.random_streams import give_state, new_generator, seed_streams_from_integers, take_state
from fastcartpole.rendering import Drawn, Renderer
from fastcartpole.rollout import Policy, Trajectories, roll_out
from fastcartpole.spaces import action_space, observation_space
from fastcartpole.stepping import (
    NO_FINALS,
    NotedBatch,
    ResultPool,
    brief_step_batch,
    step_batch,
    threaded_step_batch,
)
from fastcartpole.threads import usable_threads
from fastcartpole.trigonometry import exact_method, warn_where_numpy_differs
from fastcartpole.validation import (
    Seeds,
    checked_actions,
    checked_choice,
    checked_integer,
    checked_reset_mask,
    checked_reset_options,
    checked_seeds,
    checked_state,
)

_ENVS_PER_THREAD = 4096
# Batches up to this size are stepped within microseconds, so that the step may hold the global interpreter lock.
_MAX_BRIEF_STEP_ENVS = 512
_AUTORESET = {
    AutoresetMode.NEXT_STEP: NEXT_STEP,
    AutoresetMode.SAME_STEP: SAME_STEP,
    AutoresetMode.DISABLED: DISABLED,
}
_RENDER_MODES = ["rgb_array", "rgb_array_grid"]
# Gymnasium's batch also accepts "rgb_array_list", and draws as with "rgb_array".
_ACCEPTED_RENDER_MODES = (*_RENDER_MODES, "rgb_array_list")

StepResult = tuple[
    npt.NDArray[np.float32], npt.NDArray[np.floating], npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]
]


class CartPoleVectorEnv(Physical, Drawn, VectorEnv[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[Any]]):
    """N CartPole environments, bit-identical to Gymnasium's ``CartPole-v1``.

    With ``seeding="independent"`` (the default), every observation, reward, flag and info equals that of
    ``gymnasium.make_vec("CartPole-v1", num_envs=N, vectorization_mode="sync")`` for the same seeds and actions, across
    resets: environment ``i`` draws its initial states from its own PCG64 stream, seeded with ``seed + i``. With
    ``seeding="shared"``, they equal those of Gymnasium's own ``CartPoleVectorEnv``, the default of
    ``gymnasium.make_vec``: one stream for the batch, drawn in blocks of shape (4, k), and float32 rewards.

    Observations are float32 of shape (N, 4): position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
    Actions are integers of shape (N,): 0 pushes to the left, 1 to the right. Results do not depend on the number of
    threads. The environment can be pickled and copied; the copy continues as the original would. Only one thread at a
    time may use a batch: a second thread gets an exception or, if a step takes only microseconds, waits for its turn.
    Threads that each have their own batch run in parallel.

    The physics, the state and the rules can be read and set under the names of Gymnasium's batch, physical quantities
    as one number for all environments or one per environment; see ``fastcartpole.attributes.Physical``. ``num_envs``,
    ``seeding`` and ``autoreset_mode`` are fixed.
    """

    _is_prepared: bool
    _is_noted: bool
    _noted: NotedBatch
    _step: Callable[[int, int, npt.NDArray[np.int64], npt.NDArray[np.floating]], int]

    metadata: dict[str, Any] = {
        "render_modes": _RENDER_MODES,
        "render_fps": 50,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = 500,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        precision: str = "exact",
        seeding: str = "independent",
        sutton_barto_reward: bool = False,
        parameters: CartPoleParameters | None = None,
        kinematics_integrator: str = "euler",
        num_threads: int | None = None,
        copy: bool = True,
        render_mode: str | None = None,
    ) -> None:
        """Create the environments; call ``reset`` before the first step.

        Args:
            num_envs: Number of environments N, at least 1.
            max_episode_steps: Steps after which an episode is truncated; None for no limit.
            autoreset_mode: When an environment whose episode has ended is reset: by the following step, which ignores
                its action (``NEXT_STEP``); within the same step, which returns the last observation in the infos
                (``SAME_STEP``); or by the caller (``DISABLED``).
            precision: ``"exact"`` for results bit-identical to Gymnasium's; ``"fast"`` for sines and cosines within 1
                unit in the last place, and fused float64 operations in the equations.
            seeding: ``"independent"`` streams as in Gymnasium's ``SyncVectorEnv``, or one ``"shared"`` stream as in its
                ``CartPoleVectorEnv``.
            sutton_barto_reward: Whether a step is rewarded with 0, or -1 on termination, instead of always 1.
            parameters: Physical parameters; None for those of ``CartPole-v1``.
            kinematics_integrator: ``"euler"`` or ``"semi-implicit euler"``.
            num_threads: Number of threads that share a step, at least 1; None chooses by the size of the batch.
            copy: Whether every step returns an observation array that nothing else references; otherwise all steps
                overwrite and return the same array.
            render_mode: ``"rgb_array"`` or its synonym ``"rgb_array_list"`` for a tuple of frames,
                ``"rgb_array_grid"`` for one tiled frame, or None.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If an argument is out of range, or parameter arrays do not have N entries.
            MemoryError: If so many environments do not fit into this machine's memory.
        """
        # Comes first: older versions of Gymnasium also close environments whose arguments were invalid.
        self._renderer = Renderer()
        self._num_envs = checked_integer("num_envs", num_envs, minimum=1)
        assert_fits_memory(f"num_envs={self.num_envs}", self.num_envs * BYTES_PER_ENVIRONMENT)
        self._autoreset_mode = _checked_autoreset_mode(autoreset_mode)
        self._seeding = checked_choice("seeding", seeding, ("independent", "shared"))
        self._rules = step_rules(
            max_episode_steps=None,
            autoreset_mode=_AUTORESET[self.autoreset_mode],
            shared_stream=self.seeding == "shared",
        )
        self.max_episode_steps = max_episode_steps
        self.precision = precision
        self.kinematics_integrator = kinematics_integrator
        self.sutton_barto_reward = sutton_barto_reward
        self.parameters = CartPoleParameters() if parameters is None else parameters
        self.render_mode = render_mode
        requested_threads = (
            None if num_threads is None else checked_integer("num_threads", num_threads, minimum=1, maximum=None)
        )
        self._usable_threads = usable_threads(requested_threads, self.num_envs, _ENVS_PER_THREAD)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = observation_space(self.parameters)
        self.single_action_space = action_space()
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._reward_dtype: np.dtype[np.floating] = np.dtype(np.float32 if self.seeding == "shared" else np.float64)
        self._action_shape = (self.num_envs,)
        self._state = new_batch_state(self.num_envs, 1 if self.seeding == "shared" else self.num_envs)
        self._stream_indices = np.arange(self._state.streams.shape[1])
        self._everywhere = np.ones(self.num_envs, dtype=np.bool_)
        self._observations = None if copy else np.empty((self.num_envs, 4), dtype=np.float32)
        self._reset_kernel = self._compiled_reset()
        self._is_seeded = False
        self._is_ready = False
        self._results = self._new_results()
        self._one_thread = OneThread()
        # Seeds of the streams, and their generators once ``np_random`` has been read or set.
        self._seeds: Sequence[int] = ()
        self._generators: tuple[np.random.Generator, ...] = ()
        self._resets_are_manual = self.autoreset_mode is AutoresetMode.DISABLED
        # Whether the caller may hold, and change, the arrays of the state.
        self._is_handed_out = False
        self._is_made = True

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: With independent seeding, an integer s seeds environment i with s + i, and a sequence gives each
                environment its own seed, where None continues that environment's stream. With shared seeding, one
                integer. None continues all streams, which start from the system's entropy.
            options: ``"low"`` and ``"high"`` bound the initial state variables (default -0.05 and 0.05);
                ``"reset_mask"``, a bool array of shape (N,), resets only the chosen environments.

        Returns:
            Observations, shape (N, 4), float32, and an empty dictionary.

        Raises:
            TypeError: If a seed is not an integer, the options are not a dictionary, or the mask is not a bool array.
            ValueError: If a seed is negative, a length is not N, the mask is all False, or the bounds are not finite
                numbers with low <= high.
            gymnasium.error.ClosedEnvironmentError: If the environment has been closed.
            RuntimeError: If another thread is using the environment.
        """
        self._assert_open()
        num_streams = self._state.streams.shape[1]
        if self.seeding == "shared" and seed is not None:
            seeds = checked_seeds(checked_integer("seed", seed, minimum=0, maximum=None), num_streams)
        else:
            seeds = checked_seeds(seed, num_streams)
        low, high = checked_reset_options(options, RESET_LOW, RESET_HIGH)
        mask = checked_reset_mask(options, self._everywhere)
        is_shared = self.seeding == "shared"
        with self._one_thread:
            # Makes a step in another thread check whether the environments are in use.
            vars(self)["_is_prepared"] = False
            self._detach_state()
            self._take_states()
            self._seed(seeds, None if mask is self._everywhere or is_shared else mask)
            if is_shared:
                # Gymnasium's CartPoleVectorEnv also uses these bounds for autoresets; SyncVectorEnv does not.
                self._rules = self._rules._replace(reset_low=low, reset_high=high)
            observations = self._observation_array()
            self._reset_kernel(mask, is_shared, self._state, low, high, observations)
            self._give_states()
            if not self._is_ready:
                self._is_ready = bool(mask.all())
        return observations, {}

    def step(self, actions: npt.ArrayLike) -> StepResult:
        """Take one action in every environment.

        Args:
            actions: Integers 0 or 1, shape (N,).

        Returns:
            ``(observations, rewards, terminated, truncated, infos)``: float32 of shape (N, 4), float64 (float32 with
            shared seeding), bool and bool of shape (N,), and a dictionary. With ``SAME_STEP``, it holds ``final_obs``
            (shape (N,), object), ``final_info`` and their masks if an episode has ended; otherwise it is empty.

        Raises:
            TypeError: If the actions are not integers.
            ValueError: If their shape is not (N,) or an action is neither 0 nor 1; no environment is stepped then.
            gymnasium.error.ResetNeeded: If ``reset`` has not been called, or, with ``DISABLED``, if an environment
                whose episode has ended has not been reset.
            gymnasium.error.ClosedEnvironmentError: If the environment has been closed.
            RuntimeError: If another thread is using the environment.
        """
        checked = checked_actions(actions, self._action_shape)
        observations, rewards, terminated, truncated, finals, address, _ = self._results.take()
        # No other thread can run between the last look at this flag and the end of a step by a brief kernel.
        while not self._is_prepared:
            self._prepare()
        # Keeps its arrays alive, even if another thread replaces them.
        noted = self._noted
        outcome = self._step(noted.address, address, checked, rewards)
        if outcome >= 0:
            raise ValueError(f"actions must be 0 or 1, got {checked[outcome]} for environment {outcome}.")
        infos = {} if outcome == NO_FINALS else _final_infos(terminated | truncated, finals)
        return observations, rewards, terminated, truncated, infos

    def rollout(
        self, policy: Policy, num_steps: int, *, seed: int | None = None, out: Trajectories | None = None
    ) -> Trajectories:
        """Step ``num_steps`` times in one compiled call, with the same results as that many calls of ``step``.

        Args:
            policy: ``"random"`` for uniformly random actions, or a function compiled with ``numba.njit`` that takes an
                observation, shape (4,), float32, and a random number, float64, uniform in [0, 1), and returns 0 or 1.
            num_steps: Number of steps T, at least 1.
            seed: Seed of the policy's random numbers; None uses the system's entropy.
            out: Trajectories of an earlier rollout with as many steps, overwritten and returned instead of new arrays.

        Returns:
            Observations before each step, actions, rewards and flags, T x N each, and the observations after the last
            step.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If an argument is out of range, or the policy returns an action other than 0 or 1; no
                environment is stepped then.
            MemoryError: If so many steps do not fit into this machine's memory.
            gymnasium.error.ResetNeeded: If ``reset`` has not been called, or with ``DISABLED``, which does not support
                rollouts.
            gymnasium.error.ClosedEnvironmentError: If the environment has been closed.
            RuntimeError: If another thread is using the environment.
        """
        self._assert_ready()
        if self._resets_are_manual:
            raise gymnasium.error.ResetNeeded("rollout() needs an autoreset mode other than DISABLED.")
        with self._one_thread:
            vars(self)["_is_prepared"] = False
            self._detach_state()
            self._take_states()
            rollout = roll_out(
                policy,
                num_steps,
                seed,
                self._usable_threads,
                self._state,
                self._constants,
                self._rules,
                self._reward_dtype,
                out,
            )
            self._give_states()
        return rollout

    @property
    def num_envs(self) -> int:  # type: ignore[override]
        """Number of environments N."""
        return self._num_envs

    @property
    def seeding(self) -> str:
        """``"independent"`` or ``"shared"``."""
        return self._seeding

    @property
    def autoreset_mode(self) -> AutoresetMode:
        """When an environment whose episode has ended is reset."""
        return self._autoreset_mode

    @property
    def max_episode_steps(self) -> int | None:
        """Number of steps after which an episode is truncated, or None."""
        return self._max_episode_steps

    @max_episode_steps.setter
    def max_episode_steps(self, value: int | None) -> None:
        self._max_episode_steps = (
            None if value is None else checked_integer("max_episode_steps", value, minimum=1, maximum=None)
        )
        self._rules = self._rules._replace(max_episode_steps=step_limit(self._max_episode_steps))

    @property
    def precision(self) -> str:
        """``"exact"`` or ``"fast"``."""
        return "fast" if self._rules.trigonometry == POLYNOMIAL else "exact"

    @precision.setter
    def precision(self, value: str) -> None:
        is_exact = checked_choice("precision", value, ("exact", "fast")) == "exact"
        if is_exact:
            warn_where_numpy_differs()
        self._rules = self._rules._replace(trigonometry=exact_method() if is_exact else POLYNOMIAL)

    @property
    def kinematics_integrator(self) -> str:
        """``"euler"`` or ``"semi-implicit euler"``."""
        return INTEGRATORS[self._rules.semi_implicit]

    @kinematics_integrator.setter
    def kinematics_integrator(self, value: str) -> None:
        is_semi_implicit = checked_choice("kinematics_integrator", value, INTEGRATORS) == INTEGRATORS[1]
        self._rules = self._rules._replace(semi_implicit=is_semi_implicit)

    @property
    def sutton_barto_reward(self) -> bool:
        """Whether a step is rewarded with 0, or -1 on termination, instead of always 1."""
        return self._rules.fall_reward == -1.0

    @sutton_barto_reward.setter
    def sutton_barto_reward(self, value: bool) -> None:
        step_reward, fall_reward = rewards_of(sutton_barto=bool(value), shared_stream=self.seeding == "shared")
        self._rules = self._rules._replace(step_reward=step_reward, fall_reward=fall_reward)

    @property
    def low(self) -> float:
        """Lower bound of the state variables after an autoreset."""
        return self._rules.reset_low

    @low.setter
    def low(self, value: float) -> None:
        low, _ = checked_reset_options({"low": value}, value, max(value, self.high))
        self._rules = self._rules._replace(reset_low=low)

    @property
    def high(self) -> float:
        """Upper bound of the state variables after an autoreset."""
        return self._rules.reset_high

    @high.setter
    def high(self, value: float) -> None:
        _, high = checked_reset_options({"high": value}, min(value, self.low), value)
        self._rules = self._rules._replace(reset_high=high)

    @property
    def render_mode(self) -> str | None:
        """``"rgb_array"``, ``"rgb_array_list"``, ``"rgb_array_grid"`` or None."""
        return self._render_mode

    @render_mode.setter
    def render_mode(self, value: str | None) -> None:
        self._render_mode = value if value is None else checked_choice("render_mode", value, _ACCEPTED_RENDER_MODES)

    @property
    def state(self) -> npt.NDArray[np.float64] | None:
        """The physical state, shape (4, N), float64: position, velocity, angle, angular velocity; None before a reset.

        It may be set to finite numbers of the same shape, which makes a reset unnecessary, or changed in place until
        the next step, which continues with a copy. Step counts and random streams do not change. Numbers of other types
        are converted to float64.
        """
        self._is_handed_out = True
        return self._state.physics if self._is_ready else None

    @state.setter
    def state(self, value: npt.ArrayLike) -> None:
        self._state = self._state._replace(physics=checked_state(value, self._state.physics.shape))
        self._seed_if_new()
        self._is_ready = True

    @property
    def steps(self) -> npt.NDArray[np.int32]:
        """Steps since the last reset, shape (N,), int32; may be changed in place, or set to non-negative integers."""
        return self._state.elapsed_steps

    @steps.setter
    def steps(self, value: npt.ArrayLike) -> None:
        steps = np.asarray(value)
        if steps.dtype.kind not in "iu" or steps.shape != (self.num_envs,) or (steps < 0).any():
            raise ValueError(f"steps must be integers of at least 0 with shape ({self.num_envs},), got {value!r}.")
        self._state = self._state._replace(elapsed_steps=steps.astype(np.int32))

    @property
    def prev_done(self) -> npt.NDArray[np.bool_]:
        """Whether the last step ended the episode, shape (N,), bool; may be changed in place until the next step."""
        self._is_handed_out = True
        return self._state.needs_reset

    @prev_done.setter
    def prev_done(self, value: npt.ArrayLike) -> None:
        done = np.asarray(value)
        if done.dtype != np.bool_ or done.shape != (self.num_envs,):
            raise ValueError(f"prev_done must be bools with shape ({self.num_envs},), got {value!r}.")
        self._state = self._state._replace(needs_reset=done.copy())

    @property
    def steps_beyond_terminated(self) -> None:
        """None, as on Gymnasium's batch."""

    def _detach_state(self) -> None:
        """Continue with copies of the arrays that the caller may hold, including the caller's changes."""
        if self._is_handed_out:
            physics, needs_reset = self._state.physics.copy(), self._state.needs_reset.copy()
            self._state = self._state._replace(physics=physics, needs_reset=needs_reset)
            self._is_handed_out = False

    def _assert_fits(self, name: str, value: Parameter) -> None:
        if isinstance(value, np.ndarray) and value.size != self.num_envs:
            raise ValueError(
                f"{name} must be a number, or must have num_envs={self.num_envs} entries, got {value.size}."
            )

    @property  # type: ignore[override]
    def np_random(self) -> np.random.Generator | tuple[np.random.Generator, ...]:
        """Random generators of the initial states; drawing from one advances the stream that resets draw from.

        As in Gymnasium's class with the same seeding, this is a tuple with independent seeding (``SyncVectorEnv``),
        which cannot be set, and a single generator with shared seeding (``CartPoleVectorEnv``), which can be set to any
        NumPy generator with PCG64.
        """
        if not self._generators:
            self._seed_if_new()
            num_streams = self._state.streams.shape[1]
            self._generators = tuple(new_generator(self._state.streams, index) for index in range(num_streams))
        return self._generators[0] if self.seeding == "shared" else self._generators

    @np_random.setter
    def np_random(self, value: np.random.Generator) -> None:
        if self.seeding == "independent":
            raise AttributeError(
                "np_random of a batch with independent seeding cannot be set: reset(seed=[...]) seeds each environment."
            )
        if not isinstance(value, np.random.Generator) or not isinstance(value.bit_generator, np.random.PCG64):
            raise TypeError(f"np_random must be a numpy.random.Generator of PCG64, got {value!r}.")
        self._is_seeded = True
        self._seeds = (-1,)
        self._generators = (value,)

    @property
    def np_random_seed(self) -> int | tuple[int, ...]:  # type: ignore[override]
        """Seed of each stream, as in Gymnasium's class with the same seeding; -1 if the generator or state was set."""
        self._seed_if_new()
        return self._seeds[0] if self.seeding == "shared" else tuple(self._seeds)

    def get_state(self) -> dict[str, Any]:
        """Return everything that changes while the environments run, for ``set_state``.

        Returns:
            Copies of the physical state, step counts, pending autoresets and random streams, the settings left by
            ``reset``, and the physics, integrator and time limit.
        """
        self._take_states()
        return {
            **{name: array.copy() for name, array in self._state._asdict().items()},
            "reset_low": self._rules.reset_low,
            "reset_high": self._rules.reset_high,
            "is_seeded": self._is_seeded,
            "is_ready": self._is_ready,
            "quantities": dict(self._quantities),
            "kinematics_integrator": self.kinematics_integrator,
            "max_episode_steps": self.max_episode_steps,
        }

    def set_state(self, state: dict[str, Any]) -> npt.NDArray[np.float32]:
        """Resume, bit for bit, from where ``get_state`` was called, in this or an identically created environment.

        Args:
            state: The result of ``get_state``.

        Returns:
            The observations of that state, shape (N, 4), float32.

        Raises:
            TypeError: If the time limit is not an integer.
            ValueError: If an entry is missing, or has another type, shape or dtype; nothing is changed then.
        """
        self._assert_open()
        expected = self.get_state()
        if not isinstance(state, dict) or state.keys() != expected.keys():
            raise ValueError(f"state must be a dictionary with the keys {', '.join(expected)}.")
        for name, array in self._state._asdict().items():
            given = state[name]
            if not isinstance(given, np.ndarray) or given.shape != array.shape or given.dtype != array.dtype:
                raise ValueError(f"state[{name!r}] must be an array of {array.dtype} with shape {array.shape}.")
        for name, kind in (("reset_low", float), ("reset_high", float), ("is_seeded", bool), ("is_ready", bool)):
            if not isinstance(state[name], kind) or not np.isfinite(state[name]):
                raise ValueError(f"state[{name!r}] must be a finite {kind.__name__}, got {state[name]!r}.")
        checked_state(state["physics"], self._state.physics.shape)
        quantities = self._checked_quantities(state["quantities"])
        integrator = checked_choice("state['kinematics_integrator']", state["kinematics_integrator"], INTEGRATORS)
        limit = state["max_episode_steps"]
        if limit is not None:
            limit = checked_integer("state['max_episode_steps']", limit, minimum=1, maximum=None)
        self._set_quantities(quantities)
        self.kinematics_integrator, self.max_episode_steps = integrator, limit
        self._is_handed_out = False
        self._state = copy_batch_state(BatchState(*(state[name] for name in BatchState._fields)))
        self._rules = self._rules._replace(reset_low=state["reset_low"], reset_high=state["reset_high"])
        self._is_seeded, self._is_ready = state["is_seeded"], state["is_ready"]
        # The state does not contain the seeds of its streams.
        self._seeds = [-1] * self._state.streams.shape[1]
        self._give_states()
        observations = self._observation_array()
        write_observations(0, self.num_envs, self._state, observations)
        return observations

    def render(self) -> tuple[npt.NDArray[np.uint8], ...] | npt.NDArray[np.uint8] | None:  # type: ignore[override]
        """Draw every environment as Gymnasium does.

        Returns:
            With ``"rgb_array"`` and ``"rgb_array_list"`` a tuple of N frames, shape (400, 600, 3), uint8; with
            ``"rgb_array_grid"`` one frame of all of them, tiled; without a render mode None, after a warning.

        Raises:
            gymnasium.error.DependencyNotInstalled: If pygame is not installed.
            gymnasium.error.ResetNeeded: If ``reset`` has not been called.
        """
        self._assert_reset()
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing: the environment was made without a render_mode.")
            return None
        if self.render_mode == "rgb_array_grid":
            return self._renderer.grid(self._state.physics, self._quantities)
        return self._renderer.frames(self._state.physics, self._quantities)

    def close_extras(self, **kwargs: Any) -> None:
        """Release the resources of rendering."""
        self._renderer.close()

    def _discard_preparation(self) -> None:
        vars(self).update(_is_prepared=False, _is_noted=False)

    def __getstate__(self) -> dict[str, Any]:
        not_copied = ("_noted", "_step", "_results", "_reset_kernel")
        return {name: value for name, value in vars(self).items() if name not in not_copied}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._results = self._new_results()
        self._reset_kernel = self._compiled_reset()

    def _new_results(self) -> ResultPool:
        with_finals = self.autoreset_mode is AutoresetMode.SAME_STEP
        return ResultPool(self.num_envs, self._reward_dtype, self._observations, with_finals=with_finals)

    def _observation_array(self) -> npt.NDArray[np.float32]:
        return np.empty((self.num_envs, 4), dtype=np.float32) if self._observations is None else self._observations

    def _compiled_reset(self) -> Callable[..., None]:
        return specialized(
            reset_batch, self._everywhere, False, self._state, RESET_LOW, RESET_HIGH, np.empty((1, 4), dtype=np.float32)
        )

    def _prepare(self) -> None:
        """Check that the environments can be stepped, and prepare what the following steps need.

        Raises:
            gymnasium.error.ResetNeeded: If ``reset`` has not been called.
            gymnasium.error.ClosedEnvironmentError: As ``step`` does.
            RuntimeError: If another thread is using the environments.
        """
        self._assert_reset()
        with self._one_thread:
            if not self._is_noted:
                self._detach_state()
                noted, step = NotedBatch(self._state, self._constants, self._rules), self._chosen_step()
                vars(self).update(_noted=noted, _step=step, _is_noted=True)
            vars(self)["_is_prepared"] = True

    def _chosen_step(self) -> Callable[..., int]:
        """Return the function that steps the batch: a kernel without a guard against other threads, if possible."""
        actions, rewards = np.empty(self.num_envs, np.int64), np.empty(self.num_envs, self._reward_dtype)
        kernel: Callable[..., int]
        if self._usable_threads > 1:
            kernel = threaded_step_batch(self._usable_threads, actions, rewards)
        elif self.num_envs <= _MAX_BRIEF_STEP_ENVS and not self._generators and not self._resets_are_manual:
            return specialized(brief_step_batch, 0, 0, actions, rewards)
        else:
            kernel = specialized(step_batch, 0, 0, actions, rewards)
        acquire, release = self._one_thread.acquire, self._one_thread.release

        def step(*args: Any) -> int:
            if not acquire(False):
                raise RuntimeError(IN_USE)
            try:
                if not self._is_prepared:
                    # Another thread has replaced the arrays of this step meanwhile.
                    raise RuntimeError(IN_USE)
                if self._resets_are_manual:
                    self._assert_ready()
                if self._generators:
                    self._take_states()
                outcome = kernel(*args)
                if self._generators:
                    self._give_states()
            finally:
                release()
            return outcome

        return step

    def _seed(self, seeds: Sequence[int | None], mask: npt.NDArray[np.bool_] | None) -> None:
        """Seed the streams that the mask selects (None for all) and whose seed is not None."""
        streams = self._state.streams
        if isinstance(seeds, range) and mask is None:
            seed_streams_from_integers(seeds, self._stream_indices, streams)
            # Bypasses __setattr__: the next step need not be prepared again.
            vars(self).update(_seeds=seeds, _is_seeded=True)
            return
        self._seed_if_new()
        chosen = [(i, entry) for i, entry in enumerate(seeds) if entry is not None and (mask is None or mask[i])]
        if chosen:
            indices, integers = zip(*chosen, strict=True)
            seed_streams_from_integers(integers, np.array(indices, dtype=np.int64), streams)
            known = dict(chosen)
            self._seeds = [known.get(i, seed) for i, seed in enumerate(self._seeds)]

    def _seed_if_new(self) -> None:
        """Seed all streams from the system's entropy, unless they have been seeded."""
        if self._is_seeded:
            return
        self._seeds = np.random.SeedSequence().generate_state(self._stream_indices.size, np.uint64).tolist()
        seed_streams_from_integers(self._seeds, self._stream_indices, self._state.streams)
        self._is_seeded = True

    def _take_states(self) -> None:
        """Copy the states of the generators of ``np_random`` into the streams."""
        for index, generator in enumerate(self._generators):
            take_state(generator, self._state.streams, index)

    def _give_states(self) -> None:
        """Copy the states of the streams into the generators of ``np_random``."""
        for index, generator in enumerate(self._generators):
            give_state(self._state.streams, index, generator)

    def _assert_open(self) -> None:
        if self.closed:
            raise gymnasium.error.ClosedEnvironmentError("This CartPoleVectorEnv has been closed; make a new one.")

    def _assert_reset(self) -> None:
        self._assert_open()
        if not self._is_ready:
            raise gymnasium.error.ResetNeeded("Call reset() on all environments first.")

    def _assert_ready(self) -> None:
        self._assert_reset()
        if self._resets_are_manual and self._state.needs_reset.any():
            index = int(np.argmax(self._state.needs_reset))
            raise gymnasium.error.ResetNeeded(
                f"The episode of environment {index} has ended: reset it with options={{'reset_mask': mask}} first."
            )


def _final_infos(ended: npt.NDArray[np.bool_], observations: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Return the infos of a step with same-step autoreset, in Gymnasium's format."""
    final_observations = np.full(ended.size, None, dtype=object)
    indices = np.flatnonzero(ended)
    for index, observation in zip(indices, observations[indices], strict=True):
        final_observations[index] = observation
    return {"final_obs": final_observations, "_final_obs": ended, "final_info": {}, "_final_info": ended.copy()}


def _checked_autoreset_mode(value: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(value)
    except ValueError:
        modes = ", ".join(repr(mode.value) for mode in AutoresetMode)
        raise ValueError(f"autoreset_mode must be an AutoresetMode or one of {modes}, got {value!r}.") from None
