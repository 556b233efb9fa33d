"""Comparison with Gymnasium's arithmetic over millions of steps, bit for bit."""

import itertools

import numba
import numpy as np
import pytest
from lockstep import assert_same_trajectory, gymnasium_batch, set_parameters, steadying_actions
from reference import PlainCartPoles

from fastcartpole import CartPoleParameters, CartPoleVectorEnv

NUM_ENVS = 400
NUM_STEPS = 360
MODES = ("NextStep", "SameStep", "Disabled")
RANGES = {
    "gravity": (0.0, 30.0),
    "cart_mass": (0.1, 10.0),
    "pole_mass": (0.01, 2.0),
    "half_length": (0.1, 3.0),
    "force_magnitude": (1.0, 40.0),
    "tau": (0.001, 0.05),
    "position_threshold": (0.5, 5.0),
    "angle_threshold": (0.06, 1.0),
}


@numba.njit
def mostly_steadying(observation, uniform):
    if uniform < 0.2:
        return 1 if uniform < 0.1 else 0
    return 1 if 0.1 * observation[0] + 0.2 * observation[1] + 2.0 * observation[2] + observation[3] > 0.0 else 0


def differing_bits(actual, expected):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    ours, theirs = actual.tobytes(), expected.tobytes()
    if ours == theirs:
        return 0
    return int(np.unpackbits(np.frombuffer(ours, np.uint8) ^ np.frombuffer(theirs, np.uint8)).sum())


def some_parameters(generator, num_envs):
    """Return default parameters, other values for all environments, or values for each, as dictionaries."""
    kind = generator.integers(3)
    if kind == 0:
        return {}
    chosen = [name for name in RANGES if generator.random() < 0.7]
    size = None if kind == 1 else num_envs
    return {name: generator.uniform(*RANGES[name], size) for name in chosen}


def some_pair(generator, mode):
    """Return one of our vector environments and its equivalent in plain NumPy."""
    parameters = some_parameters(generator, NUM_ENVS)
    shared, semi_implicit, sutton_barto_reward = (bool(generator.integers(2)) for _ in range(3))
    limit = int(generator.choice([1, 30, 200, 500]))
    ours = CartPoleVectorEnv(
        NUM_ENVS,
        autoreset_mode=mode,
        max_episode_steps=limit,
        kinematics_integrator="semi-implicit euler" if semi_implicit else "euler",
        sutton_barto_reward=sutton_barto_reward,
        seeding="shared" if shared else "independent",
        parameters=CartPoleParameters(**parameters),
        num_threads=int(generator.integers(1, 4)),
    )
    theirs = PlainCartPoles(
        NUM_ENVS,
        autoreset_mode=mode,
        max_episode_steps=limit,
        semi_implicit=semi_implicit,
        sutton_barto_reward=sutton_barto_reward,
        shared=shared,
        parameters=parameters,
    )
    seed = int(generator.integers(2**62))
    ours.reset(seed=seed)
    theirs.seed(seed)
    return ours, theirs


def bits_of_steps(ours, theirs, generator):
    """Step both; return the number of differing bits in states, observations, rewards and flags."""
    bits = differing_bits(ours.state, theirs.state)
    balance = generator.random()
    observations = theirs.state.T.astype(np.float32)
    for _ in range(NUM_STEPS):
        random = generator.integers(0, 2, NUM_ENVS)
        actions = np.where(generator.random(NUM_ENVS) < balance, steadying_actions(observations), random)
        actual, infos = (result := ours.step(actions))[:4], result[4]
        *expected, final_observations = theirs.step(actions)
        bits += bits_of_results(actual, expected) + differing_bits(ours.state, theirs.state)
        for index in np.flatnonzero(infos.get("_final_obs", [])):
            bits += differing_bits(infos["final_obs"][index], final_observations[index])
        observations = expected[0]
        if ours.autoreset_mode.value == "Disabled" and theirs.has_ended.any():
            mask = theirs.has_ended.copy()
            ours.reset(options={"reset_mask": mask})
            theirs.restart(np.flatnonzero(mask))
            observations = theirs.state.T.astype(np.float32)
            bits += differing_bits(ours.state, theirs.state)
    return bits


def bits_of_rollout(ours, theirs, policy):
    """Play a rollout, repeat its actions in plain NumPy, and return the number of differing bits."""
    rollout = ours.rollout(policy, NUM_STEPS, seed=1)
    observations = theirs.state.T.astype(np.float32)
    bits = 0
    for t in range(NUM_STEPS):
        bits += differing_bits(rollout.observations[t], observations)
        observations, *expected, final_observations = theirs.step(rollout.actions[t])
        bits += bits_of_results((rollout.rewards[t], rollout.terminated[t], rollout.truncated[t]), expected)
        if rollout.final_observations.size:
            ended = expected[1] | expected[2]
            bits += differing_bits(rollout.final_observations[t][ended], final_observations[ended])
    return bits + differing_bits(ours.state, theirs.state)


def bits_of_results(actual, expected):
    # With shared seeding, rewards are float32, as in Gymnasium's CartPoleVectorEnv.
    return sum(differing_bits(a, e.astype(a.dtype)) for a, e in zip(actual, expected, strict=True))


def differences(num_steps, policies):
    """Return the number of differing bits over all kinds of batches, and the number of steps taken."""
    generator = np.random.default_rng(0)
    bits, taken = 0, 0
    while taken < num_steps:
        for mode in MODES:
            bits += bits_of_steps(*some_pair(generator, mode), generator)
            taken += NUM_ENVS * NUM_STEPS
        for mode, policy in itertools.product(MODES[:2], policies):
            bits += bits_of_rollout(*some_pair(generator, mode), policy)
            taken += NUM_ENVS * NUM_STEPS
    return bits, taken


@pytest.mark.parametrize(
    ("num_steps", "policies"),
    [
        (1_000_000, ["random"]),
        pytest.param(10_000_000, ["random", mostly_steadying], marks=pytest.mark.slow),
    ],
)
def test_millions_of_steps_have_no_differing_bit(num_steps, policies, figure):
    bits, taken = differences(num_steps, policies)
    figure(f"exact: {bits} differing bits in {taken:,} steps against plain NumPy")
    assert bits == 0


@pytest.mark.parametrize("mode", MODES[:2])
def test_the_plain_reference_is_gymnasium(mode):
    generator = np.random.default_rng(0)
    parameters = {name: generator.uniform(*bounds, 20) for name, bounds in RANGES.items()}
    plain = PlainCartPoles(20, autoreset_mode=mode, max_episode_steps=30, parameters=parameters)
    theirs = gymnasium_batch(20, mode, max_episode_steps=30, disable_env_checker=True)
    set_parameters(theirs, parameters)
    theirs.reset(seed=3)
    plain.seed(3)
    ended = 0
    for _ in range(200):
        actions = generator.integers(0, 2, 20)
        *expected, infos = theirs.step(actions)
        *actual, final_observations = plain.step(actions)
        assert [differing_bits(a, e) for a, e in zip(actual, expected, strict=True)] == [0, 0, 0, 0]
        for index in np.flatnonzero(infos.get("_final_obs", [])):
            assert differing_bits(infos["final_obs"][index], final_observations[index]) == 0
        ended += int((expected[2] | expected[3]).sum())
    assert ended > 50


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["the usual", "random"])
def test_many_steps_are_those_of_gymnasiums_own_batch(mode, kind, figure):
    num_envs, num_steps = 50, 700
    ours, theirs = CartPoleVectorEnv(num_envs, autoreset_mode=mode), gymnasium_batch(num_envs, mode)
    if kind == "random":
        generator = np.random.default_rng(1)
        parameters = {name: generator.uniform(*bounds, num_envs) for name, bounds in RANGES.items()}
        ours = CartPoleVectorEnv(num_envs, autoreset_mode=mode, parameters=CartPoleParameters(**parameters))
        theirs = gymnasium_batch(num_envs, mode, disable_env_checker=True)
        set_parameters(theirs, parameters)
    ended = assert_same_trajectory(ours, theirs, 5, num_steps, balance=0.3)
    assert ended > 2 * num_envs
    figure(
        f"exact: 0 differing bits in {num_envs * num_steps:,} steps against SyncVectorEnv ({mode}, {kind} parameters)"
    )
