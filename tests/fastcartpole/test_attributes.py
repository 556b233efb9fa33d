"""Gymnasium's attributes have the same values on our environments, and setting them has the same effect."""

import copy
import math
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcartpole import CartPoleEnv, CartPoleParameters, CartPoleVectorEnv

QUANTITIES = {
    "gravity": 9.8,
    "masscart": 1.0,
    "masspole": 0.1,
    "total_mass": 1.1,
    "length": 0.5,
    "polemass_length": 0.05,
    "force_mag": 10.0,
    "tau": 0.02,
    "theta_threshold_radians": 12 * 2 * math.pi / 360,
    "x_threshold": 2.4,
}
ANY_SIGN = {"gravity", "force_mag"}


def value_of(name):
    low = -3.0 if name in ANY_SIGN else 0.2
    numbers = st.floats(low, 3.0) | st.integers(1, 3)
    return numbers.map(lambda factor: factor * QUANTITIES[name])


ASSIGNMENTS = st.sampled_from(sorted(QUANTITIES)).flatmap(lambda name: st.tuples(st.just(name), value_of(name)))
STATES = st.tuples(st.just("state"), st.lists(st.floats(-0.2, 0.2), min_size=4, max_size=4))
IN_PLACE = st.tuples(st.just("in place"), st.tuples(st.integers(0, 3), st.floats(-0.2, 0.2)))
INTEGRATOR = st.tuples(st.just("kinematics_integrator"), st.sampled_from(["euler", "semi-implicit euler"]))
STEPS = st.tuples(st.just("step"), st.integers(0, 1))


def singles():
    return CartPoleEnv(), gymnasium.make("CartPole-v1").unwrapped


def assign(environment, name, value):
    if name == "in place":
        environment.state[value[0]] = value[1]
    else:
        setattr(environment, name, np.array(value) if name == "state" else value)


@settings(max_examples=200)
@given(actions=st.lists(ASSIGNMENTS | STATES | IN_PLACE | INTEGRATOR | STEPS, min_size=5, max_size=40))
def test_whatever_is_set_whenever_the_single_environment_has_gymnasiums_bits(actions):
    ours, theirs = singles()
    ours.reset(seed=4)
    theirs.reset(seed=4)
    with warnings.catch_warnings():
        # Steps beyond the end of an episode warn.
        warnings.simplefilter("ignore")
        for name, value in actions:
            if name == "step":
                one, other = ours.step(value), theirs.step(value)
                assert one[0].tobytes() == other[0].tobytes()
                assert one[1:3] == other[1:3]
                assert ours.steps_beyond_terminated == theirs.steps_beyond_terminated
            else:
                assign(ours, name, value)
                assign(theirs, name, value)
            assert np.array_equal(ours.state, theirs.state)
            for attribute in QUANTITIES:
                assert getattr(ours, attribute) == getattr(theirs, attribute)


@settings(max_examples=25)
@given(
    assignments=st.lists(ASSIGNMENTS | INTEGRATOR, max_size=6),
    per_environment=st.lists(st.sampled_from(sorted(QUANTITIES)), max_size=2, unique=True),
    seed=st.integers(0, 1000),
)
def test_a_batch_has_gymnasiums_bits_after_numbers_and_after_one_for_each_environment(
    assignments, per_environment, seed
):
    ours = CartPoleVectorEnv(6, seeding="shared", max_episode_steps=20)
    theirs = gymnasium.make_vec("CartPole-v1", num_envs=6, vectorization_mode="vector_entry_point").unwrapped
    theirs.max_episode_steps = 20
    generator = np.random.default_rng(seed)
    ours.reset(seed=seed)
    theirs.reset(seed=seed)
    changes = [*assignments, *((name, QUANTITIES[name] * generator.uniform(0.5, 2, 6)) for name in per_environment)]
    for name, value in [*changes, ("length", 0.5)]:
        setattr(ours, name, value)
        setattr(theirs, name, value)
        for actions in generator.integers(0, 2, (8, 6)):
            one, other = ours.step(actions), theirs.step(actions)
            for index in range(4):
                assert np.array_equal(one[index], other[index])
        assert np.array_equal(ours.state, theirs.state)
        assert np.array_equal(ours.steps, theirs.steps)
        assert np.array_equal(ours.prev_done, theirs.prev_done)
        assert (ours.low, ours.high, ours.max_episode_steps) == (theirs.low, theirs.high, theirs.max_episode_steps)


def test_the_values_are_gymnasiums_before_anything_is_set():
    for ours, theirs in (
        singles(),
        (CartPoleVectorEnv(3), gymnasium.make_vec("CartPole-v1", num_envs=3).unwrapped),
    ):
        for name in QUANTITIES:
            assert getattr(ours, name) == getattr(theirs, name) == QUANTITIES[name]
        assert ours.kinematics_integrator == theirs.kinematics_integrator
        assert ours.steps_beyond_terminated is theirs.steps_beyond_terminated is None
        assert ours.state is theirs.state is None


def test_wrappers_and_vector_environments_of_gymnasium_set_them():
    wrapped = gymnasium.make("fastcartpole/CartPole-v1")
    wrapped.set_wrapper_attr("gravity", 10.0)
    assert wrapped.unwrapped.gravity == wrapped.get_wrapper_attr("gravity") == 10.0
    pairs = []
    for name in ("fastcartpole/CartPole-v1", "CartPole-v1"):
        environments = SyncVectorEnv([lambda name=name: gymnasium.make(name) for _ in range(3)])
        environments.reset(seed=0)
        environments.set_attr("gravity", [9.0, 10.0, 11.0])
        assert environments.call("gravity") == environments.get_attr("gravity") == (9.0, 10.0, 11.0)
        observations = [environments.step(np.array([0, 1, 0]))[0] for _ in range(9)]
        pairs.append(b"".join(array.tobytes() for array in observations))
    assert pairs[0] == pairs[1]


@pytest.mark.parametrize("make", [CartPoleEnv, lambda: CartPoleVectorEnv(1)])
def test_a_state_that_is_held_stays_as_it_is_when_the_environment_goes_on(make):
    environment = make()
    environment.reset(seed=0)
    before = environment.state
    kept = before.copy()
    action = 0 if isinstance(environment, CartPoleEnv) else [0]
    environment.step(action)
    assert np.array_equal(before, kept)
    before[:] = 9.0
    assert not np.any(environment.state == 9.0)
    environment.reset()
    after = environment.state
    environment.reset()
    assert not np.array_equal(after, environment.state)


def test_a_state_that_is_set_makes_an_environment_ready_to_step_and_to_draw():
    pytest.importorskip("pygame")
    state = [0.1, 0.0, -0.05, 0.2]
    single, batch = CartPoleEnv(render_mode="rgb_array"), CartPoleVectorEnv(2, render_mode="rgb_array")
    single.state = state
    batch.state = np.transpose([state, state])
    assert np.array_equal(single.render(), batch.render()[1])
    assert np.array_equal(single.step(1)[0], batch.step([1, 1])[0][0])
    # The random streams are seeded as well, so that later autoresets sample different states.
    for _ in range(200):
        observations = batch.step([1, 1])[0]
    assert not np.array_equal(observations[0], observations[1])


def test_single_precision_is_promoted():
    ours, _ = singles()
    ours.state = np.float32([0.1, 0.2, 0.05, -0.1])
    assert ours.state.dtype == np.float64
    ours.length = np.float32(0.3)
    assert type(ours.length) is float


def test_a_set_mass_changes_nothing_that_follows_from_it_but_parameters_do():
    for environment in (CartPoleEnv(), CartPoleVectorEnv(2)):
        environment.masscart, environment.masspole, environment.length = 2.0, 0.3, 1.0
        assert (environment.total_mass, environment.polemass_length) == (1.1, 0.05)
        assert environment.parameters.cart_mass == 2.0
        environment.parameters = environment.parameters
        assert (environment.total_mass, environment.polemass_length) == (2.3, 0.3)
        environment.parameters = CartPoleParameters(gravity=3.0)
        assert (environment.gravity, environment.total_mass) == (3.0, 1.1)


def test_rendering_follows_the_attributes():
    pytest.importorskip("pygame")
    ours, theirs = (
        CartPoleEnv(render_mode="rgb_array"),
        gymnasium.make("CartPole-v1", render_mode="rgb_array").unwrapped,
    )
    for environment in (ours, theirs):
        environment.reset(seed=0)
        environment.length, environment.x_threshold = 0.8, 3.0
    assert np.array_equal(ours.render(), theirs.render())


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("gravity", "low", TypeError, "gravity must be a number or a sequence of numbers, got 'low'"),
        ("length", 0.0, ValueError, "length must be greater than 0, got 0.0"),
        ("masspole", math.nan, ValueError, "masspole must be finite, got nan"),
        ("tau", [0.1, 0.2], ValueError, "tau "),
        ("kinematics_integrator", "rk4", ValueError, "kinematics_integrator must be one of 'euler', 'semi-implicit eu"),
        ("state", [0.0, 0.0], ValueError, "state must have shape"),
        ("parameters", 3, TypeError, "parameters must be CartPoleParameters, got 3"),
        ("render_mode", "ansi", ValueError, "render_mode must be one of"),
    ],
)
@pytest.mark.parametrize("make", [CartPoleEnv, lambda: CartPoleVectorEnv(3)])
def test_wrong_values_are_named_and_change_nothing(make, name, value, error, message):
    environment = make()
    environment.reset(seed=0)
    before = {attribute: getattr(environment, attribute) for attribute in (*QUANTITIES, "kinematics_integrator")}
    with pytest.raises(error, match=message):
        setattr(environment, name, value)
    assert before == {attribute: getattr(environment, attribute) for attribute in before}


@pytest.mark.parametrize("name", ["num_envs", "seeding", "autoreset_mode", "steps_beyond_terminated"])
def test_read_only_attributes_refuse_changes(name):
    with pytest.raises(AttributeError):
        setattr(CartPoleVectorEnv(2), name, 3)


def test_all_other_settings_of_a_batch_take_effect_when_they_are_set():
    made = CartPoleVectorEnv(
        4, max_episode_steps=7, precision="fast", sutton_barto_reward=True, kinematics_integrator="semi-implicit euler"
    )
    changed = CartPoleVectorEnv(4)
    changed.max_episode_steps, changed.precision, changed.sutton_barto_reward = np.int64(7), "fast", True
    changed.kinematics_integrator = "semi-implicit euler"
    for environments in (made, changed):
        environments.reset(seed=0)
    for actions in np.random.default_rng(0).integers(0, 2, (40, 4)):
        for one, other in zip(made.step(actions)[:4], changed.step(actions)[:4], strict=True):
            assert one.tobytes() == other.tobytes()
    assert (changed.max_episode_steps, changed.precision, changed.sutton_barto_reward) == (7, "fast", True)


@pytest.mark.parametrize("name", ["gravitiy", "lengths", "mass_cart", "x_treshold", "kinematic_integrator"])
@pytest.mark.parametrize("make", [CartPoleEnv, lambda: CartPoleVectorEnv(2)])
def test_a_near_miss_of_a_name_warns(make, name):
    sentence = f"has no attribute '{name}', and setting it changes nothing; did you mean '"
    with pytest.warns(UserWarning, match=sentence) as warned:
        setattr(make(), name, 1.0)
    # The warning points to the line that sets the attribute.
    assert warned[0].filename == __file__


def test_names_of_the_users_own_do_not_warn():
    environment = CartPoleEnv()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        environment.notes = "mine"
        environment.episode_count = 3
        environment.episode_count = 4


COPIES = {
    "pickle": lambda environment: pickle.loads(pickle.dumps(environment)),
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("make", [CartPoleEnv, lambda: CartPoleVectorEnv(2)])
def test_copies_carry_what_was_set_and_go_their_own_way(make, kind):
    environment = make()
    environment.reset(seed=0)
    environment.gravity, environment.kinematics_integrator = 3.0, "semi-implicit euler"
    held = environment.state
    duplicate = COPIES[kind](environment)
    held[...] = 0.01
    duplicate.length = 2.0
    assert (duplicate.gravity, duplicate.kinematics_integrator) == (3.0, "semi-implicit euler")
    assert environment.length == 0.5
    assert np.all(environment.state == 0.01)
    assert not np.any(duplicate.state == 0.01)


def test_a_saved_state_carries_what_was_set():
    environments = CartPoleVectorEnv(3, autoreset_mode=AutoresetMode.SAME_STEP)
    environments.reset(seed=0)
    environments.gravity = [1.0, 2.0, 3.0]
    environments.kinematics_integrator, environments.max_episode_steps = "semi-implicit euler", 9
    saved = environments.get_state()
    other = CartPoleVectorEnv(3, autoreset_mode=AutoresetMode.SAME_STEP)
    other.set_state(saved)
    for actions in np.random.default_rng(0).integers(0, 2, (30, 3)):
        assert environments.step(actions)[0].tobytes() == other.step(actions)[0].tobytes()
    before = other.get_state()
    for wrong in (
        {**saved, "quantities": {}},
        {**saved, "quantities": {**saved["quantities"], "tau": -1.0}},
        {**saved, "quantities": {**saved["quantities"], "tau": "x"}},
        {**saved, "kinematics_integrator": "rk4"},
        {**saved, "max_episode_steps": 0},
    ):
        with pytest.raises(ValueError, match=r"must "):
            other.set_state(wrong)
        assert np.array_equal(other.get_state()["physics"], before["physics"])
        assert other.gravity.tolist() == [1.0, 2.0, 3.0]
