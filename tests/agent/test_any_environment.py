"""The agent in environments other than CartPole: probes with known answers, and environments given by the user."""

import copy
import multiprocessing
import os
import pickle

import gymnasium
import numpy as np
import pytest
from agents import new_agent
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st
from probes import (
    MODES,
    Counting,
    Mixed,
    Probe,
    RewardByAction,
    RewardByChoices,
    RewardByObservation,
    RewardBySwitches,
    RewardTwoStepsLater,
    vector_of,
)

from agent import PPO, evaluate, preset_config
from agent.environments.making import EnvironmentSource, UnknownEnvironmentError
from agent.errors import UnsupportedSpaceError, is_of_the_environment
from agent.rollouts.budget import LONGEST_EPISODE, SHARE, EvaluationBudget
from agent.views.rendering import play_episode

SMALL = preset_config("standard", env_id=None, num_envs=2, steps_per_epoch=32, hidden_sizes=(8,), minibatch_size=16)
GAMMA, DECAY = 0.9, 0.8
PLAIN = SMALL.replace(gamma=GAMMA, gae_lambda=DECAY, advantage_normalization="none")


def agent_in(make_env, mode, config=PLAIN):
    """Return an agent in a vector environment with an autoreset mode."""
    environments = vector_of(make_env, config.num_envs, mode)
    return PPO(config, environments, make_env=make_env)


def let_value_be(critic, constant, slope=0.0):
    """Let a critic with one hidden layer return ``constant + slope * observation``, for small slopes."""
    first, first_bias, second, second_bias = (np.zeros_like(array) for array in critic.get_weights())
    # For small x, tanh(x) differs from x by x^3 / 3.
    first[0, 0], second[0, 0], second_bias[0] = 1e-3, 1e3 * slope, constant
    critic.set_weights([first, first_bias, second, second_bias])


def discounted(terms, discount):
    return sum(term * discount**k for k, term in enumerate(terms))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("make_env", "rewards", "terminates"),
    [
        (Probe, (1.0,), True),
        (lambda: Probe(1, truncates=True), (1.0,), False),
        (lambda: Probe(3, truncates=True), (1.0, 1.0, 1.0), False),
        (RewardTwoStepsLater, (0.0, 0.0, -2.5), True),
        (lambda: RewardTwoStepsLater(truncates=True), (0.0, 0.0, -2.5), False),
    ],
)
def test_advantages_in_probes_are_what_the_formula_says(make_env, rewards, terminates, mode):
    ppo = agent_in(make_env, mode)
    value = 0.75
    let_value_be(ppo.critic, value)
    step = np.zeros(2, dtype=int)
    for _ in range(2):
        rollout = ppo.collect()
        batch = ppo.update_batch(rollout)
        advantages = batch.advantages.reshape(rollout.actions.shape)
        for t in range(len(advantages)):
            for n in range(2):
                if not rollout.valid[t, n]:
                    step[n] = 0
                    continue
                # The end of the rollout, too, is bootstrapped with the critic's value.
                left = rewards[step[n] :][: len(advantages) - t]
                ends = terminates and len(left) == len(rewards) - step[n]
                deltas = [reward + GAMMA * value - value for reward in left]
                deltas[-1] -= GAMMA * value if ends else 0.0
                assert advantages[t, n] == pytest.approx(discounted(deltas, GAMMA * DECAY), abs=1e-5)
                step[n] = (step[n] + 1) % len(rewards)
        expected_weights = None if mode != AutoresetMode.NEXT_STEP else rollout.valid.reshape(-1).astype(np.float32)
        assert np.array_equal(batch.weights, expected_weights)


@pytest.mark.parametrize("mode", MODES)
def test_a_truncated_episode_is_bootstrapped_from_its_own_last_observation(mode):
    # With episodes of 3 or 4 steps, some end on the last row of the rollout.
    ppo = agent_in(lambda: RewardTwoStepsLater(truncates=True), mode, PLAIN.replace(steps_per_epoch=30))
    let_value_be(ppo.critic, 0.0, slope=0.5)
    for _ in range(4):
        rollout = ppo.collect()
        advantages = ppo.update_batch(rollout).advantages.reshape(rollout.actions.shape)
        # The last step of an episode starts from observation 2, and its final observation is 3.
        assert rollout.truncated.any()
        np.testing.assert_allclose(advantages[rollout.truncated], -2.5 + GAMMA * 0.5 * 3 - 0.5 * 2, atol=1e-4)


@pytest.mark.parametrize(
    "mode", [AutoresetMode.NEXT_STEP, *(pytest.param(mode, marks=pytest.mark.slow) for mode in MODES[::2])]
)
def test_the_critic_learns_the_reward_that_the_observation_gives(mode):
    config = SMALL.replace(steps_per_epoch=128, value_learning_rate=1e-2, epochs=40)
    ppo = agent_in(RewardByObservation, mode, config)
    ppo.train()
    values = ppo.critic(np.float32([[-1.0], [1.0]])).numpy()[:, 0]
    np.testing.assert_allclose(values, [-1.0, 1.0], atol=0.15)
    assert ppo.recent_mean_return == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize(
    "mode", [AutoresetMode.NEXT_STEP, *(pytest.param(mode, marks=pytest.mark.slow) for mode in MODES[::2])]
)
def test_the_actor_learns_the_action_that_is_rewarded(mode):
    config = SMALL.replace(steps_per_epoch=128, policy_learning_rate=1e-2, epochs=30)
    ppo = agent_in(lambda: RewardByAction(2), mode, config)
    ppo.train()
    assert ppo.predict([0.0]) == 1, "the environment's name of the last action"
    assert ppo.evaluate().mean == 2.0
    assert (ppo.env_steps < ppo.epoch * config.rollout_size) == (mode == AutoresetMode.NEXT_STEP)


@pytest.mark.slow
@pytest.mark.parametrize("make_env", [RewardByChoices, RewardBySwitches])
def test_the_actor_learns_every_choice_of_an_action(make_env):
    config = SMALL.replace(steps_per_epoch=256, minibatch_size=64, policy_learning_rate=1e-2, epochs=30)
    ppo = agent_in(make_env, AutoresetMode.SAME_STEP, config)
    ppo.train()
    assert np.array_equal(ppo.predict([0.0]), make_env.right)
    assert np.array_equal(ppo.predict([[0.0], [0.0]]), [make_env.right] * 2)
    assert ppo.evaluate().mean == make_env.right.size
    result = evaluate(ppo.actor, make_env=make_env, episodes=5)
    assert result.mean == make_env.right.size
    (last,) = list(play_episode(make_env(), ppo.actor, 0, greedy=True))[1:]
    assert last.total_reward == make_env.right.size
    drawn = evaluate(ppo.actor, make_env=make_env, episodes=200, greedy=False)
    assert 0.5 * make_env.right.size < drawn.mean <= make_env.right.size


def test_returns_are_sums_of_rewards_and_lengths_are_lengths():
    ppo = PPO(SMALL.replace(steps_per_epoch=40), make_env=lambda: Counting(10))
    metrics = ppo.train_epoch()
    expected = np.float64([sum((-1.0) ** k * (0.1 + 1e3 * k) for k in range(first, first + 10)) for first in (1, 11)])
    assert metrics.mean_return == pytest.approx(expected.mean(), rel=1e-9)
    assert metrics.mean_length == 10
    assert metrics.env_steps == 40


@pytest.mark.slow
def test_without_ended_episodes_there_is_no_return_and_evaluations_still_end():
    ppo = PPO(SMALL, make_env=lambda: Counting(10**9))
    metrics = ppo.train_epoch()
    assert np.isnan(metrics.mean_return)
    assert ppo.spec.max_episode_steps is None
    result = ppo.evaluate()
    assert set(result.lengths) == {LONGEST_EPISODE}


def test_observations_of_several_parts_are_learned_from():
    ppo = PPO(SMALL, make_env=lambda: Mixed(4))
    assert ppo.spec.observation_size == 9
    assert ppo.actor.input_shape == (None, 9)
    assert ppo.train_epoch().mean_length == 4
    assert ppo.predict(Mixed.as_vector(2)) in (0, 1)


class WithSpaces(Probe):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.observation_space, self.action_space = observation_space, action_space


TWO = Discrete(2)


@pytest.mark.parametrize(
    ("observations", "actions", "named"),
    [
        (Box(0, 255, (84, 84, 3), np.uint8), TWO, "the observation space Box"),
        (Dict({"image": Box(0, 1, (8, 8, 3))}), TWO, "the observation space Dict"),
        (Sequence(Discrete(3)), TWO, "the observation space Sequence"),
        (Graph(Box(0, 1, (2,)), None), TWO, "the observation space Graph"),
        (Text(5), TWO, "the observation space Text"),
        (Box(0, 1, (0,)), TWO, "has no entries"),
        (Box(0, 1, (3,)), Box(-1, 1, (0, 2)), "leaves nothing to choose"),
        (Box(0, 1, (3,)), MultiDiscrete(np.zeros((0,), dtype=np.int64)), "leaves nothing to choose"),
        (Box(0, 1, (3,)), Tuple((TWO, TWO)), "the action space Tuple"),
    ],
)
def test_spaces_that_are_not_supported_are_named(observations, actions, named):
    with pytest.raises(UnsupportedSpaceError, match=named):
        PPO(SMALL, make_env=lambda: WithSpaces(observations, actions))


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (Box(0, 1, ()), 1),
        (Box(0, 255, (3, 5), np.uint8), 15),
        (Discrete(7), 7),
        (MultiBinary((2, 3)), 6),
        (MultiDiscrete([2, 3]), 5),
    ],
)
def test_supported_observations_are_flattened_to_vectors(space, size):
    source = EnvironmentSource(None, make_env=lambda: WithSpaces(space, TWO))
    assert source.describe().observation_size == size


class Silent(gymnasium.vector.SyncVectorEnv):
    """A vector environment that does not declare its autoreset mode."""

    def __init__(self):
        super().__init__([Probe] * 2)
        self.metadata = {}


def test_environments_that_do_not_fit_are_refused():
    two, three = (vector_of(Probe, count, AutoresetMode.NEXT_STEP) for count in (2, 3))
    for arguments, error, message in (
        ({"environments": three, "make_env": Probe}, ValueError, "num_envs must be that of environments, 3, got 2"),
        ({"environments": two}, ValueError, "needs evaluation_environments or make_env"),
        ({"environments": Probe()}, TypeError, "environments must be a gymnasium.vector.VectorEnv"),
        ({"make_env": Probe()}, TypeError, "make_env must be a function"),
        (
            {"make_env": Probe, "autoreset_mode": "NextStep"},
            ValueError,
            "must be SameStep, as SyncVectorEnv",
        ),
        ({"environments": two, "evaluation_environments": two}, ValueError, "must differ from environments"),
        ({"environments": two, "make_env": lambda: Mixed(3)}, ValueError, "evaluations must have the spaces of the"),
        ({"environments": two, "make_env": lambda: RewardByAction(3)}, ValueError, "must have the spaces of the train"),
        ({"environments": two, "evaluation_environments": Silent()}, ValueError, "does not say how it begins new epi"),
        ({"environments": Silent(), "make_env": Probe}, ValueError, "does not say how it begins new episodes"),
        ({"environments": two, "make_env": Probe, "autoreset_mode": "Never"}, ValueError, "autoreset_mode must be one"),
        ({}, ValueError, "environments or make_env must be given"),
    ):
        with pytest.raises(error, match=message):
            PPO(SMALL, **arguments)
    for changes in ({"max_episode_steps": 7}, {"vectorization": "async"}, {"env_kwargs": {"speed": 3}}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            PPO(SMALL.replace(**changes), two, make_env=Probe)


def test_a_limit_of_the_users_own_environment_can_only_be_lowered():
    def make_env():
        return gymnasium.make("MountainCar-v0")

    assert EnvironmentSource(None, make_env=make_env).one(150).spec.max_episode_steps == 150
    for limit in (None, 201):
        with pytest.raises(UnknownEnvironmentError, match="max_episode_steps must be 'registered' or at most 200"):
            EnvironmentSource(None, make_env=make_env).one(limit)


def test_an_agent_with_a_custom_environment_ignores_the_id_of_its_configuration():
    ppo = PPO(SMALL.replace(env_id="CartPole-v1"), make_env=Probe)
    assert (ppo.config.env_id, ppo.spec.name) == (None, "Probe")
    ppo.restart(SMALL.replace(env_id="CartPole-v1", seed=3))
    assert ppo.collect().observations.shape[-1] == 1


def test_the_autoreset_mode_of_environments_that_do_not_declare_one_can_be_given():
    ppo = PPO(SMALL, Silent(), make_env=Probe, autoreset_mode="NextStep")
    assert not ppo.collect().valid.all()


def test_the_callers_environments_stay_open_and_cannot_be_copied():
    environments = vector_of(Probe, 2, AutoresetMode.SAME_STEP)
    with PPO(SMALL, environments, evaluation_environments=vector_of(Probe, 5, AutoresetMode.SAME_STEP)) as ppo:
        ppo.collect()
        assert ppo.evaluate().episodes == 100
        with pytest.raises(TypeError, match="cannot be copied"):
            copy.deepcopy(ppo)
    assert not environments.closed


def test_environments_that_the_agent_created_are_closed():
    closed = []

    class Closing(Probe):
        def close(self):
            closed.append(self)

    with PPO(SMALL, make_env=Closing) as ppo:
        ppo.evaluate()
        closed.clear()
    assert len(closed) == 12, "two for the training, ten for evaluations"


def test_a_limit_holds_for_the_training_and_not_for_evaluations():
    ppo = PPO(SMALL.replace(max_episode_steps=3), make_env=lambda: Counting(8))
    assert set(ppo.collect().episode_lengths.ravel().tolist()) == {0, 3}
    assert set(ppo.evaluate().lengths) == {8}
    config = preset_config("standard", env_id="MountainCar-v0", num_envs=2, steps_per_epoch=500)
    registered = PPO(config)
    assert (registered.config.max_episode_steps, registered.config.target_return) == (200, -110.0)
    assert registered.collect().episode_lengths.max() == 200
    unlimited = PPO(config.replace(max_episode_steps=None))
    assert unlimited.config.max_episode_steps is None
    assert unlimited.collect().episode_lengths.max() == 0


def trained_on(ppo, epochs):
    return [repr((m.mean_return, m.kl, m.value_loss)) for m in (ppo.train_epoch() for _ in range(epochs))]


ACROBOT = preset_config(env_id="Acrobot-v1", num_envs=2, steps_per_epoch=64, hidden_sizes=(8,), max_episode_steps=20)


def test_two_resumptions_agree_and_a_replay_retraces_them():
    ppo = new_agent(ACROBOT)
    trained_on(ppo, 2)
    state = ppo.get_state()
    trained_on(ppo, 1)
    resumed = []
    for _ in range(2):
        ppo.restart(ACROBOT)
        ppo.set_state(state)
        assert (ppo.epoch, ppo.env_steps) == (2, 128)
        resumed.append(trained_on(ppo, 2))
    assert resumed[0] == resumed[1]
    ppo.restart(ACROBOT)
    trained_on(ppo, 2)
    ppo.begin_new_episodes()
    assert trained_on(ppo, 2) == resumed[0]


def test_going_back_to_the_beginning_begins_with_the_same_episodes():
    ppo = new_agent(ACROBOT)
    beginning = ppo.get_state()
    trained = []
    for _ in range(2):
        ppo.set_state(beginning)
        trained.append(trained_on(ppo, 1))
    assert trained[0] == trained[1]
    ppo.restart(ACROBOT)
    assert trained_on(ppo, 1) == trained[0]


def test_tests_of_the_target_take_at_most_a_twentieth_of_the_training_and_always_count():
    config = SMALL.replace(steps_per_epoch=200, target_return=9.0, epochs=60)
    environments, evaluations = (vector_of(lambda: Probe(9), 2, AutoresetMode.NEXT_STEP) for _ in range(2))
    ppo = PPO(config, environments, evaluation_environments=evaluations)
    while not ppo.is_solved:
        ppo.train_epoch()
        spent = int(ppo.get_state()["evaluation_steps"])
        assert spent <= 0.05 * ppo.env_steps
        # All episodes have the return 9, so that the first test ends the training.
        assert (spent > 0) == ppo.is_solved


def test_environments_are_closed_if_one_cannot_be_reset():
    closed = []

    class Stuck(Probe):
        def reset(self, *, seed=None, options=None):
            raise RuntimeError("it is stuck")

        def close(self):
            closed.append(self)

    with pytest.raises(RuntimeError, match="it is stuck"):
        PPO(SMALL, make_env=Stuck)
    # The two of the training, and the one from which the spaces were read.
    assert len(closed) == 3


class Dying(Probe):
    """An environment that ends its process in the middle of an episode."""

    def reward(self):
        if self.step_number == 5:
            os._exit(3)
        return 1.0


def test_a_process_that_dies_is_an_error_of_the_environment_and_leaves_none_behind():
    ppo = PPO(SMALL.replace(vectorization="async"), make_env=lambda: Dying(100))
    with pytest.raises((EOFError, OSError)) as raised:
        ppo.collect()
    assert is_of_the_environment(raised.value)
    ppo.close()
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_copy_has_environments_of_its_own():
    ppo = new_agent(ACROBOT)
    trained_on(ppo, 1)
    twin = pickle.loads(pickle.dumps(ppo))
    assert all(np.array_equal(a, b) for a, b in zip(twin.actor.get_weights(), ppo.actor.get_weights(), strict=True))
    trained_on(twin, 1)
    assert (ppo.epoch, twin.epoch) == (1, 2)


@pytest.mark.slow
def test_restarting_gives_the_training_of_a_new_agent():
    ppo = new_agent(ACROBOT)
    trained_on(ppo, 1)
    ppo.restart(ACROBOT.replace(seed=5))
    assert trained_on(ppo, 2) == trained_on(PPO(ACROBOT.replace(seed=5)), 2)


@given(
    steps=st.lists(st.integers(1, 5000), min_size=1, max_size=40),
    batch=st.integers(1, 20),
    limit=st.none() | st.integers(1, 2000),
    longest=st.integers(1, 3000),
    ignored=st.integers(0, 1),
)
def test_evaluations_never_take_more_than_their_share_if_episodes_are_not_much_longer(
    steps, batch, limit, longest, ignored
):
    budget, env_steps = EvaluationBudget(), 0
    for more in steps:
        env_steps += more
        episodes = budget.episodes(env_steps, batch, limit, [longest], ignored)
        assert episodes % batch == 0
        # The longest episodes that are expected.
        budget.used += episodes * (min(limit or LONGEST_EPISODE, 2 * longest) + ignored)
        assert budget.used <= SHARE * env_steps


def test_an_environment_that_cannot_be_created_is_reported():
    for source, message in (
        (EnvironmentSource("NoSuch-v0"), "NoSuch-v0 cannot be made: Environment `NoSuch` doesn't exist"),
        (EnvironmentSource("no_such_module:NoSuch-v0"), "No module named 'no_such_module'"),
        (EnvironmentSource("Acrobot-v1", {"speed": 3}), "unexpected keyword argument 'speed'"),
    ):
        with pytest.raises(UnknownEnvironmentError, match=message):
            source.describe()
    with pytest.raises(UnknownEnvironmentError, match="Acrobot-v1, which has no vector entry point"):
        EnvironmentSource("Acrobot-v1", vectorization="vector_entry_point").many(2)
