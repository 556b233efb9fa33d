"""How this package measures: alternating repetitions, medians, ratios pair by pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Two pieces of work measured in turn.

    Attributes:
        ours: Durations of our repetitions in s, in the order they were taken.
        peer: Durations of the peer's repetitions in s, each taken right after ours of the same index.
    """

    ours: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times longer the peer took, pair by pair."""
        return tuple(peer / ours for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def median_ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)


def compare(ours: Callable[[], object], peer: Callable[[], object], repeats: int) -> Comparison:
    """Time two pieces of equal work in turn, after one repetition of each that does not count.

    The machine's speed may drift: neighbours in time share it, so that ratios of pairs hold where times do not.

    Args:
        ours: Does our work.
        peer: Does the peer's.
        repeats: Counted repetitions of each, at least 1.

    Returns:
        All durations.
    """
    _duration(ours)
    _duration(peer)
    pairs = [(_duration(ours), _duration(peer)) for _ in range(repeats)]
    return Comparison(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def _duration(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
