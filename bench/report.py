"""Measurements as tables: on the terminal and in Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.results import CaseResult, Distribution, Measurement, Skipped, Timing

# The tables need this width even if the output is not a terminal.
_MIN_WIDTH = 80

_CASE_HEADERS = (
    *("", "entrant", "per s", "range", "ours is x times as fast", "range"),
    *("first call, s", "peak MiB", "threads"),
)
_DISTRIBUTION_HEADERS = ("envs", "whose", "what", "number", "min", "25%", "median", "75%", "max", "unit")
# Indices of the columns that fit into 80 characters.
_CASE_COLUMNS = (0, 1, 2, 4, 5)
_DISTRIBUTION_COLUMNS = (0, 1, 2, 3, 5, 6, 7, 9)
# Maximum widths of the columns that wrap.
_WRAPPED = {"entrant": 34, "ours is x times as fast": 12, "whose": 18, "what": 26}


@dataclass(frozen=True)
class Section:
    """A table with a title.

    Attributes:
        title: Title of the table.
        headers: Names of the columns.
        rows: Cells of each row, one for each header.
        columns: Indices of the columns to show on a terminal.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[int, ...]


def sections(measurements: Iterable[Measurement]) -> list[Section]:
    """Return one table per case, and one per family for its distributions."""
    measurements = list(measurements)
    tables = [_case_section(item) for item in measurements if isinstance(item, CaseResult)]
    families: dict[str, list[Distribution]] = {}
    for item in measurements:
        if isinstance(item, Distribution):
            families.setdefault(item.family, []).append(item)
    for family, items in families.items():
        rows = tuple(_distribution_cells(item) for item in items)
        tables.append(Section(family, _DISTRIBUTION_HEADERS, rows, _DISTRIBUTION_COLUMNS))
    return tables


def not_measured(measurements: Iterable[Measurement]) -> list[str]:
    """Return one sentence for each entrant that could not be measured."""
    return [
        f"{item.family}, {item.case}{_environments(item.num_envs)}: {item.name}: {item.reason}"
        for item in measurements
        if isinstance(item, Skipped)
    ]


def print_report(measurements: Iterable[Measurement], machine: dict[str, Any]) -> None:
    """Print all tables with the columns that fit into 80 characters, what was not measured, and the machine."""
    measurements = list(measurements)
    console = Console(width=max(_MIN_WIDTH, Console().width), highlight=False)
    for section in sections(measurements):
        table = Table(title=section.title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for header in (section.headers[index] for index in section.columns):
            width = _WRAPPED.get(header)
            table.add_column(header, no_wrap=width is None, max_width=width, vertical="top")
        for row in section.rows:
            table.add_row(*(row[index] for index in section.columns))
        console.print(table)
        console.print()
    console.print("--markdown and --json write all columns: ranges of rates, first calls, memory and threads.")
    for sentence in not_measured(measurements):
        console.print(f"Not measured: {sentence}", markup=False, soft_wrap=True)
    for sentence in describe_machine(machine):
        console.print(sentence, markup=False, soft_wrap=True)


def as_markdown(measurements: Iterable[Measurement], machine: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    measurements = list(measurements)
    lines = ["# Results", "", f"Made by `{machine['command']}`.", ""]
    lines += [f"- {sentence}" for sentence in describe_machine(machine)]
    lines += ["", *_EXPLANATION.splitlines(), ""]
    for section in sections(measurements):
        rows = [section.headers, ("---",) * len(section.headers), *section.rows]
        lines += [f"## {section.title}", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    sentences = not_measured(measurements)
    if sentences:
        lines += ["## Not measured", "", *(f"- {sentence}" for sentence in sentences), ""]
    return "\n".join(lines)


_EXPLANATION = """\
The entrants of a case were measured alternately, round after round, each in its own process, after their results had
been checked. Rates are medians over the rounds, followed by the lowest and the highest rate. Ratios are computed round
by round against the first row; for a limit, the ratio is the fraction of the limit that fastppo reaches. The first call
is construction plus the first repetition; it includes compilation unless compiled code is cached on disk. Memory is the
peak of the whole process up to the end of the first call."""


def describe_machine(machine: dict[str, Any]) -> list[str]:
    """Return sentences that describe the machine, the threads, the versions and the commit."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    threads = ", ".join(f"{name}: {number}" for name, number in machine["threads"].items())
    return [
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}.",
        f"Threads: {threads}; 0 in a row means that the library decides.",
        f"Versions: Python {machine['python']}, {versions}.",
        f"Commit: {machine['commit'] or 'unknown'}, {machine['date']}.",
    ]


def _environments(num_envs: int) -> str:
    return f", {num_envs:,} environment{'s' if num_envs > 1 else ''}" if num_envs else ""


def _case_section(result: CaseResult) -> Section:
    title = f"{result.family}: {result.case}{_environments(result.num_envs)}"
    rows = tuple(_case_cells(result, timing) for timing in result.timings)
    return Section(title, _CASE_HEADERS, rows, _CASE_COLUMNS)


def _case_cells(result: CaseResult, timing: Timing) -> tuple[str, ...]:
    ratios = result.ratios(timing)
    return (
        timing.side,
        timing.name,
        format_rate(timing.rate, result.unit),
        _range(format_rate(rate, "") for rate in (min(timing.rates), max(timing.rates))),
        format_figure(statistics.median(ratios) if ratios else math.nan),
        _range(format_figure(ratio) for ratio in (min(ratios), max(ratios))) if ratios else "-",
        format_figure(timing.first_call_s),
        format_figure(timing.peak_memory_mib),
        str(timing.threads),
    )


def _distribution_cells(distribution: Distribution) -> tuple[str, ...]:
    values = np.array(distribution.values)
    measured = values[~np.isnan(values)]
    quantiles: Sequence[float] = [math.nan] * 5
    if measured.size:
        quantiles = np.quantile(measured, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist()
    return (
        f"{distribution.num_envs:,}",
        distribution.name,
        distribution.case,
        f"{measured.size} of {values.size}",
        *(format_figure(quantile) for quantile in quantiles),
        distribution.unit,
    )


def _range(ends: Iterable[str]) -> str:
    return " to ".join(end.strip() for end in ends)


def format_figure(figure: float) -> str:
    """Format a number with three digits, or as a whole number from 100 on: ``0.312``, ``45.6``, ``1,902``."""
    if math.isnan(figure):
        return "-"
    decimals = 0 if figure >= 100 else 1 if figure >= 10 else 2 if figure >= 1 else 3
    return f"{figure:,.{decimals}f}"


def format_rate(rate: float, unit: str) -> str:
    """Format a rate with three digits and its unit, such as ``1.53 M steps``."""
    for factor, prefix in ((1e9, "G "), (1e6, "M "), (1e3, "k ")):
        if rate >= factor:
            return f"{rate / factor:.3g} {prefix}{unit}"
    return f"{rate:.3g} {unit}"
