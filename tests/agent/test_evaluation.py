"""Evaluation plays Gymnasium's own CartPole-v1, greedily and to the end."""

import gymnasium
import numpy as np
import pytest

from agent import EvaluationResult, evaluate
from agent.networks import build_actor


def test_the_returns_are_those_of_single_episodes_in_gymnasium():
    actor = build_actor((8,), seed=4)
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
    assert evaluate(actor, episodes=20, seed=6) == EvaluationResult.from_returns(np.array(expected))


@pytest.mark.parametrize(("episodes", "error"), [(0, ValueError), (2.5, TypeError)])
def test_a_wrong_number_of_episodes_is_named(episodes, error):
    with pytest.raises(error, match="episodes must be"):
        evaluate(build_actor((8,), seed=0), episodes=episodes)


def test_statistics_are_those_of_numpy():
    returns = np.array([1.0, 2.0, 6.0])
    result = EvaluationResult.from_returns(returns)
    assert result.as_dict() == {
        "episodes": 3,
        "mean": 3.0,
        "standard_deviation": pytest.approx(np.std(returns)),
        "minimum": 1.0,
        "maximum": 6.0,
    }
