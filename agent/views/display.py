"""The displays of ``fastppo train``."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.table import Table

from ..callbacks import Callback
from ..formatting import format_number
from ..metrics import EpochMetrics
from .sparkline import Sparkline

if TYPE_CHECKING:
    from ..config import PPOConfig
    from ..ppo import PPO

_HEADER = "epoch  env_steps  mean_return  mean_length       kl  steps_per_second  elapsed_s"
# The metrics in the live table, two per row, and their formats.
_TABLE: tuple[tuple[tuple[str, Callable[[float], str]], ...], ...] = (
    (("epoch", "{:d}".format), ("mean_return", format_number)),
    (("env_steps", "{:,d}".format), ("mean_length", format_number)),
    (("elapsed_s", "{:.3f}".format), ("steps_per_second", "{:,.0f}".format)),
    (("kl", format_number), ("clip_fraction", format_number)),
    (("policy_loss", format_number), ("value_loss", format_number)),
    (("entropy", format_number), ("explained_variance", format_number)),
)
_NO_RETURN_YET = "mean_return is '-' until the first episode ends."
_REFRESHES_PER_SECOND = 8
# Evaluations that take longer show progress.
_LONG_EVALUATION_S = 3.0
_COLUMNS_WITHOUT_TIME = 3


class Display(Callback):
    """The quiet display, which shows nothing, and the base class of the other displays.

    A display is a context manager that is entered before anything is imported or compiled, and left after the last
    message.
    """

    _has_explained_the_dash = False

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore the terminal."""

    def waiting_for(self, what: str) -> None:
        """Show what is being prepared before training starts."""

    def message(self, text: str) -> None:
        """Show a line about the run."""

    @contextmanager
    def evaluating(self, episodes: int) -> Iterator[Callable[[int], object]]:
        """Show the progress of an evaluation; yields a function of the number of episodes that have been played."""
        yield lambda _: None

    def _explain_dash(self, metrics: EpochMetrics) -> None:
        """Say once why an epoch has no mean return."""
        if math.isnan(metrics.mean_return) and not self._has_explained_the_dash:
            self._has_explained_the_dash = True
            self.message(_NO_RETURN_YET)


class JsonDisplay(Display):
    """Prints one JSON object per epoch and nothing else; values that are not finite become null."""

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Print the metrics as a JSON object."""
        figures = dataclasses.asdict(metrics)
        click.echo(json.dumps({name: value if math.isfinite(value) else None for name, value in figures.items()}))


class LineDisplay(Display):
    """Prints one line per epoch, for files, pipes and simple terminals."""

    def __init__(self, *, as_in_the_example: bool = False) -> None:
        """Create the display.

        Args:
            as_in_the_example: Whether to also print the line of the Keras example after each epoch.
        """
        self._as_in_the_example = as_in_the_example

    def message(self, text: str) -> None:
        """Print the line."""
        click.echo(text)

    @contextmanager
    def evaluating(self, episodes: int) -> Iterator[Callable[[int], object]]:
        """Print how many episodes have been played, whenever another tenth of a long evaluation is done."""
        start, shown = time.monotonic(), 0

        def show(done: int) -> None:
            nonlocal shown
            tenths = 10 * done // episodes
            if tenths > shown and time.monotonic() - start > _LONG_EVALUATION_S:
                self.message(f"evaluating: {done} of {episodes} episodes")
            shown = tenths

        yield show

    def on_train_begin(self, ppo: PPO) -> None:
        """Print the names of the columns."""
        self.message(_HEADER)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Print the line of the epoch."""
        self.message(format_epoch(metrics))
        self._explain_dash(metrics)
        if ppo.is_solved:
            self.message(format_solved(ppo, metrics))
        if self._as_in_the_example:
            self.message(format_epoch_as_in_the_example(metrics))


class LiveDisplay(Display):
    """Shows a progress bar, the latest metrics and the learning curve, and keeps them up to date.

    The final state stays on the terminal, and messages follow below it.
    """

    def __init__(
        self,
        console: Console,
        total_steps: int,
        *,
        past_returns: Sequence[float] = (),
        as_in_the_example: bool = False,
    ) -> None:
        """Create the display.

        Args:
            console: The terminal.
            total_steps: Maximum number of environment steps of the run.
            past_returns: Mean returns of earlier epochs, if a run is resumed.
            as_in_the_example: Whether to also print the lines of the Keras example above the display.
        """
        self._as_in_the_example = as_in_the_example
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn("{task.completed:,}/{task.total:,} steps", show_speed=False),
            TimeRemainingColumn(),
            TextColumn("left at most"),
            console=console,
        )
        self._task = self._progress.add_task("training", total=total_steps)
        self._waiting: Spinner | None = Spinner("dots")
        self._returns = list(past_returns)
        self._latest: EpochMetrics | None = None
        self._solved: str | None = None
        self._live = Live(
            console=console, get_renderable=self._renderable, refresh_per_second=_REFRESHES_PER_SECOND, transient=False
        )

    def __enter__(self) -> LiveDisplay:
        """Start the live display."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the live display."""
        self._live.stop()

    def waiting_for(self, what: str) -> None:
        """Show a spinner and what is being prepared."""
        if self._waiting is not None:
            self._waiting.update(text=what)

    def message(self, text: str) -> None:
        """Print a line without wrapping, above the live display or below its final state."""
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def evaluating(self, episodes: int) -> Iterator[Callable[[int], object]]:
        """Show a progress bar during a long evaluation, which disappears at the end."""
        columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TextColumn("episodes"))
        progress = Progress(*columns, console=self._live.console, transient=True)
        task, start = progress.add_task("evaluating", total=episodes), time.monotonic()

        def show(done: int) -> None:
            progress.update(task, completed=done)
            if time.monotonic() - start > _LONG_EVALUATION_S and not progress.live.is_started:
                progress.start()

        try:
            yield show
        finally:
            progress.stop()

    def on_train_begin(self, ppo: PPO) -> None:
        """Start to estimate the remaining time, now that everything is compiled."""
        self._waiting = None
        self._progress.reset(self._task, completed=ppo.env_steps)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Store the metrics for the next refresh of the display."""
        self._latest = metrics
        self._returns.append(metrics.mean_return)
        self._progress.update(self._task, completed=metrics.env_steps)
        if ppo.is_solved:
            self._solved = format_solved(ppo, metrics)
        self._explain_dash(metrics)
        if self._as_in_the_example:
            self.message(format_epoch_as_in_the_example(metrics))

    def on_train_end(self, ppo: PPO) -> None:
        """Leave the final state on the terminal."""
        self._progress.columns = self._progress.columns[:_COLUMNS_WITHOUT_TIME]
        # A solved run shows a full bar.
        total = ppo.env_steps if ppo.is_solved else None
        self._progress.update(self._task, description="trained", total=total)
        self._live.stop()
        if self._solved:
            self.message(self._solved)

    def _renderable(self) -> Group:
        if self._waiting is not None:
            return Group(self._waiting)
        parts: list[Progress | Table] = [self._progress]
        if self._latest is not None:
            parts += [_learning_curve(self._returns), _figures(self._latest)]
        return Group(*parts)


def new_display(
    config: PPOConfig, *, quiet: bool = False, as_json: bool = False, past_returns: Sequence[float] = ()
) -> Display:
    """Return the display that suits the options and the terminal.

    Args:
        config: Configuration of the run.
        quiet: Whether to show nothing.
        as_json: Whether to print only JSON.
        past_returns: Mean returns of earlier epochs, if a run is resumed.
    """
    if quiet:
        return Display()
    if as_json:
        return JsonDisplay()
    as_in_the_example = config.preset == "keras"
    console = Console()
    # Not console.is_terminal, which is also True if only FORCE_COLOR is set.
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        return LiveDisplay(console, config.total_steps, past_returns=past_returns, as_in_the_example=as_in_the_example)
    return LineDisplay(as_in_the_example=as_in_the_example)


def format_epoch(metrics: EpochMetrics) -> str:
    """Return the metrics of an epoch as a line of fixed-width columns, 80 characters wide."""
    mean_return, mean_length = format_number(metrics.mean_return), format_number(metrics.mean_length)
    return (
        f"{metrics.epoch:5d}  {metrics.env_steps:9d}  {mean_return:>11}  {mean_length:>11}"
        f"  {metrics.kl:z7.4f}  {metrics.steps_per_second:16,.0f}"
        f"  {metrics.elapsed_s:9.3f}"
    )


def format_epoch_as_in_the_example(metrics: EpochMetrics) -> str:
    """Return the line that the Keras example prints after an epoch."""
    return f" Epoch: {metrics.epoch}. Mean Return: {metrics.mean_return}. Mean Length: {metrics.mean_length}"


def format_solved(ppo: PPO, metrics: EpochMetrics) -> str:
    """Return a sentence that says how the environment was solved."""
    # All digits that the user gave.
    target = f"{ppo.config.target_return:.12g}"
    solved = f"Solved after {metrics.env_steps:,} steps and {metrics.elapsed_s:.3f} s:"
    if ppo.is_exact:
        return f"{solved} the greedy policy reaches a mean return of {target} in episodes not used for training."
    reached = format_number(ppo.recent_mean_return)
    return (
        f"{solved} the last 100 episodes reached a mean return of {reached} (target {target}), and "
        "a validation confirmed it."
    )


def _learning_curve(returns: Sequence[float]) -> Table:
    """Return the learning curve, labelled with its lowest and its highest value."""
    finite = [value for value in returns if math.isfinite(value)]
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(ratio=1)
    table.add_column(no_wrap=True)
    lowest, highest = (format_number(min(finite)), format_number(max(finite))) if finite else ("", "")
    table.add_row("mean_return", lowest, Sparkline(returns), highest)
    return table


def _figures(metrics: EpochMetrics) -> Table:
    """Return the latest metrics as a table with two per row."""
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify=justify, no_wrap=True)
    for row in _TABLE:
        table.add_row(*(text for name, form in row for text in (name, form(getattr(metrics, name)))))
    return table
