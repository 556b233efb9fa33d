"""What ``fastppo eval`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from ..rollouts.evaluation import EvaluationResult

# Of CartPole-v1, and how its returns are shown as a histogram.
_LONGEST_EPISODE = 500
_BIN_WIDTH = 50
_BAR_WIDTH = 40


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
    block = "#" if console.options.ascii_only else "█"
    edges = range(0, _LONGEST_EPISODE + _BIN_WIDTH, _BIN_WIDTH)
    for start in edges[:-1]:
        count = sum(start < value <= start + _BIN_WIDTH for value in result.returns)
        bar = block * round(_BAR_WIDTH * count / len(result.returns))
        console.print(f"{f'{start + 1}-{start + _BIN_WIDTH}':>9} {count:6d} {bar}")
