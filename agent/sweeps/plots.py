"""Plots of sweeps: learning curves and performance profiles, with 95% bootstrap bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..process.surroundings import show_warning
from ..views.figures import Axes, Figure, add_legend, own_settings
from ..views.plots import Curve, XAxis, on_common_grid, start_at_zero
from .directory import SweepDirectory
from .grid import label_of, runs_of
from .statistics import band, final_returns, interquartile_mean
from .worker import Outcome

_POINTS = 200
_MARGIN = 0.05
_ESTIMATE = "interquartile mean and 95% bootstrap interval"

Groups = Mapping[str, tuple[Sequence[Outcome], int]]
Statistic = Callable[..., Any]


@own_settings()
def plot_learning_curves(groups: Groups, path: Path) -> None:
    """Plot the interquartile mean of the mean returns over environment steps, with a line for each setting.

    After a run has ended, its last value is used.

    Args:
        groups: The outcomes and the number of failed runs of each setting, by label. Failed runs, and settings in whose
            runs no episode has ended, are omitted.
        path: File to write; its suffix determines the format.

    Raises:
        OSError: If it cannot be written.
    """
    figure, axes = _figure("environment steps", "mean return", f"Learning curves: {_ESTIMATE}")
    for label, (outcomes, failed) in groups.items():
        curves = [curve for outcome in outcomes if len((curve := _curve(outcome, "steps"))[0])]
        if curves:
            grid, returns = on_common_grid(curves, _POINTS)
            _draw(axes, grid, returns, label, failed, interquartile_mean)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _save(figure, axes, path)


@own_settings()
def plot_profile(groups: Groups, path: Path) -> None:
    """Plot the fraction of runs that reach each final return (Agarwal et al. 2021, section 4.2).

    Args:
        groups: The outcomes and the number of failed runs of each setting, by label. The legend shows how many runs
            failed; settings in which all runs failed are omitted.
        path: File to write; its suffix determines the format.

    Raises:
        OSError: If it cannot be written.
    """
    every = final_returns([outcome for outcomes, _ in groups.values() for outcome in outcomes])
    # Beyond the highest return, so that the drop to 0 is visible even if all runs have the same return.
    margin = _MARGIN * (np.ptp(every) or abs(every[0]) or 1.0) if every.size else 0.0
    thresholds = np.linspace(every.min() - margin, every.max() + margin, _POINTS) if every.size else every
    figure, axes = _figure("final return", "share of runs with at least this return", "Performance profile")
    for label, (outcomes, failed) in groups.items():
        if outcomes:
            reached = (final_returns(outcomes)[:, None] >= thresholds).astype(np.float64)
            _draw(axes, thresholds, reached, label, failed, np.mean)
    _save(figure, axes, path)


def curves_of_sweep(directory: SweepDirectory, x_axis: XAxis) -> dict[str, list[Curve]]:
    """Return the learning curves of the runs that have ended without failure, by the label of their setting.

    Raises:
        OSError: If a file of the sweep cannot be read.
        ValueError: If a file is damaged, or no episode has ended in any run.
    """
    try:
        runs = runs_of(*directory.read_plan())
    except TypeError as error:
        raise ValueError(f"'{directory.plan_path}' is damaged: {error}") from None
    known = directory.read(runs)
    curves: dict[str, list[Curve]] = {}
    for run in runs:
        if run.key in known and len((curve := _curve(known[run.key], x_axis))[0]):
            curves.setdefault(f"{directory.shown_path}, {label_of(run)}", []).append(curve)
    if not curves:
        raise ValueError(f"no episode has ended in '{directory.shown_path}'.")
    if left_out := len(runs) - sum(map(len, curves.values())):
        name = directory.shown_path
        show_warning(f"{left_out} of {len(runs)} runs of '{name}' are not drawn: they have no result yet.")
    return curves


def _curve(outcome: Outcome, x_axis: XAxis) -> Curve:
    """Return x and the mean returns, from the first epoch in which an episode has ended."""
    x = [point.env_steps if x_axis == "steps" else point.train_s for point in outcome.curve]
    returns = [point.mean_return for point in outcome.curve]
    points = np.array([x, returns], dtype=np.float64)
    known = points[:, np.isfinite(points[1])]
    return known[0], known[1]


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
    """Draw a statistic of samples, shape (runs, K), with its band."""
    value, low, high = band(samples, statistic)
    failures = f", {failed} failed" if failed else ""
    (line,) = axes.plot(x, value, label=f"{label}: {len(samples)} runs{failures}")
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.25, linewidth=0.0)


def _save(figure: Figure, axes: Axes, path: Path) -> None:
    start_at_zero(axes)
    add_legend(figure, axes)
    figure.savefig(path, dpi=150)
