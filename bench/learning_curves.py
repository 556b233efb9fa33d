"""Learning curves of preset ``keras`` and of the Keras example: ``python -m bench.learning_curves``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from scipy import stats

from agent.views.figures import Figure, own_settings

Curves = npt.NDArray[np.float64]

_REFERENCES = Path(__file__).with_name("keras_example_curves.csv")
TESTED_EPOCHS = (5, 8, 10, 12)
COMPARED_EPOCHS = 12


@dataclass(frozen=True)
class CurveComparison:
    """Comparison of preset ``keras`` with the Keras example.

    Attributes:
        p_values: p-value of a two-sided Mann-Whitney test on the mean returns at each of ``TESTED_EPOCHS``, with Holm's
            correction.
        median_factors: Factor between the two medians in each of the first 12 epochs, at least 1.
        median_factors_p_value: p-value of the largest of these factors in an exact permutation test: the fraction of
            all assignments of the curves to two groups of these sizes in which it is at least as large.
    """

    p_values: tuple[float, ...]
    median_factors: tuple[float, ...]
    median_factors_p_value: float


def reference_curves() -> dict[str, Curves]:
    """Return the mean returns of the example: the published run of 30 epochs and two reruns of 12 epochs, by name."""
    curves: dict[str, list[float]] = {}
    with _REFERENCES.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            curves.setdefault(row["run"], []).append(float(row["mean_return"]))
    return {run: np.array(values) for run, values in curves.items()}


def our_curve(seed: int, epochs: int) -> Curves:
    """Train preset ``keras`` and return the mean return of each epoch, shape (epochs,)."""
    from agent import PPO, PRESETS

    ppo = PPO(PRESETS["keras"].replace(seed=seed, epochs=epochs))
    return np.array([ppo.train_epoch().mean_return for _ in range(epochs)])


def compare_curves(ours: Curves, references: Sequence[Curves]) -> CurveComparison:
    """Test whether the curves of preset ``keras`` differ from those of the example.

    Args:
        ours: Curves of preset ``keras``, shape (seeds, at least 12).
        references: The example's curves, each of at least 12 epochs.

    Returns:
        The p-values and the factors between the medians.
    """
    from scipy.stats import mannwhitneyu

    theirs = np.array([curve[:COMPARED_EPOCHS] for curve in references])
    ours = ours[:, :COMPARED_EPOCHS]
    p_values = [float(mannwhitneyu(ours[:, epoch - 1], theirs[:, epoch - 1]).pvalue) for epoch in TESTED_EPOCHS]
    factors = _median_factors(ours, theirs)
    return CurveComparison(_holm(p_values), tuple(factors.tolist()), _permutation_p_value(ours, theirs))


def _median_factors(ours: Curves, theirs: Curves) -> Curves:
    """Return the factor between the medians in each epoch, at least 1, shape (epochs,)."""
    ratios = np.median(ours, axis=0) / np.median(theirs, axis=0)
    return np.maximum(ratios, 1.0 / ratios)


def _permutation_p_value(ours: Curves, theirs: Curves) -> float:
    pooled = np.concatenate([ours, theirs])
    indices = np.arange(len(pooled))

    def largest_factor(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
        return float(_median_factors(pooled[first], pooled[second]).max())

    groups = (indices[: len(ours)], indices[len(ours) :])
    # An infinite n_resamples makes SciPy enumerate all divisions into groups of these sizes.
    result = stats.permutation_test(groups, largest_factor, vectorized=False, n_resamples=np.inf, alternative="greater")
    return float(result.pvalue)


def _holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values corrected for multiple testing (S. Holm, 1979)."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return tuple(corrected)


@own_settings()
def plot_curves(ours: Curves, references: dict[str, Curves], path: Path) -> None:
    """Plot all curves.

    Args:
        ours: Curves of preset ``keras``, shape (seeds, epochs).
        references: The example's curves by name.
        path: Image file to write; the suffix selects the format.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = np.arange(1, ours.shape[1] + 1)
    lowest, lower, median, upper, highest = np.quantile(ours, [0.0, 0.25, 0.5, 0.75, 1.0], axis=0)
    axes.fill_between(
        epochs, lowest, highest, alpha=0.15, color="tab:blue", label=f"preset keras, {len(ours)} seeds: all"
    )
    axes.fill_between(epochs, lower, upper, alpha=0.3, color="tab:blue", label="middle half")
    axes.plot(epochs, median, color="tab:blue", label="median")
    for (name, curve), style in zip(references.items(), ("-", "--", ":"), strict=True):
        shown = curve[: len(epochs)]
        axes.plot(epochs[: len(shown)], shown, style, color="tab:orange", label=f"the Keras example, {name}")
    axes.set(xlabel="epoch of 4,000 steps", ylabel="mean return", yscale="log", title="Learning curves, no time limit")
    axes.legend()
    figure.savefig(path, dpi=150)


def write_curves(ours: Curves, path: Path) -> None:
    """Write the curves of preset ``keras`` as CSV with the columns seed, epoch and mean_return."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["seed", "epoch", "mean_return"])
        for seed, curve in enumerate(ours):
            writer.writerows([seed, epoch, value] for epoch, value in enumerate(curve.tolist(), start=1))


def _curves(seeds: int, epochs: int) -> Iterator[Curves]:
    for seed in range(seeds):
        yield our_curve(seed, epochs)
        click.echo(f"seed {seed} trained", err=True)


@click.command()
@click.option("--seeds", type=click.IntRange(min=2), default=20, show_default=True, help="Runs of preset keras.")
@click.option(
    "--epochs", type=click.IntRange(min=COMPARED_EPOCHS), default=30, show_default=True, help="Epochs of each run."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default="docs", show_default=True, help="Directory to write to."
)
def main(seeds: int, epochs: int, out: Path) -> None:
    """Train preset keras, compare its learning curves with the Keras example's, and write a plot and a table."""
    references = reference_curves()
    ours = np.array(list(_curves(seeds, epochs)))
    comparison = compare_curves(ours, list(references.values()))
    for epoch, p_value in zip(TESTED_EPOCHS, comparison.p_values, strict=True):
        click.echo(f"epoch {epoch}: p = {p_value:.3f} (two-sided Mann-Whitney, Holm-corrected)")
    factors = ", ".join(f"{factor:.2f}" for factor in comparison.median_factors)
    click.echo(f"factors between the medians, epochs 1 to 12: {factors}")
    click.echo(f"largest of these factors: p = {comparison.median_factors_p_value:.3f} (permutation test)")
    out.mkdir(parents=True, exist_ok=True)
    plot_curves(ours, references, out / "keras_learning_curves.png")
    write_curves(ours, out / "keras_learning_curves.csv")


if __name__ == "__main__":
    main()
