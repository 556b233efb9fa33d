"""What a training run shows on the terminal."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent.callbacks import Callback
from agent.metrics import EpochMetrics

if TYPE_CHECKING:
    from agent.evaluation import EvaluationResult
    from agent.training import PPO

# Of CartPole-v1, and how its returns are shown as a histogram.
_LONGEST_EPISODE = 500
_BIN_WIDTH = 50
_BAR_WIDTH = 40
_HEADER = "epoch  env_steps  mean_return  mean_length        kl  policy_iterations  steps_per_second  elapsed_s"


class TrainingDisplay(Callback):
    """Prints one line per epoch, with a progress bar below them where the output is a terminal."""

    def __init__(self, epochs: int, *, as_in_the_example: bool = False) -> None:
        """Prepare the display.

        Args:
            epochs: How many epochs the run will take.
            as_in_the_example: Whether each line is followed by the one the Keras example prints.
        """
        self._as_in_the_example = as_in_the_example
        self._console = Console(highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("preparing", total=epochs)

    def __enter__(self) -> TrainingDisplay:
        """Show the progress bar."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the progress bar away."""
        self._progress.stop()

    def line(self, text: str) -> None:
        """Print a line above the progress bar, never wrapped."""
        self._console.print(text, markup=False, soft_wrap=True)

    def start_epochs(self, completed: int = 0) -> None:
        """Print the table's header: everything is compiled, and so many epochs of the run are behind."""
        self._progress.update(self._task, description="training", completed=completed)
        self.line(_HEADER)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Print the epoch's line."""
        self.line(format_epoch(metrics))
        if ppo.is_solved and ppo.config.target_return is not None:
            self.line(format_solved(metrics, ppo.config.target_return))
        if self._as_in_the_example:
            self.line(format_epoch_as_in_the_example(metrics))
        self._progress.update(self._task, completed=metrics.epoch)


def format_epoch(metrics: EpochMetrics) -> str:
    """Return the figures of an epoch as a line of fixed columns."""
    return (
        f"{metrics.epoch:5d}  {metrics.env_steps:9d}  {metrics.mean_return:11.1f}  {metrics.mean_length:11.1f}"
        f"  {metrics.kl:8.5f}  {metrics.policy_iterations:17d}  {metrics.steps_per_second:16,.0f}"
        f"  {metrics.elapsed_s:9.3f}"
    )


def format_epoch_as_in_the_example(metrics: EpochMetrics) -> str:
    """Return the line that the Keras example prints after an epoch."""
    return f" Epoch: {metrics.epoch}. Mean Return: {metrics.mean_return}. Mean Length: {metrics.mean_length}"


def format_solved(metrics: EpochMetrics, target_return: float) -> str:
    """Return why the training ended before its last epoch, as one sentence."""
    return (
        f"Solved after {metrics.env_steps:,} steps and {metrics.elapsed_s:.3f} s: the last 100 episodes reached a mean "
        f"return of {metrics.mean_return:.1f} (target {target_return:g}), and an evaluation confirmed it."
    )


def format_evaluation(result: EvaluationResult, *, greedy: bool = True, environment: str = "gymnasium") -> str:
    """Return the result of an evaluation as one sentence."""
    policy, owner = "Greedy" if greedy else "Sampled", "Gymnasium" if environment == "gymnasium" else "fastcartpole"
    return (
        f"{policy} policy in {owner}'s CartPole-v1, {result.episodes} episodes: mean {result.mean:.1f}, "
        f"standard deviation {result.standard_deviation:.1f}, min {result.minimum:.0f}, max {result.maximum:.0f}"
    )


def print_evaluation(result: EvaluationResult, *, greedy: bool, environment: str) -> None:
    """Print the result of an evaluation: the sentence, the quartiles and a histogram of the returns."""
    console = Console(highlight=False)
    figures = result.as_dict()
    quartiles = ", ".join(f"{figures[name]:.1f}" for name in ("lower_quartile", "median", "upper_quartile"))
    console.print(format_evaluation(result, greedy=greedy, environment=environment), markup=False, soft_wrap=True)
    console.print(f"Quartiles of the returns: {quartiles}")
    edges = range(0, _LONGEST_EPISODE + _BIN_WIDTH, _BIN_WIDTH)
    for start in edges[:-1]:
        count = sum(start < value <= start + _BIN_WIDTH for value in result.returns)
        bar = "\u2588" * round(_BAR_WIDTH * count / len(result.returns))
        console.print(f"{f'{start + 1}-{start + _BIN_WIDTH}':>9} {count:6d} {bar}")
