"""How this package measures: alternating repetitions, medians, ratios pair by pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

# Matrix libraries keep their threads spinning for some 25 ms after a call, on the cores the other side needs.
SETTLING_S = 0.1


class MeasurementError(RuntimeError):
    """What is to be measured fails."""


class WrongResultError(MeasurementError):
    """What is to be measured does not compute what its peer computes."""


@dataclass(frozen=True)
class Comparison:
    """Two pieces of work measured in turn.

    Attributes:
        ours: Durations of our repetitions in s, in the order they were taken.
        peer: Durations of the peer's repetitions in s, each taken right after ours of the same index.
        ours_work: How much work one of our repetitions does, in units such as environment steps.
        peer_work: How much one of the peer's does, in the same units.
    """

    ours: tuple[float, ...]
    peer: tuple[float, ...]
    ours_work: float = 1.0
    peer_work: float = 1.0

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times longer the peer took for the same work, pair by pair."""
        scale = self.ours_work / self.peer_work
        return tuple(scale * peer / ours for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def median_ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def ours_rate(self) -> float:
        """Our work per s, by the median duration."""
        return self.ours_work / statistics.median(self.ours)

    @property
    def peer_rate(self) -> float:
        """The peer's work per s, by the median duration."""
        return self.peer_work / statistics.median(self.peer)


@dataclass(frozen=True)
class Result:
    """One case measured against a peer.

    Attributes:
        case: What of ours was measured.
        peer: What it was measured against.
        num_envs: Size of the batch of environments.
        unit: Unit of the work.
        comparison: The durations.
    """

    case: str
    peer: str
    num_envs: int
    unit: str
    comparison: Comparison


@dataclass(frozen=True)
class Skipped:
    """One case that could not be measured.

    Attributes:
        case: What of ours should have been measured.
        peer: What it should have been measured against.
        num_envs: Size of the batch of environments.
        reason: Why not, as a sentence.
    """

    case: str
    peer: str
    num_envs: int
    reason: str


@dataclass(frozen=True)
class Distribution:
    """A figure of ours that has no peer in the same run, taken many times.

    Attributes:
        case: What was measured.
        num_envs: Size of the batch of environments.
        unit: Unit of the values.
        values: The figures, in the order they were taken; NaN where there was nothing to measure.
    """

    case: str
    num_envs: int
    unit: str
    values: tuple[float, ...]


Measurement = Result | Distribution | Skipped


def compare(
    ours: Callable[[], object],
    peer: Callable[[], object],
    repeats: int,
    *,
    work: float = 1.0,
    peer_work: float | None = None,
    warm_up: bool = True,
    settling_s: float = 0.0,
) -> Comparison:
    """Time two pieces of work in turn, after one repetition of each that does not count.

    The machine's speed may drift: neighbours in time share it, so that ratios of pairs hold where times do not.

    Args:
        ours: Does our work.
        peer: Does the peer's.
        repeats: Counted repetitions of each, at least 1.
        work: How much work ``ours`` does, in units of the caller's choice.
        peer_work: How much work ``peer`` does, in the same units; None for as much.
        warm_up: Whether to run the repetitions that do not count; False if both have run before.
        settling_s: Pause before each repetition in s, for the other side's threads to come to rest.

    Returns:
        All durations.
    """
    if warm_up:
        ours()
        peer()
    pairs = [(_duration(ours, settling_s), _duration(peer, settling_s)) for _ in range(repeats)]
    ours_durations, peer_durations = zip(*pairs, strict=True)
    return Comparison(ours_durations, peer_durations, work, work if peer_work is None else peer_work)


def _duration(work: Callable[[], object], settling_s: float) -> float:
    time.sleep(settling_s)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
