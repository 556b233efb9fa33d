"""The training loop."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from types import TracebackType
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv

from .callbacks import Callback, Callbacks, as_callbacks
from .config import REGISTERED, PPOConfig
from .environments.making import EnvironmentSource
from .environments.spaces import checked_observations
from .environments.spec import EnvironmentSpec, resolved, target_return
from .errors import DivergenceError, EnvironmentUseError
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
from .rollouts.budget import LONGEST_EPISODE
from .rollouts.choosing import Played, new_collector, played_by
from .rollouts.collector import Collector, as_integer
from .rollouts.evaluation import EvaluationResult
from .rollouts.evaluator import Evaluator
from .rollouts.warm_up import compile_acting_kernel, compile_kernels_of_updates, compile_rollout_kernel
from .runs.directory import Resumption
from .state import State, assert_same_structure, generator_state, restored_generator
from .validation import checked_integer

_EPISODE_WINDOW = 100
_MAX_EPISODES = 100
# Prefixes of entries in the state of an agent.
_ENVIRONMENTS = "environments/"
_STATISTICS = "statistics/"
# Attributes that a copy recreates from the configuration and the state.
_REBUILT = frozenset(
    {
        *("is_solved", "spec", "stop_training"),
        *("_collector", "_elapsed", "_env_steps", "_epoch", "_evaluator", "_minibatch_generator"),
        *("_networks", "_played", "_prediction_generator", "_recent_lengths", "_recent_returns", "_seeds", "_update"),
    }
)


class _Seeds(NamedTuple):
    """Independent seeds, derived from the configuration's."""

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


def evaluation_seed(config: PPOConfig) -> int:
    """Return the seed with which a run is evaluated, derived from ``config.seed``."""
    return as_integer(_seeds_of(config).evaluation)


def _made(network: keras.Model | Callable[[], keras.Model] | None) -> keras.Model | None:
    """Return the user's model; call ``network`` if it is a function that creates one."""
    return network() if callable(network) and not isinstance(network, keras.layers.Layer) else network


def _network_seeds(seeds: _Seeds) -> tuple[int, int]:
    return as_integer(seeds.actor), as_integer(seeds.critic)


def _part(state: State, prefix: str) -> State:
    """Return the entries of a state whose names start with a prefix, without the prefix."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def _mean(values: Sequence[float]) -> float:
    """Return the mean of numbers; NaN if there are none. For a hundred of them, this is faster than NumPy."""
    return sum(values) / len(values) if values else math.nan


class PPO:
    """A PPO agent: an actor and a critic trained by proximal policy optimization (Schulman et al. 2017).

    Agents can be copied and pickled, before and after training. On CartPole, the copy continues bit for bit like the
    original; any other environment is recreated and starts new episodes. ``stop_training`` is not copied.

    An agent closes the environments it created when you call ``close``, at the end of a ``with`` block, or when it is
    garbage-collected.

    Attributes:
        spec: Description of the environment: its name, spaces, limits and reward threshold.
        evaluation_seed: Seed for evaluating this run, derived from ``config.seed``.
        stop_training: Set to True, in a callback or a signal handler, to end training after the current epoch.
            ``train`` resets it to False when it returns.
        is_solved: Whether the greedy policy has reached the target return.
        is_between_epochs: Whether the state is consistent and can be saved: not during an epoch, nor after an
            interrupted one until the next has ended, unless only the environments have failed.
        resumptions: The points at which the training run was resumed.
    """

    resumptions: tuple[Resumption, ...]
    spec: EnvironmentSpec
    _config: PPOConfig

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
        """Build networks, optimizers and environments; compile nothing yet.

        If TensorFlow has not been used in this process, it is limited to one thread per network.

        Args:
            config: The configuration of the training run.
            environments: Vector environment to train in, instead of the environment of the configuration.
            actor: Custom Keras model, or a function that creates one, instead of the built-in actor. Maps observations,
                of shape (B, D) or of their own shape (e.g. images), to logits of shape (B, A) or, for continuous
                actions, to a dictionary of ``"mean"`` and ``"log_std"``, each of shape (B, K). Rollouts call the model
                itself. Prefer a function: it is called after TensorFlow's threads are set, which is no longer possible
                once a model exists.
            critic: Custom Keras model, or a function that creates one, instead of the built-in critic. Maps
                observations, as for ``actor``, to values of shape (B, 1).
            make_env: Function that creates one environment. It is called for every training environment, unless
                ``environments`` is given, and for every evaluation environment.
            evaluation_environments: Vector environment to evaluate in.
            autoreset_mode: Autoreset mode, such as ``"NextStep"``, of vector environments that do not declare theirs.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If the arguments do not fit together, or if a model has the wrong shapes, shares trained
                variables with the other model, or has state that changes during training.
            EnvironmentUseError: A ValueError, raised if the environment cannot be created, its observations or actions
                are not supported, or its autoreset mode is unknown.
            MemoryError: If a rollout, its minibatches or the networks cannot fit this machine's memory.
            DeviceError: If the configuration requests a GPU and there is none.
            RuntimeError: If this process was forked from one that had already used TensorFlow through fastppo.
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
        """Build the networks, the environments and the update."""
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
    def config(self) -> PPOConfig:
        """The configuration, with environment-dependent values filled in.

        ``epochs`` and ``target_return`` may be changed between epochs, by assigning another configuration; a solved
        agent with another target is not solved any more.

        Raises:
            ValueError: If any other setting of an assigned configuration differs: it would have no effect.
        """
        return self._config

    @config.setter
    def config(self, config: PPOConfig) -> None:
        if not isinstance(config, PPOConfig):
            raise TypeError(f"config must be a PPOConfig, got {config!r}.")
        config = resolved(config, self.spec)
        old, new = self._config.as_dict(), config.as_dict()
        fixed = [name for name in new if new[name] != old[name] and name not in ("epochs", "target_return")]
        if fixed:
            raise ValueError(
                f"{', '.join(fixed)} of an agent cannot be changed; epochs and target_return can. For anything else, "
                "create a new agent, or restart() this one."
            )
        if config.target_return != self._config.target_return:
            self.is_solved = False
        self._config = config

    @property
    def actor(self) -> keras.Model:
        """The policy as a Keras model; a built-in one consists only of Keras layers.

        It takes the environment's raw observations as vectors, shape (B, D), and normalizes them if training does. It
        returns logits, shape (B, A), or for continuous actions a dictionary of ``"mean"`` and ``"log_std"``, the means
        and log standard deviations, each of shape (B, K). It shares its weights with training; its normalization
        statistics are those at the time of access.
        """
        return self._networks.raw_actor

    @property
    def critic(self) -> keras.Model:
        """The value function as a Keras model: observations, as for ``actor``, to values of shape (B, 1).

        Values are expected discounted returns of the environment's raw rewards, even if training scales rewards.
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
        """Close the environments that this agent created; afterwards it can predict, but not train or evaluate."""
        self._collector.close()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs, except for compiled graphs, which the copy compiles again.

        Raises:
            TypeError: If environments were passed to the agent as objects.
        """
        if self._played.is_handed_in:
            raise TypeError("an agent with your own environments cannot be copied; an agent with make_env can.")
        attributes = {name: value for name, value in vars(self).items() if name not in _REBUILT}
        # Attributes of subclasses that refer to a network must refer to the copy's network.
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
        self._build(attributes["_config"], content["played"], **content["networks"])
        vars(self).update(attributes)
        vars(self).update({name: getattr(self, network) for name, network in content["aliases"].items()})
        self.set_state(content["state"])
        self._history.extend(attributes["_history"])
        self.resumptions = attributes["resumptions"]

    def _begin(self, config: PPOConfig, played: Played, spec: EnvironmentSpec, seeds: _Seeds) -> None:
        """Set everything but networks and optimizers to the beginning of a training run."""
        collector = new_collector(
            config, spec, played, seeds.environments, seeds.actions, knows_networks=self._networks.acts_by_kernels
        )
        self._collector: Collector = collector
        self._evaluator = Evaluator(collector, spec, seeds.evaluation, seeds.validation)
        self._config = config
        self.spec = spec
        self._played = played
        self.evaluation_seed = as_integer(seeds.evaluation)
        self._seeds = seeds
        self._minibatch_generator = np.random.default_rng(seeds.minibatches)
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
        """Start another training run, reusing the compiled code.

        The run matches that of a new agent bit for bit, but saves the seconds of compilation. Environments that were
        passed to the agent are used again. On error, nothing has changed.

        Args:
            config: The configuration of the new run, with the same ``compiled_settings`` as the current one.

        Raises:
            ValueError: If ``compiled_settings`` differ, the configuration does not fit the environments passed to the
                agent, or the agent has custom networks, whose initial weights are lost.
            EnvironmentUseError: A ValueError, raised if the environment cannot be created, or has observations or
                actions of other sizes.
            MemoryError: If a rollout cannot fit this machine's memory.
        """
        if not self._networks.are_built:
            raise ValueError("an agent with custom networks cannot be restarted: their initial weights are lost.")
        if self._played.environments is not None and config.max_episode_steps == self.spec.max_episode_steps:
            # The limit comes from the environments passed to the agent, not from the configuration.
            config = config.replace(max_episode_steps=REGISTERED)
        played = self._played.with_config(config)
        spec = self.spec if played == self._played else played.describe()
        config = resolved(played.adapted(config), spec)
        if config.compiled_settings != self.config.compiled_settings:
            raise ValueError("config must have the same compiled_settings as that of the agent.")
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
        """Compile everything an update needs; ``compile`` includes this."""
        with computing_on(self.config.device):
            self._update.compile(is_weighted=self._collector.ignores_actions)
        # Reading the weights is compiled, too.
        self._policy()
        is_normalized = bool(self.config.normalize_observations or self.config.normalize_rewards)
        compile_kernels_of_updates(self.spec, is_normalized=is_normalized)

    def compile(self) -> None:
        """Compile everything an epoch needs, so that the first epoch is as fast as the others.

        Calling this is optional and does not change the results of training.
        """
        self.compile_update()
        if self._collector.is_exact:
            compile_rollout_kernel()
        else:
            compile_acting_kernel(self._policy(), self.spec)

    @property
    def recent_mean_return(self) -> float:
        """Mean return of the last 100 training episodes, or of all if there were fewer; NaN before the first ended."""
        return _mean(self._recent_returns)

    @property
    def history(self) -> tuple[EpochMetrics, ...]:
        """The metrics of all epochs so far, in order; empty after ``set_state``, until ``set_history`` is called."""
        return tuple(self._history)

    @property
    def source(self) -> EnvironmentSource | None:
        """Creates environments for evaluations; None if they were passed to the agent."""
        return self._played.source if self._played.evaluation_environments is None else None

    @property
    def own_networks(self) -> dict[str, keras.Model]:
        """The models passed to the agent, by the name of the argument."""
        return {name: model for name, model in self._networks.handed_over.items() if model is not None}

    @property
    def handed_over(self) -> tuple[str, ...]:
        """What the configuration cannot hold: names of the objects passed to the agent, and of a subclass."""
        kind = () if type(self) is PPO else (type(self).__name__,)
        return (*kind, *self.own_networks, *self._played.handed_over)

    @property
    def epoch(self) -> int:
        """Number of epochs trained so far."""
        return self._epoch

    @property
    def env_steps(self) -> int:
        """Number of environment steps so far, excluding evaluations."""
        return self._env_steps

    @property
    def is_exact(self) -> bool:
        """Whether the state of the environments can be saved, so that training resumes bit for bit."""
        return self._collector.is_exact

    def get_state(self) -> State:
        """Return everything that changes during training, for ``set_state``.

        Returns:
            Copies of the weights, optimizer variables, running statistics, environments (CartPole only), random number
            generators, returns and lengths of the last episodes, and counters, as arrays of numbers or text.
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
            "evaluation_steps": np.array(self._evaluator.budget.used),
            "elapsed_s": np.array(self._elapsed),
            "is_solved": np.array(self.is_solved),
        }

    def set_state(self, state: State) -> None:
        """Restore a state that ``get_state`` returned, on this agent or on one with the same configuration.

        On CartPole, training continues bit for bit. Any other environment starts new episodes, with seeds derived from
        ``config.seed`` and the epoch. On error, nothing has changed.

        Args:
            state: The state.

        Raises:
            ValueError: If an entry is missing or unknown, has the wrong shape or type, or is not a generator's state.
        """
        # A subclass may override get_state and add entries.
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
        self._evaluator.budget.used = int(state["evaluation_steps"])
        self._history = []
        self.resumptions = ()
        self._elapsed = float(state["elapsed_s"])
        self.is_solved = bool(state["is_solved"])
        self.begin_new_episodes()

    def set_history(self, history: Sequence[EpochMetrics]) -> None:
        """Set the metrics of the epochs so far, which are not part of the state.

        Args:
            history: The metrics of each epoch, in order.

        Raises:
            ValueError: If their number differs from ``epoch``.
        """
        if len(history) != self._epoch:
            raise ValueError(f"history must hold the metrics of {self._epoch} epochs, got {len(history)}.")
        self._history = list(history)

    def begin_new_episodes(self) -> None:
        """Start new episodes, as when a run is resumed after this epoch, if the environments cannot be saved.

        The seeds are derived from ``config.seed`` and the epoch. CartPole simply continues.
        """
        if not self._collector.is_exact:
            seed = self._seeds.environments
            # At epoch 0, the seeds must be those of a new agent.
            key = (*seed.spawn_key, self._epoch) if self._epoch else seed.spawn_key
            self._collector.reset(np.random.SeedSequence(seed.entropy, spawn_key=key))
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

    def predict(self, observations: Any, deterministic: bool = True) -> Any:
        """Return an action for each observation.

        Args:
            observations: One observation as the environment returns it, or a batch of them as a vector environment
                returns it; also numbers of shape (D,) or (B, D), flattened as by ``gymnasium.spaces.flatten``. Of a
                ``Discrete`` space, integers of shape (B,) are B observations; a flattened one must be of floats.
            deterministic: Whether to take the most probable action, or the mean if actions are continuous. If False,
                sample from the policy. Continuous actions are clipped to the environment's bounds.

        Returns:
            Actions for ``env.step``, with the dtype of the action space: a single one, or an array of B actions.

        Raises:
            TypeError: If the observations are not numbers.
            ValueError: If the observations have the wrong shape, lie outside of their space, or are not finite in
                single precision.
            DivergenceError: If a continuous action is infinite or NaN.
        """
        rows = checked_observations(self.spec.observation_space, observations)
        head = self.spec.action_head
        generator = None if deterministic else self._prediction_generator
        actions = head.in_environment(choosing(self._policy(), head, generator)(np.atleast_2d(rows)))
        # The empty index turns an array without axes into a NumPy number, which Gymnasium's environments expect.
        return actions.reshape((*rows.shape[:-1], *head.shape))[()]

    def evaluate(self, episodes: int = 100, on_episodes: Callable[[int], object] = lambda _: None) -> EvaluationResult:
        """Evaluate the greedy policy, with the same initial states every time.

        These episodes serve no other purpose, so their mean return is an unbiased estimate. They have the environment's
        registered time limit, whatever the limit in training; if there is none, they are cut off after 10,000 steps.
        CartPole runs in the rollout kernel, with other initial states than the evaluation of a saved run;
        ``fastppo.evaluate`` uses Gymnasium's implementation.

        Args:
            episodes: Number of episodes, at least 1.
            on_episodes: Function that is called with the number of episodes so far whenever one has ended, except in
                the kernel.

        Returns:
            The returns and lengths of the episodes.

        Raises:
            TypeError: If ``episodes`` is not an integer.
            ValueError: If it is less than 1.
            InvalidTransitionError: See ``train_epoch``.
            DivergenceError: If a continuous action is infinite or NaN.
            RuntimeError: If the agent is closed, or environments passed to it fail again after an error.
        """
        return self._evaluator.evaluate(self._policy(), checked_integer("episodes", episodes, minimum=1), on_episodes)

    def validate(self, episodes: int = 100, on_episodes: Callable[[int], object] = lambda _: None) -> EvaluationResult:
        """Evaluate the greedy policy over the episodes that select the best of several policies.

        A policy that was selected by its validation return is biased towards these episodes; report ``evaluate``
        instead.

        Args:
            episodes: As for ``evaluate``.
            on_episodes: As for ``evaluate``.

        Returns:
            The returns and lengths of the episodes.

        Raises:
            Exception: As ``evaluate``.
        """
        return self._evaluator.validate(self._policy(), checked_integer("episodes", episodes, minimum=1), on_episodes)

    @property
    def has_free_episodes(self) -> bool:
        """Whether evaluations cost next to nothing, as in CartPole's kernel."""
        return self._evaluator.is_free

    def affordable_episodes(self, share: float) -> int:
        """Return how many episodes, at most 100, are expected to take a share of the training's steps so far.

        Args:
            share: The share; in CartPole's kernel, where episodes cost next to nothing, it does not matter.
        """
        if self._evaluator.is_free:
            return _MAX_EPISODES
        longest = self.spec.max_episode_steps or LONGEST_EPISODE
        length = _mean(self._recent_lengths) if self._recent_lengths else longest
        return min(_MAX_EPISODES, int(share * self._env_steps / length))

    def get_policy(self) -> State:
        """Return copies of the actor's weights and of the statistics that normalize its observations."""
        return self._networks.get_policy()

    @contextmanager
    def acting_by(self, policy: State) -> Iterator[None]:
        """Let the agent have an earlier policy within this context, in ``actor``, evaluations and predictions.

        Args:
            policy: The result of ``get_policy``.
        """
        own = self._networks.get_policy()
        self._networks.set_policy(policy)
        try:
            yield
        finally:
            self._networks.set_policy(own)

    def train(
        self, callbacks: Callbacks = (), *, progress: bool = False, run: str | PathLike[str] | None = None
    ) -> None:
        """Train for the remaining epochs, until the environment is solved or ``stop_training`` is set.

        Call it again to continue training. With ``run``, the directory receives the same files as from
        ``fastppo train --out``, except for animations: metrics and checkpoints during training; then both networks, the
        learning curve and, once training is complete, the best policy and the evaluation. The ``fastppo`` commands
        accept the directory, and ``fastppo.load`` returns the agent. Ctrl-C then ends training after the current epoch,
        saves the run and raises KeyboardInterrupt.

        Args:
            callbacks: ``Callback`` objects, or functions that are called with the agent and its ``EpochMetrics`` after
                every epoch, and end training if they return False; a list of them, or a single one.
            progress: Whether to show progress, as ``fastppo train`` does.
            run: Directory to save the run in: a new or empty one, or the one that already holds this agent's training.
                None saves nothing. A run whose evaluation is missing is evaluated.

        Raises:
            TypeError: If a callback is neither a ``Callback`` nor a function, or ``run`` is not a path.
            ValueError: If the run directory holds another run or is damaged, ``history`` lacks metrics of earlier
                epochs, or Keras cannot save a custom network.
            RuntimeError: If nothing is left to train, or if ``run`` is given and an epoch was interrupted: the state is
                inconsistent.
            MemoryError: If this process has too few memory maps left to compile the update.
            FileExistsError: If the directory holds something else than a run.
            BlockingIOError: If another process is using the directory.
            OSError: If the directory cannot be written.
            DivergenceError, InvalidTransitionError, EnvironmentUseError: See ``train_epoch``.
            KeyboardInterrupt: After Ctrl-C.
        """
        watching = as_callbacks(callbacks)
        if run is None:
            self.assert_unfinished()
        if progress or run is not None:
            from .recording import train_from_python

            train_from_python(self, watching, run, progress)
            return
        self.train_remaining_epochs(watching)

    def train_remaining_epochs(self, callbacks: Sequence[Callback]) -> None:
        """Train for the remaining epochs, if there are any, as ``train`` does.

        Args:
            callbacks: The callbacks.
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

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Save the agent as a run directory, for ``fastppo.load`` and the ``fastppo`` commands.

        The directory holds the configuration, the metrics of every epoch, a checkpoint and both networks.

        Args:
            path: The directory; must be new or empty, unless ``overwrite`` is set.
            overwrite: Whether to replace an existing run; its animations and TensorBoard files are kept.

        Raises:
            FileExistsError: If the directory is not empty, and is not a run that may be replaced.
            BlockingIOError: If another process is using the directory.
            RuntimeError: If an epoch was interrupted: the state is inconsistent.
            ValueError: If ``history`` lacks metrics of earlier epochs, as after ``set_state``, or Keras cannot save a
                custom network.
            OSError: If the directory cannot be written.
        """
        from .recording import save

        save(self, path, overwrite)

    def _assert_epochs_are_left(self) -> None:
        """Raise a RuntimeError if all epochs have been trained."""
        if self._epoch >= self.config.epochs:
            raise RuntimeError(
                f"all {self.config.epochs} epochs of the configuration have been trained; for more, set "
                "ppo.config = ppo.config.replace(epochs=...)."
            )

    def assert_unfinished(self) -> None:
        """Check that there is something left to train.

        Raises:
            RuntimeError: If there is not; it says which setting to change.
        """
        self._assert_epochs_are_left()
        if self.is_solved:
            raise RuntimeError(
                f"the policy has reached the target return, {self.config.target_return}; to train on, set "
                "ppo.config = ppo.config.replace(target_return=None), or a higher one."
            )

    def _resume_if_interrupted(self) -> None:
        """Start new episodes after an error in the environments, as a run that is resumed after this epoch would."""
        if self._collector.is_interrupted:
            self.begin_new_episodes()
            if self._epoch and self._epoch not in {resumption.after_epoch for resumption in self.resumptions}:
                self.resumptions = (*self.resumptions, Resumption(self._epoch, self.config.epochs))

    def train_epoch(self) -> EpochMetrics:
        """Collect one rollout and update both networks from it.

        Returns:
            The metrics of the epoch.

        Raises:
            DivergenceError: If a loss, an action or a running statistic is infinite or NaN, or a standard deviation of
                actions is far out of range. The agent cannot be trained further.
            InvalidTransitionError: If an observation or a reward is infinite, NaN or no number, or an observation has
                an option that its space does not contain.
            EnvironmentUseError: If an environment does not have the interface of Gymnasium's environments.
            RuntimeError: If all epochs of the configuration have been trained, the agent is closed, or environments
                passed to it cannot start new episodes after an error.
        """
        self._assert_epochs_are_left()
        self._resume_if_interrupted()
        start = time.perf_counter()
        self.is_between_epochs = False
        self._update.remaining = 1.0 - self._epoch / self.config.epochs
        networks = self._networks
        policy, critic = networks.snapshot(self._collector.num_threads)
        try:
            rollout = self._collector.collect(policy)
        except BaseException as error:
            # If environments have failed, nothing else has changed.
            self.is_between_epochs = self._collector.is_interrupted and not isinstance(error, DivergenceError)
            raise
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
        self._epoch += 1
        try:
            self.is_solved = self._is_solved(rollout)
        finally:
            # The epoch has ended, even if an evaluation environment fails.
            duration = time.perf_counter() - start
            self._elapsed += duration
            self.is_between_epochs = True
            targets, valid = batch.value_targets, rollout.valid.reshape(-1)
            metrics = EpochMetrics(
                epoch=self._epoch,
                env_steps=self._env_steps,
                mean_return=_mean(returns),
                mean_length=_mean(lengths),
                **update._asdict(),
                explained_variance=explained_variance(values.reshape(-1), targets, valid),
                steps_per_second=env_steps / duration,
                elapsed_s=self._elapsed,
            )
            if len(self._history) == self._epoch - 1:
                self._history.append(metrics)
        return metrics

    def collect(self) -> Rollout:
        """Collect one rollout with the current policy, from the current state of the environments.

        After an error in the environments, new episodes are started.

        Returns:
            The rollout, in new arrays.
        """
        self._resume_if_interrupted()
        return self._collector.collect(self._policy())

    def update_batch(self, rollout: Rollout) -> UpdateBatch:
        """Return the batch to learn from a rollout, including advantages and value targets.

        Observations and rewards are normalized with the running statistics of the epochs so far, if the configuration
        enables this; only ``train_epoch`` updates the statistics.

        Args:
            rollout: T steps of N environments, collected with the current policy and critic.

        Returns:
            The T * N transitions.
        """
        return self._batch_and_values(rollout, self._networks.snapshot(self._collector.num_threads).values)[0]

    def _batch_and_values(self, rollout: Rollout, critic: Values) -> tuple[UpdateBatch, npt.NDArray[np.float32]]:
        """Return the batch to learn from a rollout, and the critic's values, shape (T, N)."""
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
            batch: Transitions of one rollout, ``config.rollout_size`` in number.

        Returns:
            The metrics of the update, such as losses and KL divergence.
        """
        with computing_on(self.config.device):
            return self._update(batch, self._minibatch_generator)

    def _policy(self) -> PolicySnapshot:
        """Return a snapshot of the current policy."""
        return self._networks.snapshot().policy

    def _is_solved(self, rollout: Rollout) -> bool:
        """Return whether the greedy policy reaches the target return after an epoch with this rollout.

        If evaluations cost next to nothing, every promising policy is tested; otherwise only once the last training
        episodes have reached the target.
        """
        target, evaluator = target_return(self.config, self.spec), self._evaluator
        if target is None:
            return False
        if evaluator.is_free:
            return evaluator.is_promising(rollout, target) and evaluator.confirms(self._policy(), target, self._epoch)
        if len(self._recent_returns) < _EPISODE_WINDOW or self.recent_mean_return < target:
            return False
        return evaluator.reaches_within_budget(
            self._policy(), target, self._epoch, self._env_steps, self._recent_lengths
        )

    def _episodes(self, rollout: Rollout) -> tuple[Sequence[float], Sequence[int]]:
        """Return the returns and lengths of the episodes to report after this epoch, in the order they ended."""
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
