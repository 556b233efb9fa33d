"""Sweeps as images: learning curves and performance profiles, with 95% bootstrap bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..views.figures import Axes, Figure, own_settings
from ..views.plots import on_common_grid, start_at_zero
from .statistics import band, final_returns, interquartile_mean
from .worker import Outcome

_POINTS = 200
_ESTIMATE = "interquartile mean and 95% bootstrap interval"

Groups = Mapping[str, tuple[Sequence[Outcome], int]]
Statistic = Callable[..., Any]


@own_settings()
def plot_learning_curves(groups: Groups, path: Path) -> None:
    """Draw the interquartile mean of the mean returns over environment steps, a line for each setting.

    A run that ended before others of its setting counts with its last value from there on.

    Args:
        groups: The outcomes of each setting and its number of failed runs, by its label. Settings in whose runs no
            episode has ended are left out, as are failed runs.
        path: Where to write, in the format that the suffix names.

    Raises:
        OSError: If it cannot be written.
    """
    figure, axes = _figure("environment steps", "mean return", f"Learning curves: {_ESTIMATE}")
    for label, (outcomes, failed) in groups.items():
        curves = [curve for curve in map(_curve, outcomes) if len(curve[0])]
        if curves:
            grid, returns = on_common_grid(curves, _POINTS)
            _draw(axes, grid, returns, label, failed, interquartile_mean)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _save(figure, axes, path)


@own_settings()
def plot_profile(groups: Groups, path: Path) -> None:
    """Draw which share of the runs that ended reaches which final return (Agarwal et al. 2021, section 4.2).

    Args:
        groups: The outcomes of each setting and its number of failed runs, by its label. The legend tells how many
            failed; settings of which no run ended are left out.
        path: Where to write, in the format that the suffix names.

    Raises:
        OSError: If it cannot be written.
    """
    every = final_returns([outcome for outcomes, _ in groups.values() for outcome in outcomes])
    thresholds = np.linspace(every.min(), every.max(), _POINTS) if every.size else every
    figure, axes = _figure("final return", "share of runs with at least this return", "Performance profile")
    for label, (outcomes, failed) in groups.items():
        if outcomes:
            reached = (final_returns(outcomes)[:, None] >= thresholds).astype(np.float64)
            _draw(axes, thresholds, reached, label, failed, np.mean)
    _save(figure, axes, path)


def _curve(outcome: Outcome) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return environment steps and mean returns of the epochs by whose end an episode has ended."""
    points = np.array([(point.env_steps, point.mean_return) for point in outcome.curve], dtype=np.float64)
    known = points[np.isfinite(points[:, 1])]
    return known[:, 0], known[:, 1]


def _figure(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.grid(alpha=0.3)
    return figure, axes


def _draw(
    axes: Axes,
    x: npt.NDArray[np.float64],
    samples: npt.NDArray[np.float64],
    label: str,
    failed: int,
    statistic: Statistic,
) -> None:
    """Draw a statistic of samples, shape (runs, K), and its band."""
    value, low, high = band(samples, statistic)
    failures = f", {failed} failed" if failed else ""
    (line,) = axes.plot(x, value, label=f"{label}: {len(samples)} runs{failures}")
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.25, linewidth=0.0)


def _save(figure: Figure, axes: Axes, path: Path) -> None:
    start_at_zero(axes)
    if axes.lines:
        figure.legend(loc="outside lower center")
    figure.savefig(path, dpi=150)
