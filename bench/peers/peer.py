"""What fastppo is measured against, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from bench.harness import Comparison, Result, Skipped
from bench.peers.process import PeerError, PeerProcess


@dataclass(frozen=True)
class Peer:
    """A peer that runs in a process of its own.

    Attributes:
        name: What tables call it.
        factory: Where its class is, as ``module:name``.
        packages: What it imports beyond fastppo's own dependencies.
    """

    name: str
    factory: str
    packages: tuple[str, ...] = ()

    def start(self, *arguments: Any) -> PeerProcess:
        """Start its process.

        Args:
            arguments: What its class is called with; they are pickled.

        Raises:
            PeerError: If a package is missing, or the class cannot be called.
        """
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            raise PeerError(f"{' and '.join(missing)} not installed: pip install 'fastppo[bench-peers]'.")
        return PeerProcess(self.factory, *arguments)


def measured_against(
    peer: Peer,
    arguments: tuple[Any, ...],
    measure: Callable[[PeerProcess], Comparison],
    *,
    case: str,
    num_envs: int,
    unit: str,
) -> Result | Skipped:
    """Start a peer, measure, and end it; where the peer fails, say so instead.

    Args:
        peer: What to measure against.
        arguments: What its class is called with.
        measure: Takes the running peer, returns the durations.
        case: What of ours is measured.
        num_envs: Size of the batch of environments.
        unit: Unit of the work.
    """
    try:
        with peer.start(*arguments) as process:
            return Result(case, peer.name, num_envs, unit, measure(process))
    except PeerError as error:
        return Skipped(case, peer.name, num_envs, str(error))


KERAS_EXAMPLE = Peer("the Keras example's loop", "bench.peers.keras_example:KerasExampleLoop")
JAX_ROLLOUT = Peer("JAX, gymnax, one lax.scan", "bench.peers.jax_ppo:JaxRollout", ("jax", "gymnax", "optax"))
JAX_PPO = Peer("PureJaxRL's PPO, written anew", "bench.peers.jax_ppo:JaxPPO", ("jax", "gymnax", "optax"))
