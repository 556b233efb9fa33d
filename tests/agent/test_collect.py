"""The fused rollout plays Gymnasium's CartPole with the Keras policy."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.kernels.acting import PolicySnapshot
from agent.kernels.forward import padded_weights
from agent.learning.networks import build_actor
from agent.rollouts import cartpole
from agent.rollouts.cartpole import CartPoleCollector, greedy_episode_lengths

NUM_STEPS = 120


def collector(num_envs, *, num_steps=NUM_STEPS, max_episode_steps=500, first_seed=10):
    environment_seeds = np.arange(first_seed, first_seed + num_envs, dtype=np.uint64)
    action_seeds = environment_seeds + np.uint64(10**6)
    return CartPoleCollector(num_envs, num_steps, max_episode_steps, environment_seeds, action_seeds)


@pytest.fixture(scope="module")
def actor():
    return build_actor(4, 2, (64, 64), seed=0)


@pytest.mark.parametrize(("num_envs", "max_episode_steps"), [(1, 500), (5, 15), (130, 500)])
def test_a_rollout_is_the_trajectory_gymnasium_gives_for_its_actions(actor, num_envs, max_episode_steps):
    ours = collector(num_envs, max_episode_steps=max_episode_steps)
    theirs = gymnasium.make_vec(
        "CartPole-v1",
        num_envs=num_envs,
        vectorization_mode="sync",
        max_episode_steps=max_episode_steps,
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
    )
    observations, _ = theirs.reset(seed=10)
    elapsed = np.zeros(num_envs, dtype=int)
    for _ in range(2):
        rollout = ours.collect(PolicySnapshot(padded_weights(actor.get_weights())))
        final_observations = [[] for _ in range(num_envs)]
        for t in range(NUM_STEPS):
            assert rollout.observations[t].tobytes() == observations.tobytes(), f"step {t}"
            observations, rewards, terminated, truncated, infos = theirs.step(rollout.actions[t])
            assert np.array_equal(rollout.rewards[t], rewards)
            assert np.array_equal(rollout.terminated[t], terminated)
            assert np.array_equal(rollout.truncated[t], truncated)
            elapsed += 1
            ended = terminated | truncated
            assert np.array_equal(rollout.episode_lengths[t], np.where(ended, elapsed, 0))
            elapsed[ended] = 0
            for n in np.flatnonzero(truncated & ~terminated):
                final_observations[n].append(infos["final_obs"][n])
        assert rollout.last_observations.tobytes() == observations.tobytes()
        for n in range(num_envs):
            for k, expected in enumerate(final_observations[n]):
                assert np.array_equal(rollout.final_observations[k, n], expected)


def test_log_probabilities_are_those_of_the_keras_actor(actor):
    rollout = collector(33).collect(PolicySnapshot(padded_weights(actor.get_weights())))
    logits = actor(rollout.observations.reshape(-1, 4)).numpy().astype(np.float64)
    log_probs = logits - np.logaddexp(logits[:, :1], logits[:, 1:])
    expected = np.take_along_axis(log_probs, rollout.actions.reshape(-1, 1).astype(int), axis=1)
    np.testing.assert_allclose(rollout.log_probs.reshape(-1, 1), expected, atol=1e-5)


def test_actions_are_drawn_with_the_policys_probabilities(actor):
    rollout = collector(256, num_steps=400).collect(PolicySnapshot(padded_weights(actor.get_weights())))
    logits = actor(rollout.observations.reshape(-1, 4)).numpy().astype(np.float64)
    probabilities = 1.0 / (1.0 + np.exp(logits[:, 0] - logits[:, 1]))
    # The sum of (action - probability) has mean 0 and the variance of independent Bernoulli variables.
    deviation = np.sum(rollout.actions.reshape(-1) - probabilities)
    assert abs(deviation) < 4.5 * np.sqrt(np.sum(probabilities * (1 - probabilities)))


def test_the_number_of_threads_changes_nothing(actor, monkeypatch):
    weights = PolicySnapshot(padded_weights(actor.get_weights()))
    rollouts = []
    for threads in (1, 2):
        monkeypatch.setattr(cartpole, "usable_threads", lambda *_, threads=threads: threads)
        ours = collector(300)
        rollouts.append([ours.collect(weights) for _ in range(2)])
    for serial, parallel in zip(*rollouts, strict=True):
        for name, expected, actual in zip(serial._fields, serial, parallel, strict=True):
            assert actual.tobytes() == expected.tobytes(), name


def test_a_reset_starts_new_episodes_everywhere(actor):
    ours = collector(4, num_steps=5)
    ours.collect(PolicySnapshot(padded_weights(actor.get_weights())))
    assert np.all(ours.state.elapsed_steps > 0)
    ours.reset()
    assert np.all(ours.state.elapsed_steps == 0)
    assert np.all(np.abs(ours.state.physics) <= 0.05)


@pytest.mark.parametrize("num_envs", [1, 3, 140])
def test_greedy_episodes_are_those_played_in_gymnasium(actor, num_envs):
    seeds = np.arange(100, 100 + num_envs, dtype=np.uint64)
    lengths = greedy_episode_lengths(PolicySnapshot(padded_weights(actor.get_weights())), seeds, 40)
    environments = gymnasium.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="sync", max_episode_steps=40)
    observations, _ = environments.reset(seed=seeds.tolist())
    expected = np.zeros(num_envs, dtype=int)
    for step in range(1, 41):
        actions = np.argmax(actor(observations).numpy(), axis=1)
        observations, _, terminated, truncated, _ = environments.step(actions)
        expected[(expected == 0) & (terminated | truncated)] = step
    assert np.array_equal(lengths, expected)
    assert num_envs == 1 or len(set(lengths.tolist())) > 1


@given(seed=st.integers(0, 2**32 - 1), least_mean=st.floats(1.0, 40.0), num_threads=st.sampled_from([None, 1, 2, 3]))
@settings(max_examples=30, deadline=None)
def test_whether_greedy_episodes_reach_a_mean_is_known_before_they_have_ended(seed, least_mean, num_threads):
    generator = np.random.default_rng(seed)
    shapes = ((4, 8), (8,), (8, 2), (2,))
    policy = PolicySnapshot(padded_weights([generator.normal(0, 1, shape).astype(np.float32) for shape in shapes]))
    seeds = generator.integers(2**63, size=40).astype(np.uint64)
    all_played = greedy_episode_lengths(policy, seeds, 250, num_threads=1)
    lengths = greedy_episode_lengths(policy, seeds, 250, least_mean, num_threads)
    assert (lengths.mean() >= least_mean) == (all_played.mean() >= least_mean)
    assert np.all(lengths >= all_played)
    if all_played.mean() >= least_mean:
        assert np.array_equal(lengths, all_played)
