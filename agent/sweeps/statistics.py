"""Statistics over the runs of a sweep.

They follow Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021): interquartile
mean, mean, median and optimality gap with 95% intervals from a percentile bootstrap, and performance profiles. Their
bootstrap is stratified by task. A sweep has a single task, so each setting is simply resampled separately.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from .worker import Outcome

_CONFIDENCE = 0.95
_RESAMPLES = 5000
_RESAMPLES_OF_A_BAND = 1000
_SEED = 0
# Bootstrap samples in memory at once, of 8 bytes each.
_NUMBERS_AT_ONCE = 20_000_000

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A statistic and its 95% bootstrap interval.

    Attributes:
        value: The statistic over the runs.
        low: Lower end of the interval; NaN if there are fewer than two runs.
        high: Upper end of the interval; NaN if there are fewer than two runs.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Statistics over the runs of one setting that did not fail; None if all failed.

    Attributes:
        runs: Number of runs, including failed ones.
        failed: Number of failed runs.
        failed_share: Fraction of the runs that failed.
        ended_early: Number of runs that ended early because they reached their target return.
        interquartile_mean: Mean of the middle half of the final returns.
        mean: Mean final return.
        median: Median final return.
        optimality_gap: Mean shortfall of the final returns from the target return; None if a run has no target.
        solved: Fraction of the runs whose final return reaches the target return; None if a run has no target.
        steps_to_solve: Median environment steps of the runs that ended early; None if there are none.
        seconds_to_solve: Median training time in seconds of the runs that ended early; None if there are none.
    """

    runs: int
    failed: int
    failed_share: float
    ended_early: int
    interquartile_mean: Estimate | None
    mean: Estimate | None
    median: Estimate | None
    optimality_gap: Estimate | None
    solved: Estimate | None
    steps_to_solve: Estimate | None
    seconds_to_solve: Estimate | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serializable values; NaN becomes None."""
        return {name: _without_nan(value) for name, value in asdict(self).items()}


def summarize(outcomes: Sequence[Outcome], failed: int = 0) -> Summary:
    """Return the statistics over the runs of one setting.

    Failed runs, whose worker was lost or whose training diverged, have no return: they are counted separately and do
    not enter the statistics.

    Args:
        outcomes: Outcomes of the runs that did not fail.
        failed: Number of failed runs; there must be at least one run in total.
    """
    runs = len(outcomes) + failed
    returns = final_returns(outcomes)
    targets = [outcome.target_return for outcome in outcomes]
    have_targets = None not in targets
    shortfalls = returns - np.array(targets, dtype=np.float64) if have_targets else returns[:0]
    solved = np.array([float(bool(outcome.solved)) for outcome in outcomes if have_targets])
    ended = [outcome for outcome in outcomes if outcome.ended_early]
    return Summary(
        runs=runs,
        failed=failed,
        failed_share=failed / runs,
        ended_early=len(ended),
        interquartile_mean=_estimate_if_any(returns, interquartile_mean),
        mean=_estimate_if_any(returns, np.mean),
        median=_estimate_if_any(returns, np.median),
        optimality_gap=_estimate_if_any(shortfalls, optimality_gap),
        solved=_estimate_if_any(solved, np.mean),
        steps_to_solve=_estimate_if_any(np.array([float(outcome.env_steps) for outcome in ended]), np.median),
        seconds_to_solve=_estimate_if_any(np.array([outcome.train_s for outcome in ended]), np.median),
    )


def final_returns(outcomes: Sequence[Outcome]) -> Points:
    """Return the final returns of runs, shape (runs,)."""
    return np.array([outcome.final_return for outcome in outcomes], dtype=np.float64)


def interquartile_mean(returns: Points, axis: int = -1) -> Points:
    """Return the mean without the lowest and the highest quarter, each rounded down to whole runs."""
    return np.asarray(stats.trim_mean(returns, 0.25, axis=axis))


def optimality_gap(differences: Points, axis: int = -1) -> Points:
    """Return the mean shortfall of runs from their target return.

    Args:
        differences: Final return minus target return of each run.
        axis: The axis of the runs.
    """
    return np.asarray(np.mean(np.maximum(0.0, -differences), axis=axis))


def estimate(samples: Points, statistic: Callable[..., Any]) -> Estimate:
    """Return a statistic of samples, shape (n,), and its 95% percentile bootstrap interval."""
    value = float(statistic(samples))
    if len(samples) < 2:
        return Estimate(value, math.nan, math.nan)
    low, high = _interval(samples, statistic, _RESAMPLES)
    return Estimate(value, float(low), float(high))


def _interval(samples: Points, statistic: Callable[..., Any], resamples: int) -> tuple[Points, Points]:
    """Return the 95% percentile bootstrap interval of a statistic over the first axis of samples."""
    interval = stats.bootstrap(
        (samples,),
        statistic,
        axis=0,
        n_resamples=resamples,
        # With very many runs, all resamples at once would not fit in memory.
        batch=max(1, _NUMBERS_AT_ONCE // samples.size),
        confidence_level=_CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=_SEED,
    ).confidence_interval
    return np.asarray(interval.low), np.asarray(interval.high)


def _estimate_if_any(samples: Points, statistic: Callable[..., Any]) -> Estimate | None:
    return estimate(samples, statistic) if len(samples) else None


def band(samples: Points, statistic: Callable[..., Any]) -> tuple[Points, Points, Points]:
    """Return a statistic of n runs at K points and its 95% percentile bootstrap interval, each of shape (K,).

    Args:
        samples: Shape (n, K).
        statistic: Function of samples and the axis of the runs.
    """
    value = np.asarray(statistic(samples, axis=0))
    # A single run cannot be resampled.
    low, high = _interval(samples, statistic, _RESAMPLES_OF_A_BAND) if len(samples) > 1 else (value, value)
    return value, low, high


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    return None if isinstance(content, float) and math.isnan(content) else content
