"""A restored, unpickled or copied environment continues bit for bit."""

import copy
import pickle

import numpy as np
import pytest

from fastcartpole import CartPoleVectorEnv

KINDS = [
    {},
    {"autoreset_mode": "SameStep"},
    {"seeding": "shared"},
    {"seeding": "shared", "autoreset_mode": "SameStep"},
    {"precision": "fast", "copy": False},
]


def played(**options):
    environments = CartPoleVectorEnv(20, max_episode_steps=30, **options)
    environments.reset(seed=1, options={"low": -0.1, "high": 0.1})
    play(environments, 50)
    return environments


def play(environments, num_steps):
    generator = np.random.default_rng(num_steps)
    results = []
    for _ in range(num_steps):
        results += [array.tobytes() for array in environments.step(generator.integers(0, 2, 20))[:4]]
    return [*results, environments.reset()[0].tobytes()]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda environments: pickle.loads(pickle.dumps(environments))])
def test_a_copy_goes_on_as_the_original_does(options, duplicate):
    original = played(**options)
    assert play(duplicate(original), 100) == play(original, 100)


@pytest.mark.parametrize("options", KINDS)
def test_a_restored_environment_goes_on_from_where_it_was_saved(options):
    environments = played(**options)
    saved = environments.get_state()
    first = play(environments, 100)
    environments.set_state(saved)
    assert play(environments, 100) == first
    other = CartPoleVectorEnv(20, max_episode_steps=30, **options)
    observations = other.set_state(saved)
    assert np.array_equal(observations, saved["physics"].T.astype(np.float32))
    assert play(other, 100) == first


def test_a_saved_state_does_not_change_later():
    environments = played()
    saved = environments.get_state()
    kept = copy.deepcopy(saved)
    environments.set_state(saved)
    play(environments, 10)
    for name, value in kept.items():
        assert np.array_equal(saved[name], value), name


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("streams"),
        lambda state: state.update(more=1),
        lambda state: state.update(physics=np.zeros((4, 3))),
        lambda state: state.update(physics=np.full((4, 20), np.nan)),
        lambda state: state.update(streams=state["streams"].astype(np.int64)),
        lambda state: state.update(elapsed_steps=[0] * 20),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(change):
    environments = played()
    before = environments.get_state()
    wrong = environments.get_state()
    change(wrong)
    with pytest.raises(ValueError, match="state"):
        environments.set_state(wrong)
    for name, value in environments.get_state().items():
        assert np.array_equal(value, before[name]), name


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (np.zeros((3, 20)), ValueError),
        (np.zeros(4), ValueError),
        (np.full((4, 20), np.nan), ValueError),
        (np.full((4, 20), np.inf), ValueError),
        (np.full((4, 20), "0"), TypeError),
    ],
)
def test_a_wrong_physical_state_is_refused(state, error):
    environments = played()
    before = environments.state
    with pytest.raises(error, match="state must"):
        environments.state = state
    assert np.array_equal(environments.state, before)


def test_a_saved_state_is_a_copy():
    environments = played()
    saved = environments.get_state()
    environments.state[:] = 0.0
    assert not environments.state.any()
    assert saved["physics"].any()
    environments.set_state(saved)
    saved["physics"][:] = 0.0
    assert environments.state.any()
