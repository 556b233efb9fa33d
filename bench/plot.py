"""The plot of ``fastppo bench --plot``: cost by number of environments, and speed by number of threads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agent.views.figures import Axes, Figure, own_settings
from bench.results import CaseResult, Measurement

_SIZE, _THREADS = "size of the batch", "threads of a rollout"


@own_settings()
def plot_scaling(measurements: Iterable[Measurement], path: Path) -> None:
    """Plot the results of the family ``scaling``.

    Args:
        measurements: Results; those of other families are ignored.
        path: Image file to write; the suffix selects the format.

    Raises:
        OSError: If the file cannot be written.
    """
    results = [item for item in measurements if isinstance(item, CaseResult) and item.family == "scaling"]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    cost, speed = figure.subplots(1, 2)
    _draw_cost(cost, [result for result in results if result.case == _SIZE])
    _draw_speed(speed, [result for result in results if result.case == _THREADS])
    figure.savefig(path, dpi=150)


def _draw_cost(axes: Axes, results: list[CaseResult]) -> None:
    curves: dict[str, list[tuple[int, float]]] = {}
    for result in results:
        for timing in result.timings:
            curves.setdefault(timing.name, []).append((result.num_envs, 1e9 / timing.rate))
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axes.set(
        xscale="log", yscale="log", xlabel="environments", ylabel="ns per environment step", title="Cost of a step"
    )
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_speed(axes: Axes, results: list[CaseResult]) -> None:
    curves: dict[str, list[tuple[int, float]]] = {}
    for result in results:
        for timing in result.timings:
            curves.setdefault(timing.name.split(",")[0], []).append((timing.threads, timing.rate / 1e6))
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xlabel="threads", ylabel="million steps per s", title="Rollouts of 65,536 environments", ylim=(0, None))
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
