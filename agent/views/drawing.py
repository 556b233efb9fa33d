"""Learning curves drawn by another process, which imports matplotlib in the meantime. Imports nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ..errors import reason_of
from ..process.surroundings import show_warning
from ..runs.directory import RunDirectory

_DRAW = """
import importlib, signal, sys
# A terminal sends Ctrl-C to all processes; only the main process handles it.
signal.signal(signal.SIGINT, signal.SIG_IGN)
_, place, name = sys.argv
# The directory of this package goes last, because it may contain many other modules.
sys.path.append(place)
importlib.import_module(name).draw_when_told()
"""
_PLACE = Path(__file__).parents[2]
_LONGEST_S = 60.0


class CurveDrawing:
    """Draws the learning curve of a run when it has ended.

    Importing matplotlib takes as long as many a training run. If a processor is free, another process does this while
    this one imports and compiles.
    """

    def __init__(self, *, beside: bool) -> None:
        """Start the other process, if requested and if the machine has more than one processor.

        Args:
            beside: Whether to use another process.
        """
        self._process: subprocess.Popen[bytes] | None = None
        if beside and (os.cpu_count() or 1) > 1:
            with suppress(OSError):
                # -P, because -c would make Python import from the current folder first.
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _DRAW, str(_PLACE), __name__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )

    def __enter__(self) -> CurveDrawing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Kill the process if it is still running."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def begin(self, run: RunDirectory) -> None:
        """Make the other process draw the current curve of a run in the background."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.write(os.fsencode(run.path.absolute()))
                self._process.stdin.close()
            self._process.stdin = None

    def finish(self, run: RunDirectory) -> None:
        """Wait for the curve; if the other process has not drawn it, draw it here.

        Any error of matplotlib becomes a one-line warning, so that nothing else is lost.

        Raises:
            OSError: If the image cannot be written.
        """
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                if self._process.wait(_LONGEST_S) == 0:
                    return
        try:
            _draw(run)
        except OSError:
            raise
        except Exception as error:
            show_warning(f"no learning curve was drawn: {reason_of(error)}")


def draw_when_told() -> None:
    """Import matplotlib, then draw the run whose path is read from standard input; do nothing if it is empty."""
    from ..process.surroundings import prepare_process

    prepare_process()
    from . import plots  # noqa: F401

    if path := sys.stdin.buffer.read():
        _draw(RunDirectory(Path(os.fsdecode(path))))


def _draw(run: RunDirectory) -> None:
    from .plots import has_returns, plot_learning_curves

    if has_returns(run):
        run.write_learning_curve(lambda path: plot_learning_curves([run], path))
