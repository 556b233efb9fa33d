"""Guarantees of all collectors; rollouts of a vector environment equal those of the kernel."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from probes import (
    MODES,
    Counting,
    Mixed,
    Probe,
    RewardByAction,
    RewardByChoices,
    RewardByForces,
    RewardByLevels,
    RewardBySwitches,
    vector_of,
)
from scipy.special import log_softmax
from scipy.stats import norm

from agent.environments.spec import spec_of
from agent.errors import InvalidTransitionError, is_of_the_environment
from agent.kernels.acting import PolicySnapshot
from agent.kernels.forward import padded_weights
from agent.rollouts.cartpole import CartPoleCollector
from agent.rollouts.collector import one_seed_each
from agent.rollouts.vector import VectorCollector
from fastcartpole import CartPoleEnv, CartPoleVectorEnv

NUM_ENVS, NUM_STEPS = 3, 25
SEEDS = np.random.SeedSequence(7).spawn(3)


def network(num_inputs, num_outputs, seed=0):
    """Return the weights of a small network whose outputs depend clearly on its inputs."""
    generator = np.random.default_rng(seed)
    shapes = ((num_inputs, 8), (8,), (8, num_outputs), (num_outputs,))
    return PolicySnapshot(padded_weights([generator.normal(0, 0.7, shape).astype(np.float32) for shape in shapes]))


def policy_of(spec):
    """Return a policy for an environment; a Gaussian policy has a different deviation for each entry of the action."""
    head = spec.action_head
    if not head.is_continuous:
        return network(spec.observation_size, head.num_outputs)
    log_std = np.linspace(-1.0, 0.5, head.num_entries, dtype=np.float32)
    return network(spec.observation_size, head.num_entries)._replace(log_std=log_std)


def collector_of(environments, num_steps=NUM_STEPS, evaluation=None):
    spec = spec_of(environments)
    return VectorCollector(
        environments,
        spec,
        num_steps,
        SEEDS[0],
        one_seed_each(SEEDS[1], environments.num_envs),
        evaluation_environments=evaluation or environments,
        evaluation_batch=environments.num_envs,
    )


def fused():
    seeds = (one_seed_each(seed, NUM_ENVS) for seed in SEEDS[:2])
    return CartPoleCollector(NUM_ENVS, NUM_STEPS, 12, *seeds), network(4, 2)


def of_vectors(make_env, mode):
    def make():
        collector = collector_of(
            vector_of(make_env, NUM_ENVS, mode), evaluation=lambda: vector_of(make_env, NUM_ENVS, mode)
        )
        spec = spec_of(make_env())
        return collector, policy_of(spec)

    return make


def limited_cartpole():
    return TimeLimit(CartPoleEnv(), 12)


COLLECTORS = {"fused": fused} | {
    f"{name}-{mode.value}": of_vectors(make_env, mode)
    for name, make_env in (
        ("cartpole", limited_cartpole),
        ("truncated", lambda: Counting(5, truncates=True)),
        ("start", lambda: RewardByAction(4)),
        ("choices", lambda: RewardByChoices(4)),
        ("switches", lambda: RewardBySwitches(4)),
        ("forces", lambda: RewardByForces(4)),
        ("levels", lambda: RewardByLevels(4)),
        ("mixed", lambda: Mixed(3, truncates=True)),
        ("one step", lambda: Probe(1, truncates=True)),
        ("endless", lambda: Counting(10**9)),
    )
    for mode in MODES
}


# By default, only one case has continuous actions, since autoreset does not depend on the kind of action.
LONG = {name for name in COLLECTORS if name.startswith(("forces", "levels"))} - {"forces-SameStep"}


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in COLLECTORS])
def made(request):
    collector, weights = COLLECTORS[request.param]()
    yield collector, weights
    collector.close()


def test_a_rollout_has_the_shapes_and_types_of_its_record(made):
    collector, policy = made
    rollout = collector.collect(policy)
    shape, size = (NUM_STEPS, NUM_ENVS), rollout.observations.shape[-1]
    assert rollout.observations.shape == (*shape, size)
    assert rollout.last_observations.shape == (NUM_ENVS, size)
    assert rollout.final_observations.shape[1:] == (NUM_ENVS, size)
    assert rollout.actions.shape[:2] == shape
    for name in ("log_probs", "rewards", "terminated", "truncated", "valid", "episode_lengths"):
        assert getattr(rollout, name).shape == shape, name
    assert [array.dtype for array in rollout] == [
        *(
            np.float32,
            np.int32 if policy.log_std is None else np.float32,
            np.float32,
            np.float32,
            np.bool_,
            np.bool_,
            np.bool_,
            np.int32,
            np.float64,
        ),
        *(np.float32, np.float32),
    ]
    assert rollout.valid.all() or collector.ignores_actions


def test_episodes_are_the_sums_of_their_rewards_and_go_on_from_rollout_to_rollout(made):
    collector, weights = made
    returns, lengths = np.zeros(NUM_ENVS), np.zeros(NUM_ENVS, dtype=int)
    last = None
    for _ in range(3):
        rollout = collector.collect(weights)
        assert last is None or np.array_equal(rollout.observations[0], last)
        last = rollout.last_observations
        for t in range(NUM_STEPS):
            returns += np.where(rollout.valid[t], rollout.rewards[t], 0.0)
            lengths += rollout.valid[t]
            ended = rollout.terminated[t] | rollout.truncated[t]
            assert not (ended & ~rollout.valid[t]).any()
            assert np.array_equal(rollout.episode_lengths[t], np.where(ended, lengths, 0))
            np.testing.assert_allclose(rollout.episode_returns[t], np.where(ended, returns, 0.0), rtol=1e-6)
            returns[ended], lengths[ended] = 0.0, 0
        assert np.array_equal(collector.running_lengths, lengths)
        np.testing.assert_allclose(collector.running_returns, returns, rtol=1e-6)


def test_what_is_not_valid_follows_the_end_of_an_episode(made):
    collector, weights = made
    ended = np.zeros(NUM_ENVS, dtype=bool)
    for _ in range(3):
        rollout = collector.collect(weights)
        for t in range(NUM_STEPS):
            assert np.array_equal(~rollout.valid[t], ended & collector.ignores_actions)
            assert (rollout.rewards[t][~rollout.valid[t]] == 0).all()
            ended = rollout.terminated[t] | rollout.truncated[t]


def outputs_of(policy, rollout):
    """Return the network's outputs for the observations of a rollout in double precision, shape (T, N, outputs)."""
    weights = policy.weights
    hidden_size, num_outputs = weights.sizes[1:]
    first, second = np.split(weights.values, [weights.sizes[0] * hidden_size + hidden_size])
    kernels = first[:-hidden_size].reshape(-1, hidden_size), second[:-num_outputs].reshape(-1, num_outputs)
    biases = first[-hidden_size:], second[-num_outputs:]
    size = rollout.observations.shape[-1]
    with np.errstate(over="ignore"):
        hidden = np.tanh(rollout.observations.astype(np.float64) @ kernels[0][:size] + biases[0])
    return hidden @ kernels[1] + biases[1]


def test_log_probabilities_are_those_of_the_network(made):
    collector, policy = made
    rollout = collector.collect(policy)
    outputs = outputs_of(policy, rollout)
    actions = rollout.actions.reshape(*rollout.rewards.shape, -1)
    if policy.log_std is not None:
        expected = norm.logpdf(actions, outputs[..., : policy.log_std.size], np.exp(policy.log_std)).sum(axis=-1)
        np.testing.assert_allclose(rollout.log_probs, expected, atol=1e-4)
        return
    sizes = {4: (3, 2, 4, 2), 3: (2, 2, 2), 1: (int(actions.max()) + 1,)}[actions.shape[-1]]
    expected, start = np.zeros(rollout.rewards.shape), 0
    for choice, size in enumerate(sizes):
        log_probs = log_softmax(outputs[..., start : start + size], axis=-1)
        expected += np.take_along_axis(log_probs, actions[..., choice, None].astype(int), axis=-1)[..., 0]
        start += size
        assert set(actions[..., choice].ravel().tolist()) <= set(range(size))
    np.testing.assert_allclose(rollout.log_probs, expected, atol=2e-5)


def test_an_evaluation_does_not_disturb_the_training_and_is_the_same_every_time(made, request):
    collector, weights = made
    state = collector.get_state()
    collector.reset(SEEDS[2])
    undisturbed = collector.collect(weights)
    collector.set_state(state)
    collector.reset(SEEDS[2])
    first, second = (collector.play_episodes(weights, SEEDS[0], 2 * NUM_ENVS, 20) for _ in range(2))
    assert np.array_equal(first.lengths, second.lengths)
    assert first.env_steps >= first.lengths.sum()
    disturbed = collector.collect(weights)
    # The observations of these environments depend on all earlier episodes.
    if not request.node.callspec.params["made"].startswith(("truncated", "endless")):
        assert undisturbed.observations.tobytes() == disturbed.observations.tobytes()
        assert np.array_equal(undisturbed.actions, disturbed.actions)
    assert np.array_equal(undisturbed.terminated, disturbed.terminated)


def test_a_seed_fixes_everything_and_another_gives_something_else():
    rollouts = []
    for seed in (SEEDS[2], SEEDS[2], SEEDS[1]):
        collector, weights = COLLECTORS["cartpole-NextStep"]()
        collector.reset(seed)
        rollouts.append(collector.collect(weights))
    same, again, other = rollouts
    assert all(a.tobytes() == b.tobytes() for a, b in zip(same, again, strict=True))
    assert same.observations.tobytes() != other.observations.tobytes()


def environment_seeds(count):
    """Return the seeds of the environments of a ``SyncVectorEnv``."""
    return SEEDS[0].generate_state(count, np.uint32).astype(np.uint64) >> np.uint64(1)


@pytest.mark.parametrize("num_envs", [1, 5, 130])
def test_the_rollouts_of_a_vector_environment_are_those_of_the_kernel_bit_for_bit(num_envs):
    makers = [lambda: TimeLimit(CartPoleEnv(), 15)] * num_envs
    general = collector_of(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP), num_steps=40)
    kernel = CartPoleCollector(num_envs, 40, 15, environment_seeds(num_envs), one_seed_each(SEEDS[1], num_envs))
    weights = network(4, 2)
    for _ in range(2):
        expected, actual = kernel.collect(weights), general.collect(weights)
        for name, theirs, ours in zip(expected._fields, expected, actual, strict=True):
            if name != "final_observations":
                assert ours.tobytes() == theirs.tobytes(), name
        for n in range(num_envs):
            count = np.count_nonzero(actual.truncated[:, n] & ~actual.terminated[:, n])
            assert np.array_equal(actual.final_observations[:count, n], expected.final_observations[:count, n])


@pytest.mark.parametrize("mode", MODES)
def test_final_observations_are_those_of_truncated_episodes_in_their_order(mode):
    collector = collector_of(vector_of(lambda: Counting(5, truncates=True), NUM_ENVS, mode))
    # The observation counts steps across episodes, so the k-th episode ends at 5 k.
    for first in (1, 1 + NUM_STEPS // 5):
        rollout = collector.collect(network(1, 2))
        count = int(np.count_nonzero(rollout.truncated[:, 0]))
        if mode != AutoresetMode.NEXT_STEP:
            assert count == NUM_STEPS // 5
            assert rollout.final_observations[:, 0, 0].tolist() == [5.0 * (first + k) for k in range(count)]
        followed = rollout.final_observations[:count, 0, 0]
        assert np.array_equal(followed, rollout.observations[rollout.truncated[:, 0], 0, 0] + 1)


@pytest.mark.parametrize("mode", MODES)
def test_observations_of_several_parts_become_vectors(mode):
    collector = collector_of(vector_of(lambda: Mixed(3, truncates=True), 1, mode))
    rollout = collector.collect(network(9, 2))
    numbers = [0, 1, 2] if mode != AutoresetMode.NEXT_STEP else [0, 1, 2, 3]
    for t, row in enumerate(rollout.observations[:, 0]):
        assert np.array_equal(row, Mixed.as_vector(numbers[t % len(numbers)]))
    assert np.array_equal(rollout.final_observations[0, 0], Mixed.as_vector(3))


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_of_its_own_is_stepped_like_any_other(mode):
    environments = CartPoleVectorEnv(4, max_episode_steps=10, autoreset_mode=mode)
    collector = collector_of(environments)
    rollout = collector.collect(network(4, 2))
    assert set(rollout.episode_lengths[rollout.episode_lengths > 0].tolist()) <= set(range(1, 11))
    assert rollout.valid.all() == (mode != AutoresetMode.NEXT_STEP)
    episodes = collector.play_episodes(network(4, 2), SEEDS[0], 8, 500)
    assert episodes.lengths.size == 8
    assert np.array_equal(episodes.returns, episodes.lengths)
    assert not episodes.cut_off.any()


class Faulty(Probe):
    """An environment that returns something invalid, or raises an error, in its 7th step."""

    def __init__(self, fault):
        super().__init__(100)
        self.fault = fault

    def observation(self):
        wrong = self.fault == "observation" and self.step_number == 7
        return np.full(1, np.nan if wrong else 0.0, dtype=np.float32)

    def reward(self):
        if self.fault == "exception" and self.step_number == 6:
            raise OSError("the simulator is gone")
        return np.inf if self.fault == "reward" and self.step_number == 6 else 1.0


@pytest.mark.parametrize("fault", ["observation", "reward"])
def test_what_is_not_finite_is_told_with_the_environments_index_and_the_step(fault):
    makers = [lambda: Probe(100), lambda: Faulty(fault)]
    collector = collector_of(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP), num_steps=4)
    collector.collect(network(1, 2))
    with pytest.raises(InvalidTransitionError, match=f"environment 1 of Probe gave an? {fault} .* in step 7"):
        collector.collect(network(1, 2))


def test_of_several_faults_the_first_is_told():
    class Twice(Counting):
        def observation(self):
            # NaN from the final observation of the second truncated episode on.
            return np.full(1, np.nan if self.count >= 6 else 0.0, dtype=np.float32)

        def reward(self):
            return np.inf if super().reward() and self.count == 9 else 1.0

    makers = [lambda: Probe(100), lambda: Twice(3, truncates=True)]
    collector = collector_of(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP))
    with pytest.raises(InvalidTransitionError, match=r"environment 1 of Probe gave an observation .* in step 6\."):
        collector.collect(network(1, 2))


def test_what_an_environment_raises_is_its_own_and_marked():
    collector = collector_of(vector_of(lambda: Faulty("exception"), 2, AutoresetMode.SAME_STEP))
    with pytest.raises(OSError, match="the simulator is gone") as raised:
        collector.collect(network(1, 2))
    assert is_of_the_environment(raised.value)


def test_episodes_that_never_end_are_cut_off_by_an_evaluation():
    collector = collector_of(vector_of(lambda: Counting(10**9), 2, AutoresetMode.NEXT_STEP))
    episodes = collector.play_episodes(network(1, 2), SEEDS[0], 2, 30)
    assert episodes.lengths.tolist() == [30, 30]
    assert episodes.cut_off.all()
    assert episodes.env_steps == 60


def test_each_environment_plays_its_share_of_an_evaluation():
    lengths = iter([2, 3, 50])

    collector = collector_of(
        SyncVectorEnv([lambda: Probe(next(lengths))] * 3, autoreset_mode=AutoresetMode.NEXT_STEP), num_steps=1
    )
    episodes = collector.play_episodes(network(1, 2), SEEDS[0], 6, 100)
    assert episodes.lengths.tolist() == [2, 2, 3, 3, 50, 50]
    # Two episodes of 50 steps, and the step between them that ignores its action.
    assert episodes.env_steps == 3 * 101
