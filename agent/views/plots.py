"""Plots of the learning curves of runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..runs.directory import RunDirectory
from .figures import Axes, Figure, add_legend, own_settings

XAxis = Literal["steps", "seconds"]
Points = npt.NDArray[np.float64]
Curve = tuple[Points, Points]
"""Ascending x, and the mean returns at these points."""

_FIELDS: dict[XAxis, tuple[str, str]] = {
    "steps": ("env_steps", "environment steps"),
    "seconds": ("elapsed_s", "training time in seconds"),
}
_POINTS_OF_A_MEAN = 400
# Runs that differ in these fields usually differ in most others, too.
_NAMING = ("env_id", "preset")


def has_returns(run: RunDirectory) -> bool:
    """Return whether an episode has ended in the run, so that it has a learning curve."""
    return len(_curve(run, "steps")[0]) > 0


def plot_learning_curves(runs: Sequence[RunDirectory], path: Path, x_axis: XAxis = "steps") -> None:
    """Plot the mean returns of runs: one line per setting, the mean over its seeds, with a band around it.

    Args:
        runs: At least one run; runs that differ only in the seed share a line. In each, an episode must have ended.
        path: File to write; its suffix determines the format.
        x_axis: Whether to plot over environment steps or over seconds of training.

    Raises:
        OSError: If a run cannot be read or the image cannot be written.
        ValueError: If a file of a run is damaged or the format is unknown.
    """
    plot_curves(curves_of_runs(runs, x_axis), path, x_axis)


def curves_of_runs(runs: Sequence[RunDirectory], x_axis: XAxis) -> dict[str, list[Curve]]:
    """Return the learning curves of runs, by a label that is unique for each setting.

    Raises:
        OSError: If a run cannot be read.
        ValueError: If a file of a run is damaged.
    """
    return {label: [_curve(run, x_axis) for run in members] for label, members in _by_setting(runs).items()}


@own_settings()
def plot_curves(curves: Mapping[str, Sequence[Curve]], path: Path, x_axis: XAxis) -> None:
    """Plot learning curves: one line per setting, the mean over its seeds, with a band around it.

    The band is one standard deviation to either side. After a run has ended, its last value is used, since most runs
    end because they have reached their target.

    Args:
        curves: The curves of each setting, at least one, by label.
        path: File to write; its suffix determines the format.
        x_axis: The unit of x.

    Raises:
        OSError: If the image cannot be written.
        ValueError: If the format is unknown.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for label, members in curves.items():
        _draw(axes, members, label)
    title = "Learning curve" + ("s" if sum(map(len, curves.values())) > 1 else "")
    axes.set(xlabel=_FIELDS[x_axis][1], ylabel="mean return", title=title)
    start_at_zero(axes)
    axes.xaxis.set_major_formatter("{x:,.0f}" if x_axis == "steps" else "{x:g}")
    axes.grid(alpha=0.3)
    add_legend(figure, axes)
    figure.savefig(path, dpi=150)


def _curve(run: RunDirectory, x_axis: XAxis) -> Curve:
    """Return x and the mean returns, from the first epoch in which an episode has ended, each of shape (epochs,)."""
    points = [(getattr(row, _FIELDS[x_axis][0]), row.mean_return) for row in run.read_metrics()]
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return x[np.isfinite(y)], y[np.isfinite(y)]


def _by_setting(runs: Sequence[RunDirectory]) -> dict[str, list[RunDirectory]]:
    """Return the runs of each setting, by a label that is unique for each setting."""
    settings = [{k: v for k, v in run.read_config().as_dict().items() if k != "seed"} for run in runs]
    labels = [_label(setting, settings) for setting in settings]
    groups: dict[str, list[RunDirectory]] = {}
    for label, run in zip(labels, runs, strict=True):
        groups.setdefault(label, []).append(run)
    return groups


def _label(setting: dict[str, object], others: Sequence[dict[str, object]]) -> str:
    """Return a label of the environment, if there are several, the preset, and the fields in which runs differ."""
    alike = [other for other in others if all(other[name] == setting[name] for name in _NAMING)]
    differing = [name for name in setting if any(other[name] != setting[name] for other in alike)]
    environments = {other["env_id"] for other in others}
    names = [f"preset {setting['preset']}", *(f"{name} {json.dumps(setting[name])}" for name in differing)]
    return ", ".join([str(setting["env_id"]), *names] if len(environments) > 1 else names)


def start_at_zero(axes: Axes) -> None:
    """Start the axis of returns at 0 unless a return is negative."""
    if axes.dataLim.ymin >= 0.0:
        axes.set_ylim(bottom=0.0)


def on_common_grid(curves: Sequence[Curve], num_points: int) -> Curve:
    """Interpolate curves on a common grid.

    The grid starts where all curves have started. After the end of a curve, its last value is used.

    Args:
        curves: Points x and y of each curve, ascending in x.
        num_points: K.

    Returns:
        The grid, shape (K,), and the curves on it, shape (curves, K).
    """
    start, end = max(x[0] for x, _ in curves), max(x[-1] for x, _ in curves)
    grid = np.linspace(start, end, num_points)
    return grid, np.array([np.interp(grid, x, y) for x, y in curves])


def _draw(axes: Axes, curves: Sequence[Curve], label: str) -> None:
    """Draw one run, or the mean and the standard deviation of several."""
    if len(curves) == 1:
        axes.plot(*curves[0], label=label)
        return
    grid, returns = on_common_grid(curves, _POINTS_OF_A_MEAN)
    mean, deviation = returns.mean(axis=0), returns.std(axis=0)
    (line,) = axes.plot(grid, mean, label=f"{label}: mean and standard deviation of {len(curves)} runs")
    axes.fill_between(grid, mean - deviation, mean + deviation, color=line.get_color(), alpha=0.25, linewidth=0.0)
