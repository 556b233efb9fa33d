"""Learning curves of training runs as images."""

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
"""x, ascending, and the mean returns there."""

_FIELDS: dict[XAxis, tuple[str, str]] = {
    "steps": ("env_steps", "environment steps"),
    "seconds": ("elapsed_s", "training time in seconds"),
}
_POINTS_OF_A_MEAN = 400
# Runs that differ in these differ in most settings.
_NAMING = ("env_id", "preset")


def has_returns(run: RunDirectory) -> bool:
    """Return whether an episode has ended in the run, so that there is a curve to draw."""
    return len(_curve(run, "steps")[0]) > 0


def plot_learning_curves(runs: Sequence[RunDirectory], path: Path, x_axis: XAxis = "steps") -> None:
    """Draw the mean returns of runs: one line for each setting, the mean over its seeds, with a band around it.

    Args:
        runs: At least one; those that differ in nothing but the seed share a line. An episode has ended in each.
        path: Where to write, in the format that the suffix names.
        x_axis: Whether returns are drawn over environment steps or over seconds of training.

    Raises:
        OSError: If a run cannot be read or the image cannot be written.
        ValueError: If a file of a run is damaged, or the format unknown.
    """
    plot_curves(curves_of_runs(runs, x_axis), path, x_axis)


def curves_of_runs(runs: Sequence[RunDirectory], x_axis: XAxis) -> dict[str, list[Curve]]:
    """Return the curves of the runs of each setting, under a label that tells it from the others.

    Raises:
        OSError: If a run cannot be read.
        ValueError: If a file of a run is damaged.
    """
    return {label: [_curve(run, x_axis) for run in members] for label, members in _by_setting(runs).items()}


@own_settings()
def plot_curves(curves: Mapping[str, Sequence[Curve]], path: Path, x_axis: XAxis) -> None:
    """Draw learning curves: one line for each setting, the mean over its seeds, with a band around it.

    The band is one standard deviation to either side. A run that ended before the others of its setting counts with its
    last value from there on: most ended because they had reached their target.

    Args:
        curves: Those of each setting, at least one, by its label.
        path: Where to write, in the format that the suffix names.
        x_axis: What x is.

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
    """Return x and the mean return of the epochs by whose end an episode has ended, shape (epochs,)."""
    points = [(getattr(row, _FIELDS[x_axis][0]), row.mean_return) for row in run.read_metrics()]
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return x[np.isfinite(y)], y[np.isfinite(y)]


def _by_setting(runs: Sequence[RunDirectory]) -> dict[str, list[RunDirectory]]:
    """Return the runs of each setting, under a label that tells it from the others."""
    settings = [{k: v for k, v in run.read_config().as_dict().items() if k != "seed"} for run in runs]
    labels = [_label(setting, settings) for setting in settings]
    groups: dict[str, list[RunDirectory]] = {}
    for label, run in zip(labels, runs, strict=True):
        groups.setdefault(label, []).append(run)
    return groups


def _label(setting: dict[str, object], others: Sequence[dict[str, object]]) -> str:
    """Return environment, where there are several, preset, and the fields in which runs that agree in both differ."""
    alike = [other for other in others if all(other[name] == setting[name] for name in _NAMING)]
    differing = [name for name in setting if any(other[name] != setting[name] for other in alike)]
    environments = {other["env_id"] for other in others}
    names = [f"preset {setting['preset']}", *(f"{name} {json.dumps(setting[name])}" for name in differing)]
    return ", ".join([str(setting["env_id"]), *names] if len(environments) > 1 else names)


def start_at_zero(axes: Axes) -> None:
    """Let the axis of returns begin with 0, where none is below."""
    if axes.dataLim.ymin >= 0.0:
        axes.set_ylim(bottom=0.0)


def on_common_grid(curves: Sequence[Curve], num_points: int) -> Curve:
    """Return points x that all curves have reached, shape (K,), and the curves there, shape (curves, K).

    Args:
        curves: Points x and y of each, ascending in x; one that ends before others goes on with its last value.
        num_points: K.
    """
    start, end = max(x[0] for x, _ in curves), max(x[-1] for x, _ in curves)
    grid = np.linspace(start, end, num_points)
    return grid, np.array([np.interp(grid, x, y) for x, y in curves])


def _draw(axes: Axes, curves: Sequence[Curve], label: str) -> None:
    """Draw one run, or the mean of several and how far they spread."""
    if len(curves) == 1:
        axes.plot(*curves[0], label=label)
        return
    grid, returns = on_common_grid(curves, _POINTS_OF_A_MEAN)
    mean, deviation = returns.mean(axis=0), returns.std(axis=0)
    (line,) = axes.plot(grid, mean, label=f"{label}: mean and standard deviation of {len(curves)} runs")
    axes.fill_between(grid, mean - deviation, mean + deviation, color=line.get_color(), alpha=0.25, linewidth=0.0)
