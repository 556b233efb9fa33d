"""Evaluation plays Gymnasium's own CartPole-v1, greedily and to the end."""

import gymnasium
import numpy as np
import pytest

from agent import EvaluationResult, evaluate
from agent.kernels.sampling import chosen_actions
from agent.learning.networks import build_actor


def test_the_returns_are_those_of_single_episodes_in_gymnasium():
    actor = build_actor(4, 2, (8,), seed=4)
    environment = gymnasium.make_vec("CartPole-v1", num_envs=20, vectorization_mode="vector_entry_point")
    environment.reset(seed=6)
    initial_states = environment.unwrapped.state.T
    expected = []
    single = gymnasium.make("CartPole-v1")
    for state in initial_states:
        single.reset(seed=0)
        single.unwrapped.state = state
        observation, total, ended = state.astype(np.float32), 0.0, False
        while not ended:
            action = int(np.argmax(actor(observation[None]).numpy()))
            observation, reward, terminated, truncated, _ = single.step(action)
            total, ended = total + reward, terminated or truncated
        expected.append(total)
    assert evaluate(actor, episodes=20, seed=6) == EvaluationResult(tuple(expected), tuple(map(int, expected)))


def test_numpy_numbers_are_accepted():
    actor = build_actor(4, 2, (8,), seed=0)
    assert evaluate(actor, episodes=np.int64(3), seed=np.uint8(2)) == evaluate(actor, episodes=3, seed=2)


@pytest.mark.parametrize(("episodes", "error"), [(0, ValueError), (2.5, TypeError)])
def test_a_wrong_number_of_episodes_is_named(episodes, error):
    with pytest.raises(error, match="episodes must be"):
        evaluate(build_actor(4, 2, (8,), seed=0), episodes=episodes)


def test_statistics_are_those_of_numpy():
    returns = (1.0, 2.0, 6.0)
    assert EvaluationResult(returns, (3, 4, 8)).as_dict() == {
        "episodes": 3,
        "mean": 3.0,
        "standard_deviation": pytest.approx(np.std(returns)),
        "minimum": 1.0,
        "lower_quartile": 1.5,
        "median": 2.0,
        "upper_quartile": 4.0,
        "maximum": 6.0,
        "mean_length": 5.0,
    }


@pytest.mark.parametrize("greedy", [True, False])
def test_our_environments_give_gymnasiums_returns(greedy):
    actor = build_actor(4, 2, (8,), seed=4)
    results = [
        evaluate(actor, episodes=50, seed=3, greedy=greedy, environment=environment)
        for environment in ("gymnasium", "fast")
    ]
    assert results[0] == results[1]


def test_an_unknown_environment_is_named():
    with pytest.raises(ValueError, match="environment must be one of gymnasium, fast, got 'slow'"):
        evaluate(build_actor(4, 2, (8,), seed=0), environment="slow")


def test_short_episodes_are_not_favoured():
    """The mean length for a uniform random policy is known from whole episodes, played one after another."""
    coin = build_actor(4, 2, (2,), seed=0)
    coin.set_weights([np.zeros_like(weight) for weight in coin.get_weights()])
    single = gymnasium.make("CartPole-v1")
    generator = np.random.default_rng(0)
    lengths = []
    for episode in range(2000):
        single.reset(seed=episode)
        ended, length = False, 0
        while not ended:
            _, _, terminated, truncated, _ = single.step(int(generator.integers(2)))
            ended, length = terminated or truncated, length + 1
        lengths.append(length)
    returns = evaluate(coin, episodes=2000, seed=1, greedy=False, environment="fast").returns
    standard_error = np.sqrt(np.var(lengths) / 2000 + np.var(returns) / 2000)
    assert abs(np.mean(returns) - np.mean(lengths)) < 4 * standard_error
    assert np.std(lengths) > 0.4 * np.mean(lengths)


def test_actions_are_drawn_with_the_policys_probabilities():
    logits = np.tile(np.float32([[0.3, 1.1]]), (100_000, 1))
    share = chosen_actions(logits, (2,), np.random.default_rng(0)).mean()
    probability = 1.0 / (1.0 + np.exp(-0.8))
    assert abs(share - probability) < 4.5 * np.sqrt(probability * (1 - probability) / 100_000)
    extreme = np.float32([[1e30, -1e30], [-1e30, 1e30]])
    assert chosen_actions(extreme, (2,), np.random.default_rng(0)).tolist() == [[0], [1]]
