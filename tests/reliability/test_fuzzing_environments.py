"""For any input, environments return a correct result, or raise the documented error without a change of state."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from reference import PlainCartPoles

from fastcartpole import CartPoleEnv, CartPoleParameters, CartPoleVectorEnv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NOTHING_SENSIBLE = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(2**70), 0)
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.lists(st.integers(-2, 3) | st.floats(), max_size=4)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
    | st.complex_numbers()
    | st.builds(object)
)
DTYPES = st.sampled_from([np.int64, np.int8, np.uint64, np.float64, np.float32, np.bool_, np.complex128, object, "U3"])
ARRAYS = st.builds(
    lambda shape, dtype, seed: np.random.default_rng(seed).integers(0, 3, shape).astype(dtype),
    st.lists(st.integers(0, 5), max_size=3).map(tuple),
    DTYPES,
    st.integers(0, 100),
)
ANYTHING = NOTHING_SENSIBLE | ARRAYS | st.integers(0, 3)

ARGUMENTS = {
    "num_envs": st.integers(1, 40),
    "max_episode_steps": st.none() | st.integers(1, 2**70),
    "autoreset_mode": st.sampled_from(["NextStep", "SameStep", "Disabled"]),
    "precision": st.sampled_from(["exact", "fast"]),
    "seeding": st.sampled_from(["independent", "shared"]),
    "kinematics_integrator": st.sampled_from(["euler", "semi-implicit euler"]),
    "num_threads": st.none() | st.integers(1, 2**70),
    "render_mode": st.none() | st.sampled_from(["rgb_array", "rgb_array_grid"]),
    "parameters": st.none() | st.builds(CartPoleParameters),
}
PARAMETERS = ("gravity", "cart_mass", "pole_mass", "half_length", "force_magnitude", "tau", "position_threshold")


def assert_plausible(result, num_envs):
    observations, rewards, terminated, truncated, infos = result
    assert (observations.shape, observations.dtype) == ((num_envs, 4), np.float32)
    assert rewards.shape == terminated.shape == truncated.shape == (num_envs,)
    assert terminated.dtype == truncated.dtype == np.bool_
    assert np.isfinite(observations).all()
    assert isinstance(infos, dict)


@settings(max_examples=500)
@given(given_arguments=st.fixed_dictionaries({}, optional=ARGUMENTS), data=st.data())
def test_an_environment_is_made_and_steps_or_the_argument_is_named(given_arguments, data):
    wrong = data.draw(st.none() | st.sampled_from(sorted(ARGUMENTS)))
    if wrong:
        given_arguments = {**given_arguments, wrong: data.draw(ANYTHING)}
    try:
        environments = CartPoleVectorEnv(**given_arguments)
    except (TypeError, ValueError) as error:
        assert wrong is not None
        assert str(error).startswith(f"{wrong} ")
        return
    environments.reset(seed=1)
    for _ in range(3):
        actions = np.ones(environments.num_envs, dtype=int)
        assert_plausible(environments.step(actions), environments.num_envs)
        if environments.autoreset_mode.value == "Disabled":
            environments.reset()


@settings(max_examples=300)
@given(name=st.sampled_from(PARAMETERS), value=ANYTHING | st.floats(allow_nan=True) | st.lists(st.floats(), max_size=3))
def test_physical_parameters_are_finite_or_named(name, value):
    try:
        parameters = CartPoleParameters(**{name: value})
    except (TypeError, ValueError) as error:
        assert str(error).startswith(f"{name} must be ")
        return
    constants = parameters.constants()
    assert constants.shape == (9, parameters.num_envs or 1)
    assert np.isfinite(constants).all()


@settings(max_examples=300)
@given(calls=st.lists(st.tuples(st.sampled_from(["reset", "step", "seed", "state"]), ANYTHING), max_size=8))
def test_one_environment_steps_or_says_what_is_wrong(calls):
    environment, twin = CartPoleEnv(), CartPoleEnv()
    for one in (environment, twin):
        one.reset(seed=3)
    for name, value in calls:
        try:
            if name == "step":
                observation, reward, terminated, *_ = environment.step(value)
                assert observation.shape == (4,)
                assert isinstance(reward, float)
                assert isinstance(terminated, bool)
                twin.step(int(value))
            elif name == "state":
                environment.state = value
                twin.state = value
            elif name == "seed":
                environment.reset(seed=value)
                twin.reset(seed=value)
            else:
                environment.reset(options=value)
                twin.reset(options=value)
        except (TypeError, ValueError) as error:
            assert str(error).startswith({"step": "action ", "state": "state ", "reset": "options "}[name])
        except gymnasium.error.Error as error:
            assert name == "seed"
            assert str(error)
        # Refused calls must not change the state.
        assert environment.state.tobytes() == twin.state.tobytes()


class AnyCalls(RuleBasedStateMachine):
    """Valid and invalid calls in any order; valid ones are compared with plain NumPy."""

    @initialize(
        num_envs=st.integers(1, 6),
        mode=st.sampled_from(["NextStep", "SameStep"]),
        shared=st.booleans(),
        limit=st.integers(1, 20),
        seed=st.integers(0, 2**70),
    )
    def make(self, num_envs, mode, shared, limit, seed):
        self.num_envs = num_envs
        self.ours = CartPoleVectorEnv(
            num_envs,
            autoreset_mode=mode,
            max_episode_steps=limit,
            seeding="shared" if shared else "independent",
        )
        self.theirs = PlainCartPoles(num_envs, autoreset_mode=mode, max_episode_steps=limit, shared=shared)
        self.ours.reset(seed=seed)
        self.theirs.seed(seed)

    @rule(seed=st.integers(0, 2**70))
    def reset(self, seed):
        self.ours.reset(seed=seed)
        self.theirs.seed(seed)

    @rule(bits=st.integers(0, 2**6 - 1), dtype=st.sampled_from([np.int64, np.int32, np.uint8]))
    def step(self, bits, dtype):
        actions = np.array([(bits >> index) & 1 for index in range(self.num_envs)], dtype=dtype)
        actual = self.ours.step(actions)
        *expected, _ = self.theirs.step(actions)
        for one, other in zip(actual, expected, strict=False):
            assert np.array_equal(one, other)

    @rule(num_steps=st.integers(1, 5), seed=st.none() | st.integers(0, 2**70))
    def roll_out(self, num_steps, seed):
        rollout = self.ours.rollout("random", num_steps, seed=seed)
        for t in range(num_steps):
            observations, rewards, terminated, truncated, _ = self.theirs.step(rollout.actions[t])
            assert np.array_equal(rollout.rewards[t], rewards)
            assert np.array_equal(rollout.terminated[t], terminated)
            assert np.array_equal(rollout.truncated[t], truncated)
        assert rollout.last_observations.tobytes() == observations.tobytes()

    @rule(value=st.lists(st.floats(-3, 3), min_size=4, max_size=4))
    def set_physics(self, value):
        state = np.repeat(np.array(value)[:, None], self.num_envs, axis=1)
        self.ours.state = state
        self.theirs.state = state.copy()

    @rule()
    def copy_state(self):
        self.ours.set_state(self.ours.get_state())

    @rule(
        name=st.sampled_from(["step", "seed", "options", "num_steps", "policy", "out", "state", "set_state"]),
        value=ANYTHING,
    )
    def call_with_anything(self, name, value):
        before = self.ours.get_state()
        calls = {
            "step": lambda: self.ours.step(value),
            "seed": lambda: self.ours.reset(seed=value),
            "options": lambda: self.ours.reset(options=value),
            "num_steps": lambda: self.ours.rollout("random", value),
            "policy": lambda: self.ours.rollout(value, 2),
            "out": lambda: self.ours.rollout("random", 2, out=value),
            "state": lambda: setattr(self.ours, "state", value),
            "set_state": lambda: self.ours.set_state(value),
        }
        try:
            calls[name]()
        except (TypeError, ValueError) as error:
            argument = {"step": "actions", "set_state": "state"}.get(name, name)
            assert str(error).startswith(argument), error
            after = self.ours.get_state()
            assert all(np.array_equal(before[key], after[key]) for key in before)
        else:
            self.ours.set_state(before)

    @rule(name=st.sampled_from(["physics", "elapsed_steps", "needs_reset", "streams", "reset_low"]), value=ANYTHING)
    def set_altered_state(self, name, value):
        before = self.ours.get_state()
        try:
            self.ours.set_state({**before, name: value})
        except (TypeError, ValueError) as error:
            assert str(error).startswith("state")
            after = self.ours.get_state()
            assert all(np.array_equal(before[key], after[key]) for key in before)
        else:
            self.ours.set_state(before)

    @invariant()
    def states_are_the_same(self):
        if hasattr(self, "ours"):
            assert self.ours.state.tobytes() == self.theirs.state.tobytes()


def test_calls_of_all_kinds_in_any_order():
    run_state_machine_as_test(AnyCalls, settings=settings(max_examples=400, stateful_step_count=20, deadline=None))
