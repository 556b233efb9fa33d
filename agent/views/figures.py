"""matplotlib, independent of the user's settings: ``from agent.views.figures import Axes, Figure``."""

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

# Maximum characters per line of the legend, and number of lines that fit without enlarging the figure.
_LEGEND_WIDTH, _LEGEND_LINES = 90, 4
_LINE_HEIGHT_IN = 0.2


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with matplotlib's defaults, since a user's configuration file may require missing fonts or programs.

    The previous settings of the process are restored afterwards.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        yield


def add_legend(figure: Figure, axes: Axes) -> None:
    """Add a legend below the axes; wrap long labels to the width of the figure and increase its height if needed."""
    lines, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    wrapped = [textwrap.fill(label, _LEGEND_WIDTH) for label in labels]
    height = sum(label.count("\n") + 1 for label in wrapped)
    figure.set_figheight(figure.get_figheight() + _LINE_HEIGHT_IN * max(0, height - _LEGEND_LINES))
    figure.legend(lines, wrapped, loc="outside lower center", fontsize="small")
