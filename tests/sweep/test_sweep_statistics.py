"""The statistics of Agarwal et al. (2021) agree with plain formulas."""

import dataclasses
import math
import re
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agent.sweeps.grid import runs_of
from agent.sweeps.statistics import band, estimate, interquartile_mean, optimality_gap, summarize
from agent.sweeps.sweeping import SweepResult
from agent.sweeps.worker import Outcome, Point

# The package attribute of the same name is the command, not the module.
command = import_module("agent.commands.sweep")


def outcome(final_return, *, target=475.0, ended_early=True, env_steps=1000, train_s=0.5):
    points = (Point(env_steps, final_return, train_s),)
    solved = None if target is None else final_return >= target
    return Outcome(final_return, env_steps, train_s, solved, target, ended_early, points)


@given(st.lists(st.floats(0, 500), min_size=1, max_size=40))
def test_the_interquartile_mean_is_that_of_the_sorted_middle(returns):
    cut = len(returns) // 4
    expected = np.mean(sorted(returns)[cut : len(returns) - cut])
    assert interquartile_mean(np.array(returns)) == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_the_optimality_gap_is_the_mean_shortfall_from_the_target():
    outcomes = [outcome(value, target=-80.0) for value in (-70.0, -80.0, -100.0, -500.0)]
    assert summarize(outcomes).optimality_gap.value == pytest.approx((0 + 0 + 20 + 420) / 4)
    assert optimality_gap(np.array([20.0, -20.0, 0.0, -60.0])) == 20.0


def test_without_a_target_there_are_no_optimality_gap_and_solved_runs():
    summary = summarize([outcome(-70.0, target=None), outcome(-90.0, target=None)])
    assert summary.optimality_gap is summary.solved is None
    assert summary.mean.value == -80.0


@pytest.mark.parametrize("statistic", [np.mean, interquartile_mean])
def test_an_interval_holds_the_truth_in_about_95_of_100_samples(statistic):
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        found = estimate(generator.normal(300.0, 50.0, 40), statistic)
        assert found.low <= found.value <= found.high
        held += found.low <= 300.0 <= found.high
    # The percentile bootstrap interval of 40 samples is slightly too narrow.
    assert 0.88 <= held / 300 <= 0.98


def test_the_interval_of_a_mean_is_near_that_of_the_normal_distribution():
    samples = np.random.default_rng(1).normal(100.0, 10.0, 2000)
    found = estimate(samples, np.mean)
    low, high = stats.norm.interval(0.95, samples.mean(), samples.std(ddof=1) / math.sqrt(2000))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05)


def test_one_run_has_no_interval_and_equal_runs_a_point():
    single = estimate(np.array([3.0]), np.median)
    assert single.value == 3.0
    assert math.isnan(single.low)
    assert math.isnan(single.high)
    same = estimate(np.full(5, 3.0), np.mean)
    assert (same.low, same.value, same.high) == (3.0, 3.0, 3.0)


def test_a_band_is_the_interval_at_every_point():
    samples = np.random.default_rng(0).normal(size=(30, 4)) + np.arange(4)
    value, low, high = band(samples, interquartile_mean)
    for k in range(4):
        found = estimate(samples[:, k], interquartile_mean)
        assert value[k] == pytest.approx(found.value)
        assert (low[k], high[k]) == pytest.approx((found.low, found.high), abs=0.05)


def test_a_summary_counts_runs_failures_and_what_solved_runs_took():
    outcomes = [
        outcome(500.0, env_steps=100, train_s=0.1),
        outcome(480.0, env_steps=300, train_s=0.3),
        outcome(490.0, ended_early=False, env_steps=900, train_s=0.9),
        outcome(100.0, ended_early=False, env_steps=900, train_s=0.9),
    ]
    summary = summarize(outcomes, failed=2)
    assert (summary.runs, summary.failed, summary.ended_early) == (6, 2, 2)
    assert summary.failed_share == pytest.approx(1 / 3)
    # The statistics cover the finished runs only.
    assert summary.solved.value == 0.75
    assert summary.mean.value == pytest.approx(1570 / 4)
    assert summary.median.value == pytest.approx(485.0)
    assert summary.interquartile_mean.value == pytest.approx((480 + 490) / 2)
    assert summary.optimality_gap.value == pytest.approx((0 + 0 + 0 + 375) / 4)
    assert summary.steps_to_solve.value == 200
    assert summary.seconds_to_solve.value == pytest.approx(0.2)
    assert dataclasses.replace(summary, runs=4, failed=0, failed_share=0.0) == summarize(outcomes)


def test_where_every_run_failed_there_are_no_statistics():
    summary = summarize([], failed=3)
    assert (summary.runs, summary.failed, summary.failed_share) == (3, 3, 1.0)
    assert summary.mean is summary.interquartile_mean is summary.solved is summary.steps_to_solve is None


def test_unknown_values_are_null_in_the_summary():
    content = summarize([outcome(100.0, ended_early=False)]).as_dict()
    assert content["steps_to_solve"] is None
    assert content["mean"] == {"value": 100.0, "low": None, "high": None}


def test_small_returns_keep_their_digits_in_the_lines_and_tables_of_a_sweep(capsys):
    outcomes = [outcome(value, target=0.05, ended_early=False) for value in (0.0412, 0.0413, -0.0004)]
    results = tuple(zip(runs_of("fast", range(3), {}), outcomes, strict=True))
    for result, shown in zip(results, ("  0.0412", "  0.0413", " -0.0004"), strict=True):
        assert f"return {shown}  " in command._line(result)
    command._print_tables(SweepResult(results))
    returns, _, solving = capsys.readouterr().out.partition("optimality")
    number = r"-?0\.0*[1-9]\d*"
    assert len(re.findall(rf"\[{number}, {number}\]", returns)) == 3
    assert re.search(r"3 +0\.0274 +0\.0274 +0\.0412\n", returns)
    assert re.search(r"0% +0\.0226 ", solving)


def test_the_lines_of_a_sweep_are_aligned_whatever_the_returns():
    runs = runs_of("fast", range(4), {})
    returns = (0.0412, -1148.7, 500.0, math.nan)
    lines = [command._line((run, outcome(value))) for run, value in zip(runs, returns, strict=True)]
    assert len({line.index(" steps") for line in lines}) == 1
    assert lines[-1].split()[lines[-1].split().index("return") + 1] == "-"
