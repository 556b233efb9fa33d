"""A curve as one line of text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-~=+*#"


class Sparkline:
    """Values as a row of bars, scaled from the lowest to the highest value, that fills the available width.

    If the terminal cannot show block characters, ASCII characters of increasing height are used instead.
    """

    def __init__(self, values: Sequence[float]) -> None:
        """Store a reference to the values, which are read when the line is drawn.

        Args:
            values: The values in order; NaN leaves a gap.
        """
        self._values = values

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the line."""
        blocks = _ASCII_BLOCKS if options.ascii_only else _BLOCKS
        means = _means(self._values, options.max_width)
        finite = [value for value in self._values if math.isfinite(value)]
        if not finite:
            yield Text("")
            return
        lowest, span = min(finite), max(finite) - min(finite) or 1.0
        yield Text(
            "".join(
                blocks[round((value - lowest) / span * (len(blocks) - 1))] if math.isfinite(value) else " "
                for value in means
            ),
            no_wrap=True,
        )


def _means(values: Sequence[float], width: int) -> list[float]:
    """Return the values, or, if there are more than ``width``, the means of ``width`` equal parts."""
    count = len(values)
    if count <= width:
        return list(values)
    edges = [count * part // width for part in range(width + 1)]
    return [_mean(values[start:end]) for start, end in itertools.pairwise(edges)]


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return math.nan
    # Rounding may push a mean beyond the values.
    return min(max(sum(finite) / len(finite), min(finite)), max(finite))
