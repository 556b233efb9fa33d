"""The output of ``fastppo eval``."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from ..formatting import ROUNDING_ERROR, format_episode_return, format_number

if TYPE_CHECKING:
    from ..rollouts.evaluation import EvaluationResult

_BINS = 10
_BAR_WIDTH = 40
_WIDEST_EDGE = 15


def format_evaluation(result: EvaluationResult, name: str, *, greedy: bool = True) -> str:
    """Return the result of an evaluation as one sentence.

    Args:
        result: The result.
        name: Name of the environment.
        greedy: Whether the policy was greedy; if False, actions were sampled.
    """
    policy = "Greedy" if greedy else "Sampled"
    return (
        f"{policy} policy in {name}, {result.episodes} episodes: mean {format_number(result.mean)}, "
        f"standard deviation {format_number(result.standard_deviation)}, "
        f"min {format_episode_return(result.minimum)}, max {format_episode_return(result.maximum)}"
    )


def print_evaluation(result: EvaluationResult, name: str, *, greedy: bool) -> None:
    """Print the result of an evaluation: the sentence, the quartiles and a histogram of the returns."""
    console = Console(highlight=False)
    figures = result.as_dict()
    quartiles = ", ".join(format_number(figures[name]) for name in ("lower_quartile", "median", "upper_quartile"))
    console.print(format_evaluation(result, name, greedy=greedy), markup=False, soft_wrap=True)
    console.print(f"Quartiles of the returns: {quartiles}")
    block = "#" if console.options.ascii_only else "█"
    for label, count in histogram(result.returns):
        bar = block * round(_BAR_WIDTH * count / len(result.returns))
        console.print(f"{label} {count:6d} {bar}".rstrip())


def histogram(returns: Sequence[float]) -> list[tuple[str, int]]:
    """Return about ten bins of a round width: the label of each, all of one length, and the number of returns in it.

    A return on an edge belongs to the bin above it, except for the last edge, which belongs to the last bin. Bins of a
    single number, such as those of few different whole numbers, are labelled with it alone.

    Args:
        returns: At least one.
    """
    lowest, highest = min(returns), max(returns)
    if math.isclose(lowest, highest, abs_tol=ROUNDING_ERROR):
        return [(format_episode_return(highest), len(returns))]
    # Decimals, as 0.3 / 0.1 is less than 3.
    low, high = Decimal(str(lowest)), Decimal(str(highest))
    step = _round_step((high - low) / _BINS)
    if step <= 1 and all(float(value).is_integer() for value in returns):
        numbers, counts = range(int(low), int(high) + 1), Counter(returns)
        return list(zip(_aligned([str(number) for number in numbers]), (counts[n] for n in numbers), strict=True))
    edges = [step * k for k in range(math.floor(low / step), math.ceil(high / step) + 1)]
    labels = [f"{start} to {end}" for start, end in itertools.pairwise(_aligned(_shown(edges)))]
    heights, _ = np.histogram(returns, bins=np.array(edges, dtype=np.float64))
    return list(zip(labels, heights.tolist(), strict=True))


def _round_step(least: Decimal) -> Decimal:
    """Return the lowest number of 1, 2 or 5 times a power of ten that is at least this one."""
    power = Decimal(1).scaleb(least.adjusted())
    return next(factor * power for factor in (1, 2, 5, 10) if least <= factor * power).normalize()


def _shown(edges: Sequence[Decimal]) -> list[str]:
    """Return edges in full: rounded ones would be equal if they are large and close together."""
    texts = [f"{edge:f}" for edge in edges]
    return texts if max(map(len, texts)) <= _WIDEST_EDGE else [f"{edge.normalize():g}" for edge in edges]


def _aligned(texts: Sequence[str]) -> list[str]:
    width = max(map(len, texts))
    return [text.rjust(width) for text in texts]
