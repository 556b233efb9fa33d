"""Updates of the networks."""

from __future__ import annotations

from functools import partial

from bench.agents import KERAS_WITHOUT_THRESHOLD, compiled_agent, example_arguments
from bench.harness import Comparison, Result, Skipped, WrongResultError, compare
from bench.peers.peer import KERAS_EXAMPLE, measured_against
from bench.peers.process import PeerProcess

_LARGEST_DIFFERENCE = 1e-4


def measure(repeats: int) -> Result | Skipped:
    """Measure updates of 80 policy and 80 value iterations on the same 4,000 transitions.

    Args:
        repeats: Counted repetitions of each.

    Raises:
        WrongResultError: If, after the first update, the two KL divergences differ.
    """
    ours = compiled_agent(KERAS_WITHOUT_THRESHOLD)
    batch = ours.update_batch(ours.collect())

    def measure_with(peer: PeerProcess) -> Comparison:
        divergences = ours.update(batch).kl, peer.call("update", *batch)
        if not abs(divergences[0] - divergences[1]) <= _LARGEST_DIFFERENCE:
            raise WrongResultError(
                f"After one update the KL divergence is {divergences[0]}, the peer's {divergences[1]}."
            )
        return compare(partial(ours.update, batch), partial(peer.call, "update", *batch), repeats, warm_up=False)

    return measured_against(
        KERAS_EXAMPLE,
        example_arguments(ours),
        measure_with,
        case="update, preset keras",
        num_envs=1,
        unit="updates",
    )
