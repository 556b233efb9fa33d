"""The benchmark measures equal work, in turn, and refuses wrong results."""

import shutil

import pytest
from click.testing import CliRunner

from bench import environment
from bench.cli import main
from bench.environment import WrongResultError, check_against_gymnasium
from bench.harness import Comparison, compare
from bench.scalar_c import ScalarCartPole


def test_repetitions_alternate_after_one_of_each_that_does_not_count():
    calls = []
    comparison = compare(lambda: calls.append("ours"), lambda: calls.append("peer"), repeats=3)
    assert calls == ["ours", "peer"] * 4
    assert len(comparison.ours) == len(comparison.peer) == 3


def test_ratios_are_taken_pair_by_pair():
    comparison = Comparison(ours=(1.0, 2.0, 4.0), peer=(3.0, 2.0, 8.0))
    assert comparison.ratios == (3.0, 1.0, 2.0)
    assert comparison.median_ratio == 2.0


def test_the_table_has_a_row_for_every_batch_size(monkeypatch):
    monkeypatch.setattr(environment, "_TARGET_STEPS", 2000)
    result = CliRunner().invoke(main, ["bench", "--envs", "1", "--envs", "1024", "--repeats", "2"])
    assert result.exit_code == 0, result.output
    rows = [line.split("│")[1:-1] for line in result.output.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row] for row in rows]
    cases = ["step, exact", "rollout, exact", "step, fast", "rollout, fast"]
    in_c = [f"rollout, {precision}, 1 thread" for precision in ("exact", "fast")] if shutil.which("cc") else []
    assert [row[:2] for row in cells] == [
        *(["1", case] for case in [*cases, "single step", *in_c, "reset(seed)"]),
        *(["1,024", case] for case in [*cases, *in_c, "reset(seed)"]),
    ]
    assert all(float(cell) >= 0 for row in cells for cell in (row[2], *row[4:]))


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
    result = CliRunner().invoke(main, ["bench", "--envs", "1"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: fastcartpole's observations differ")
