"""Rollouts in one compiled call equal those of stepping by hand."""

import numba
import numpy as np
import pytest
from lockstep import assert_identical

from fastcartpole import CartPoleVectorEnv

KINDS = [
    {},
    {"autoreset_mode": "SameStep"},
    {"seeding": "shared"},
    {"seeding": "shared", "autoreset_mode": "SameStep", "sutton_barto_reward": True},
    {"precision": "fast"},
]


@numba.njit
def steadying(observation, uniform):
    return 1 if 2.0 * observation[2] + observation[3] > 0.4 * (uniform - 0.5) else 0


@numba.njit
def wrong_for_leaning_poles(observation, _):
    return 2 if abs(observation[2]) > 0.1 else 1


# Each kind of policy needs its own compilation.
@pytest.mark.parametrize(
    ("policy", "options"),
    [("random", kind) for kind in KINDS[::2]]
    + [(steadying, KINDS[0])]
    + [pytest.param("random", kind, marks=pytest.mark.slow) for kind in KINDS[1::2]]
    + [pytest.param(steadying, kind, marks=pytest.mark.slow) for kind in KINDS[1:]],
)
@pytest.mark.parametrize(("num_envs", "num_threads"), [(3, 1), (700, 2)])
def test_the_trajectories_are_those_of_stepping_by_hand(options, policy, num_envs, num_threads):
    inside = CartPoleVectorEnv(num_envs, max_episode_steps=60, num_threads=num_threads, **options)
    by_hand = CartPoleVectorEnv(num_envs, max_episode_steps=60, **options)
    inside.reset(seed=1)
    observations, _ = by_hand.reset(seed=1)
    for seed in (5, 6):
        rollout = inside.rollout(policy, 100, seed=seed)
        assert rollout.actions.shape == (100, num_envs)
        for t in range(100):
            assert rollout.observations[t].tobytes() == observations.tobytes()
            actual = (rollout.rewards[t], rollout.terminated[t], rollout.truncated[t])
            observations, *expected, infos = by_hand.step(rollout.actions[t])
            assert_identical((observations, *actual), (observations, *expected), t)
            for n in np.flatnonzero(infos.get("_final_obs", [])):
                assert np.array_equal(rollout.final_observations[t, n], infos["final_obs"][n])
        assert rollout.last_observations.tobytes() == observations.tobytes()
    assert rollout.terminated.any() or rollout.truncated.any()


@pytest.mark.parametrize("policy", ["random", pytest.param(steadying, marks=pytest.mark.slow)])
def test_a_seed_fixes_the_actions_on_any_number_of_threads(policy):
    def actions(seed, num_threads):
        environments = CartPoleVectorEnv(1000, num_threads=num_threads)
        environments.reset(seed=0)
        return environments.rollout(policy, 70, seed=seed).actions

    expected = actions(3, 1)
    assert np.array_equal(actions(3, 2), expected)
    assert not np.array_equal(actions(4, 1), expected)
    assert not np.array_equal(actions(None, 1), actions(None, 1))


def test_a_rollout_can_be_written_over_an_earlier_one():
    def two_rollouts(reuse):
        environments = CartPoleVectorEnv(50, autoreset_mode="SameStep")
        environments.reset(seed=0)
        first = environments.rollout("random", 80, seed=1)
        second = environments.rollout("random", 80, seed=2, out=first if reuse else None)
        assert (second is first) == reuse
        return second

    for expected, actual in zip(two_rollouts(False), two_rollouts(True), strict=True):
        assert actual.tobytes() == expected.tobytes()


def test_arrays_of_another_size_are_refused():
    environments = CartPoleVectorEnv(5)
    environments.reset(seed=0)
    out = environments.rollout("random", 8)
    with pytest.raises(ValueError, match="out must be Trajectories of 9 steps of 5 such environments"):
        environments.rollout("random", 9, out=out)
    with pytest.raises(TypeError, match="out must be Trajectories, got dict"):
        environments.rollout("random", 8, out={})


def test_random_actions_are_fair_and_independent():
    environments = CartPoleVectorEnv(1000)
    environments.reset(seed=0)
    actions = environments.rollout("random", 200, seed=1).actions
    count = actions.size
    assert abs(actions.sum() - count / 2) < 4.5 * np.sqrt(count) / 2
    for a, b in ((actions[1:], actions[:-1]), (actions[:, 1:], actions[:, :-1]), (actions[64:], actions[:-64])):
        assert abs((a == b).sum() - a.size / 2) < 4.5 * np.sqrt(a.size) / 2


def test_a_wrong_action_of_a_policy_is_an_error_and_moves_nothing():
    environments = CartPoleVectorEnv(300)
    environments.reset(seed=0)
    before = environments.get_state()
    with pytest.raises(ValueError, match="policy must return 0 or 1"):
        environments.rollout(wrong_for_leaning_poles, 50)
    for name, value in environments.get_state().items():
        assert np.array_equal(value, before[name]), name


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("random", 0), ValueError, "num_steps must be at least 1, got 0"),
        (("random", 2.5), TypeError, "num_steps must be an integer"),
        ((lambda *_: 1, 5), TypeError, "compiled with numba.njit"),
        (("greedy", 5), TypeError, "policy must be 'random' or"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    environments = CartPoleVectorEnv(2)
    environments.reset(seed=0)
    with pytest.raises(error, match=message):
        environments.rollout(*arguments)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        environments.rollout("random", 5, seed=-1)
