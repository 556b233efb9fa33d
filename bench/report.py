"""Measurements as tables on the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.harness import Distribution, Measurement, Result, Skipped

# As wide as the tables need, also where the output is not a terminal.
_LEAST_WIDTH = 140


def print_report(measurements: Iterable[Measurement]) -> None:
    """Print comparisons, distributions and what could not be measured, each as a table of its own."""
    measurements = list(measurements)
    console = Console(width=max(_LEAST_WIDTH, Console().width), highlight=False)
    comparisons = [item for item in measurements if isinstance(item, Result)]
    distributions = [item for item in measurements if isinstance(item, Distribution)]
    if comparisons:
        table = _table("envs", "ours", "per s", "against", "per s", "ratio", "min", "max")
        for result in comparisons:
            table.add_row(*_cells(result))
        console.print(table)
    if distributions:
        table = _table("envs", "ours", "number", "min", "25%", "median", "75%", "max", "unit")
        for distribution in distributions:
            table.add_row(*_distribution_cells(distribution))
        console.print(table)
    for item in measurements:
        if isinstance(item, Skipped):
            console.print(f"Not measured: {item.case} against {item.peer}: {item.reason}", markup=False, soft_wrap=True)


def _table(*headers: str) -> Table:
    table = Table(*headers)
    for column in table.columns:
        column.no_wrap = True
    return table


def _cells(result: Result) -> list[str]:
    comparison = result.comparison
    ratios = comparison.median_ratio, min(comparison.ratios), max(comparison.ratios)
    return [
        f"{result.num_envs:,}",
        result.case,
        format_rate(comparison.ours_rate, result.unit),
        result.peer,
        format_rate(comparison.peer_rate, result.unit),
        *(format_figure(ratio) for ratio in ratios),
    ]


def _distribution_cells(distribution: Distribution) -> list[str]:
    values = np.array(distribution.values)
    measured = values[~np.isnan(values)]
    quantiles = np.quantile(measured, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist() if measured.size else [math.nan] * 5
    return [
        f"{distribution.num_envs:,}",
        distribution.case,
        f"{measured.size} of {values.size}",
        *(format_figure(quantile) for quantile in quantiles),
        distribution.unit,
    ]


def format_figure(figure: float) -> str:
    """Return a number with three digits, or as a whole number where it has more: ``0.312``, ``45.6``, ``1,902``."""
    if math.isnan(figure):
        return "-"
    decimals = 0 if figure >= 100 else 1 if figure >= 10 else 2 if figure >= 1 else 3
    return f"{figure:,.{decimals}f}"


def format_rate(rate: float, unit: str) -> str:
    """Return a rate with three digits and its unit, such as ``1.53 M steps``."""
    for factor, prefix in ((1e9, "G "), (1e6, "M "), (1e3, "k ")):
        if rate >= factor:
            return f"{rate / factor:.3g} {prefix}{unit}"
    return f"{rate:.3g} {unit}"
