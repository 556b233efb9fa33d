"""A restarted agent is equivalent to a new one."""

import gymnasium
import pytest

from agent import PPO, adapted_preset
from agent.errors import EnvironmentUseError

FIRST = adapted_preset("fast", num_envs=8, steps_per_epoch=256, hidden_sizes=(8,), minibatch_size=64, epochs=6)


def figures_of(ppo, num_epochs):
    return [(m.epoch, m.mean_return, m.kl, m.value_loss) for m in (ppo.train_epoch() for _ in range(num_epochs))]


def assert_same_bytes(one, other):
    one, other = one.get_state(), other.get_state()
    assert one.keys() == other.keys()
    for name in one.keys() - {"elapsed_s"}:
        assert one[name].tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"seed": 5}, marks=pytest.mark.slow),
        {
            "gamma": 0.9,
            "gae_lambda": 0.8,
            "policy_learning_rate": 1e-2,
            "value_learning_rate": 3e-3,
            "learning_rate_schedule": "linear",
            "value_target": "rewards_to_go",
            "initializer": "glorot_uniform",
            "max_episode_steps": 30,
            "reset_each_epoch": True,
            "epochs": 9,
            "num_envs": 16,
            "clip_ratio": 0.02,
            "target_kl": 0.5,
            "entropy_coefficient": 0.1,
            "max_gradient_norm": 0.1,
            "adam_epsilon": 1e-3,
            "advantage_normalization": "none",
            "policy_update_epochs": 1,
        },
        pytest.param({"env_id": "CartPole-v0"}, marks=pytest.mark.slow),
        pytest.param({"vectorization": "sync"}, marks=pytest.mark.slow),
    ],
)
def test_a_restarted_agent_trains_bit_for_bit_like_a_new_one(changes):
    config = FIRST.replace(**changes)
    agent = PPO(FIRST.replace(learning_rate_schedule="linear"))
    figures_of(agent, 3)
    agent.stop_training = agent.is_solved = True
    agent.restart(config)
    new = PPO(config)
    assert_same_bytes(agent, new)
    assert (agent.stop_training, agent.is_solved, agent.epoch) == (False, False, 0)
    assert figures_of(agent, 3) == figures_of(new, 3)
    assert_same_bytes(agent, new)
    assert agent.evaluate() == new.evaluate()
    assert agent.evaluation_seed == new.evaluation_seed
    assert len(agent._update._compiled) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"steps_per_epoch": 512},
        {"hidden_sizes": (8, 8)},
        {"minibatch_size": 128},
        {"advantage_normalization": "minibatch"},
        {"policy_update_epochs": 65},
        {"value_update_epochs": 65},
    ],
)
def test_compiled_settings_cannot_be_changed(changes):
    agent = PPO(FIRST)
    before = agent.get_state()
    with pytest.raises(ValueError, match="config must have the same compiled_settings as that of the agent"):
        agent.restart(FIRST.replace(**changes))
    assert all(array.tobytes() == before[name].tobytes() for name, array in agent.get_state().items())


def test_an_environment_of_other_sizes_cannot_be_played():
    agent = PPO(FIRST)
    before = agent.get_state()
    with pytest.raises(EnvironmentUseError, match=r"'observation_size': 4, .*got {'observation_size': 6, "):
        agent.restart(FIRST.replace(env_id="Acrobot-v1"))
    assert all(array.tobytes() == before[name].tobytes() for name, array in agent.get_state().items())
    assert agent.spec.name == "CartPole-v1"


def test_the_callers_environments_are_reused_unchanged():
    environments, evaluations = (gymnasium.make_vec("CartPole-v1", num_envs=8) for _ in range(2))
    agent = PPO(FIRST, environments, evaluation_environments=evaluations)
    agent.restart(agent.config.replace(seed=1))
    agent.restart(FIRST.replace(seed=1))
    for changes in ({"num_envs": 16}, {"max_episode_steps": 10}, {"env_kwargs": {"sutton_barto_reward": True}}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            agent.restart(FIRST.replace(**changes))
    assert agent.collect().actions.shape == (32, 8)
