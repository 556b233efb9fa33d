"""Rollouts with the policy in the loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from agent import PPO
from agent.collect import Collector, Rollout
from agent.config import PRESETS
from agent.policy import padded_weights
from bench.agents import KERAS_WITHOUT_THRESHOLD, compiled_agent, example_arguments
from bench.harness import SETTLING_S, Measurement, Result, Skipped, WrongResultError, compare
from bench.limits import MatrixProduct
from bench.peers.peer import JAX_ROLLOUT, KERAS_EXAMPLE, measured_against

_NUM_STEPS = 128
_TARGET_STEPS = 2_000_000
_PEER_TARGET_STEPS = 500_000
_EXAMPLE_STEPS = 200
_CHECKED_ENVS = 4
_LARGEST_ERROR = 1e-4
_PRODUCTS = 8


def measure(num_envs: Iterable[int], repeats: int) -> Iterator[Measurement]:
    """Measure rollouts of both presets.

    Args:
        num_envs: Batch sizes for preset ``fast``.
        repeats: Counted repetitions of each.

    Yields:
        Each case against each peer.

    Raises:
        WrongResultError: If a rollout is not what Gymnasium and Keras compute.
    """
    yield measure_keras(repeats)
    for size in num_envs:
        yield from measure_fast(size, repeats)


def measure_keras(repeats: int) -> Result | Skipped:
    """Measure rollouts of the policy in one environment, 4,000 steps of ours and 200 of the example's."""
    ours = compiled_agent(KERAS_WITHOUT_THRESHOLD)
    return measured_against(
        KERAS_EXAMPLE,
        example_arguments(ours),
        lambda peer: compare(
            ours.collect,
            partial(peer.call, "collect", _EXAMPLE_STEPS),
            repeats,
            work=ours.config.rollout_size,
            peer_work=_EXAMPLE_STEPS,
        ),
        case="rollout, preset keras",
        num_envs=1,
        unit="steps",
    )


def measure_fast(num_envs: int, repeats: int) -> Iterator[Measurement]:
    """Measure rollouts of 128 steps with the (64, 64) actor, everything stored that an update needs.

    The peers are the same rollout in JAX, and the machine's SGEMM peak: how long the actor's multiply-adds alone would
    take at best. The ratio to that is the share of the limit.

    Args:
        num_envs: Size of the batch.
        repeats: Counted repetitions of each.

    Yields:
        Each comparison.

    Raises:
        WrongResultError: If a rollout is not what Gymnasium and Keras compute.
    """
    agent = PPO(PRESETS["fast"])
    weights = padded_weights(agent.actor.get_weights())
    seeds = np.arange(num_envs, dtype=np.uint64)
    collector = Collector(num_envs, _NUM_STEPS, 500, seeds, seeds + np.uint64(num_envs))
    check_rollout(agent, collector.collect(weights))
    rollout_size = num_envs * _NUM_STEPS
    times, peer_times = max(1, _TARGET_STEPS // rollout_size), max(1, _PEER_TARGET_STEPS // rollout_size)

    def roll_out() -> None:
        for _ in range(times):
            collector.collect(weights)

    yield measured_against(
        JAX_ROLLOUT,
        (num_envs, _NUM_STEPS),
        lambda peer: compare(
            roll_out,
            partial(peer.call, "roll_out", peer_times),
            repeats,
            work=times * rollout_size,
            peer_work=peer_times * rollout_size,
            settling_s=SETTLING_S,
        ),
        case="rollout",
        num_envs=num_envs,
        unit="steps",
    )
    limit = MatrixProduct()
    comparison = compare(
        roll_out,
        partial(limit.multiply, _PRODUCTS),
        repeats,
        work=times * rollout_size * _multiply_adds(agent),
        peer_work=_PRODUCTS * limit.work,
        settling_s=SETTLING_S,
    )
    yield Result("rollout", "SGEMM peak, all cores", num_envs, "multiply-adds", comparison)


def check_rollout(agent: PPO, rollout: Rollout, first_seed: int = 0) -> None:
    """Compare a rollout with Gymnasium's trajectories for its actions, bit by bit, and with Keras' probabilities.

    Args:
        agent: Its actor acted.
        rollout: The first rollout of environments seeded with ``first_seed``, ``first_seed + 1`` and so on.
        first_seed: Seed of the first environment.

    Raises:
        WrongResultError: If they differ.
    """
    checked = min(_CHECKED_ENVS, rollout.actions.shape[1])
    peer = gymnasium.make_vec(
        "CartPole-v1",
        num_envs=checked,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
    )
    observations, _ = peer.reset(seed=first_seed)
    for t, actions in enumerate(rollout.actions[:, :checked]):
        if not np.array_equal(rollout.observations[t, :checked], observations):
            raise WrongResultError(f"The rollout's observations differ from those of Gymnasium at step {t}.")
        observations, *_ = peer.step(actions)
    peer.close()
    error = np.abs(_log_probs(agent, rollout) - rollout.log_probs.reshape(-1)).max()
    # Written so that a NaN is an error too.
    if not error <= _LARGEST_ERROR:
        raise WrongResultError(f"The rollout's log-probabilities are up to {error} away from those of Keras.")


def _log_probs(agent: PPO, rollout: Rollout) -> npt.NDArray[np.float32]:
    """Return the log-probabilities of all actions as Keras computes them, shape (T * N,)."""
    logits = np.asarray(agent.actor(rollout.observations.reshape(-1, 4)))
    chosen = rollout.actions.reshape(-1)
    rows = np.arange(chosen.size)
    return np.asarray(logits[rows, chosen] - np.logaddexp(logits[:, 0], logits[:, 1]))


def _multiply_adds(agent: PPO) -> int:
    """Return the multiply-adds of one forward pass of the actor."""
    return sum(weights.size for weights in agent.actor.get_weights() if weights.ndim == 2)
