"""Training: rollouts and updates together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from agent.config import PRESETS, PPOConfig
from bench.agents import compiled_agent, example_arguments
from bench.harness import SETTLING_S, Comparison, Measurement, Result, Skipped, compare
from bench.peers.peer import JAX_PPO, KERAS_EXAMPLE, measured_against
from bench.peers.process import PeerProcess

_EXAMPLE_WARM_UP_STEPS = 50
_UPDATES = 8
_PEER_UPDATES = 2


def measure(num_envs: Iterable[int], repeats: int) -> Iterator[Measurement]:
    """Measure whole epochs of preset ``keras``, and training at PureJaxRL's setting.

    Args:
        num_envs: Batch sizes for the latter.
        repeats: Counted repetitions of the latter; the former is measured once, because the example takes half a
            minute.

    Yields:
        Each case.
    """
    yield measure_keras(repeats=1)
    for size in num_envs:
        yield measure_as_purejaxrl(size, repeats)


def measure_keras(repeats: int) -> Result | Skipped:
    """Measure whole epochs of 4,000 steps and an update, early stopping included."""
    ours = compiled_agent(PRESETS["keras"])
    steps = ours.config.rollout_size

    def measure_with(peer: PeerProcess) -> Comparison:
        peer.call("epoch", _EXAMPLE_WARM_UP_STEPS)
        return compare(ours.train_epoch, partial(peer.call, "epoch", steps), repeats, work=steps, warm_up=False)

    return measured_against(
        KERAS_EXAMPLE,
        example_arguments(ours),
        measure_with,
        case="epoch, preset keras",
        num_envs=1,
        unit="steps",
    )


def purejaxrl_config(num_envs: int, epochs: int) -> PPOConfig:
    """Return PureJaxRL's hyperparameters: rollouts of 128 steps, 4 passes over 4 minibatches each.

    Two details differ: PureJaxRL clips the value loss and takes truncation for termination.

    Args:
        num_envs: Size of the batch.
        epochs: Over how many the learning rate falls to 0.
    """
    return PRESETS["fast"].replace(
        num_envs=num_envs,
        epochs=epochs,
        steps_per_epoch=128 * num_envs,
        target_return=None,
        policy_learning_rate=2.5e-4,
        value_learning_rate=2.5e-4,
        learning_rate_schedule="linear",
        max_gradient_norm=0.5,
        entropy_coefficient=0.01,
        advantage_normalization="minibatch",
        policy_update_epochs=4,
        value_update_epochs=4,
        minibatch_size=32 * num_envs,
    )


def measure_as_purejaxrl(num_envs: int, repeats: int) -> Result | Skipped:
    """Measure steps per second of training with PureJaxRL's hyperparameters.

    Args:
        num_envs: Size of the batch.
        repeats: Counted repetitions of each.
    """
    ours_updates, peer_updates = max(1, _UPDATES * 256 // num_envs), max(1, _PEER_UPDATES * 256 // num_envs)
    # One repetition does not count.
    config = purejaxrl_config(num_envs, epochs=(repeats + 1) * ours_updates)
    ours = compiled_agent(config)

    def train() -> None:
        for _ in range(ours_updates):
            ours.train_epoch()

    return measured_against(
        JAX_PPO,
        (num_envs, config.num_steps, (repeats + 1) * peer_updates),
        lambda peer: compare(
            train,
            partial(peer.call, "train", peer_updates),
            repeats,
            work=ours_updates * config.rollout_size,
            peer_work=peer_updates * config.rollout_size,
            settling_s=SETTLING_S,
        ),
        case="training, PureJaxRL's setting",
        num_envs=num_envs,
        unit="steps",
    )
