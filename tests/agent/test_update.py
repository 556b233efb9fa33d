"""The compiled update agrees with plain eager Keras loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from agent import PRESETS
from agent.environments.heads import CategoricalHead
from agent.kernels.shuffling import shuffled_passes
from agent.learning.losses import clipped_objectives, squared_errors
from agent.learning.minibatches import UpdateBatch, minibatch_indices, number_of_pieces
from agent.learning.networks import MLP, build_actor, build_critic
from agent.learning.packing import Packing, layout_of
from agent.learning.update import PPOUpdate
from agent.process.backend import keras, tf

TWO = CategoricalHead((2,), (0,))
SMALL = PRESETS["keras"].replace(
    steps_per_epoch=200, policy_update_epochs=12, value_update_epochs=9, policy_learning_rate=3e-3
)


def batch_of(size, actor, seed=0):
    """Return synthetic data like that of a rollout by this actor."""
    generator = np.random.default_rng(seed)
    observations = generator.normal(0, 0.5, (size, 4)).astype(np.float32)
    actions = generator.integers(0, 2, size).astype(np.int32)
    log_probs = keras.ops.log_softmax(actor(observations)).numpy()[np.arange(size), actions]
    advantages = generator.normal(size=size).astype(np.float32)
    return UpdateBatch(observations, actions, log_probs, advantages, generator.normal(5, 3, size).astype(np.float32))


def update_of(actor, critic, config):
    return PPOUpdate(MLP(actor), MLP(critic), TWO, config, 4)


def networks():
    return build_actor(4, 2, (16, 16), seed=1), build_critic(4, (16, 16), seed=2)


def eager_log_probs(actor, batch):
    return keras.ops.sum(keras.ops.one_hot(batch.actions, 2) * keras.ops.log_softmax(actor(batch.observations)), axis=1)


def clipped_to(limit, gradients):
    """Return the gradients of one network, clipped to a global norm of ``limit``."""
    norm = np.sqrt(sum(np.sum(np.square(gradient)) for gradient in gradients))
    return [gradient * min(1.0, limit / norm) for gradient in gradients]


def eager_policy_update(actor, batch, minibatches, config, optimizer=None):
    """Take gradient steps eagerly, and measure the KL divergence on the next minibatch after each."""
    optimizer = optimizer or keras.optimizers.Adam(config.policy_learning_rate)
    limit = config.max_gradient_norm or np.inf
    rows = [UpdateBatch(*(array[row] for array in batch[:5])) for row in minibatches]
    for iteration, row in enumerate(rows, start=1):
        with tf.GradientTape() as tape:
            advantages = row.advantages
            if config.advantage_normalization == "minibatch":
                advantages = (advantages - advantages.mean()) / advantages.std()
            ratio = keras.ops.exp(eager_log_probs(actor, row) - row.log_probs)
            bound = np.float32(np.where(advantages > 0, 1 + config.clip_ratio, 1 - config.clip_ratio)) * advantages
            loss = -keras.ops.mean(keras.ops.minimum(ratio * advantages, bound))
            probabilities = keras.ops.softmax(actor(row.observations))
            entropies = -keras.ops.sum(probabilities * keras.ops.log(probabilities), axis=1)
            loss -= config.entropy_coefficient * keras.ops.mean(entropies)
        gradients = clipped_to(limit, tape.gradient(loss, actor.trainable_variables))
        optimizer.apply_gradients(zip(gradients, actor.trainable_variables, strict=True))
        after = rows[min(iteration, len(rows) - 1)]
        kl = float(keras.ops.mean(after.log_probs - eager_log_probs(actor, after)))
        if kl > config.kl_threshold:
            break
    return kl, iteration, after


def eager_figures(actor, batch, config):
    """Return the policy loss without entropy bonus, the entropy and the clip fraction, from plain formulas."""
    logits = actor(batch.observations).numpy().astype(np.float64)
    log_probs = logits - np.logaddexp(logits[:, :1], logits[:, 1:])
    ratios = np.exp(log_probs[np.arange(len(logits)), batch.actions] - batch.log_probs)
    advantages = batch.advantages
    if config.advantage_normalization == "minibatch":
        advantages = (advantages - advantages.mean()) / advantages.std()
    clipped = np.clip(ratios, 1 - config.clip_ratio, 1 + config.clip_ratio)
    entropy = -np.mean(np.sum(np.exp(log_probs) * log_probs, axis=1))
    objective = np.mean(np.minimum(ratios * advantages, clipped * advantages))
    return -objective, entropy, np.mean(ratios != clipped)


def eager_value_update(critic, batch, minibatches, config, optimizer=None):
    optimizer = optimizer or keras.optimizers.Adam(config.value_learning_rate)
    for row in minibatches:
        with tf.GradientTape() as tape:
            values, targets = critic(batch.observations[row])[:, 0], batch.value_targets[row]
            errors = (targets - values) ** 2
            if batch.values is not None:
                old, limit = batch.values[row], config.value_clip_range
                clipped = old + keras.ops.minimum(keras.ops.maximum(values - old, -limit), limit)
                errors = keras.ops.maximum(errors, (targets - clipped) ** 2)
            loss = keras.ops.mean(errors)
        limit = config.max_gradient_norm or np.inf
        gradients = clipped_to(limit, tape.gradient(loss, critic.trainable_variables))
        optimizer.apply_gradients(zip(gradients, critic.trainable_variables, strict=True))
    return float(loss)


def assert_same_weights(actual, expected):
    for ours, theirs in zip(actual.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"target_kl": 0.002},
        {"target_kl": None, "minibatch_size": 64, "advantage_normalization": "minibatch"},
        *(
            pytest.param(changes, marks=pytest.mark.slow)
            for changes in (
                # A minibatch of this size is computed in three parts.
                {
                    "target_kl": None,
                    "steps_per_epoch": 2100,
                    "entropy_coefficient": 0.5,
                    "max_gradient_norm": 0.05,
                    "value_clip_range": 0.3,
                },
                {"target_kl": None},
                {"target_kl": 0.004, "minibatch_size": 64},
                {"target_kl": None, "minibatch_size": 64},
                {"target_kl": None, "entropy_coefficient": 0.5},
                {"target_kl": None, "max_gradient_norm": 0.05},
                {
                    "target_kl": None,
                    "steps_per_epoch": 4200,
                    "minibatch_size": 2100,
                    "advantage_normalization": "minibatch",
                },
            )
        ),
    ],
)
def test_one_update_is_that_of_a_plain_keras_loop(changes):
    config = SMALL.replace(**changes)
    actor, critic = networks()
    expected_actor, expected_critic = networks()
    batch = batch_of(config.rollout_size, actor)
    if config.value_clip_range is not None:
        batch = batch._replace(values=np.float32(critic(batch.observations)[:, 0]) + 0.1)
    if config.minibatch_size is None:
        minibatches = [np.arange(config.rollout_size)] * 12
    else:
        minibatches = minibatch_indices(np.random.default_rng(3), config)
    expected_kl, expected_iterations, last = eager_policy_update(
        expected_actor, batch, minibatches[: config.policy_iterations], config
    )
    expected_value_loss = eager_value_update(expected_critic, batch, minibatches[: config.value_iterations], config)

    metrics = update_of(actor, critic, config)(batch, np.random.default_rng(3))

    assert metrics.policy_iterations == expected_iterations
    assert (expected_iterations < config.policy_iterations) == (config.target_kl is not None)
    assert metrics.kl == pytest.approx(expected_kl, abs=1e-5)
    figures = metrics.policy_loss, metrics.entropy, metrics.clip_fraction
    assert figures == pytest.approx(eager_figures(expected_actor, last, config), abs=2e-4)
    assert metrics.value_loss == pytest.approx(expected_value_loss, rel=1e-4)
    assert_same_weights(actor, expected_actor)
    assert_same_weights(critic, expected_critic)


@pytest.mark.parametrize("normalization", ["minibatch", pytest.param("none", marks=pytest.mark.slow)])
def test_what_has_no_weight_takes_no_part_in_an_update(normalization):
    # Batches of both sizes are computed in three parts.
    config = SMALL.replace(
        target_kl=None, steps_per_epoch=2100, entropy_coefficient=0.5, advantage_normalization=normalization
    )
    config = config.replace(policy_update_epochs=4, value_update_epochs=4)
    actor, critic = networks()
    expected_actor, expected_critic = networks()
    counted = batch_of(1500, actor)
    others = np.random.default_rng(5).permutation(2100)[:600]
    weights = np.ones(2100, dtype=np.float32)
    weights[others] = 0.0
    mixed = []
    for array in counted[:5]:
        rows = np.full((2100, *array.shape[1:]), 1, dtype=array.dtype)
        rows[weights == 1.0] = array
        mixed.append(rows)
    update = update_of(actor, critic, config)
    update.compile(is_weighted=True)
    metrics = update(UpdateBatch(*mixed, weights), np.random.default_rng(0))
    smaller = config.replace(steps_per_epoch=1500)
    expected = update_of(expected_actor, expected_critic, smaller)(counted, np.random.default_rng(0))
    assert metrics == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert_same_weights(actor, expected_actor)
    assert_same_weights(critic, expected_critic)
    assert len(update._compiled) == 1


def test_an_update_in_which_nothing_has_weight_changes_nothing():
    actor, critic = networks()
    before = actor.get_weights() + critic.get_weights()
    nothing = batch_of(SMALL.rollout_size, actor)._replace(weights=np.zeros(SMALL.rollout_size, dtype=np.float32))
    metrics = update_of(actor, critic, SMALL)(nothing, np.random.default_rng(0))
    assert all(np.isfinite(metrics))
    for expected, actual in zip(before, actor.get_weights() + critic.get_weights(), strict=True):
        assert np.array_equal(expected, actual)


@pytest.mark.slow
def test_the_optimizers_go_on_where_the_last_update_left_them():
    config = SMALL.replace(target_kl=None)
    actor, critic = networks()
    expected_actor, expected_critic = networks()
    batches = [batch_of(config.rollout_size, actor, seed) for seed in (0, 1)]
    update = update_of(actor, critic, config)
    policy_optimizer = keras.optimizers.Adam(config.policy_learning_rate)
    value_optimizer = keras.optimizers.Adam(config.value_learning_rate)
    everything = [np.arange(config.rollout_size)]
    for batch in batches:
        update(batch, np.random.default_rng(0))
        eager_policy_update(expected_actor, batch, everything * config.policy_iterations, config, policy_optimizer)
        eager_value_update(expected_critic, batch, everything * config.value_iterations, config, value_optimizer)
    assert_same_weights(actor, expected_actor)
    assert_same_weights(critic, expected_critic)


@settings(max_examples=300, deadline=None)
@given(size=st.integers(1, 100_000))
def test_pieces_of_a_minibatch_are_equal_and_fit_the_cache(size):
    pieces = number_of_pieces(size)
    assert size % pieces == 0
    assert pieces == 1 or 512 <= size // pieces <= 1024


def operations_before(operation):
    """Return all operations that an operation depends on through data or control dependencies."""
    waiting, found = [operation], set()
    while waiting:
        current = waiting.pop()
        for earlier in [*(tensor.op for tensor in current.inputs), *current.control_inputs]:
            if earlier not in found:
                found.add(earlier)
                waiting.append(earlier)
    return found


@pytest.mark.parametrize("changes", [{}, {"max_gradient_norm": 0.5, "entropy_coefficient": 0.01, "minibatch_size": 50}])
def test_actor_and_critic_are_updated_side_by_side(changes):
    config = SMALL.replace(**changes)
    actor, critic = networks()
    update = update_of(actor, critic, config)
    update.compile()
    ((_, both_loops),) = update._compiled.values()
    graph = both_loops.graph
    loops = [operation for operation in graph.get_operations() if "PartitionedCall" in operation.type]
    assert len(loops) == 2, "one compiled loop for each network"
    # Neither loop depends on the other, and each has a thread.
    assert all(loop not in operations_before(other) for loop in loops for other in loops)
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 2


def test_compiling_changes_no_weight_and_later_updates_are_not_traced_again():
    config = SMALL.replace(minibatch_size=50)
    actor, critic = networks()
    before = [w.copy() for w in actor.get_weights() + critic.get_weights()]
    update = update_of(actor, critic, config)
    update.compile()
    for expected, actual in zip(before, actor.get_weights() + critic.get_weights(), strict=True):
        assert np.array_equal(expected, actual)
    generator = np.random.default_rng(0)
    for seed in range(3):
        update(batch_of(config.rollout_size, actor, seed), generator)
    assert len(update._compiled) == 1


def test_full_batches_are_not_traced_again_either():
    actor, critic = networks()
    update = update_of(actor, critic, SMALL)
    batch = batch_of(SMALL.rollout_size, actor)
    update.compile()
    update(batch, np.random.default_rng(0))
    assert len(update._compiled) == 1


def test_the_clipped_objective_is_flat_beyond_the_clip_ratio_in_the_direction_of_the_advantage():
    ratios = tf.Variable([0.5, 0.9, 1.1, 1.5, 0.5, 0.9, 1.1, 1.5])
    advantages = tf.constant([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0])
    with tf.GradientTape() as tape:
        objective = tf.reduce_sum(clipped_objectives(ratios, advantages, 0.2))
    assert tape.gradient(objective, ratios).numpy().tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, -1.0, -1.0, -1.0]
    assert float(objective) == pytest.approx(0.5 + 0.9 + 1.1 + 1.2 - 0.8 - 0.9 - 1.1 - 1.5)


def test_minibatches_of_a_pass_share_no_transition():
    config = PRESETS["fast"].replace(
        num_envs=10, steps_per_epoch=1030, minibatch_size=100, policy_update_epochs=10, value_update_epochs=4
    )
    indices = minibatch_indices(np.random.default_rng(0), config)
    passes = indices.reshape(config.policy_update_epochs, -1)
    assert indices.shape == (10 * 10, 100)
    assert all(len(set(row.tolist())) == 1000 for row in passes)
    assert indices.min() >= 0
    assert indices.max() < 1030
    assert len({row.tobytes() for row in passes}) == 10


def test_every_order_of_the_transitions_is_equally_likely_in_every_pass():
    counts = np.zeros((2, 24))
    orders = np.empty((2, 3), dtype=np.int32)
    for key in range(12_000):
        shuffled_passes(np.uint64(key), 4, orders)
        for one_pass, (first, second, third) in enumerate(orders):
            rest = [number for number in range(4) if number != first]
            last = [number for number in rest if number != second]
            counts[one_pass, 6 * first + 2 * rest.index(second) + last.index(third)] += 1
    assert chisquare(counts, axis=1).pvalue.min() > 1e-4


@given(
    shapes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
)
def test_packed_arrays_are_unpacked_as_they_were(shapes, seed):
    generator = np.random.default_rng(seed)
    arrays = [
        generator.normal(size=shape).astype(np.float32) if is_float else generator.integers(9, size=shape, dtype="i4")
        for *shape, is_float in shapes
    ]
    packing = Packing(layout_of(arrays))
    for packed in (arrays, [array + array.dtype.type(1) for array in arrays]):
        for actual, expected in zip(packing.unpack(*packing.pack(packed)), packed, strict=True):
            assert actual.shape == expected.shape
            assert actual.numpy().tobytes() == expected.tobytes()


def test_arrays_of_another_type_are_refused():
    actor, critic = networks()
    batch = batch_of(SMALL.rollout_size, actor)
    with pytest.raises(TypeError, match="must be arrays of float32 or int32, got int64"):
        update_of(actor, critic, SMALL)(batch._replace(actions=batch.actions.astype(np.int64)), None)


def test_linear_schedules_scale_learning_rates_and_clip_ranges():
    falling = SMALL.replace(
        learning_rate_schedule="linear", clip_ratio_schedule="linear", value_clip_range=0.5, target_kl=None
    )
    results = []
    for config, remaining in (
        (falling, 0.5),
        (
            falling.replace(
                clip_ratio=0.1, policy_learning_rate=1.5e-3, value_learning_rate=5e-4, value_clip_range=0.25
            ),
            1,
        ),
    ):
        actor, critic = networks()
        update = update_of(actor, critic, config)
        update.remaining = remaining
        batch = batch_of(config.rollout_size, actor)._replace(values=np.zeros(config.rollout_size, dtype=np.float32))
        results.append((update(batch, None), *actor.get_weights(), *critic.get_weights()))
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))


def test_a_value_that_has_moved_too_far_in_the_right_direction_is_not_moved_further():
    values = tf.Variable([0.5, 2.0, 2.0, -2.0])
    targets, old_values = tf.constant([1.0, 3.0, -3.0, -3.0]), tf.zeros(4)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(squared_errors(values, targets, old_values, 1.0))
    assert tape.gradient(loss, values).numpy().tolist() == [-1.0, 0.0, 10.0, 0.0]
    assert float(loss) == 0.25 + 4 + 25 + 4


@pytest.mark.slow
def test_the_kl_divergence_can_be_checked_after_whole_passes_only():
    iterations = {}
    for check in ("gradient_step", "pass"):
        config = SMALL.replace(
            target_kl=1e-9, target_kl_check=check, minibatch_size=SMALL.rollout_size // 4, policy_update_epochs=6
        )
        actor, critic = networks()
        metrics = update_of(actor, critic, config)(batch_of(config.rollout_size, actor), np.random.default_rng(0))
        iterations[check] = metrics.policy_iterations
    assert 1 <= iterations["gradient_step"] < 4
    assert iterations["pass"] % 4 == 0
    assert 4 <= iterations["pass"] < 24
