"""The training loop."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv

from .callbacks import Callbacks, as_callbacks
from .config import REGISTERED, PPOConfig
from .environments.spaces import checked_observations
from .environments.spec import EnvironmentSpec, resolved, target_return
from .errors import EnvironmentUseError
from .kernels.acting import PolicySnapshot
from .kernels.advantages import advantages_and_returns, explained_variance, normalized
from .kernels.rollout import Rollout
from .learning.actor_critic import ActorCritic, Values, without_effect
from .learning.divergence import assert_actions_vary, assert_losses_are_finite
from .learning.minibatches import UpdateBatch
from .learning.update import PPOUpdate, UpdateMetrics
from .memory import assert_training_fits_memory
from .metrics import EpochMetrics
from .process.backend import (
    assert_not_forked,
    computing_on,
    in_single_precision,
    keras,
    use_one_thread_per_network,
)
from .rollouts.acting import choosing
from .rollouts.choosing import Played, new_collector, played_by
from .rollouts.collector import Collector, as_integer
from .rollouts.evaluation import EvaluationResult
from .rollouts.evaluator import Evaluator, Progress
from .rollouts.warm_up import compile_acting_kernel, compile_kernels_of_updates, compile_rollout_kernel
from .runs.directory import Resumption
from .state import State, assert_same_structure, generator_state, restored_generator

_EPISODE_WINDOW = 100
# How the names of the environments' entries begin in the state of an agent.
_ENVIRONMENTS = "environments/"
# And those of the running statistics.
_STATISTICS = "statistics/"
# Attributes of an agent that a copy makes anew, from the configuration and the state.
_REBUILT = frozenset(
    {
        *("is_solved", "spec", "stop_training"),
        *("_collector", "_elapsed", "_env_steps", "_epoch", "_evaluator", "_last_validation", "_minibatch_generator"),
        *("_networks", "_played", "_prediction_generator", "_recent_lengths", "_recent_returns", "_seeds", "_update"),
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
    prediction: np.random.SeedSequence


def _seeds_of(config: PPOConfig) -> _Seeds:
    return _Seeds(*np.random.SeedSequence(config.seed).spawn(len(_Seeds._fields)))


def _made(network: keras.Model | Callable[[], keras.Model] | None) -> keras.Model | None:
    """Return a model of the user's, made now where a function makes it."""
    return network() if callable(network) and not isinstance(network, keras.layers.Layer) else network


def _network_seeds(seeds: _Seeds) -> tuple[int, int]:
    return as_integer(seeds.actor), as_integer(seeds.critic)


def _part(state: State, prefix: str) -> State:
    """Return the entries of a state whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def _mean(values: Sequence[float]) -> float:
    """Return the mean of some numbers; NaN if there are none. NumPy takes longer to look at a hundred than to add."""
    return sum(values) / len(values) if values else math.nan


class PPO:
    """An actor and a critic that learn by proximal policy optimization (Schulman et al. 2017).

    An agent can be copied and pickled, trained or not. On CartPole the copy goes on bit for bit as the original does;
    any other environment is made anew for it and begins new episodes. What was asked of the training of the original,
    ``stop_training``, was not asked of the copy's.

    An agent closes the environments it has made: with ``close``, at the end of a ``with`` block, or when it is
    garbage.

    Attributes:
        config: The configuration, with what it left to the environment filled in.
        spec: What the agent knows of its environment.
        evaluation_seed: A seed for evaluating this run, derived from the configuration's.
        stop_training: Set this, from a callback or a signal handler, to end the training after the current epoch. It
            holds for one call of ``train``, which takes it back at its end.
        is_solved: Whether the greedy policy has reached the target return.
        is_between_epochs: Whether the last epoch that was begun has been completed. False after an interrupted epoch:
            the state is inconsistent then, and is not saved.
        resumptions: Where the training was resumed, of a run that was loaded or is recorded.
    """

    resumptions: tuple[Resumption, ...]

    def __init__(
        self,
        config: PPOConfig,
        environments: VectorEnv[Any, Any, Any] | None = None,
        *,
        actor: keras.Model | Callable[[], keras.Model] | None = None,
        critic: keras.Model | Callable[[], keras.Model] | None = None,
        make_env: Callable[[], gymnasium.Env[Any, Any]] | None = None,
        evaluation_environments: VectorEnv[Any, Any, Any] | None = None,
        autoreset_mode: AutoresetMode | str | None = None,
    ) -> None:
        """Build networks, optimizers and environments; nothing is compiled yet.

        TensorFlow is set to one thread for each network, where it has not been used in this process before.

        Args:
            config: What to train and how.
            environments: What to play instead of the environment that the configuration names.
            actor: Keras model to train in place of one that is built: observations (B, D), or in their own shape, as of
                images, to logits (B, A) or, where actions are continuous, to a dictionary of ``"mean"`` and
                ``"log_std"``, (B, K) each. Rollouts ask the model itself. A function that makes the model is called
                once TensorFlow has been told its threads, which is too late where a model has been made before.
            critic: Likewise, to values (B, 1).
            make_env: Makes one environment; called for each of the training, unless ``environments`` are given, and of
                evaluations.
            evaluation_environments: What evaluations play.
            autoreset_mode: How vector environments begin new episodes, such as ``"NextStep"``, that do not say so
                themselves.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If the arguments do not fit together, or a model has other shapes, shares trained variables with
                the other, or has state of its own that changes while it is trained.
            EnvironmentUseError: A ValueError: if the environment cannot be made, its observations or actions are not
                supported, or it is not known how it begins new episodes.
            MemoryError: If a rollout, its minibatches or the networks cannot fit this machine's memory.
            DeviceError: If the configuration asks for a GPU and there is none.
            RuntimeError: If the process was forked from one that has computed with TensorFlow here.
        """
        assert_not_forked()
        if not isinstance(config, PPOConfig):
            raise TypeError(f"config must be a PPOConfig, as preset_config() returns it, got {config!r}.")
        played = played_by(config, environments, make_env, evaluation_environments, autoreset_mode)
        self._build(played.adapted(config), played, actor, critic)

    def _build(
        self,
        config: PPOConfig,
        played: Played,
        actor: keras.Model | Callable[[], keras.Model] | None,
        critic: keras.Model | Callable[[], keras.Model] | None,
    ) -> None:
        """Build everything."""
        spec = played.describe()
        config = resolved(config, spec)
        assert_training_fits_memory(config, spec.observation_size)
        use_one_thread_per_network()
        seeds = _seeds_of(config)
        with computing_on(config.device), in_single_precision():
            models = _made(actor), _made(critic)
            config = without_effect(config, *models)
            networks = ActorCritic(config, spec, _network_seeds(seeds), *models)
            self._networks = networks
            self._begin(config, played, spec, seeds)
            try:
                self._update = PPOUpdate(
                    networks.actor, networks.critic, spec.action_head, config, spec.observation_size
                )
            except BaseException:
                self.close()
                raise

    @property
    def actor(self) -> keras.Model:
        """The policy as a Keras model, of plain layers where it was built here.

        It takes the environment's own observations, as vectors (B, D), and normalizes them where the training does. It
        gives logits (B, A) or, where actions are continuous, a dictionary of ``"mean"`` and ``"log_std"``, (B, K) each:
        means, and logarithms of standard deviations. Its weights are those that are trained; its statistics are those
        of the moment it was asked for.
        """
        return self._networks.raw_actor

    @property
    def critic(self) -> keras.Model:
        """The value function as a Keras model: observations as the actor takes them, to values (B, 1).

        They are expected discounted sums of the environment's own rewards, also where the training scales these.
        """
        return self._networks.raw_critic

    def __repr__(self) -> str:
        return (
            f"<PPO on {self.spec.name}: preset {self.config.preset!r}, seed {self.config.seed}, epoch {self._epoch} of "
            f"{self.config.epochs}{', solved' if self.is_solved else ''}>"
        )

    def __enter__(self) -> PPO:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the environments."""
        self.close()

    def close(self) -> None:
        """Close the environments that this agent has made; it can act, but not play, afterwards."""
        self._collector.close()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs. What TensorFlow has compiled cannot be copied: the copy compiles it again.

        Raises:
            TypeError: If the agent plays environments that were handed to it as objects.
        """
        if self._played.is_handed_in:
            raise TypeError("an agent with environments of the caller's cannot be copied; one with make_env can.")
        attributes = {name: value for name, value in vars(self).items() if name not in _REBUILT}
        # Other names of the networks are other names of the copy's.
        networks = {id(self.actor): "actor", id(self.critic): "critic"}
        aliases = {name: networks[id(value)] for name, value in attributes.items() if id(value) in networks}
        own = {name: value for name, value in attributes.items() if name not in aliases}
        return {
            **{"attributes": own, "aliases": aliases, "played": self._played, "state": self.get_state()},
            "networks": self._networks.handed_over,
        }

    def __setstate__(self, content: dict[str, Any]) -> None:
        attributes = content["attributes"]
        assert_not_forked()
        self._build(attributes["config"], content["played"], **content["networks"])
        vars(self).update(attributes)
        vars(self).update({name: getattr(self, network) for name, network in content["aliases"].items()})
        self.set_state(content["state"])
        self._history.extend(attributes["_history"])
        self.resumptions = attributes["resumptions"]

    def _begin(self, config: PPOConfig, played: Played, spec: EnvironmentSpec, seeds: _Seeds) -> None:
        """Set everything but networks and optimizers to the beginning of a training."""
        collector = new_collector(
            config, spec, played, seeds.environments, seeds.actions, knows_networks=self._networks.acts_by_kernels
        )
        self._collector: Collector = collector
        self._evaluator = Evaluator(collector, spec, seeds.evaluation, seeds.validation)
        self.config = config
        self.spec = spec
        self._played = played
        self.evaluation_seed = as_integer(seeds.evaluation)
        self._seeds = seeds
        self._minibatch_generator = np.random.default_rng(seeds.minibatches)
        self._last_validation: tuple[int, EvaluationResult] | None = None
        self._prediction_generator = np.random.default_rng(seeds.prediction)
        self._history: list[EpochMetrics] = []
        self.resumptions = ()
        self._recent_returns: deque[float] = deque(maxlen=_EPISODE_WINDOW)
        self._recent_lengths: deque[int] = deque(maxlen=_EPISODE_WINDOW)
        self.stop_training = False
        self.is_solved = False
        self.is_between_epochs = True
        self._epoch = 0
        self._env_steps = 0
        self._elapsed = 0.0

    def restart(self, config: PPOConfig) -> None:
        """Begin another training with what has been compiled for this one.

        It is, bit for bit, the training of a new agent, which would take seconds to compile. Environments that were
        handed to the agent are played again.

        Args:
            config: What to train; it agrees with the agent's in ``compiled_settings``.

        Raises:
            ValueError: If it does not, does not fit the environments that were handed to the agent, or networks were
                handed to it, whose initial weights are gone. As with what follows, nothing has changed then.
            EnvironmentUseError: A ValueError: if the environment that it names cannot be made, or has observations or
                actions of other sizes.
            MemoryError: If a rollout cannot fit this machine's memory.
        """
        if not self._networks.are_built:
            raise ValueError("an agent whose networks were handed to it cannot begin another training with them.")
        if self._played.environments is not None and config.max_episode_steps == self.spec.max_episode_steps:
            # What was left to the environments has been filled in.
            config = config.replace(max_episode_steps=REGISTERED)
        played = self._played.with_config(config)
        spec = self.spec if played == self._played else played.describe()
        config = resolved(played.adapted(config), spec)
        if config.compiled_settings != self.config.compiled_settings:
            raise ValueError("config must agree with that of the agent in its compiled_settings.")
        if spec.spaces != self.spec.spaces:
            raise EnvironmentUseError(
                f"{config.env_id} must have observations and actions of the sizes the agent was built for, "
                f"{self.spec.spaces}, got {spec.spaces}."
            )
        assert_training_fits_memory(config, spec.observation_size)
        seeds = _seeds_of(config)
        previous = self._collector
        self._begin(config, played, spec, seeds)
        previous.close()
        with computing_on(config.device), in_single_precision():
            self._networks.restart(config, spec, _network_seeds(seeds))
            self._update.restart(config)

    def compile_update(self) -> None:
        """Compile what an update needs; ``compile`` includes it."""
        with computing_on(self.config.device):
            self._update.compile(is_weighted=self._collector.ignores_actions)
        # Reading the weights is a graph too.
        self._policy()
        is_normalized = bool(self.config.normalize_observations or self.config.normalize_rewards)
        compile_kernels_of_updates(self.spec, is_normalized=is_normalized)

    def compile(self) -> None:
        """Compile everything an epoch needs, so that the first epoch takes as long as the others.

        Training without this call gives the same results.
        """
        self.compile_update()
        if self._collector.is_exact:
            compile_rollout_kernel()
        else:
            compile_acting_kernel(self._policy(), self.spec)

    @property
    def recent_mean_return(self) -> float:
        """Mean return of the last 100 episodes that ended, or of all if there were fewer; NaN before the first."""
        return _mean(self._recent_returns)

    @property
    def history(self) -> tuple[EpochMetrics, ...]:
        """The figures of all epochs so far, in order; none from ``set_state`` to ``set_history``."""
        return tuple(self._history)

    @property
    def handed_over(self) -> tuple[str, ...]:
        """What made this agent that no configuration can hold: names of arguments, and the class of a subclass."""
        kind = () if type(self) is PPO else (type(self).__name__,)
        networks = (name for name, model in self._networks.handed_over.items() if model is not None)
        return (*kind, *networks, *self._played.handed_over)

    @property
    def epoch(self) -> int:
        """How many epochs have been trained."""
        return self._epoch

    @property
    def env_steps(self) -> int:
        """How many environment steps have been taken, those of evaluations not counted."""
        return self._env_steps

    @property
    def is_exact(self) -> bool:
        """Whether the state of the environments can be kept, so that what goes on from it goes on bit for bit."""
        return self._collector.is_exact

    def get_state(self) -> State:
        """Return everything that changes during the training, for ``set_state``.

        Returns:
            Copies of the weights, the optimizers' variables, the running statistics, the environments (beside CartPole,
            which alone can be copied, nothing of them), all random streams, the returns and lengths of the last
            episodes and the counts, as arrays of numbers or text.
        """
        return {
            **{name: np.array(variable.numpy()) for name, variable in self._variables().items()},
            **{_ENVIRONMENTS + name: array for name, array in self._collector.get_state().items()},
            **{_STATISTICS + name: array for name, array in self._networks.get_state().items()},
            "minibatch_generator": generator_state(self._minibatch_generator),
            "recent_returns": np.array(self._recent_returns, dtype=np.float64),
            "recent_lengths": np.array(self._recent_lengths, dtype=np.int64),
            "epoch": np.array(self._epoch),
            "env_steps": np.array(self._env_steps),
            "evaluation_steps": self._evaluator.get_state(),
            "elapsed_s": np.array(self._elapsed),
            "is_solved": np.array(self.is_solved),
        }

    def set_state(self, state: State) -> None:
        """Go on from where ``get_state`` was called, here or in an agent of the same configuration.

        With CartPole it goes on bit for bit. Any other environment begins new episodes, seeded by the configuration's
        seed and the epoch.

        Args:
            state: What ``get_state`` returned.

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
        self._collector.set_state(_part(state, _ENVIRONMENTS))
        self._networks.set_state(_part(state, _STATISTICS))
        self._minibatch_generator = minibatch_generator
        self._recent_returns = deque(state["recent_returns"].tolist(), maxlen=_EPISODE_WINDOW)
        self._recent_lengths = deque(state["recent_lengths"].tolist(), maxlen=_EPISODE_WINDOW)
        self._epoch = int(state["epoch"])
        self._env_steps = int(state["env_steps"])
        self._evaluator.set_state(state["evaluation_steps"])
        self._last_validation = None
        self._history = []
        self.resumptions = ()
        self._elapsed = float(state["elapsed_s"])
        self.is_solved = bool(state["is_solved"])
        self.begin_new_episodes()

    def set_history(self, history: Sequence[EpochMetrics]) -> None:
        """Note the figures of the epochs so far, which are not part of the state.

        Args:
            history: One for each epoch, in order.

        Raises:
            ValueError: If there are more or fewer than epochs.
        """
        if len(history) != self._epoch:
            raise ValueError(f"history must hold the figures of {self._epoch} epochs, got {len(history)}.")
        self._history = list(history)

    def begin_new_episodes(self) -> None:
        """Let environments whose state cannot be kept begin as they do where a run is resumed after this epoch.

        Their seeds are derived from the configuration's and the epoch. CartPole goes on where it is.
        """
        if not self._collector.is_exact:
            ours = self._seeds.environments
            # Epoch 0 is the beginning, with the seeds of the beginning.
            key = (*ours.spawn_key, self._epoch) if self._epoch else ours.spawn_key
            self._collector.reset(np.random.SeedSequence(ours.entropy, spawn_key=key))
            self._networks.statistics.begin_new_episodes()

    def _variables(self) -> dict[str, keras.Variable]:
        """Return all variables of the networks and the optimizers."""
        optimizers = {
            "policy_optimizer": self._update.policy_optimizer,
            "value_optimizer": self._update.value_optimizer,
        }
        return self._networks.variables() | {
            f"{name}/{index}": variable
            for name, optimizer in optimizers.items()
            for index, variable in enumerate(optimizer.variables)
        }

    def predict(self, observations: npt.ArrayLike, deterministic: bool = True) -> npt.NDArray[Any]:
        """Return an action for each observation.

        Args:
            observations: Numbers, shape (D,) or (B, D): as vectors, such as ``gymnasium.spaces.flatten`` makes; those
                of a ``Box`` may have its own shape.
            deterministic: Whether to take the most probable action, which of continuous ones is the mean, or to draw
                actions with the policy's probabilities. Continuous actions are clipped to the environment's bounds.

        Returns:
            The actions as the environment names them: one, or B of them in an array.

        Raises:
            TypeError: If the observations are not numbers.
            ValueError: If they have another shape, or are not finite in single precision.
            DivergenceError: If continuous actions would be infinite or not a number.
        """
        rows = checked_observations(observations, self.spec.observation_size, self.spec.observation_shape)
        head = self.spec.action_head
        generator = None if deterministic else self._prediction_generator
        actions = head.in_environment(choosing(self._policy(), head, generator)(np.atleast_2d(rows)))
        return actions.reshape((*rows.shape[:-1], *head.shape))

    def evaluate(self) -> EvaluationResult:
        """Play 100 episodes with the greedy policy, from the same initial states every time.

        These episodes are used for nothing else, so that their mean return is that of any episodes. The environment is
        as it is registered, whatever limit the training has; without a limit, episodes are cut off after 10,000 steps.
        CartPole is played by the kernel of the rollouts; ``fastppo.evaluate`` plays in Gymnasium.
        """
        return self._evaluator.play(self._policy(), "evaluation")

    def validate(self) -> EvaluationResult:
        """Play 100 other episodes: those by which a policy is chosen.

        A policy that was chosen by its return in these episodes does a little better in them than in others; report
        ``evaluate`` instead.
        """
        return self._evaluator.play(self._policy(), "validation")

    def validate_within_budget(self) -> EvaluationResult | None:
        """Play some of the episodes of ``validate``, if that is allowed now.

        Beside CartPole, evaluations whose steps are counted take at most 5% of the training's: half of them to find out
        whether the target return is reached, and half to choose the best policy. On CartPole they cost next to nothing
        and are always allowed.

        Returns:
            The result, the one that the training itself has come to after this epoch where there is one; None where
            it is too early, or an episode was longer than allowed.
        """
        if self._last_validation is not None and self._last_validation[0] == self._epoch:
            return self._last_validation[1]
        if self._evaluator.is_free:
            return self.validate()
        # What is reported of a policy that is chosen are other episodes, to be paid too.
        evaluator = self._evaluator
        return evaluator.play_within(evaluator.choosing, self._policy(), "validation", self._progress(), parts=2)

    def evaluate_within_budget(self) -> EvaluationResult | None:
        """Play some of the episodes of ``evaluate``, if that is allowed now, as ``validate_within_budget``."""
        if self._evaluator.is_free:
            return self.evaluate()
        evaluator = self._evaluator
        return evaluator.play_within(evaluator.choosing, self._policy(), "evaluation", self._progress())

    def _progress(self) -> Progress:
        return Progress(self._env_steps, self._recent_lengths)

    def train(
        self, callbacks: Callbacks = (), *, progress: bool = False, run: str | PathLike[str] | None = None
    ) -> None:
        """Train until the environment is solved, for as many epochs as are left, or until ``stop_training`` is set.

        Call it again to continue a training that was stopped. With a run directory, what ``fastppo train --out`` keeps
        is kept: figures, checkpoints and the best policy as the training proceeds, then both networks, the learning
        curve and, where the training is complete, its evaluation; not animations. The commands of ``fastppo`` take the
        directory afterwards, and ``fastppo.load`` returns the agent. Ctrl-C ends such a training after the current
        epoch, saves it, and then raises KeyboardInterrupt.

        Args:
            callbacks: Objects of ``agent.Callback``, or functions that are called with the agent and the figures
                after every epoch; a list of them, or one.
            progress: Whether to show what ``fastppo train`` shows.
            run: Directory to keep the run in: new or empty, or that of this agent's training so far. None keeps
                nothing. A run that is complete is left as it is.

        Raises:
            TypeError: If a callback is neither, or ``run`` no path.
            ValueError: If the run directory holds another training or is damaged, or the figures of earlier epochs are
                not known.
            RuntimeError: If an epoch was interrupted before: the state is inconsistent, and is not kept.
            FileExistsError: If the directory holds something else.
            BlockingIOError: If another training or command is working in it.
            OSError: If it cannot be written.
            DivergenceError: As ``train_epoch``.
            InvalidTransitionError: Likewise.
            KeyboardInterrupt: After Ctrl-C.
        """
        watching = as_callbacks(callbacks)
        if progress or run is not None:
            from .recording import train_from_python

            train_from_python(self, watching, run, progress)
            return
        try:
            for callback in watching:
                callback.on_train_begin(self)
            while self._epoch < self.config.epochs and not self.stop_training and not self.is_solved:
                metrics = self.train_epoch()
                for callback in watching:
                    callback.on_epoch_end(self, metrics)
            for callback in watching:
                callback.on_train_end(self)
        finally:
            self.stop_training = False

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a run directory with the agent as it is, which ``fastppo.load`` and the commands take.

        It holds the configuration, the figures of every epoch, a checkpoint and both networks.

        Args:
            path: The directory: new or empty, unless ``overwrite``.
            overwrite: Whether a run that is there is replaced; its animations and TensorBoard's files stay.

        Raises:
            FileExistsError: If the directory is not empty, and not a run that may be replaced.
            BlockingIOError: If another training or command is working in it.
            RuntimeError: If an epoch was interrupted: the state is inconsistent.
            ValueError: If the figures of some epochs are not known, as after ``set_state``.
            OSError: If it cannot be written.
        """
        from .recording import save

        save(self, path, overwrite)

    def train_epoch(self) -> EpochMetrics:
        """Collect one rollout and update both networks from it.

        Returns:
            The figures of the epoch.

        Raises:
            DivergenceError: If a loss, an action or a statistic is infinite or not a number, or actions vary out of all
                proportion. The agent is of no further use then.
            InvalidTransitionError: If an observation or a reward is.
            RuntimeError: If as many epochs as the configuration has have been trained.
        """
        if self._epoch >= self.config.epochs:
            raise RuntimeError(
                f"all {self.config.epochs} epochs of the configuration have been trained; for more, set "
                "ppo.config = ppo.config.replace(epochs=...)."
            )
        start = time.perf_counter()
        self.is_between_epochs = False
        self._update.remaining = 1.0 - self._epoch / self.config.epochs
        networks = self._networks
        policy, critic = networks.snapshot(self._collector.num_threads)
        rollout = self._collector.collect(policy)
        networks.statistics.include_rewards(rollout)
        env_steps = int(np.count_nonzero(rollout.valid))
        returns, lengths = self._episodes(rollout)
        if self.config.reset_each_epoch:
            self._collector.reset()
            networks.statistics.begin_new_episodes()
        batch, values = self._batch_and_values(rollout, critic)
        update = self.update(batch)
        assert_losses_are_finite(update, self._epoch + 1)
        if self.spec.action_head.is_continuous:
            observations = rollout.last_observations
            assert_actions_vary(self._policy(), self.spec.action_head, observations, self._epoch + 1)
        networks.statistics.include_observations(rollout)
        self._env_steps += env_steps
        self.is_solved = self._is_solved(rollout)
        duration = time.perf_counter() - start
        self._epoch += 1
        self._elapsed += duration
        self.is_between_epochs = True
        metrics = EpochMetrics(
            epoch=self._epoch,
            env_steps=self._env_steps,
            mean_return=_mean(returns),
            mean_length=_mean(lengths),
            **update._asdict(),
            explained_variance=explained_variance(values.reshape(-1), batch.value_targets, rollout.valid.reshape(-1)),
            steps_per_second=env_steps / duration,
            elapsed_s=self._elapsed,
        )
        if len(self._history) == self._epoch - 1:
            self._history.append(metrics)
        return metrics

    def collect(self) -> Rollout:
        """Play one rollout with the current policy, from where the environments are.

        Returns:
            The rollout, in fresh arrays.
        """
        return self._collector.collect(self._policy())

    def update_batch(self, rollout: Rollout) -> UpdateBatch:
        """Return what the networks learn from a rollout: advantages, normalized, and value targets included.

        Where observations or rewards are normalized, running statistics are those of the epochs so far:
        ``train_epoch`` alone includes a rollout in them.

        Args:
            rollout: T steps of N environments, collected with the current policy and critic.

        Returns:
            The T * N transitions.
        """
        return self._batch_and_values(rollout, self._networks.snapshot(self._collector.num_threads).values)[0]

    def _batch_and_values(self, rollout: Rollout, critic: Values) -> tuple[UpdateBatch, npt.NDArray[np.float32]]:
        """Return what the networks learn from a rollout, and the critic's values of it, shape (T, N)."""
        values, last_values, final_values = (
            critic(group.reshape(-1, group.shape[-1])).reshape(group.shape[:-1])
            for group in (rollout.observations, rollout.last_observations, rollout.final_observations)
        )
        statistics = self._networks.statistics
        rollout = rollout._replace(rewards=statistics.scaled(rollout.rewards))
        advantages, returns = advantages_and_returns(
            rollout, values, last_values, final_values, self.config.gamma, self.config.gae_lambda
        )
        targets = returns if self.config.value_target == "rewards_to_go" else advantages + values
        if self.config.advantage_normalization == "rollout":
            advantages = normalized(advantages, rollout.valid)
        batch = UpdateBatch(
            statistics.normalized(rollout.observations.reshape(-1, self.spec.observation_size)),
            rollout.actions.reshape(-1, *self.spec.action_head.action_shape),
            rollout.log_probs.reshape(-1),
            advantages.reshape(-1),
            targets.reshape(-1),
            rollout.valid.reshape(-1).astype(np.float32) if self._collector.ignores_actions else None,
            None if self.config.value_clip_range is None else values.reshape(-1),
        )
        return batch, values

    def update(self, batch: UpdateBatch) -> UpdateMetrics:
        """Update both networks.

        Args:
            batch: As many transitions as a rollout of this configuration has.

        Returns:
            KL divergence and number of policy iterations.
        """
        with computing_on(self.config.device):
            return self._update(batch, self._minibatch_generator)

    def _policy(self) -> PolicySnapshot:
        """Return the policy as it is now."""
        return self._networks.snapshot().policy

    def _is_solved(self, rollout: Rollout) -> bool:
        """Return whether the greedy policy reaches the target return now, after an epoch with this rollout.

        Where its episodes cost next to nothing, it is asked whenever it may; elsewhere when the last episodes of the
        training have reached the target.
        """
        target, evaluator = target_return(self.config, self.spec), self._evaluator
        if target is None:
            return False
        if evaluator.is_free:
            return evaluator.is_promising(rollout, target) and evaluator.confirms(
                self._policy(), target, self._epoch + 1
            )
        if len(self._recent_returns) < _EPISODE_WINDOW or self.recent_mean_return < target:
            return False
        result = evaluator.play_within(evaluator.solving, self._policy(), "validation", self._progress())
        if result is None:
            return False
        # That of the epoch which is about to be completed.
        self._last_validation = (self._epoch + 1, result)
        return result.mean >= target

    def _episodes(self, rollout: Rollout) -> tuple[Sequence[float], Sequence[int]]:
        """Return returns and lengths of the episodes this epoch reports on, in the order they ended."""
        has_ended = rollout.episode_lengths > 0
        returns: list[float] = rollout.episode_returns[has_ended].tolist()
        lengths: list[int] = rollout.episode_lengths[has_ended].tolist()
        if self.config.reset_each_epoch:
            is_cut_off = self._collector.running_lengths > 0
            returns += self._collector.running_returns[is_cut_off].tolist()
            lengths += self._collector.running_lengths[is_cut_off].tolist()
        self._recent_returns.extend(returns)
        self._recent_lengths.extend(lengths)
        return (returns, lengths) if self.config.reset_each_epoch else (self._recent_returns, self._recent_lengths)
