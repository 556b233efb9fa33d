"""Preset ``keras`` against the example's own way: its rollout, its update, and a whole epoch of both."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from agent import PPO, PRESETS, PPOConfig
from bench.harness import Result, WrongResultError, compare
from bench.peers.process import PeerProcess

PEER = "the Keras example's loop"
_PEER_ROLLOUT_STEPS = 200
_CONFIG = PRESETS["keras"]
# Every update takes all its iterations, so that both sides do the same work.
_NO_THRESHOLD = _CONFIG.replace(target_kl=None)


def measure_rollout(repeats: int) -> Iterator[Result]:
    """Measure rollouts of the policy in one environment, 4,000 steps of ours and 200 of the example's.

    Args:
        repeats: Counted repetitions of each.

    Yields:
        The durations.
    """
    ours = _compiled_agent(_NO_THRESHOLD)
    with _peer_of(ours) as peer:
        comparison = compare(
            ours.collect,
            partial(peer.call, "collect", _PEER_ROLLOUT_STEPS),
            repeats,
            work=_CONFIG.rollout_size,
            peer_work=_PEER_ROLLOUT_STEPS,
        )
    yield Result("rollout, preset keras", PEER, 1, "steps", comparison)


def measure_update(repeats: int) -> Iterator[Result]:
    """Measure updates of 80 policy and 80 value iterations on the same 4,000 transitions.

    Args:
        repeats: Counted repetitions of each.

    Yields:
        The durations.

    Raises:
        WrongResultError: If, after the first update, the two KL divergences differ.
    """
    ours = _compiled_agent(_NO_THRESHOLD)
    batch = ours.update_batch(ours.collect())
    with _peer_of(ours) as peer:
        divergences = ours.update(batch).kl, peer.call("update", *batch)
        if abs(divergences[0] - divergences[1]) > 1e-4:
            raise WrongResultError(
                f"After one update the KL divergence is {divergences[0]}, the peer's {divergences[1]}."
            )
        comparison = compare(partial(ours.update, batch), partial(peer.call, "update", *batch), repeats, warm_up=False)
    yield Result("update, preset keras", PEER, 1, "updates", comparison)


def measure_epoch(repeats: int) -> Iterator[Result]:
    """Measure whole epochs of 4,000 steps and an update, early stopping included; the example takes half a minute.

    Args:
        repeats: Counted repetitions of each.

    Yields:
        The durations.
    """
    ours = _compiled_agent(_CONFIG)
    with _peer_of(ours) as peer:
        peer.call("epoch", 50)
        comparison = compare(ours.train_epoch, partial(peer.call, "epoch", 4000), repeats, warm_up=False)
    yield Result("epoch, preset keras", PEER, 1, "epochs", comparison)


def _compiled_agent(config: PPOConfig) -> PPO:
    agent = PPO(config)
    agent.compile()
    return agent


def _peer_of(agent: PPO) -> PeerProcess:
    """Start the example's loop with the same weights and threshold."""
    weights = agent.actor.get_weights(), agent.critic.get_weights()
    return PeerProcess("bench.peers.keras_example:KerasExampleLoop", *weights, agent.config.kl_threshold)
