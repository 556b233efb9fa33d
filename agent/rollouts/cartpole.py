"""CartPole in one fused kernel: the actor's forward pass, sampling of actions, and physics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcartpole.batch import (
    RESET_HIGH,
    RESET_LOW,
    BatchState,
    StepRules,
    advance_range,
    copy_batch_state,
    new_batch_state,
    new_scratch,
    reset_batch,
    reset_environment,
    step_rules,
    write_observation,
    write_observations,
)
from fastcartpole.kernels import is_on_disk, kernel
from fastcartpole.physics import CartPoleParameters
from fastcartpole.random_streams import Streams, next_double, seed_streams
from fastcartpole.threads import in_ranges, usable_threads

from ..environments.making import EnvironmentSource
from ..kernels.acting import PolicySnapshot
from ..kernels.forward import CHUNK, MLPWeights, chunk_outputs, new_activations
from ..kernels.rollout import Rollout, new_rollout
from ..kernels.sampling import sample_of_two
from ..kernels.tiles import TILE_WIDTH
from ..presets import CARTPOLE_IDS
from .collector import Episodes, one_seed_each

OBSERVATION_SIZE = 4

# Number of steps after which an evaluation checks which episodes have ended.
_EVALUATION_STEPS = 100

_ENTRY_POINTS = frozenset({"gymnasium.envs.classic_control.cartpole:CartPoleEnv", "fastcartpole.env:CartPoleEnv"})


@kernel()
def _collect(
    first: int,
    stop: int,
    chunk_size: int,
    weights: MLPWeights,
    state: BatchState,
    action_streams: Streams,
    is_greedy: bool,
    constants: npt.NDArray[np.float64],
    rules: StepRules,
    rollout: Rollout,
) -> None:
    """Play T steps in the environments of the chunks ``first`` to ``stop - 1``, one chunk after the other.

    An environment whose episode ends is reset within the step.
    """
    num_steps, num_envs = rollout.actions.shape
    scratch = new_scratch()
    num_truncations = np.zeros(num_envs, dtype=np.int64)
    for start in range(first * chunk_size, min(stop * chunk_size, num_envs), chunk_size):
        end = min(start + chunk_size, num_envs)
        inputs = new_activations(weights, end - start)
        scratch_activations = np.zeros_like(inputs)
        for t in range(num_steps):
            actions, terminated, truncated = rollout.actions[t], rollout.terminated[t], rollout.truncated[t]
            write_observations(start, end, state, rollout.observations[t])
            logits = chunk_outputs(start, end, weights, rollout.observations[t], inputs, scratch_activations)
            for i in range(start, end):
                logit_0, logit_1 = logits[0, i - start], logits[1, i - start]
                # Below or above any probability of action 0, so that the choice is greedy.
                uniform = 0.0 if logit_0 >= logit_1 else 1.0
                if not is_greedy:
                    uniform = next_double(action_streams, i)
                actions[i], rollout.log_probs[t, i] = sample_of_two(logit_0, logit_1, uniform)
                rollout.rewards[t, i] = 1.0
            advance_range(start, end, actions, state, constants, rules, terminated, truncated, scratch)
            for i in range(start, end):
                if terminated[i] or truncated[i]:
                    # Every step has reward 1.
                    rollout.episode_lengths[t, i] = state.elapsed_steps[i]
                    rollout.episode_returns[t, i] = state.elapsed_steps[i]
                    if not terminated[i]:
                        write_observation(i, state, rollout.final_observations[num_truncations[i]])
                        num_truncations[i] += 1
                    reset_environment(i, state, RESET_LOW, RESET_HIGH)
        write_observations(start, end, state, rollout.last_observations)


def compile_step() -> None:
    """Compile the part of the rollout kernel that steps the environments."""
    rollout, state = new_rollout(1, 1, OBSERVATION_SIZE, 1), new_batch_state(1, 1)
    rollout.actions.fill(0)
    ends = rollout.terminated[0], rollout.truncated[0]
    constants, rules = CartPoleParameters().constants(), step_rules(max_episode_steps=1)
    advance_range(0, 1, rollout.actions[0], state, constants, rules, *ends, new_scratch())


def rollout_kernel_is_on_disk() -> bool:
    """Return whether the rollout kernel is in the disk cache, or cannot be cached on disk."""
    return is_on_disk(_collect)


def can_play(source: EnvironmentSource) -> bool:
    """Return whether the kernel can play a source's environment: an unmodified CartPole of Gymnasium or fastcartpole.

    Raises:
        UnknownEnvironmentError: If the source's environment is not registered.
    """
    if source.env_kwargs or str(source.env_id).rpartition(":")[2] not in CARTPOLE_IDS:
        return False
    registered = source.registered()
    if registered is None or registered.kwargs or registered.additional_wrappers:
        return False
    return registered.entry_point in _ENTRY_POINTS


class CartPoleCollector:
    """A batch of training environments and the random streams of the policy's actions.

    The environments use ``fastcartpole``'s physics and random streams. An environment whose episode ends is reset
    within the same step, so that every recorded transition follows from an action of the policy.
    ``agent.rollouts.collector.Collector`` describes attributes and methods.
    """

    is_exact = True
    is_interrupted = False
    ignores_actions = False
    evaluation_batch = None

    def __init__(
        self,
        num_envs: int,
        num_steps: int,
        max_episode_steps: int | None,
        environment_seeds: npt.NDArray[np.uint64],
        action_seeds: npt.NDArray[np.uint64],
        num_threads: int | None = None,
        chunk_size: int = CHUNK,
    ) -> None:
        """Create and reset the environments.

        Args:
            num_envs: Number of environments N.
            num_steps: Number of steps T of each environment in one rollout.
            max_episode_steps: Number of steps after which episodes are truncated; None for no limit.
            environment_seeds: Seeds of the resets, shape (N,), uint64.
            action_seeds: Seeds of action sampling, shape (N,), uint64.
            num_threads: Number of threads that share a rollout; None chooses by the number of environments.
            chunk_size: Number of environments that a thread plays together.
        """
        self.num_threads = usable_threads(None, num_envs, chunk_size) if num_threads is None else num_threads
        self._chunk_size = chunk_size
        self.num_envs = num_envs
        self.num_steps = num_steps
        self._rules = step_rules(max_episode_steps=max_episode_steps)
        self._constants = CartPoleParameters().constants()
        self.state = new_batch_state(num_envs, num_envs)
        self.action_streams = np.zeros((4, num_envs), dtype=np.uint64)
        seed_streams(action_seeds, np.arange(num_envs), self.action_streams)
        self._seed(environment_seeds)
        self.reset()

    def _seed(self, seeds: npt.NDArray[np.uint64]) -> None:
        seed_streams(seeds, np.arange(self.num_envs), self.state.streams)

    @property
    def running_lengths(self) -> npt.NDArray[np.int64]:
        """Lengths so far of the running episodes, shape (N,), int64."""
        return np.asarray(self.state.elapsed_steps, dtype=np.int64)

    @property
    def running_returns(self) -> npt.NDArray[np.float64]:
        """Returns so far of the running episodes, shape (N,), float64; every step has reward 1."""
        return self.running_lengths.astype(np.float64)

    def reset(self, seed: np.random.SeedSequence | None = None) -> None:
        """Start a new episode in every environment."""
        if seed is not None:
            self._seed(one_seed_each(seed, self.num_envs))
        observations = np.empty((self.num_envs, OBSERVATION_SIZE), dtype=np.float32)
        everywhere = np.ones(self.num_envs, dtype=np.bool_)
        reset_batch(everywhere, False, self.state, RESET_LOW, RESET_HIGH, observations)

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of all mutable state: the environments, their random streams and those of the actions."""
        return {"action_streams": self.action_streams.copy(), **copy_batch_state(self.state)._asdict()}

    def set_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Resume from the result of ``get_state`` of a collector with as many environments."""
        self.action_streams = state["action_streams"].copy()
        self.state = copy_batch_state(BatchState(*(state[name] for name in BatchState._fields)))

    def collect(self, policy: PolicySnapshot, *, is_greedy: bool = False) -> Rollout:
        """Play T steps in every environment with the given policy.

        Args:
            policy: The policy, with layers that the kernel supports.
            is_greedy: Whether to take the more probable action instead of sampling.

        Returns:
            The rollout, in new arrays.
        """
        # The first truncation may happen at once; each later one takes a whole episode.
        most_truncations = 1 + (self.num_steps - 1) // self._rules.max_episode_steps
        rollout = new_rollout(self.num_steps, self.num_envs, OBSERVATION_SIZE, most_truncations)
        assert policy.weights is not None
        played = (policy.weights, self.state, self.action_streams, is_greedy, self._constants, self._rules, rollout)
        # An environment's steps do not depend on the size of the chunks.
        chunks = -(-self.num_envs // self._chunk_size)
        in_ranges(self.num_threads, chunks, _collect, self._chunk_size, *played)
        return rollout

    def play_episodes(
        self,
        policy: PolicySnapshot,
        seed: np.random.SeedSequence | int,
        episodes: int,
        max_episode_steps: int,
        least_mean: float = -math.inf,
        on_episodes: Callable[[int], object] = lambda _: None,
    ) -> Episodes:
        """Play whole episodes in separate environments at once, always taking the more probable action."""
        lengths = greedy_episode_lengths(policy, one_seed_each(seed, episodes), max_episode_steps, least_mean)
        cut_off = np.zeros(episodes, dtype=np.bool_)
        return Episodes(lengths.astype(np.float64), lengths.astype(np.int64), cut_off, int(lengths.sum()))

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def greedy_episode_lengths(
    policy: PolicySnapshot,
    environment_seeds: npt.NDArray[np.uint64],
    max_episode_steps: int,
    least_mean: float = -math.inf,
    num_threads: int | None = None,
) -> npt.NDArray[np.int32]:
    """Play one episode for each seed, always taking the more probable action.

    Args:
        policy: The policy, with layers that the kernel supports.
        environment_seeds: Seeds of the initial states, shape (E,), uint64.
        max_episode_steps: Number of steps after which episodes are truncated.
        least_mean: Required mean length; as soon as it cannot be reached any more, playing stops.
        num_threads: Number of threads that share the episodes; None chooses by the number of episodes.

    Returns:
        The lengths of the episodes, shape (E,), int32; ``max_episode_steps`` for episodes that were not finished.
    """
    episodes = environment_seeds.size
    threads = usable_threads(None, episodes, TILE_WIDTH) if num_threads is None else num_threads
    # Each thread gets an equal share, in whole tiles.
    chunk_size = min(CHUNK, -(-episodes // (threads * TILE_WIDTH)) * TILE_WIDTH)
    collector = CartPoleCollector(
        episodes,
        min(max_episode_steps, _EVALUATION_STEPS),
        max_episode_steps,
        environment_seeds,
        environment_seeds,
        threads,
        chunk_size,
    )
    lengths = np.full(episodes, max_episode_steps, dtype=np.int32)
    is_running = np.ones(episodes, dtype=np.bool_)
    while is_running.any() and lengths.mean() >= least_mean:
        played = collector.collect(policy, is_greedy=True).episode_lengths
        first_ends = played[np.argmax(played > 0, axis=0), np.arange(episodes)]
        has_ended = is_running & (first_ends > 0)
        lengths[has_ended] = first_ends[has_ended]
        is_running &= ~has_ended
    return lengths
