"""Random numbers have the documented distributions, and random streams are independent.

Seeds are fixed, so a test that passes once passes always. Each p-value is the probability of a deviation at least as
large if the promise holds; a p-value below one in a million counts as a broken promise.
"""

import numpy as np
import pytest
from scipy import stats

from agent import PPO, adapted_preset
from agent.kernels.acting import PolicySnapshot
from agent.kernels.forward import padded_weights
from agent.learning.networks import build_actor
from agent.rollouts.cartpole import CartPoleCollector
from fastcartpole import CartPoleVectorEnv

LEAST_P_VALUE = 1e-6


def initial_states(environments, num_resets):
    """Return the initial states of a vector environment, shape (resets, N, 4)."""
    environments.reset(seed=7)
    states = []
    for _ in range(num_resets):
        environments.reset()
        states.append(environments.state.T)
    return np.array(states)


def correlations_p_value(samples):
    """Test columns of samples for independence; return the p-value and the largest correlation of any pair.

    Args:
        samples: Samples, shape (samples, columns).
    """
    count, columns = samples.shape
    correlations = np.corrcoef(samples, rowvar=False)[np.triu_indices(columns, 1)]
    # Each correlation is nearly normal with variance 1 / samples.
    return stats.chi2.sf(count * np.sum(correlations**2), correlations.size), np.abs(correlations).max()


@pytest.mark.parametrize("seeding", ["independent", "shared"])
def test_initial_states_are_uniform_in_every_variable_and_environment(seeding, figure):
    states = initial_states(CartPoleVectorEnv(250, seeding=seeding), 400)
    assert np.abs(states).max() < 0.05
    p_values = [stats.kstest(states[:, :, row].ravel(), "uniform", (-0.05, 0.1)).pvalue for row in range(4)]
    p_values += [stats.kstest(states[:, index].ravel(), "uniform", (-0.05, 0.1)).pvalue for index in range(250)]
    # The p-values of uniform samples are uniform themselves.
    overall = stats.kstest(p_values[4:], "uniform").pvalue
    figure(f"initial states ({seeding}): Kolmogorov-Smirnov p at least {min(p_values):.2g}, of all {overall:.2g}")
    assert min(p_values) > LEAST_P_VALUE
    assert overall > LEAST_P_VALUE


@pytest.mark.parametrize("seeding", ["independent", "shared"])
def test_initial_states_of_different_environments_and_variables_are_uncorrelated(seeding, figure):
    states = initial_states(CartPoleVectorEnv(60, seeding=seeding), 4000)
    p_value, largest = correlations_p_value(states.reshape(4000, -1))
    figure(f"streams of 60 environments ({seeding}): largest correlation {largest:.3f} of 4,000 draws, p {p_value:.2g}")
    assert p_value > LEAST_P_VALUE
    # Successive resets are independent.
    serial = stats.pearsonr(states[:-1].ravel(), states[1:].ravel()).pvalue
    assert serial > LEAST_P_VALUE


def test_actions_are_drawn_with_the_policys_probabilities_whatever_they_are(figure):
    actor = build_actor(4, 2, (16,), seed=0)
    actor.set_weights([8 * weight for weight in actor.get_weights()])
    seeds = np.arange(512, dtype=np.uint64)
    rollout = CartPoleCollector(512, 2000, 500, seeds, seeds + np.uint64(10**6)).collect(
        PolicySnapshot(padded_weights(actor.get_weights()))
    )
    chosen = np.exp(rollout.log_probs.astype(np.float64)).ravel()
    actions = rollout.actions.ravel()
    probabilities = np.where(actions == 1, chosen, 1.0 - chosen)
    bins = np.quantile(probabilities, np.linspace(0, 1, 51)[1:-1])
    groups = np.digitize(probabilities, bins)
    # The number of ones in each group has the mean and the variance of independent samples with these probabilities.
    expected = np.bincount(groups, probabilities)
    variance = np.bincount(groups, probabilities * (1 - probabilities))
    chi_square = np.sum((np.bincount(groups, actions) - expected) ** 2 / variance)
    p_value = stats.chi2.sf(chi_square, len(expected))
    figure(
        f"actions: chi-square {chi_square:.1f} of {len(expected)} groups of probabilities from "
        f"{probabilities.min():.3f} to {probabilities.max():.3f}, {actions.size:,} draws, p {p_value:.2g}"
    )
    assert probabilities.min() < 0.1
    assert probabilities.max() > 0.9
    assert p_value > LEAST_P_VALUE


def test_coin_flips_of_neighbours_steps_and_initial_states_are_independent(figure):
    zeros = [np.zeros(shape, dtype=np.float32) for shape in ((4, 4), (4,), (4, 2), (2,))]
    coin = PolicySnapshot(padded_weights(zeros))
    ppo = PPO(adapted_preset("fast", num_envs=512, hidden_sizes=(4,)))
    state = ppo.get_state()
    collector = CartPoleCollector(512, 2000, 500, *(np.zeros(512, dtype=np.uint64) for _ in range(2)))
    collector.set_state(
        {name.removeprefix("environments/"): array for name, array in state.items() if name.startswith("environments/")}
    )
    rollout = collector.collect(coin)
    actions = rollout.actions
    begins = np.vstack([np.ones((1, 512), dtype=bool), rollout.episode_lengths[:-1] > 0])
    pairs = {
        "an environment's step and its next": (actions[:-1], actions[1:]),
        "an environment and its neighbour": (actions[:, :-1], actions[:, 1:]),
        "an initial angle and the first action": (rollout.observations[begins][:, 2] > 0, actions[begins]),
        "an initial position and the first action": (rollout.observations[begins][:, 0] > 0, actions[begins]),
    }
    for name, (one, other) in pairs.items():
        table = np.zeros((2, 2))
        np.add.at(table, (one.ravel().astype(int), other.ravel().astype(int)), 1)
        p_value = stats.chi2_contingency(table).pvalue
        figure(f"independence of {name}: chi-square p {p_value:.2g} of {int(table.sum()):,} pairs")
        assert p_value > LEAST_P_VALUE, name
    assert stats.binomtest(int(actions.sum()), actions.size).pvalue > LEAST_P_VALUE


def test_trainings_of_different_seeds_have_no_stream_in_common(figure):
    streams = set()
    for seed in range(50):
        state = PPO(adapted_preset("fast", num_envs=256, hidden_sizes=(4,), seed=seed)).get_state()
        for name in ("environments/streams", "environments/action_streams"):
            streams.update(column.tobytes() for column in state[name].T)
    figure(f"streams of 50 seeds of preset fast: {len(streams):,} different ones of {50 * 2 * 256:,}")
    assert len(streams) == 50 * 2 * 256


@pytest.mark.slow
def test_trainings_of_consecutive_seeds_begin_with_unrelated_states_and_weights(figure):
    first_numbers = []
    for seed in range(100):
        ppo = PPO(adapted_preset("fast", num_envs=4, hidden_sizes=(4,), seed=seed, initializer="glorot_uniform"))
        weights = np.concatenate([ppo.actor.get_weights()[0].ravel(), ppo.critic.get_weights()[0].ravel()])
        first_numbers.append(np.concatenate([ppo.get_state()["environments/physics"].ravel(), weights]))
    samples = np.array(first_numbers)
    p_value, largest = correlations_p_value(samples)
    figure(f"first numbers of 100 consecutive seeds: largest correlation {largest:.3f}, p {p_value:.2g}")
    assert p_value > LEAST_P_VALUE
    assert stats.pearsonr(samples[:-1].ravel(), samples[1:].ravel()).pvalue > LEAST_P_VALUE
