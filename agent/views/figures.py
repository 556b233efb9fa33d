"""matplotlib, whatever the user's settings of it are: ``from agent.views.figures import Axes, Figure``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from ..process.surroundings import matplotlib_backend_left_out

with matplotlib_backend_left_out():
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Axes", "Figure", "add_legend", "own_settings"]

# Characters of a line of the legend, and lines that the figure has place for as it is.
_LEGEND_WIDTH, _LEGEND_LINES = 90, 4
_LINE_HEIGHT_IN = 0.2


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with matplotlib's defaults: those of a configuration file may ask for fonts or programs that are not there.

    The settings of the process are put back afterwards.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        yield


def add_legend(figure: Figure, axes: Axes) -> None:
    """Put a legend below the axes, as wide as the figure at most: long labels are wrapped, and the figure grows."""
    lines, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    wrapped = [textwrap.fill(label, _LEGEND_WIDTH) for label in labels]
    height = sum(label.count("\n") + 1 for label in wrapped)
    figure.set_figheight(figure.get_figheight() + _LINE_HEIGHT_IN * max(0, height - _LEGEND_LINES))
    figure.legend(lines, wrapped, loc="outside lower center", fontsize="small")
