"""What a benchmark has found, and how it is written as JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["ours", "peer", "limit"]


@dataclass(frozen=True)
class Timing:
    """The durations of one entrant of a case.

    Attributes:
        name: What was measured.
        side: Whether it is ours, a peer, or a limit of the machine.
        work: Units of work of one repetition.
        durations: Of the counted repetitions in s, by round.
        first_call_s: Construction and first repetition in s: compilation, or loading of what was compiled before.
        peak_memory_mib: Peak resident memory of its process until the end of the first repetition, in MiB; NaN where
            the system does not tell.
        threads: How many threads it was given; 0 where the library decides.
    """

    name: str
    side: Side
    work: float
    durations: tuple[float, ...]
    first_call_s: float
    peak_memory_mib: float
    threads: int = 0

    @property
    def rates(self) -> tuple[float, ...]:
        """Units of work per s, by round."""
        return tuple(self.work / duration for duration in self.durations)

    @property
    def rate(self) -> float:
        """The median of the rates."""
        return statistics.median(self.rates)


@dataclass(frozen=True)
class CaseResult:
    """One case: the same kind of work, done by several entrants in turn.

    Attributes:
        family: The family of cases.
        case: What was done.
        num_envs: Size of the batch of environments.
        unit: Unit of the work.
        timings: Of the entrants that could be measured.
    """

    family: str
    case: str
    num_envs: int
    unit: str
    timings: tuple[Timing, ...]

    def ratios(self, timing: Timing) -> tuple[float, ...]:
        """Return how many times faster the first of ours was than another entrant, round by round.

        For a limit that is the share of it that was reached. Empty for ours itself, and where ours was not measured.
        """
        reference = next((other for other in self.timings if other.side == "ours"), None)
        if reference is None or reference is timing:
            return ()
        return tuple(ours / other for ours, other in zip(reference.rates, timing.rates, strict=False))


@dataclass(frozen=True)
class Distribution:
    """A figure that is taken many times on its own, such as the time to solve CartPole over seeds.

    Attributes:
        family: The family of cases.
        case: What was measured.
        num_envs: Size of the batch of environments.
        unit: Unit of the values.
        name: Whose figure it is.
        side: Whether that is ours or a peer.
        values: The figures, in the order they were taken; NaN where there was nothing to measure.
    """

    family: str
    case: str
    num_envs: int
    unit: str
    name: str
    side: Side
    values: tuple[float, ...]


@dataclass(frozen=True)
class Skipped:
    """What could not be measured.

    Attributes:
        family: The family of cases.
        case: The case.
        num_envs: Size of the batch of environments.
        name: The entrant.
        reason: Why not, as a sentence.
    """

    family: str
    case: str
    num_envs: int
    name: str
    reason: str


Measurement = CaseResult | Distribution | Skipped


def as_json(measurements: Iterable[Measurement], machine: dict[str, Any]) -> dict[str, Any]:
    """Return everything that was found as JSON-serializable values; what is not a number is null.

    Args:
        measurements: In the order they were taken.
        machine: What they were taken on.
    """
    measurements = list(measurements)
    return {
        "format": 1,
        "machine": machine,
        "cases": [_case_as_json(item) for item in measurements if isinstance(item, CaseResult)],
        "distributions": [
            {**vars(item), "values": [_number(value) for value in item.values]}
            for item in measurements
            if isinstance(item, Distribution)
        ],
        "not_measured": [dict(vars(item)) for item in measurements if isinstance(item, Skipped)],
    }


def _case_as_json(result: CaseResult) -> dict[str, Any]:
    entrants = [
        {
            **vars(timing),
            "durations": list(timing.durations),
            "peak_memory_mib": _number(timing.peak_memory_mib),
            "rate": timing.rate,
            "ratios": list(result.ratios(timing)),
        }
        for timing in result.timings
    ]
    return {
        "family": result.family,
        "case": result.case,
        "num_envs": result.num_envs,
        "unit": result.unit,
        "entrants": entrants,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
