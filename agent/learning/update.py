"""The PPO update: all gradient steps of actor and critic in one call of a TensorFlow graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..config import PPOConfig
from ..environments.heads import ActionHead
from ..kernels.advantages import EQUAL_DEVIATION
from ..process.backend import keras, remarks_of_xla_held_back, tf
from ..process.graphs import graphs_at_hand
from ..process.memory_maps import assert_room_to_compile
from .distributions import distribution_of
from .flat_weights import FlatWeights
from .losses import clipped_objectives, clipped_to_norm, mean, squared_errors
from .minibatches import UpdateBatch, mean_over_pieces, minibatch_indices, of_each, with_weights_of_mean_one
from .networks import Network
from .packing import Layout, Packing, layout_of


class UpdateMetrics(NamedTuple):
    """The metrics of one update.

    Metrics of the policy are measured after its last gradient step, on the minibatch that follows that step's, or on
    the last minibatch if none follows.

    Attributes:
        kl: Estimated KL divergence between the policy that collected the rollout and the updated policy: the mean
            log-probability ratio.
        policy_loss: Negative clipped objective, without the entropy bonus.
        entropy: Mean entropy of the policy in nats.
        clip_fraction: Fraction of the transitions whose probability ratio is outside the clip range.
        policy_iterations: Gradient steps of the actor.
        value_loss: Mean squared error of the critic before its last gradient step, on the minibatch of that step.
    """

    kl: float
    policy_loss: float
    entropy: float
    clip_fraction: float
    policy_iterations: int
    value_loss: float


class Hyperparameters(NamedTuple):
    """The numbers of a configuration that are passed to the compiled graphs; tensors inside the graphs.

    As constants, they would be compiled into the graphs, and another configuration would have to compile again.

    Attributes:
        clip_ratio: Epsilon of the clipped objective.
        kl_threshold: KL divergence at which updates of the actor stop; infinite for no limit.
        max_gradient_norm: Maximum norm of gradients; infinite for no clipping.
        entropy_coefficient: Weight of the entropy in the actor's objective.
        value_clip_range: Maximum distance of a clipped value from the old value; infinite if values are not clipped.
        policy_learning_rate: Adam's learning rate for the actor.
        value_learning_rate: Adam's learning rate for the critic.
        adam_epsilon: Adam's epsilon.
    """

    clip_ratio: Any
    kl_threshold: Any
    max_gradient_norm: Any
    entropy_coefficient: Any
    value_clip_range: Any
    policy_learning_rate: Any
    value_learning_rate: Any
    adam_epsilon: Any

    @classmethod
    def of(cls, config: PPOConfig, remaining: float) -> Hyperparameters:
        """Return the hyperparameters of a configuration.

        Args:
            config: The configuration.
            remaining: Remaining fraction of training, from 1 to 0, for linear schedules.
        """
        clip_range = None if isinstance(config.value_clip_range, str) else config.value_clip_range
        rate = remaining if config.learning_rate_schedule == "linear" else 1.0
        clip = remaining if config.clip_ratio_schedule == "linear" else 1.0
        return cls(
            clip_ratio=clip * config.clip_ratio,
            kl_threshold=config.kl_threshold,
            max_gradient_norm=math.inf if config.max_gradient_norm is None else config.max_gradient_norm,
            entropy_coefficient=config.entropy_coefficient,
            value_clip_range=math.inf if clip_range is None else clip * clip_range,
            policy_learning_rate=rate * config.policy_learning_rate,
            value_learning_rate=rate * config.value_learning_rate,
            adam_epsilon=config.adam_epsilon,
        )


class PPOUpdate:
    """Updates an actor by PPO-clip and a critic by regression, each with its own Adam optimizer.

    The two networks share nothing, so their loops are two compiled graphs that run in parallel. Each loop runs over the
    rows of the minibatch indices, which are not used if the whole rollout is one batch. Shapes are compiled into the
    graphs; the numbers of a configuration are not.

    Attributes:
        remaining: Remaining fraction of training, from 1 to 0, for linear schedules.
    """

    def __init__(
        self, actor: Network, critic: Network, head: ActionHead, config: PPOConfig, observation_size: int
    ) -> None:
        """Create the optimizers; nothing is traced before the first call.

        Args:
            actor: Maps observations, shape (B, D), to outputs, shape (B, P).
            critic: Maps observations, shape (B, D), to values, shape (B, 1).
            head: The action head, which defines the actor's outputs.
            config: Provides batch sizes, numbers of gradient steps and hyperparameters.
            observation_size: D.
        """
        self._head = head
        self._distribution = distribution_of(head)
        self._actor, self._critic = actor, critic
        self._actor_weights = FlatWeights(actor.variables, "actor")
        self._critic_weights = FlatWeights(critic.variables, "critic")
        self._config = config
        self._observation_size = observation_size
        self.remaining = 1.0
        # Epsilon is a variable, so that each update can set it; Adam accepts it like a number.
        self.policy_optimizer, self.value_optimizer = (
            keras.optimizers.Adam(rate, epsilon=tf.Variable(config.adam_epsilon, trainable=False, dtype=tf.float32))
            for rate in (config.policy_learning_rate, config.value_learning_rate)
        )
        self.policy_optimizer.build([self._actor_weights.vector])
        self.value_optimizer.build([self._critic_weights.vector])
        # One graph per set of arrays: with or without weights and old values.
        self._compiled: dict[tuple[tuple[str, ...], Layout], tuple[Packing, Any]] = {}

    def __call__(self, batch: UpdateBatch, generator: np.random.Generator) -> UpdateMetrics:
        """Run one update.

        Args:
            batch: B transitions, where B is the configuration's ``rollout_size``.
            generator: Random number generator for the minibatches.

        Returns:
            The metrics of the update.
        """
        indices = minibatch_indices(generator, self._config)
        return self._run(batch, indices, self._config.policy_iterations, self._config.value_iterations)

    def restart(self, config: PPOConfig) -> None:
        """Reset the optimizers and use the hyperparameters of another configuration.

        Args:
            config: The configuration, with the same ``compiled_settings`` as the last one.
        """
        self._config = config
        self.remaining = 1.0
        for optimizer, rate in (
            (self.policy_optimizer, config.policy_learning_rate),
            (self.value_optimizer, config.value_learning_rate),
        ):
            for variable in optimizer.variables:
                variable.assign(keras.ops.zeros_like(variable))
            optimizer.learning_rate = rate

    def compile(self, *, is_weighted: bool = False) -> None:
        """Trace and compile the graphs without changing any weights.

        Args:
            is_weighted: Whether batches will have weights.
        """
        size = self._config.rollout_size
        zeros = np.zeros(size, dtype=np.float32)
        observations = np.zeros((size, self._observation_size), dtype=np.float32)
        weights = zeros if is_weighted else None
        actions: npt.NDArray[Any] = np.zeros((size, *self._head.action_shape), dtype=self._head.stored_dtype)
        values = None if self._config.value_clip_range is None else zeros
        batch = UpdateBatch(observations, actions, zeros, zeros, zeros, weights, values)
        with graphs_at_hand():
            self._run(batch, minibatch_indices(np.random.default_rng(0), self._config), 0, 0)

    def _run(
        self, batch: UpdateBatch, indices: npt.NDArray[np.int32], policy_iterations: int, value_iterations: int
    ) -> UpdateMetrics:
        given = {name: array for name, array in batch._asdict().items() if array is not None}
        limits = np.array([policy_iterations, value_iterations, self._config.kl_check_interval], dtype=np.int32)
        numbers = np.array(Hyperparameters.of(self._config, self.remaining), dtype=np.float32)
        arrays = [*given.values(), indices, limits, numbers]
        key = tuple(given), layout_of(arrays)
        if key not in self._compiled:
            assert_room_to_compile()
            packing = Packing(key[1])
            self._compiled[key] = packing, self._both_loops(packing, key[0])
            # The first call compiles.
            with remarks_of_xla_held_back():
                return self._figures(*self._compiled[key], arrays)
        return self._figures(*self._compiled[key], arrays)

    def _figures(self, packing: Packing, update: Any, arrays: Sequence[npt.NDArray[Any]]) -> UpdateMetrics:
        policy_figures, iterations, value_loss = update(*packing.pack(arrays))
        kl, policy_loss, entropy, clip_fraction = policy_figures.numpy().tolist()
        return UpdateMetrics(kl, policy_loss, entropy, clip_fraction, int(iterations), float(value_loss))

    def _both_loops(self, packing: Packing, names: Sequence[str]) -> Any:
        """Return a graph that runs both loops in parallel on packed vectors; ``names`` are the fields of the batch."""

        def compiled(loop: Callable[..., Any]) -> Any:
            def unpacking_loop(numbers: tf.Tensor, integers: tf.Tensor) -> Any:
                *arrays, indices, limits, hyperparameters = packing.unpack(numbers, integers)
                batch = UpdateBatch(**dict(zip(names, arrays, strict=True)))
                return loop(batch, indices, limits, Hyperparameters(*tf.unstack(hyperparameters)))

            return tf.function(unpacking_loop, jit_compile=True, autograph=False)

        policy_loop, value_loop = compiled(self._policy_loop), compiled(self._value_loop)

        # The loops use TensorFlow's control flow: AutoGraph would leave a temporary file for every function.
        def both_loops(numbers: tf.Tensor, integers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return *policy_loop(numbers, integers), value_loop(numbers, integers)

        # The concrete function, which skips the lookup by argument types at each call.
        return tf.function(both_loops, autograph=False).get_concrete_function(*packing.vectors)

    def _policy_loop(
        self, batch: UpdateBatch, indices: tf.Tensor, limits: tf.Tensor, given: Hyperparameters
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Update the actor until the KL divergence exceeds the threshold or the number of gradient steps is reached.

        One forward pass gives both the KL divergence after the last step and the gradient of the next step, since both
        use the same weights.
        """
        weights, optimizer = self._actor_weights, self.policy_optimizer
        num_iterations, _, check_interval = tf.unstack(limits)
        weights.read()
        optimizer.learning_rate.assign(given.policy_learning_rate)
        optimizer.epsilon.assign(given.adam_epsilon)
        gradient_of = partial(self._policy_gradient, given=given)
        last_row = tf.shape(indices)[0] - 1

        def step(iteration: tf.Tensor, _: tf.Tensor, __: tf.Tensor) -> tuple[tf.Tensor, ...]:
            minibatch = with_weights_of_mean_one(self._minibatch(batch, indices, tf.minimum(iteration, last_row)))
            minibatch = minibatch._replace(advantages=self._advantages(minibatch))
            figures, gradient = mean_over_pieces(gradient_of, minibatch, [(4,), weights.vector.shape])
            # A NaN compares false, so it ends the loop, too, whenever the KL divergence is checked.
            is_close = (figures[0] <= given.kl_threshold) | (iteration % check_interval != 0)
            continues = (iteration < num_iterations) & is_close

            def take_step() -> tf.Tensor:
                optimizer.apply([clipped_to_norm(gradient, given.max_gradient_norm)], [weights.vector])
                return iteration + 1

            return tf.cond(continues, take_step, lambda: iteration), figures, continues

        iterations, figures, _ = tf.while_loop(
            lambda _, __, continues: continues, step, (tf.constant(0), tf.zeros(4), tf.constant(True))
        )
        weights.write()
        return figures, iterations

    def _policy_gradient(self, batch: UpdateBatch, given: Hyperparameters) -> list[tf.Tensor]:
        """Return the first four metrics of ``UpdateMetrics`` and the flat gradient of the policy's loss."""
        weights, clip_ratio = self._actor_weights.split(), given.clip_ratio
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs = self._actor.outputs(weights, batch.observations)
            log_probs = self._distribution.log_probs(outputs, batch.actions)
            ratios = tf.exp(log_probs - batch.log_probs)
            entropy = mean(self._distribution.entropies(outputs), batch.weights)
            policy_loss = -mean(clipped_objectives(ratios, batch.advantages, clip_ratio), batch.weights)
            loss = policy_loss - given.entropy_coefficient * entropy
        gradient = FlatWeights.flattened(tape.gradient(loss, weights))
        is_clipped = tf.cast(tf.abs(ratios - 1.0) > clip_ratio, tf.float32)
        kl = mean(batch.log_probs - log_probs, batch.weights)
        return [tf.stack([kl, policy_loss, entropy, mean(is_clipped, batch.weights)]), gradient]

    def _advantages(self, batch: UpdateBatch) -> tf.Tensor:
        if self._config.advantage_normalization != "minibatch":
            return batch.advantages
        # In double precision, like the kernels: otherwise, the rounding errors of equal advantages would be scaled up.
        advantages = tf.cast(batch.advantages, tf.float64)
        centred = advantages - mean(advantages, batch.weights)
        deviation = tf.sqrt(mean(tf.square(centred), batch.weights))
        quotients = centred / tf.maximum(deviation, EQUAL_DEVIATION)
        return tf.cast(tf.where(deviation <= EQUAL_DEVIATION, tf.zeros_like(centred), quotients), tf.float32)

    def _value_loop(
        self, batch: UpdateBatch, indices: tf.Tensor, limits: tf.Tensor, given: Hyperparameters
    ) -> tf.Tensor:
        """Update the critic on the mean squared error; return the loss before the last gradient step."""
        weights, optimizer = self._critic_weights, self.value_optimizer
        _, num_iterations, _ = tf.unstack(limits)
        weights.read()
        optimizer.learning_rate.assign(given.value_learning_rate)
        optimizer.epsilon.assign(given.adam_epsilon)
        gradient_of = partial(self._value_gradient, given=given)

        def step(iteration: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            minibatch = with_weights_of_mean_one(self._minibatch(batch, indices, iteration))
            loss, gradient = mean_over_pieces(gradient_of, minibatch, [(), weights.vector.shape])
            optimizer.apply([clipped_to_norm(gradient, given.max_gradient_norm)], [weights.vector])
            return iteration + 1, loss

        _, loss = tf.while_loop(
            lambda iteration, _: iteration < num_iterations, step, (tf.constant(0), tf.constant(0.0))
        )
        weights.write()
        return loss

    def _value_gradient(self, batch: UpdateBatch, given: Hyperparameters) -> list[tf.Tensor]:
        """Return the critic's loss and its flat gradient at the current weights."""
        weights = self._critic_weights.split()
        with tf.GradientTape() as tape:
            tape.watch(weights)
            values = tf.squeeze(self._critic.outputs(weights, batch.observations), axis=1)
            loss = mean(
                squared_errors(values, batch.value_targets, batch.values, given.value_clip_range), batch.weights
            )
        return [
            loss,
            FlatWeights.flattened(tape.gradient(loss, weights)),
        ]

    def _minibatch(self, batch: UpdateBatch, indices: tf.Tensor, row: tf.Tensor) -> UpdateBatch:
        if self._config.gradient_batch_size == self._config.rollout_size:
            return batch
        return of_each(lambda array: tf.gather(array, indices[row]), batch)
