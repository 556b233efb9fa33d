"""Preset ``keras`` learns like the Keras example."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from bench.learning_curves import compare_curves, main, reference_curves


def test_the_references_are_one_published_curve_and_two_runs_of_the_script():
    curves = reference_curves()
    assert {run: len(curve) for run, curve in curves.items()} == {
        "published": 30,
        "rerun-seed-0": 12,
        "rerun-seed-1": 12,
    }
    assert curves["published"][[0, 7, 29]] == pytest.approx([20.5128, 200.0, 4000.0], rel=1e-5)


def synthetic_curves(count, scale, seed):
    generator = np.random.default_rng(seed)
    return scale * np.exp(np.linspace(3.0, 6.0, 12) + generator.normal(0.0, 0.2, (count, 12)))


def test_curves_of_the_same_process_are_not_told_apart_and_others_are():
    references = list(synthetic_curves(3, 1.0, seed=0))
    same = compare_curves(synthetic_curves(20, 1.0, seed=1), references)
    assert min(same.p_values) > 0.05
    assert same.median_factors_p_value > 0.05
    assert max(same.median_factors) < 1.5
    other = compare_curves(synthetic_curves(20, 3.0, seed=1), references)
    assert max(other.p_values) < 0.01
    assert other.median_factors_p_value < 0.01
    assert min(other.median_factors) > 2.0


def test_p_values_are_corrected_for_being_several():
    ours, references = synthetic_curves(20, 1.0, seed=1), synthetic_curves(3, 1.0, seed=0)
    ours[:, 4] *= 100.0
    comparison = compare_curves(ours, list(references))
    # The smallest possible p-value for groups of 20 and 3, times the number of tests.
    assert comparison.p_values[0] == pytest.approx(4 * 2 / 1771)
    assert min(comparison.p_values[1:]) > 0.05


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_20_seeds_are_not_distinguishable_from_the_example(tmp_path):
    result = CliRunner().invoke(main, ["--epochs", "12", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    with (tmp_path / "keras_learning_curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ours = np.array([float(row["mean_return"]) for row in rows]).reshape(20, 12)
    comparison = compare_curves(ours, list(reference_curves().values()))
    # Rounding, and with it training, depends on the processor. In no epoch should all our curves lie on one side of all
    # references, which happens by chance about once in 200 times.
    assert min(comparison.p_values) > 0.005
    # In the last epochs, the three references happen to be high and far apart; there, only the permutation test binds.
    assert max(comparison.median_factors[:9]) < 2.0
    assert comparison.median_factors_p_value > 0.001
    assert (tmp_path / "keras_learning_curves.png").stat().st_size > 10_000
