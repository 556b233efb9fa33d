"""Generators and seeds of a batch equal those of Gymnasium's class with the same seeding."""

import copy
import pickle

import gymnasium
import numpy as np
import pytest

import fastcartpole  # noqa: F401 - registers the environments

KINDS = {"independent": "sync", "shared": "vector_entry_point"}


def pair(seeding, num_envs=5):
    """Return our vector environment and Gymnasium's."""
    ours = gymnasium.make_vec("fastcartpole/CartPole-v1", num_envs=num_envs, seeding=seeding)
    return ours, gymnasium.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode=KINDS[seeding])


def generators_of(environments):
    found = environments.np_random
    return found if isinstance(found, tuple) else (found,)


def assert_the_same(ours, theirs):
    """Compare seeds and generators, also by drawing numbers from both."""
    assert ours.np_random_seed == theirs.np_random_seed
    assert type(ours.np_random) is type(theirs.np_random)
    for one, other in zip(generators_of(ours), generators_of(theirs), strict=True):
        assert one.bit_generator.state["state"] == other.bit_generator.state["state"]


def step_both(ours, theirs, number, seed):
    for actions in np.random.default_rng(seed).integers(0, 2, (number, ours.num_envs)):
        observations = [environments.step(actions)[0] for environments in (ours, theirs)]
        assert observations[0].tobytes() == observations[1].tobytes()


@pytest.mark.parametrize("seeding", KINDS)
def test_seeds_and_generators_are_gymnasiums_and_numbers_drawn_from_them_are_missing_from_resets(seeding):
    ours, theirs = pair(seeding)
    for environments in (ours, theirs):
        environments.reset(seed=7)
    assert_the_same(ours, theirs)
    step_both(ours, theirs, 60, seed=0)
    assert_the_same(ours, theirs)
    for one, other in zip(generators_of(ours), generators_of(theirs), strict=True):
        assert one.random(3).tobytes() == other.random(3).tobytes()
    step_both(ours, theirs, 60, seed=1)
    assert ours.reset()[0].tobytes() == theirs.reset()[0].tobytes()
    assert_the_same(ours, theirs)
    state = ours.get_state()
    for environments in (ours, theirs):
        environments.reset(seed=8)
    assert_the_same(ours, theirs)
    ours.set_state(state)
    assert np.array_equal(np.array(ours.np_random_seed), np.full_like(np.array(theirs.np_random_seed), -1))


def test_a_batch_of_independent_streams_tells_the_seed_of_each():
    ours, theirs = pair("independent", num_envs=3)
    for environments in (ours, theirs):
        environments.reset(seed=[5, 2**70, 9])
    assert_the_same(ours, theirs)
    for environments in (ours, theirs):
        environments.reset(seed=[None, 4, None])
    assert_the_same(ours, theirs)
    assert ours.np_random_seed == (5, 4, 9)


@pytest.mark.parametrize("seeding", KINDS)
def test_before_the_first_reset_seeds_and_generators_come_from_the_system_and_are_used(seeding):
    ours, again = (pair(seeding)[0] for _ in range(2))
    seeds = ours.np_random_seed
    assert seeds != again.np_random_seed
    first = generators_of(ours)[0]
    expected = copy.deepcopy(first).uniform(-0.05, 0.05, (4, 5) if seeding == "shared" else 4)
    observations, _ = ours.reset()
    assert ours.np_random_seed == seeds
    actual = observations.T if seeding == "shared" else observations[0]
    assert np.array_equal(actual, expected.astype(np.float32))
    again.reset(seed=list(seeds) if seeding == "independent" else seeds)
    assert again.reset()[0].tobytes() == ours.reset()[0].tobytes()


def test_with_shared_seeding_the_generator_can_be_set():
    ours, theirs = pair("shared")
    for environments in (ours, theirs):
        environments.reset(seed=1)
        environments.np_random = np.random.default_rng(99)
    assert_the_same(ours, theirs)
    assert ours.np_random_seed == -1
    assert ours.reset()[0].tobytes() == theirs.reset()[0].tobytes()
    step_both(ours, theirs, 60, seed=2)
    assert_the_same(ours, theirs)


@pytest.mark.parametrize("value", [np.random.Generator(np.random.MT19937(0)), 5, None])
def test_other_generators_are_refused(value):
    ours, _ = pair("shared")
    ours.reset(seed=0)
    with pytest.raises(TypeError, match=r"np_random must be a numpy\.random\.Generator of PCG64, got"):
        ours.np_random = value
    assert ours.np_random_seed == 0


def test_where_gymnasium_refuses_to_set_the_generators_ours_says_how_to_seed():
    ours, theirs = pair("independent")
    for environments in (ours, theirs):
        environments.reset(seed=0)
        with pytest.raises(AttributeError):
            environments.np_random = np.random.default_rng(0)
    with pytest.raises(AttributeError, match=r"cannot be set: reset\(seed=\[\.\.\.\]\) seeds each environment"):
        ours.np_random = np.random.default_rng(0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda environments: pickle.loads(pickle.dumps(environments))])
@pytest.mark.parametrize("seeding", KINDS)
def test_copies_have_generators_of_their_own(seeding, copied):
    ours, _ = pair(seeding)
    ours.reset(seed=3)
    generators_of(ours)[0].random()
    duplicate = copied(ours)
    generators_of(duplicate)[0].random()
    assert duplicate.np_random_seed == ours.np_random_seed
    assert duplicate.reset()[0].tobytes() != ours.reset()[0].tobytes()
