"""Environments and programs that do something unusual get the right result or one sentence, never a wrong result."""

import multiprocessing
import sys
from collections import OrderedDict
from decimal import Decimal

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple, flatten
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

from agent import PPO, evaluate, preset_config
from agent.environments.making import EnvironmentSource
from agent.environments.spaces import flatten_one
from agent.errors import EnvironmentUseError, InvalidTransitionError
from agent.process.backend import keras
from agent.views.rendering import play_episode

SMALL = preset_config("standard", env_id=None, num_envs=2, steps_per_epoch=32, hidden_sizes=(8,), minibatch_size=16)
PLACES = ("sync", pytest.param("async", marks=pytest.mark.slow))
# Gymnasium shows the traceback of another process as a warning.
pytestmark = pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")


class Base(gymnasium.Env):
    """Observes the number of the step; episodes are truncated after ``n`` steps of reward 1."""

    observation_space = Box(-1e6, 1e6, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, n=5):
        self.n, self.t = n, 0

    def observation(self):
        return np.array([self.t], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation(), {}

    def step(self, action):
        self.t += 1
        return self.observation(), 1.0, False, self.t >= self.n, {}


class OneArray(Base):
    """Returns the same array each time."""

    def __init__(self, n=5, dtype=np.float32):
        super().__init__(n)
        self.observation_space = Box(0, 100, (1,), dtype)
        self.x = np.zeros(1, dtype)

    def observation(self):
        self.x[0] = self.t
        return self.x


class OneDict(OneArray):
    def __init__(self, n=5):
        super().__init__(n)
        self.observation_space = Dict({"x": self.observation_space})
        self.whole = {"x": self.x}

    def observation(self):
        super().observation()
        return self.whole


@pytest.mark.parametrize("vectorization", PLACES)
@pytest.mark.parametrize(
    "make_env",
    [
        OneArray,
        lambda: OneArray(dtype=np.uint8),
        lambda: OneArray(dtype=np.float16),
        OneDict,
        lambda: gymnasium.wrappers.TimeLimit(OneArray(100), 5),
    ],
)
def test_an_environment_may_return_one_array_each_time(make_env, vectorization):
    with PPO(SMALL.replace(vectorization=vectorization), make_env=make_env) as ppo:
        rollout = ppo.collect()
        assert (rollout.final_observations[: rollout.truncated.sum(axis=0).min()] == 5).all()
        assert rollout.observations.ravel().tolist() == [t % 5 for t in range(16) for _ in range(2)]


def test_final_observations_of_environments_handed_over_are_copied_too():
    vector = SyncVectorEnv([OneArray] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(vector)
    for environments in (vector, wrapped):
        rollout = PPO(SMALL, environments, make_env=OneArray).collect()
        assert (rollout.final_observations == 5).all()
    assert isinstance(vector.envs[0].unwrapped, OneArray)


def test_final_observations_that_another_process_overwrites_are_warned_of_once():
    vector = AsyncVectorEnv([OneArray] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    ppo = PPO(SMALL, vector, make_env=OneArray)
    with pytest.warns(RuntimeWarning, match="return the same array each time") as warned:
        ppo.collect()
    assert len(warned) == 1
    # Warnings are errors in these tests.
    ppo.collect()
    vector.close()


def test_environments_whose_episodes_begin_differently_or_never_change_are_not_warned_of():
    class Still(Base):
        def observation(self):
            return np.zeros(1, np.float32)

    for make_env in (Base, Still):
        vector = AsyncVectorEnv([make_env] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
        PPO(SMALL, vector, make_env=make_env).collect()
        vector.close()


ONE = Base()


@pytest.mark.parametrize("make_env", [lambda: ONE, lambda: gymnasium.wrappers.TimeLimit(ONE, 3)])
def test_make_env_that_returns_one_object_each_time_is_refused(make_env):
    with pytest.raises(ValueError, match="make_env must return a new environment each time"):
        PPO(SMALL, make_env=make_env)


def test_one_object_is_refused_wherever_it_appears_twice():
    actor = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="must return a new environment each time"):
        evaluate(actor, make_env=lambda: ONE, episodes=3)
    gymnasium.register("Same-v0", lambda: ONE)
    with pytest.raises(ValueError, match="Same-v0 must return a new environment each time"):
        PPO(SMALL.replace(env_id="Same-v0"))
    del gymnasium.registry["Same-v0"]
    first, second, shared = Base(), Base(), Base()
    training = SyncVectorEnv([lambda: first, lambda: shared])
    twice = SyncVectorEnv([lambda: shared] * 2)
    for arguments in (
        {"environments": twice, "make_env": Base},
        {"environments": training, "evaluation_environments": SyncVectorEnv([lambda: second, lambda: shared])},
        {"make_env": Base, "evaluation_environments": twice},
    ):
        with pytest.raises(ValueError, match="must hold different objects"):
            PPO(SMALL, **arguments)
    with pytest.raises(ValueError, match="must return a new environment each time"):
        PPO(SMALL, training, make_env=lambda: first)
    # A vector may be handed over again.
    PPO(SMALL, training, make_env=Base)
    PPO(SMALL, training, make_env=Base)
    with pytest.raises(ValueError, match=r"make_env must return a gymnasium.Env, got 3"):
        PPO(SMALL, make_env=lambda: 3)


def test_each_process_may_have_a_copy_of_one_object():
    with PPO(SMALL.replace(vectorization="async"), make_env=lambda: ONE) as ppo:
        assert (ppo.collect().final_observations == 5).all()
        assert ppo.evaluate(10).mean == 5.0


def flaky(*at):
    """Return a class of environments that raise errors in these steps, counted over all of them."""

    class Flaky(Base):
        steps = 0

        def __init__(self):
            super().__init__(10)

        def step(self, action):
            Flaky.steps += 1
            if Flaky.steps in at:
                raise OSError("the cable is loose")
            return super().step(action)

    return Flaky


@pytest.mark.parametrize("vectorization", PLACES)
def test_after_an_error_of_an_environment_training_goes_on_in_new_episodes(vectorization):
    config = SMALL.replace(num_envs=3, steps_per_epoch=96, epochs=6, vectorization=vectorization)
    with PPO(config, make_env=flaky(90, 215, 340)) as ppo:
        errors = 0
        while ppo.epoch < 6:
            try:
                metrics = ppo.train_epoch()
            except OSError:
                errors += 1
                assert ppo.is_between_epochs
                # Processes count for themselves.
                assert errors < 20
                continue
            assert (metrics.mean_return, metrics.mean_length) == (10.0, 10.0)
            assert ppo.is_between_epochs
        assert errors >= (3 if vectorization == "sync" else 1)
        assert 0 < len(ppo.resumptions) <= errors
    assert multiprocessing.active_children() == []


def test_after_an_error_training_continues_as_a_resumed_run_would(tmp_path):
    trained = []
    for fails in (True, False):
        make_env = flaky(*([20 * 3] if fails else []))
        ppo = PPO(SMALL.replace(num_envs=2, steps_per_epoch=48, epochs=3), make_env=make_env)
        ppo.train_epoch()
        if fails:
            before = ppo.get_state()
            with pytest.raises(OSError, match="loose"):
                ppo.train_epoch()
            assert all(np.array_equal(before[name], array) for name, array in ppo.get_state().items())
            ppo.save(tmp_path / "saved")
        else:
            ppo.begin_new_episodes()
        trained.append(repr([(m.kl, m.value_loss, m.mean_return) for m in (ppo.train_epoch(), ppo.train_epoch())]))
    assert trained[0] == trained[1]
    assert ppo.resumptions == ()


def test_environments_of_the_user_that_died_are_a_sentence_that_says_what_to_load():
    class Dying(Base):
        def step(self, action):
            raise OSError("gone")

    vector = AsyncVectorEnv([Dying] * 2)
    ppo = PPO(SMALL, vector, make_env=Base)
    with pytest.raises(OSError, match="gone"):
        ppo.train_epoch()
    with pytest.raises(RuntimeError, match=r"pass new ones to fastppo\.load"):
        ppo.train_epoch()
    vector.close(terminate=True)


def test_settings_of_an_agent_take_effect_or_cannot_be_assigned():
    ppo = PPO(SMALL.replace(epochs=1), make_env=Base)
    before = ppo.config
    for changes in ({"policy_learning_rate": 1e-12}, {"gamma": 0.5}, {"clip_ratio": 0.1, "seed": 3}):
        with pytest.raises(ValueError, match=f"{next(iter(changes))}.* cannot be changed"):
            ppo.config = ppo.config.replace(**changes)
        assert ppo.config == before
    with pytest.raises(TypeError, match="config must be a PPOConfig"):
        ppo.config = {}
    ppo.train()
    for again in (ppo.train, ppo.train_epoch):
        with pytest.raises(RuntimeError, match=r"all 1 epochs .* set ppo\.config"):
            again()
    ppo.config = ppo.config.replace(epochs=2, target_return=-100.0)
    ppo.train()
    ppo.is_solved = True
    ppo.config = ppo.config.replace(epochs=3)
    with pytest.raises(RuntimeError, match="reached the target return, -100"):
        ppo.train()
    ppo.config = ppo.config.replace(target_return=None)
    assert not ppo.is_solved
    ppo.train()
    assert ppo.epoch == 3


# Spaces of every kind; observations and actions share them.
SPACES = st.one_of(
    st.builds(lambda n, start: Discrete(n, start=start), st.integers(1, 6), st.integers(-3, 3)),
    st.builds(
        lambda nvec, start, dtype: MultiDiscrete(nvec, start=[start] * len(nvec), dtype=dtype),
        st.lists(st.integers(1, 4), min_size=1, max_size=3),
        st.integers(0, 3),
        st.sampled_from([np.int8, np.int32, np.int64]),
    ),
    st.builds(MultiBinary, st.sampled_from([1, 3, (2, 2)])),
    st.builds(
        lambda shape, dtype: Box(0, 1, shape, dtype),
        st.sampled_from([(1,), (3,), (2, 3), (1, 3)]),
        st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64, np.bool_]),
    ),
)
NESTED = st.one_of(
    SPACES,
    st.lists(SPACES, min_size=1, max_size=3).map(lambda parts: Tuple(parts)),
    st.dictionaries(st.sampled_from("abc"), SPACES, min_size=1).map(lambda parts: Dict(parts)),
)


def has_no_start(space):
    """Return whether all options of a space are counted from 0; older versions of Gymnasium forget the start."""
    parts = space.spaces.values() if isinstance(space, Dict) else getattr(space, "spaces", [space])
    return all(not np.any(getattr(part, "start", 0)) or isinstance(part, Discrete) for part in parts)


@given(NESTED.filter(has_no_start), st.integers(0, 1000))
def test_observations_become_gymnasiums_vectors(space, seed):
    space.seed(seed)
    observation = space.sample()
    expected = np.asarray(flatten(space, observation), dtype=np.float32)
    assert flatten_one(space, observation).tolist() == expected.tolist()


class Sampling(Base):
    """Gives samples of a space as observations, and takes actions of another."""

    def __init__(self, observation_space=Base.observation_space, action_space=Base.action_space):
        super().__init__()
        self.observation_space, self.action_space = observation_space, action_space

    def observation(self):
        return self.observation_space.sample()

    def step(self, action):
        assert self.action_space.contains(action), repr(action)
        hash(action.tobytes() if isinstance(action, np.ndarray) else action)
        return super().step(action)


ACTIONS = [
    Discrete(3, start=-1),
    Discrete(2, dtype=np.int8),
    MultiDiscrete([2, 3], dtype=np.int8),
    MultiDiscrete([[2, 3], [4, 2]], dtype=np.int32),
    MultiBinary(3),
    Box(-1, 1, (2,), np.float16),
    Box(-np.inf, np.inf, (1,), np.float16),
    Box(-1, 1, (2, 1), np.float64),
    Box(0, 1, (3,), np.bool_),
    Box(0, 9, (2,), np.int8),
]


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_predicted_actions_belong_to_their_space_and_environments_take_them(space):
    ppo = PPO(SMALL, make_env=lambda: Sampling(action_space=space))
    for deterministic in (True, False):
        action = ppo.predict(np.zeros(1), deterministic)
        assert space.contains(action)
        assert isinstance(action, np.integer) == isinstance(space, Discrete)
        environment = Sampling(action_space=space)
        environment.reset()
        environment.step(action)
    assert ppo.predict(np.zeros((3, 1))).shape == (3, *(space.shape or ()))
    list(play_episode(Sampling(action_space=space), ppo.actor, 0, greedy=False))
    ppo.collect()


OBSERVATIONS = [
    Discrete(16),
    Discrete(5, start=1),
    MultiDiscrete([3, 4], start=[1, 0]),
    MultiBinary(3),
    MultiBinary((2, 2)),
    Box(0, 255, (1, 4), np.uint8),
    Tuple((Discrete(32), Discrete(11), Discrete(2))),
    Dict({"position": Box(-1, 1, (2,)), "key": Discrete(3)}),
]


@pytest.mark.parametrize("space", OBSERVATIONS, ids=str)
def test_observations_are_predicted_from_as_the_environment_gives_them(space):
    ppo = PPO(SMALL, make_env=lambda: Sampling(space))
    space.seed(0)
    singles = [space.sample() for _ in range(7)]
    rows = np.stack([flatten_one(space, one) for one in singles])
    expected = ppo.predict(rows)
    assert expected.shape == (7,)
    assert [ppo.predict(one) for one in singles] == expected.tolist()
    assert [ppo.predict(row) for row in rows] == expected.tolist()
    batch = gymnasium.vector.utils.concatenate(
        space, singles, gymnasium.vector.utils.create_empty_array(space, n=7, fn=np.zeros)
    )
    assert ppo.predict(batch).tolist() == expected.tolist()


def test_states_of_a_discrete_space_are_several_observations():
    ppo = PPO(SMALL.replace(env_id="FrozenLake-v1"))
    actions = ppo.predict(np.arange(16))
    assert actions.shape == (16,)
    assert [ppo.predict(state) for state in range(16)] == actions.tolist()
    assert [ppo.predict(row) for row in np.eye(16)] == actions.tolist()
    environment = gymnasium.make("FrozenLake-v1")
    observation, _ = environment.reset(seed=0)
    environment.step(ppo.predict(observation))
    for wrong, message in (
        (16, r"must lie in Discrete\(16\), got 16"),
        (-1, r"must lie in Discrete\(16\), got -1"),
        (np.zeros(7), r"gymnasium\.spaces\.flatten returns them: shape \(16,\) or \(B, 16\), got shape \(7,\)"),
        ([[1], [2, 3]], r"gymnasium\.spaces\.flatten returns them, got rows of several lengths"),
        (np.float32(3.5), r"got shape \(\)"),
        ([[1.0] * 16, [1.0]], "rows of several lengths"),
    ):
        with pytest.raises(ValueError, match=message):
            ppo.predict(wrong)
    with pytest.raises(TypeError, match=r"gymnasium\.spaces\.flatten returns them, got an object of dict"):
        ppo.predict({"x": 1})


@pytest.mark.parametrize("vectorization", PLACES)
@pytest.mark.parametrize(
    ("space", "wrong"),
    [
        (Discrete(5), -1),
        (Discrete(5), 5),
        (Discrete(5, start=1), 0),
        (MultiDiscrete([2, 3]), [0, 3]),
        (MultiBinary(2), [0, 2]),
        (Tuple((Discrete(2), Discrete(3))), (0, 3)),
    ],
    ids=str,
)
def test_an_observation_outside_of_its_space_stops_with_environment_step_and_value(space, wrong, vectorization):
    class Leaving(Sampling):
        def observation(self):
            given = wrong if self.t == 3 else space.sample()
            return given if isinstance(space, Tuple) else np.array(given, dtype=space.dtype)

    with (
        PPO(SMALL.replace(vectorization=vectorization), make_env=lambda: Leaving(space)) as ppo,
        pytest.raises(InvalidTransitionError, match=r"environment 0 of Leaving gave the observation .*, in step 3\."),
    ):
        ppo.collect()
    actor = keras.Sequential([keras.Input((ppo.spec.observation_size,)), keras.layers.Dense(2)])
    with pytest.raises(InvalidTransitionError, match=r"which .* does not contain, in an evaluation"):
        evaluate(actor, make_env=lambda: Leaving(space), episodes=2)


class Told(Base):
    """Returns other rewards and infos, and flags as arrays."""

    def __init__(self, reward=1.0, info=lambda _: {}):
        super().__init__()
        self.reward, self.info = reward, info

    def step(self, action):
        observation, _, _, truncated, _ = super().step(action)
        return observation, self.reward, np.array([False]), np.array([truncated]), self.info(self.t)


@pytest.mark.parametrize("vectorization", PLACES)
@pytest.mark.parametrize(
    "info",
    [
        lambda t: {"score": 1 if t % 2 else None},
        lambda t: {"positions": np.zeros(t)},
        lambda t: {"nested": None if t % 2 else {"a": 1}},
        lambda t: {"huge": 2**80 + t},
    ],
)
def test_infos_that_cannot_be_merged_do_not_matter(info, vectorization):
    with PPO(SMALL.replace(vectorization=vectorization), make_env=lambda: Told(info=info)) as ppo:
        assert ppo.collect().final_observations.ravel().tolist() == [5.0] * 6


@pytest.mark.parametrize("vectorization", PLACES)
@pytest.mark.parametrize(
    "reward",
    [np.array([2.0]), np.array(2), np.float16(2), [2], np.array([[2]]), Decimal(2), np.array([2], object), True],
)
def test_rewards_and_flags_may_be_arrays_of_one_number(reward, vectorization):
    with PPO(SMALL.replace(vectorization=vectorization), make_env=lambda: Told(reward)) as ppo:
        rollout = ppo.collect()
        assert (rollout.rewards == (1.0 if reward is True else 2.0)).all()
        assert rollout.truncated.sum() == 6


@pytest.mark.parametrize("vectorization", PLACES)
@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (None, "environment . of Told gave the reward None, which is not one number, in step 1"),
        (np.zeros(2), r"gave the reward array\(\[0., 0.\]\) of shape \(2,\), which is not one number, in step 1"),
        ("much", "gave the reward 'much', which is not one number, in step 1"),
    ],
)
def test_rewards_that_are_no_number_are_named(reward, message, vectorization):
    with (
        PPO(SMALL.replace(vectorization=vectorization), make_env=lambda: Told(reward)) as ppo,
        pytest.raises(InvalidTransitionError, match=message),
    ):
        ppo.collect()


def test_environments_handed_over_may_return_arrays_of_one_number_too():
    for kind in (SyncVectorEnv, AsyncVectorEnv):
        vector = kind([lambda: Told(np.array([2.0]))] * 2)
        rollout = PPO(SMALL, vector, make_env=Base).collect()
        assert (rollout.rewards[rollout.valid] == 2.0).all()
        vector.close()


def test_a_flag_that_is_neither_true_nor_false_is_named():
    class Undecided(Base):
        def step(self, action):
            return self.observation(), 1.0, None, False, {}

    with pytest.raises(InvalidTransitionError, match="gave the flag terminated None, which is neither True nor False"):
        PPO(SMALL, make_env=Undecided).collect()


@pytest.mark.parametrize(
    ("make_env", "error", "message"),
    [
        (lambda: Told(None), InvalidTransitionError, "gave the reward None, which is not one number, in step 1 of an"),
        (lambda: Old("step"), EnvironmentUseError, r"step\(\) must return five values"),
        (lambda: Old("reset"), EnvironmentUseError, r"reset\(\) must return two values"),
    ],
)
def test_an_episode_that_is_shown_has_the_same_errors(make_env, error, message):
    actor = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    with pytest.raises(error, match=message):
        list(play_episode(make_env(), actor, 0, greedy=True))
    shown = list(play_episode(Told(np.array([2.0])), actor, 0, greedy=True))
    assert shown[-1].total_reward == 10.0


def test_the_order_of_a_dictionary_of_half_precision_is_kept():
    space = Dict(OrderedDict([("b", Box(-1, 1, (1,), np.float16)), ("a", Box(-1, 1, (1,), np.float32))]))

    class Ordered(Base):
        observation_space = space

        def observation(self):
            return {"a": np.full(1, 0.25, np.float32), "b": np.full(1, 0.5, np.float16)}

    ppo = PPO(SMALL, make_env=Ordered)
    assert ppo.collect().observations[0, 0].tolist() == flatten(space, Ordered().observation()).tolist() == [0.5, 0.25]


def test_no_observations_have_no_actions_and_lists_are_not_taken_for_tuples():
    assert PPO(SMALL, make_env=Base).predict(np.zeros((0, 1))).shape == (0,)
    ppo = PPO(SMALL, make_env=lambda: Sampling(Tuple((Discrete(4), Discrete(4)))))
    with pytest.raises(ValueError, match=r"got shape \(2, 2\)"):
        ppo.predict([(0, 1), (2, 3)])


def test_an_evaluation_environment_that_fails_leaves_a_complete_epoch():
    class Failing(Base):
        def step(self, action):
            raise OSError("gone")

    evaluations = SyncVectorEnv([Failing] * 2)
    config = SMALL.replace(steps_per_epoch=600, target_return=5.0, epochs=3)
    ppo = PPO(config, make_env=Base, evaluation_environments=evaluations)
    with pytest.raises(OSError, match="gone"):
        ppo.train()
    assert (ppo.epoch, len(ppo.history), ppo.is_between_epochs) == (1, 1, True)
    ppo.config = ppo.config.replace(target_return=None)
    ppo.train()
    assert len(ppo.history) == 3
    with pytest.raises(OSError, match="gone"):
        PPO(config, make_env=Base, evaluation_environments=evaluations).evaluate()


class Old(Base):
    """Has the interface of old environments in one respect."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        observation, infos = super().reset(seed=seed)
        return observation if self.fault == "reset" else (observation, infos)

    def step(self, action):
        observation, reward, _, truncated, infos = super().step(action)
        return (
            (observation, reward, truncated, infos)
            if self.fault == "step"
            else (observation, reward, False, truncated, infos)
        )


class Seedless(Base):
    def reset(self):
        return super().reset()


@pytest.mark.parametrize("vectorization", PLACES)
@pytest.mark.parametrize(
    ("make_env", "message"),
    [
        (lambda: Old("reset"), r"reset\(\) must return two values"),
        (lambda: Old("step"), r"step\(\) must return five values"),
        (lambda: gymnasium.wrappers.TimeLimit(Old("step"), 3), r"step\(\) must return five values"),
        (Seedless, r"reset\(\) must accept the keyword arguments seed and options"),
        (lambda: gymnasium.wrappers.TimeLimit(Seedless(), 3), r"reset\(\) must accept the keyword arguments seed"),
    ],
)
def test_what_gymnasium_asks_of_an_environment_is_one_sentence(make_env, message, vectorization):
    with pytest.raises(EnvironmentUseError, match=message):
        PPO(SMALL.replace(vectorization=vectorization), make_env=make_env).collect()


@pytest.mark.parametrize("vectorization", PLACES)
@pytest.mark.parametrize("where", ["reset", "step"])
def test_an_environment_that_exits_is_an_error_like_any_other(where, vectorization):
    class Exiting(Base):
        def reset(self, **arguments):
            if where == "reset":
                sys.exit()
            return super().reset(**arguments)

        def step(self, action):
            if where == "step":
                sys.exit(0)
            return super().step(action)

    with pytest.raises(RuntimeError, match=r"the environment called sys\.exit\("):
        PPO(SMALL.replace(vectorization=vectorization), make_env=Exiting).collect()


def test_an_environment_that_exits_when_it_is_made_or_closed_is_an_error_too():
    class Unmade(Base):
        def __init__(self):
            sys.exit(3)

    with pytest.raises(EnvironmentUseError, match=r"cannot be made: the environment called sys\.exit\(3\)"):
        PPO(SMALL, make_env=Unmade)

    class Unclosed(Base):
        def close(self):
            sys.exit(4)

    with pytest.raises(RuntimeError, match=r"sys\.exit\(4\)"):
        EnvironmentSource(None, make_env=Unclosed).describe()


@pytest.mark.parametrize("vectorization", PLACES)
@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, np.bool_, np.uint8, np.int64])
def test_observations_of_any_dtype_are_learned_from(dtype, vectorization):
    class Typed(Base):
        observation_space = Tuple((Box(0, 1, (2,), dtype), Discrete(2)))

        def observation(self):
            return np.array([0, 1], dtype), self.t % 2

    with PPO(SMALL.replace(vectorization=vectorization), make_env=Typed) as ppo:
        assert ppo.collect().observations[1].tolist() == [[0.0, 1.0, 0.0, 1.0]] * 2


class Counted(Base):
    made, closed = 0, 0

    def __init__(self, fails_at=None):
        super().__init__()
        type(self).made += 1
        if self.made == fails_at:
            raise OSError("no more")

    def close(self):
        type(self).closed += 1


def test_every_environment_that_was_made_is_closed_whatever_fails():
    wrong = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3)])
    Counted.made = Counted.closed = 0
    with pytest.raises(ValueError, match="must map shape"):
        evaluate(wrong, make_env=Counted, episodes=3)
    assert Counted.made == Counted.closed > 0
    Counted.made = Counted.closed = 0
    with pytest.raises(EnvironmentUseError, match="no more"):
        EnvironmentSource(None, make_env=lambda: Counted(3)).many(4)
    assert Counted.closed == 2
    Counted.made = Counted.closed = 0
    with pytest.raises(ValueError, match="must map shape"):
        PPO(SMALL, make_env=Counted, actor=wrong)
    assert Counted.made == Counted.closed > 0


def test_a_closed_agent_predicts_but_neither_trains_nor_evaluates():
    ppo = PPO(SMALL, make_env=Base)
    ppo.close()
    assert ppo.predict([0.0]) in (0, 1)
    for use in (ppo.train_epoch, ppo.collect, ppo.evaluate):
        with pytest.raises(RuntimeError, match="the agent is closed"):
            use()
