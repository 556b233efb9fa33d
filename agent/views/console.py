"""The output of ``fastppo eval``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.console import Console

if TYPE_CHECKING:
    from ..rollouts.evaluation import EvaluationResult

_BINS = 10
_FINEST = 0.01
_BAR_WIDTH = 40


def format_evaluation(result: EvaluationResult, name: str, *, greedy: bool = True) -> str:
    """Return the result of an evaluation as one sentence.

    Args:
        result: The result.
        name: Name of the environment.
        greedy: Whether the policy was greedy; if False, actions were sampled.
    """
    policy = "Greedy" if greedy else "Sampled"
    return (
        f"{policy} policy in {name}, {result.episodes} episodes: mean {result.mean:.1f}, "
        f"standard deviation {result.standard_deviation:.1f}, min {result.minimum:.0f}, max {result.maximum:.0f}"
    )


def print_evaluation(result: EvaluationResult, name: str, *, greedy: bool) -> None:
    """Print the result of an evaluation: the sentence, the quartiles and a histogram of the returns."""
    console = Console(highlight=False)
    figures = result.as_dict()
    quartiles = ", ".join(f"{figures[name]:.1f}" for name in ("lower_quartile", "median", "upper_quartile"))
    console.print(format_evaluation(result, name, greedy=greedy), markup=False, soft_wrap=True)
    console.print(f"Quartiles of the returns: {quartiles}")
    block = "#" if console.options.ascii_only else "█"
    counts, edges = np.histogram(result.returns, bins=_edges(result.returns))
    width = max(len(f"{edge:g}") for edge in edges)
    for count, (start, end) in zip(counts.tolist(), itertools.pairwise(edges.tolist()), strict=True):
        bar = block * round(_BAR_WIDTH * count / len(result.returns))
        console.print(f"{start:{width}g} to {end:{width}g} {count:6d} {bar}".rstrip())


def _edges(returns: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the edges of about ten bins of a round width; a return on an edge belongs to the bin above it."""
    lowest, highest = min(returns), max(returns)
    step = 10.0 ** math.floor(math.log10(max((highest - lowest) / _BINS, np.spacing(abs(highest)), _FINEST)))
    step *= next(factor for factor in (1, 2, 5, 10) if highest - lowest <= _BINS * factor * step)
    if all(float(value).is_integer() for value in returns):
        step = max(step, 1.0)
    first, last = math.floor(lowest / step), math.floor(highest / step) + 1
    return np.asarray(step * np.arange(first, last + 1), dtype=np.float64)
