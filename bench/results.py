"""Results of a benchmark, and their form in JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["ours", "peer", "limit"]


@dataclass(frozen=True)
class Timing:
    """Timings of one entrant of a case.

    Attributes:
        name: Name of the entrant.
        side: ``"ours"`` for fastppo, ``"peer"``, or ``"limit"`` for a limit of the machine.
        work: Units of work in one repetition.
        durations: Durations of the timed repetitions in s, one per round.
        first_call_s: Duration of construction and first repetition in s, including compilation or the loading of
            cached compiled code.
        peak_memory_mib: Peak resident memory of its process up to the end of the first repetition, in MiB; NaN if the
            system does not report it.
        threads: Number of threads it was given; 0 if the library decides.
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
        """Units of work per s, one rate per round."""
        return tuple(self.work / duration for duration in self.durations)

    @property
    def rate(self) -> float:
        """The median of the rates."""
        return statistics.median(self.rates)


@dataclass(frozen=True)
class CaseResult:
    """Result of one case: the same kind of work, done by several entrants alternately.

    Attributes:
        family: Family that the case belongs to.
        case: Name of the case.
        num_envs: Number of environments.
        unit: Unit of the work.
        timings: Timings of the entrants that could be measured.
    """

    family: str
    case: str
    num_envs: int
    unit: str
    timings: tuple[Timing, ...]

    def ratios(self, timing: Timing) -> tuple[float, ...]:
        """Return how many times as fast as another entrant the first entrant of fastppo was, round by round.

        For a limit, this is the fraction of the limit that was reached. The result is empty for fastppo's entrant
        itself, and if fastppo was not measured.

        Args:
            timing: Timing of the other entrant.
        """
        reference = next((other for other in self.timings if other.side == "ours"), None)
        if reference is None or reference is timing:
            return ()
        return tuple(ours / other for ours, other in zip(reference.rates, timing.rates, strict=False))


@dataclass(frozen=True)
class Distribution:
    """A figure that is measured several times independently, such as the time to solve CartPole over seeds.

    Attributes:
        family: Family that the figure belongs to.
        case: Name of the figure.
        num_envs: Number of environments.
        unit: Unit of the values.
        name: Name of the entrant.
        side: ``"ours"`` for fastppo, or ``"peer"``.
        values: Measured values, in the order of measurement; NaN if there was nothing to measure.
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
    """An entrant that was not measured.

    Attributes:
        family: Family that the case belongs to.
        case: Name of the case.
        num_envs: Number of environments.
        name: Name of the entrant.
        reason: Sentence that explains why.
    """

    family: str
    case: str
    num_envs: int
    name: str
    reason: str


Measurement = CaseResult | Distribution | Skipped


def as_json(measurements: Iterable[Measurement], machine: dict[str, Any]) -> dict[str, Any]:
    """Return all results as JSON-serializable values; NaN becomes null.

    Args:
        measurements: Measurements, in the order in which they were taken.
        machine: Description of the machine, as ``bench.machine.describe`` returns it.
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
