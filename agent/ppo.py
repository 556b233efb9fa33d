"""The training loop."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .callbacks import Callback
from .config import PPOConfig
from .errors import DivergenceError
from .kernels.advantages import advantages_and_returns, explained_variance, normalized
from .kernels.forward import MLPWeights, padded_weights, state_values
from .kernels.rollout import Rollout
from .learning.networks import OBSERVATION_SIZE, build_actor, build_critic
from .learning.update import PPOUpdate, UpdateBatch, UpdateMetrics
from .memory import assert_training_fits_memory
from .metrics import EpochMetrics
from .process.backend import (
    assert_not_forked,
    computing_on,
    in_single_precision,
    keras,
    use_one_thread_per_network,
)
from .rollouts.cartpole import Collector, greedy_episode_lengths
from .rollouts.evaluation import EvaluationResult
from .rollouts.warm_up import compile_kernels_of_updates, compile_rollout_kernel
from .state import State, assert_same_structure, generator_state, restored_generator

_EPISODE_WINDOW = 100
# How the names of the environments' entries begin in the state of an agent.
_ENVIRONMENTS = "environments/"
# Episodes of an evaluation, and their limit: that of CartPole-v1.
_EVALUATION_EPISODES = 100
_EVALUATION_EPISODE_STEPS = 500
# Attributes of an agent that a copy makes anew, from the configuration and the state.
_REBUILT = frozenset(
    {
        *("actor", "critic", "is_solved", "stop_training"),
        *("_collector", "_elapsed", "_epoch", "_evaluation_seeds", "_minibatch_generator", "_recent_lengths"),
        *("_update", "_validation_seeds"),
    }
)


class _Seeds(NamedTuple):
    """Independent sources of randomness, derived from one seed."""

    actor: np.random.SeedSequence
    critic: np.random.SeedSequence
    environments: np.random.SeedSequence
    actions: np.random.SeedSequence
    minibatches: np.random.SeedSequence
    evaluation: np.random.SeedSequence
    validation: np.random.SeedSequence


def _new_networks(config: PPOConfig, seeds: _Seeds) -> tuple[keras.Model, keras.Model]:
    """Return an actor and a critic with their initial weights."""
    return (
        build_actor(config.hidden_sizes, _as_integer(seeds.actor), config.initializer),
        build_critic(config.hidden_sizes, _as_integer(seeds.critic), config.initializer),
    )


class PPO:
    """An actor and a critic that learn CartPole by proximal policy optimization (Schulman et al. 2017).

    An agent can be copied and pickled, trained or not: the copy goes on bit for bit as the original does. What was
    asked of the training of the original, ``stop_training``, was not asked of the copy's.

    Attributes:
        config: The configuration.
        actor: Keras model, observations (B, 4) to logits (B, 2).
        critic: Keras model, observations (B, 4) to values (B, 1).
        evaluation_seed: A seed for evaluating this run, derived from the configuration's.
        stop_training: Set this, from a callback or a signal handler, to end the training after the current epoch. It
            holds for one call of :meth:`train`, which takes it back at its end.
        is_solved: Whether the target return was reached and an evaluation confirmed it.
        is_between_epochs: Whether the last epoch that was begun has been completed. What interrupts an epoch leaves an
            agent whose state is that of no run.
    """

    def __init__(self, config: PPOConfig) -> None:
        """Build networks, optimizers and environments; nothing is compiled yet.

        TensorFlow is set to one thread for each network, where it has not been used in this process before.

        Args:
            config: What to train and how.

        Raises:
            MemoryError: If a rollout, its minibatches or the networks cannot fit this machine's memory.
            DeviceError: If the configuration asks for a GPU and there is none.
            RuntimeError: If the process was forked from one that has computed with TensorFlow here.
        """
        assert_not_forked()
        assert_training_fits_memory(config)
        use_one_thread_per_network()
        seeds = _Seeds(*np.random.SeedSequence(config.seed).spawn(len(_Seeds._fields)))
        with computing_on(config.device), in_single_precision():
            self.actor, self.critic = _new_networks(config, seeds)
            self._update = PPOUpdate(self.actor, self.critic, config)
        self._begin(config, seeds)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs. What TensorFlow has compiled cannot be copied: the copy compiles it again."""
        attributes = {name: value for name, value in vars(self).items() if name not in _REBUILT}
        # Other names of the networks are other names of the copy's.
        networks = {id(self.actor): "actor", id(self.critic): "critic"}
        aliases = {name: networks[id(value)] for name, value in attributes.items() if id(value) in networks}
        own = {name: value for name, value in attributes.items() if name not in aliases}
        return {"attributes": own, "aliases": aliases, "state": self.get_state()}

    def __setstate__(self, content: dict[str, Any]) -> None:
        attributes = content["attributes"]
        PPO.__init__(self, attributes["config"])
        vars(self).update(attributes)
        vars(self).update({name: getattr(self, network) for name, network in content["aliases"].items()})
        self.set_state(content["state"])

    def _begin(self, config: PPOConfig, seeds: _Seeds) -> None:
        """Set everything but networks and optimizers to the beginning of a training."""
        self.config = config
        self.evaluation_seed = _as_integer(seeds.evaluation)
        self._minibatch_generator = np.random.default_rng(seeds.minibatches)
        self._collector = Collector(
            config.num_envs,
            config.num_steps,
            config.max_episode_steps,
            _one_seed_each(seeds.environments, config.num_envs),
            _one_seed_each(seeds.actions, config.num_envs),
        )
        self._recent_lengths: deque[int] = deque(maxlen=_EPISODE_WINDOW)
        self.stop_training = False
        self.is_solved = False
        self.is_between_epochs = True
        self._validation_seeds = _one_seed_each(seeds.validation, _EVALUATION_EPISODES)
        self._evaluation_seeds = _one_seed_each(seeds.evaluation, _EVALUATION_EPISODES)
        self._epoch = 0
        self._elapsed = 0.0

    def restart(self, config: PPOConfig) -> None:
        """Begin another training with what has been compiled for this one.

        It is, bit for bit, the training of a new agent, which would take seconds to compile.

        Args:
            config: What to train; may differ in what is not compiled, such as the seed, the discount factor, the
                learning rates and the length of the training.

        Raises:
            ValueError: If it differs in ``compiled_settings``.
        """
        if config.compiled_settings != self.config.compiled_settings:
            raise ValueError("config must agree with that of the agent in its compiled_settings.")
        seeds = _Seeds(*np.random.SeedSequence(config.seed).spawn(len(_Seeds._fields)))
        with computing_on(config.device), in_single_precision():
            for network, new in zip((self.actor, self.critic), _new_networks(config, seeds), strict=True):
                network.set_weights(new.get_weights())
            self._update.restart(config)
        self._begin(config, seeds)

    def compile_update(self) -> None:
        """Compile what an update needs; :meth:`compile` includes it."""
        with computing_on(self.config.device):
            self._update.compile()
        compile_kernels_of_updates(self.config.num_envs)

    def compile(self) -> None:
        """Compile everything an epoch needs, so that the first epoch takes as long as the others.

        Training without this call gives the same results.
        """
        self.compile_update()
        compile_rollout_kernel(self.config.num_envs)

    @property
    def recent_mean_return(self) -> float:
        """Mean return of the last 100 episodes that ended, or of all if there were fewer; NaN before the first."""
        return float(np.mean(self._recent_lengths)) if self._recent_lengths else float("nan")

    @property
    def epoch(self) -> int:
        """How many epochs have been trained."""
        return self._epoch

    def get_state(self) -> State:
        """Return everything that changes during the training, for :meth:`set_state`.

        Returns:
            Copies of the weights, the optimizers' variables, the environments, all random streams, the lengths of the
            last episodes and the counts, as arrays of numbers or text.
        """
        return {
            **{name: np.array(variable.numpy()) for name, variable in self._variables().items()},
            **{_ENVIRONMENTS + name: array for name, array in self._collector.get_state().items()},
            "minibatch_generator": generator_state(self._minibatch_generator),
            "recent_lengths": np.array(self._recent_lengths, dtype=np.int64),
            "epoch": np.array(self._epoch),
            "elapsed_s": np.array(self._elapsed),
            "is_solved": np.array(self.is_solved),
        }

    def set_state(self, state: State) -> None:
        """Go on, bit for bit, from where :meth:`get_state` was called, here or in an agent of the same configuration.

        Args:
            state: What :meth:`get_state` returned.

        Raises:
            ValueError: If an entry is missing, unknown, an array of another shape or type, or no state of a generator.
                Nothing has changed then.
        """
        # Not that of a subclass, which may hold more.
        assert_same_structure(state, PPO.get_state(self))
        minibatch_generator = restored_generator(state["minibatch_generator"])
        with computing_on(self.config.device):
            for name, variable in self._variables().items():
                variable.assign(state[name])
        self._collector.set_state(
            {name.removeprefix(_ENVIRONMENTS): state[name] for name in state if name.startswith(_ENVIRONMENTS)}
        )
        self._minibatch_generator = minibatch_generator
        self._recent_lengths = deque(state["recent_lengths"].tolist(), maxlen=_EPISODE_WINDOW)
        self._epoch = int(state["epoch"])
        self._elapsed = float(state["elapsed_s"])
        self.is_solved = bool(state["is_solved"])

    def _variables(self) -> dict[str, keras.Variable]:
        """Return all variables of the networks and the optimizers."""
        owners = {
            "actor": self.actor,
            "critic": self.critic,
            "policy_optimizer": self._update.policy_optimizer,
            "value_optimizer": self._update.value_optimizer,
        }
        return {
            f"{name}/{index}": variable
            for name, owner in owners.items()
            for index, variable in enumerate(owner.variables)
        }

    def predict(self, observations: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the more probable action for each observation, as the greedy policy takes it.

        Args:
            observations: Numbers, shape (4,) or (B, 4).

        Returns:
            The actions, shape () or (B,).

        Raises:
            TypeError: If the observations are not numbers.
            ValueError: If they have another shape, or are not finite in single precision.
        """
        rows = _checked_observations(observations)
        with computing_on(self.config.device):
            logits = self.actor(np.atleast_2d(rows)).numpy()
        return np.asarray(logits.argmax(axis=1).reshape(rows.shape[:-1]), dtype=np.int64)

    def evaluate(self) -> EvaluationResult:
        """Play 100 episodes of at most 500 steps with the greedy policy, from the same initial states every time.

        These episodes are used for nothing else, so that their mean return is that of any episodes. The kernel that
        plays the rollouts plays them; ``fastppo.evaluate`` plays in Gymnasium.
        """
        return self._greedy_episodes(self._evaluation_seeds)

    def validate(self) -> EvaluationResult:
        """Play 100 other episodes: those by which a policy is chosen, or the training ended.

        A policy that was chosen by its return in these episodes does a little better in them than in others; report
        :meth:`evaluate` instead.
        """
        return self._greedy_episodes(self._validation_seeds)

    def _greedy_episodes(self, seeds: npt.NDArray[np.uint64]) -> EvaluationResult:
        lengths = greedy_episode_lengths(
            self._actor_weights(), seeds, _EVALUATION_EPISODE_STEPS, self._collector.num_threads
        )
        return EvaluationResult(tuple(lengths.astype(float).tolist()))

    def train(self, callbacks: Sequence[Callback] = ()) -> None:
        """Train until CartPole is solved, for as many epochs as are left, or until ``stop_training`` is set.

        A training that was stopped goes on when this is called again.

        Args:
            callbacks: Each is told of the beginning, of every epoch and, unless an exception comes first, of the end.
        """
        try:
            for callback in callbacks:
                callback.on_train_begin(self)
            while self._epoch < self.config.epochs and not self.stop_training and not self.is_solved:
                metrics = self.train_epoch()
                for callback in callbacks:
                    callback.on_epoch_end(self, metrics)
            for callback in callbacks:
                callback.on_train_end(self)
        finally:
            self.stop_training = False

    def train_epoch(self) -> EpochMetrics:
        """Collect one rollout and update both networks from it.

        Returns:
            The figures of the epoch.

        Raises:
            DivergenceError: If a loss is infinite or not a number. The agent is of no further use then.
        """
        start = time.perf_counter()
        self.is_between_epochs = False
        if self.config.learning_rate_schedule == "linear":
            with computing_on(self.config.device):
                self._update.scale_learning_rates(1.0 - self._epoch / self.config.epochs)
        rollout = self.collect()
        lengths = self._episode_lengths(rollout)
        if self.config.reset_each_epoch:
            self._collector.reset()
        batch, values = self._batch_and_values(rollout)
        update = self.update(batch)
        self._check_losses(update)
        # Every step of CartPole is rewarded with 1: an episode's return is its length.
        mean_length = float(np.mean(lengths)) if len(lengths) else float("nan")
        self.is_solved = self._is_solved()
        duration = time.perf_counter() - start
        self._epoch += 1
        self._elapsed += duration
        self.is_between_epochs = True
        return EpochMetrics(
            epoch=self._epoch,
            env_steps=self._epoch * self.config.rollout_size,
            mean_return=mean_length,
            mean_length=mean_length,
            **update._asdict(),
            explained_variance=explained_variance(values.reshape(-1), batch.value_targets),
            steps_per_second=self.config.rollout_size / duration,
            elapsed_s=self._elapsed,
        )

    def _check_losses(self, update: UpdateMetrics) -> None:
        """Raise a DivergenceError if the networks can learn no more."""
        for name in ("policy_loss", "value_loss", "kl", "entropy"):
            value = getattr(update, name)
            if not math.isfinite(value):
                raise DivergenceError(f"The training has diverged: in epoch {self._epoch + 1} {name} is {value}.")

    def collect(self) -> Rollout:
        """Play one rollout with the current policy, from where the environments are.

        Returns:
            The rollout, in fresh arrays.
        """
        return self._collector.collect(self._actor_weights())

    def update_batch(self, rollout: Rollout) -> UpdateBatch:
        """Return what the networks learn from a rollout: advantages, normalized, and value targets included.

        Args:
            rollout: T steps of N environments, collected with the current policy and critic.

        Returns:
            The T * N transitions.
        """
        return self._batch_and_values(rollout)[0]

    def _batch_and_values(self, rollout: Rollout) -> tuple[UpdateBatch, npt.NDArray[np.float32]]:
        """Return what the networks learn from a rollout, and the critic's values of it, shape (T, N)."""
        values, last_values, final_values = self._values(rollout)
        advantages, returns = advantages_and_returns(
            rollout, values, last_values, final_values, self.config.gamma, self.config.gae_lambda
        )
        targets = returns if self.config.value_target == "rewards_to_go" else advantages + values
        batch = UpdateBatch(
            rollout.observations.reshape(-1, 4),
            rollout.actions.reshape(-1),
            rollout.log_probs.reshape(-1),
            self._normalized(advantages).reshape(-1),
            targets.reshape(-1),
        )
        return batch, values

    def _normalized(self, advantages: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return normalized(advantages) if self.config.advantage_normalization == "rollout" else advantages

    def update(self, batch: UpdateBatch) -> UpdateMetrics:
        """Update both networks.

        Args:
            batch: As many transitions as a rollout of this configuration has.

        Returns:
            KL divergence and number of policy iterations.
        """
        with computing_on(self.config.device):
            return self._update(batch, self._minibatch_generator)

    def _actor_weights(self) -> MLPWeights:
        return padded_weights(self.actor.get_weights())

    def _values(self, rollout: Rollout) -> list[npt.NDArray[np.float32]]:
        """Return the critic's values of all, the last and the final observations."""
        weights = padded_weights(self.critic.get_weights())
        return [
            state_values(weights, group.reshape(-1, 4), self._collector.num_threads).reshape(group.shape[:-1])
            for group in (rollout.observations, rollout.last_observations, rollout.final_observations)
        ]

    def _is_solved(self) -> bool:
        """Return whether the last episodes reached the target return and the greedy policy does so now."""
        target, lengths = self.config.target_return, self._recent_lengths
        if target is None or len(lengths) < _EPISODE_WINDOW or np.mean(lengths) < target:
            return False
        return self.validate().mean >= target

    def _episode_lengths(self, rollout: Rollout) -> Sequence[int]:
        """Return the lengths of the episodes this epoch reports on, in the order they ended."""
        ended: list[int] = rollout.episode_lengths[rollout.episode_lengths > 0].tolist()
        if not self.config.reset_each_epoch:
            self._recent_lengths.extend(ended)
            return self._recent_lengths
        elapsed = self._collector.state.elapsed_steps
        cut_off: list[int] = elapsed[elapsed > 0].tolist()
        self._recent_lengths.extend(ended + cut_off)
        return ended + cut_off


def _checked_observations(observations: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return observations as float32, shape (4,) or (B, 4)."""
    try:
        given = np.asarray(observations)
    except ValueError:
        raise ValueError("observations must have shape (4,) or (B, 4), got rows of several lengths.") from None
    if given.dtype.kind not in "iuf":
        raise TypeError(f"observations must be numbers, got an array of {given.dtype}.")
    if given.ndim not in (1, 2) or given.shape[-1] != OBSERVATION_SIZE:
        raise ValueError(f"observations must have shape (4,) or (B, 4), got {given.shape}.")
    with np.errstate(over="ignore", under="ignore"):
        rows = given.astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("observations must be finite in single precision.")
    return rows


def _as_integer(seed: np.random.SeedSequence) -> int:
    """Return a seed for a library that takes small integers only."""
    return int(seed.generate_state(1, np.uint32)[0]) >> 1


def _one_seed_each(seed: np.random.SeedSequence, num_envs: int) -> npt.NDArray[np.uint64]:
    """Return a 64-bit seed for every environment, shape (N,)."""
    return seed.generate_state(num_envs, np.uint64).astype(np.uint64)
