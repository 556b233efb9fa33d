"""The benchmark measures equal work, in turn, and refuses wrong results."""

import shutil

import pytest
from click.testing import CliRunner

from bench import environment, keras_preset
from bench.cli import main
from bench.environment import check_against_gymnasium
from bench.harness import Comparison, WrongResultError, compare
from bench.peers.process import PeerProcess
from bench.peers.scalar_c import ScalarCartPole


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
    with PeerProcess("collections:Counter", "abca") as peer:
        assert peer.call("most_common", 1) == [("a", 2)]
        with pytest.raises(RuntimeError, match="The peer failed: TypeError: "):
            peer.call("most_common", "x")
    with pytest.raises(RuntimeError, match="The peer failed: ModuleNotFoundError: No module named 'no_such_peer'"):
        PeerProcess("no_such_peer:Anything")


def test_an_update_is_measured_against_the_examples_loop_after_their_results_are_compared(monkeypatch):
    result = CliRunner().invoke(main, ["bench", "update", "--repeats", "1"])
    assert result.exit_code == 0, result.output
    row = [cell.strip() for cell in result.output.splitlines()[3].split("│")[1:-1]]
    assert row[:2] == ["1", "update, preset keras"]
    assert row[2].endswith(" updates")
    assert float(row[5]) > 0

    class Off(PeerProcess):
        def call(self, method, *arguments):
            return super().call(method, *arguments) + 1e-3

    monkeypatch.setattr(keras_preset, "PeerProcess", Off)
    result = CliRunner().invoke(main, ["bench", "update"])
    assert result.exit_code == 1
    assert "Error: After one update the KL divergence is" in result.output
    assert "Nothing was measured." in result.output


def test_a_rollout_is_measured_against_the_examples_loop():
    result = CliRunner().invoke(main, ["bench", "rollout", "--repeats", "1"])
    assert result.exit_code == 0, result.output
    row = [cell.strip() for cell in result.output.splitlines()[3].split("│")[1:-1]]
    assert row[:2] == ["1", "rollout, preset keras"]
    assert float(row[5]) > 1


def test_the_table_has_a_row_for_every_batch_size(monkeypatch):
    monkeypatch.setattr(environment, "_TARGET_STEPS", 2000)
    result = CliRunner().invoke(main, ["bench", "env", "--envs", "1", "--envs", "1024", "--repeats", "2"])
    assert result.exit_code == 0, result.output
    rows = [line.split("│")[1:-1] for line in result.output.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row] for row in rows]
    cases = ["step, exact", "rollout, exact", "step, fast", "rollout, fast"]
    in_c = [f"rollout, {precision}, 1 thread" for precision in ("exact", "fast")] if shutil.which("cc") else []
    assert [row[:2] for row in cells] == [
        *(["1", case] for case in [*cases, "single step", *in_c, "reset(seed)"]),
        *(["1,024", case] for case in [*cases, *in_c, "reset(seed)"]),
    ]
    assert all(float(cell) >= 0 for row in cells for cell in row[5:])
    assert all(row[2].endswith("resets" if row[1] == "reset(seed)" else "steps") for row in cells)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_c_implementation_plays_cartpole():
    peer = ScalarCartPole(num_envs=2000, num_steps=100)
    assert peer.roll_out() == 2000 * 100
    # With random actions an episode takes 22 steps on average.
    episodes = peer.terminated.sum()
    assert 2000 * 100 / 25 < episodes < 2000 * 100 / 18
    reference = environment.CartPoleVectorEnv(2000)
    reference.reset(seed=0)
    assert abs(episodes / reference.rollout("random", 100, seed=0).terminated.sum() - 1) < 0.1


def test_without_a_compiler_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RuntimeError, match="no C compiler found"):
        ScalarCartPole(num_envs=2, num_steps=3)


def test_an_environment_that_computes_something_else_is_not_timed(monkeypatch):
    class SlightlyOff(environment.CartPoleVectorEnv):
        def step(self, actions):
            observations, *others = super().step(actions)
            observations[0, 0] += 1e-7
            return observations, *others

    check_against_gymnasium(2000)
    monkeypatch.setattr(environment, "CartPoleVectorEnv", SlightlyOff)
    with pytest.raises(WrongResultError, match=r"observations differ from those of SyncVectorEnv.* at step 1\."):
        check_against_gymnasium(2000)
    result = CliRunner().invoke(main, ["bench", "env", "--envs", "1"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: fastcartpole's observations differ")
