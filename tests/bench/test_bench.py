"""The benchmark measures equal work, in turn, and refuses wrong results."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from agent import preset_config
from bench import cli, env, rollout, solve, startup, train
from bench.cli import main
from bench.env import check_against_gymnasium
from bench.harness import Comparison, Distribution, MeasurementError, Result, Skipped, WrongResultError, compare
from bench.peers import peer
from bench.peers.peer import JAX_PPO, JAX_ROLLOUT, Peer, measured_against
from bench.peers.process import PeerProcess
from bench.peers.scalar_c import ScalarCartPole
from bench.report import format_figure, format_rate, print_report


def rows_of(output):
    """Return the cells of every row of the tables in ``output``."""
    rows = [line.split("│")[1:-1] for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row] for row in rows]


def test_repetitions_alternate_after_one_of_each_that_does_not_count():
    calls = []
    comparison = compare(lambda: calls.append("ours"), lambda: calls.append("peer"), repeats=3)
    assert calls == ["ours", "peer"] * 4
    assert len(comparison.ours) == len(comparison.peer) == 3


def test_ratios_are_taken_pair_by_pair():
    comparison = Comparison(ours=(1.0, 2.0, 4.0), peer=(3.0, 2.0, 8.0))
    assert comparison.ratios == (3.0, 1.0, 2.0)
    assert comparison.median_ratio == 2.0


def test_ratios_and_rates_are_for_the_same_work():
    comparison = Comparison(ours=(1.0, 2.0), peer=(3.0, 2.0), ours_work=100, peer_work=10)
    assert comparison.ratios == (30.0, 10.0)
    assert (comparison.ours_rate, comparison.peer_rate) == (100 / 1.5, 10 / 2.5)


def test_what_is_warm_already_is_not_warmed_up_again():
    calls = []
    comparison = compare(calls.clear, lambda: calls.append("peer"), repeats=1, work=7, warm_up=False)
    assert calls == ["peer"]
    assert (comparison.ours_work, comparison.peer_work) == (7, 7)


def test_a_peer_in_a_process_of_its_own_answers_and_reports_what_fails():
    with PeerProcess("collections:Counter", "abca") as process:
        assert process.call("most_common", 1) == [("a", 2)]
        with pytest.raises(RuntimeError, match="The peer failed: TypeError: "):
            process.call("most_common", "x")
    with pytest.raises(RuntimeError, match="The peer failed: ModuleNotFoundError: No module named 'no_such_peer'"):
        PeerProcess("no_such_peer:Anything")


def test_an_update_is_measured_against_the_examples_loop_after_their_results_are_compared(monkeypatch):
    result = CliRunner().invoke(main, ["bench", "update", "--repeats", "1"])
    assert result.exit_code == 0, result.output
    (row,) = rows_of(result.output)
    assert row[:2] == ["1", "update, preset keras"]
    assert row[2].endswith(" updates")
    assert float(row[5]) > 0

    class Off(PeerProcess):
        def call(self, method, *arguments):
            return super().call(method, *arguments) + 1e-3

    monkeypatch.setattr(peer, "PeerProcess", Off)
    result = CliRunner().invoke(main, ["bench", "update"])
    assert result.exit_code == 1
    assert "Error: After one update the KL divergence is" in result.output
    assert "A wrong result is not timed." in result.output


def test_rollouts_are_measured_against_the_examples_loop_and_the_machines_limit(monkeypatch):
    monkeypatch.setattr(rollout, "_TARGET_STEPS", 1)
    monkeypatch.setattr(peer, "find_spec", lambda _: None)
    result = CliRunner().invoke(main, ["bench", "rollout", "--repeats", "1", "--envs", "2", "--envs", "40"])
    assert result.exit_code == 0, result.output
    rows = rows_of(result.output)
    limit = ["rollout", "SGEMM peak, all cores"]
    assert [[row[0], row[1], row[3]] for row in rows] == [
        ["1", "rollout, preset keras", "the Keras example's loop"],
        ["2", *limit],
        ["40", *limit],
    ]
    assert float(rows[0][5].replace(",", "")) > 1
    assert all(0 < float(row[5]) < 1 for row in rows[1:])
    missing = "rollout against JAX, gymnax, one lax.scan: jax and gymnax and optax not installed: pip install"
    assert result.output.count(f"Not measured: {missing} 'fastppo[bench-peers]'.") == 2


def test_a_rollout_that_is_not_gymnasiums_and_kerass_is_not_timed(monkeypatch):
    class Off(rollout.Collector):
        def collect(self, weights):
            return self.spoiled(super().collect(weights))

    for spoiled, message in (
        (lambda _, r: r._replace(observations=r.observations + np.float32(1e-6)), "observations differ .* at step 0"),
        (lambda _, r: r._replace(log_probs=r.log_probs + np.float32(1e-3)), "log-probabilities are up to"),
        (lambda _, r: r._replace(log_probs=r.log_probs * np.float32(np.nan)), "log-probabilities are up to nan"),
    ):
        monkeypatch.setattr(Off, "spoiled", spoiled, raising=False)
        monkeypatch.setattr(rollout, "Collector", Off)
        with pytest.raises(WrongResultError, match=message):
            next(rollout.measure_fast(8, 1))


def test_what_fails_in_a_peer_is_said_and_hides_nothing_else(capsys):
    failing = Peer("a peer", "collections:Counter", ())
    skipped = measured_against(failing, (1,), lambda _: compare(list, list, 1), case="a case", num_envs=3, unit="steps")
    assert isinstance(skipped, Skipped)
    result = Result("ours", "theirs", 1, "steps", Comparison((1.0,), (2.0,), 5e6, 5e6))
    print_report([skipped, result])
    output = capsys.readouterr().out
    assert rows_of(output)[0][1:6] == ["ours", "5 M steps", "theirs", "2.5 M steps", "2.00"]
    assert "Not measured: a case against a peer: The peer failed: TypeError: 'int' object is not iterable" in output


def test_what_was_measured_is_printed_whatever_ends_the_benchmark(monkeypatch):
    def measure(family, *_):
        yield Distribution(family, 1, "s", (1.0,))
        if family == "rollout":
            raise WrongResultError("This is wrong.")

    monkeypatch.setattr(cli, "_measured", measure)
    result = CliRunner().invoke(main, ["bench"])
    assert result.exit_code == 1
    assert [row[1] for row in rows_of(result.output)] == ["env", "rollout"]
    assert "Error: This is wrong. A wrong result is not timed." in result.output


def test_distributions_are_quartiles_of_what_was_measured(capsys):
    print_report([Distribution("time", 1024, "s", (0.25, float("nan"), 1.5, 150.0, 12.0, 3.25))])
    (row,) = rows_of(capsys.readouterr().out)
    assert row == ["1,024", "time", "5 of 6", "0.250", "1.50", "3.25", "12.0", "150", "s"]
    print_report([Distribution("nothing", 1, "s", (float("nan"),))])
    assert rows_of(capsys.readouterr().out)[0][2:8] == ["0 of 1", *"-----"]


def test_figures_have_three_digits_or_are_whole():
    assert [format_figure(x) for x in (0.3123, 4.5678, 45.678, 456.78, 45678.9)] == [
        *("0.312", "4.57", "45.7", "457", "45,679")
    ]
    assert [format_rate(x, "steps") for x in (3.21, 3214, 3.214e6, 3.214e9)] == [
        *("3.21 steps", "3.21 k steps", "3.21 M steps", "3.21 G steps")
    ]


def test_time_to_solve_is_measured_over_seeds():
    result = CliRunner().invoke(main, ["bench", "solve", "--envs", "8", "--seeds", "2"])
    assert result.exit_code == 0, result.output
    rows = rows_of(result.output)
    assert [row[:3] for row in rows] == [["8", case, "2 of 2"] for case, *_ in solve.FIGURES]
    first_s, first_steps, stopped_s, stopped_steps, mean_return = (float(row[5].replace(",", "")) for row in rows)
    assert 0 < first_s <= stopped_s
    assert 0 < first_steps <= stopped_steps
    assert 475 <= mean_return <= 500


def test_a_training_that_is_not_solved_is_not_counted(monkeypatch):
    monkeypatch.setattr(solve, "preset_config", lambda name, **changes: preset_config(name, epochs=1, **changes))
    run = solve.train_until_solved(num_envs=4, seed=0)
    assert np.isnan([run.first_s, run.first_steps, run.stopped_s, run.stopped_steps]).all()
    assert 1 <= run.mean_return < 475


def test_training_at_purejaxrls_setting_has_its_minibatches_and_a_learning_rate_above_0():
    config = train.purejaxrl_config(num_envs=256, epochs=10)
    assert (config.num_steps, config.gradient_batch_size, config.policy_iterations) == (128, 8192, 16)
    result = train.measure_as_purejaxrl(num_envs=4, repeats=1)
    assert isinstance(result, Result | Skipped)


@pytest.mark.slow
def test_a_whole_epoch_of_the_example_is_measured():
    result = train.measure_keras(repeats=1)
    assert result.comparison.median_ratio > 1


@pytest.mark.slow
def test_the_whole_command_is_measured_from_an_empty_directory_on():
    figures = {figure.case: figure.values for figure in startup.measure([8], repeats=1)}
    assert list(figures) == [
        "fastppo --help",
        "fastppo train --envs 8, first run",
        "fastppo train --envs 8",
        "fastppo train --envs 8, peak memory",
    ]
    help_s, first_s, later_s, memory = (values[0] for values in figures.values())
    assert help_s < later_s < first_s
    assert 100 < memory < 10_000


def test_a_command_that_fails_is_not_timed(tmp_path):
    with pytest.raises(MeasurementError, match=r"(?s)fastppo train --envs 0 failed: .*Invalid value for '--envs'"):
        startup.run_command(["train", "--envs", "0"], tmp_path, tmp_path)


@pytest.mark.peers
@pytest.mark.parametrize(("jax_peer", "method"), [(JAX_ROLLOUT, "roll_out"), (JAX_PPO, "train")])
def test_the_jax_peers_run(jax_peer, method):
    arguments = (8, 128) if jax_peer is JAX_ROLLOUT else (8, 128, 4)
    with jax_peer.start(*arguments) as process:
        process.call(method, 2)


@pytest.mark.peers
def test_the_jax_peer_learns_cartpole():
    with JAX_PPO.start(4, 128, 200) as process:
        lengths = [process.call("train", 20) for _ in range(10)]
    assert max(lengths) > 4 * lengths[0]


@pytest.mark.peers
def test_training_and_rollouts_are_measured_against_jax(monkeypatch):
    monkeypatch.setattr(rollout, "_TARGET_STEPS", 1)
    monkeypatch.setattr(rollout, "_PEER_TARGET_STEPS", 1)
    assert isinstance(next(rollout.measure_fast(8, 1)), Result)
    assert isinstance(train.measure_as_purejaxrl(64, 1), Result)


def test_the_table_has_a_row_for_every_batch_size(monkeypatch):
    monkeypatch.setattr(env, "_TARGET_STEPS", 2000)
    result = CliRunner().invoke(main, ["bench", "env", "--envs", "1", "--envs", "1024", "--repeats", "2"])
    assert result.exit_code == 0, result.output
    cells = rows_of(result.output)
    cases = ["step, exact", "rollout, exact", "step, fast", "rollout, fast"]
    in_c = [f"rollout, {precision}, 1 thread" for precision in ("exact", "fast")] if shutil.which("cc") else []
    assert [row[:2] for row in cells] == [
        *(["1", case] for case in [*cases, "single step", *in_c, "reset(seed)"]),
        *(["1,024", case] for case in [*cases, *in_c, "reset(seed)"]),
    ]
    assert all(float(cell.replace(",", "")) >= 0 for row in cells for cell in row[5:])
    assert all(row[2].endswith("resets" if row[1] == "reset(seed)" else "steps") for row in cells)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_c_implementation_plays_cartpole():
    in_c = ScalarCartPole(num_envs=2000, num_steps=100)
    assert in_c.roll_out() == 2000 * 100
    # With random actions an episode takes 22 steps on average.
    episodes = in_c.terminated.sum()
    assert 2000 * 100 / 25 < episodes < 2000 * 100 / 18
    reference = env.CartPoleVectorEnv(2000)
    reference.reset(seed=0)
    assert abs(episodes / reference.rollout("random", 100, seed=0).terminated.sum() - 1) < 0.1


def test_without_a_compiler_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RuntimeError, match="no C compiler found"):
        ScalarCartPole(num_envs=2, num_steps=3)


def test_an_environment_that_computes_something_else_is_not_timed(monkeypatch):
    class SlightlyOff(env.CartPoleVectorEnv):
        def step(self, actions):
            observations, *others = super().step(actions)
            observations[0, 0] += 1e-7
            return observations, *others

    check_against_gymnasium(2000)
    monkeypatch.setattr(env, "CartPoleVectorEnv", SlightlyOff)
    with pytest.raises(WrongResultError, match=r"observations differ from those of SyncVectorEnv.* at step 1\."):
        check_against_gymnasium(2000)
    result = CliRunner().invoke(main, ["bench", "env", "--envs", "1"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: fastcartpole's observations differ")
