"""An agent that begins another training is a new agent."""

import pytest

from agent import PPO, adapted_preset

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
        },
    ],
)
def test_it_trains_bit_for_bit_as_a_new_one(changes):
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
    assert agent._update._update_policy.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"num_envs": 16},
        {"steps_per_epoch": 512},
        {"hidden_sizes": (8, 8)},
        {"minibatch_size": 128},
        {"clip_ratio": 0.1},
        {"target_kl": 0.5},
        {"entropy_coefficient": 0.1},
        {"max_gradient_norm": 1.0},
        {"advantage_normalization": "none"},
        {"policy_update_epochs": 3},
        {"value_update_epochs": 3},
    ],
)
def test_what_is_compiled_cannot_be_changed(changes):
    agent = PPO(FIRST)
    before = agent.get_state()
    with pytest.raises(ValueError, match="config must agree with that of the agent in its compiled_settings"):
        agent.restart(FIRST.replace(**changes))
    assert all(array.tobytes() == before[name].tobytes() for name, array in agent.get_state().items())
