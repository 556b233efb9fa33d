"""matplotlib, whatever the user's settings of it are: ``from agent.views.figures import Axes, Figure``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..process.surroundings import matplotlib_backend_left_out

with matplotlib_backend_left_out():
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Axes", "Figure", "own_settings"]


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with matplotlib's defaults: those of a configuration file may ask for fonts or programs that are not there.

    The settings of the process are put back afterwards.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        yield
