"""The harness measures in turn, checks first, and lets no failure hide what else was measured."""

import math
import time

import numpy as np
import pytest

from bench import process as process_module
from bench.correctness import Trajectory, check_bits, check_dynamics, random_actions
from bench.harness import Case, Entrant, Processes, measure
from bench.process import MeasurementError, PeerError, PeerProcess, WrongResultError
from bench.results import CaseResult, Skipped, Timing
from bench.tasks import Task, run_tasks
from fastcartpole import CartPoleVectorEnv


@pytest.fixture(scope="module")
def processes():
    with Processes() as running:
        yield running


def entrant(name, kind="Toy", arguments=(), *, side="peer", process="toys", **others):
    return Entrant(name, side, f"toys:{kind}", arguments, process, **others)


def results_of(case, processes, repeats=3, deadline=math.inf):
    measurements = list(measure(case, processes, repeats, deadline))
    (result,) = [item for item in measurements if isinstance(item, CaseResult)]
    return result, [item for item in measurements if isinstance(item, Skipped)]


def timing(name="a", side="peer", work=1.0, durations=(1.0,)):
    return Timing(name, side, work, durations, 0.0, math.nan)


def test_ratios_are_taken_round_by_round_for_the_same_work():
    ours, peer = timing("ours", "ours", 100.0, (1.0, 2.0, 4.0)), timing("peer", work=10.0, durations=(3.0, 2.0))
    result = CaseResult("f", "c", 1, "steps", (ours, peer))
    assert ours.rates == (100.0, 50.0, 25.0)
    assert (ours.rate, peer.rate) == (50.0, (10 / 3 + 5) / 2)
    assert result.ratios(peer) == pytest.approx((30.0, 10.0))
    assert result.ratios(ours) == ()
    assert CaseResult("f", "c", 1, "steps", (peer,)).ratios(peer) == ()


def test_entrants_take_turns_and_run_long_enough_against_timer_noise(processes):
    ours, peer = entrant("ours", arguments=(4.0, 0.01), side="ours"), entrant("peer", arguments=(6.0, 0.02))
    result, skipped = results_of(Case("f", "c", 8, "steps", (ours, peer)), processes, repeats=4)
    assert (result.family, result.case, result.num_envs, result.unit, skipped) == ("f", "c", 8, "steps", [])
    assert [len(item.durations) for item in result.timings] == [4, 4]
    assert all(duration > 0.04 for item in result.timings for duration in item.durations)
    ours, peer = result.timings
    assert ours.work >= 4 * 4.0
    assert 0.5 < ours.rate / (4.0 / 0.01) <= 1.0
    assert all(0.3 < ratio < 3 for ratio in np.array(result.ratios(peer)) / ((4 / 0.01) / (6 / 0.02)))
    assert ours.first_call_s > 0.01


def test_rounds_end_at_the_deadline_but_not_before_three_and_slow_entrants_leave_early(processes):
    case = Case(
        "f", "c", 1, "steps", (entrant("ours", side="ours"), entrant("slow", arguments=(1.0, 0.1), most_rounds=1))
    )
    result, _ = results_of(case, processes, repeats=50, deadline=time.perf_counter())
    assert [len(item.durations) for item in result.timings] == [3, 1]
    assert len(result.ratios(result.timings[1])) == 1


def test_peak_memory_is_that_of_the_case(processes):
    result, _ = results_of(Case("f", "c", 1, "steps", (entrant("big", "Greedy"), entrant("small"))), processes)
    big, small = (item.peak_memory_mib for item in result.timings)
    assert big > 200
    # Only Linux can forget the peak of an earlier case.
    assert small < big or math.isclose(small, big, rel_tol=0.1)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Broken", "ValueError: no such thing"),
        ("Wrong", "1 is not 2"),
        ("Failing", "RuntimeError: worn out"),
        ("Dying", "The process ended unexpectedly."),
        ("Missing", "AttributeError: module 'toys' has no attribute 'Missing'"),
    ],
)
def test_a_peer_that_fails_is_named_and_hides_nothing_else(processes, kind, reason):
    case = Case(
        "f", "c", 2, "steps", (entrant("ours", side="ours"), entrant("bad", kind, process="bad"), entrant("good"))
    )
    result, (skipped,) = results_of(case, processes)
    assert [item.name for item in result.timings] == ["ours", "good"]
    assert [len(item.durations) for item in result.timings] == [3, 3]
    assert skipped == Skipped("f", "c", 2, "bad", reason)


def test_a_peer_that_is_not_installed_is_named_with_the_way_to_install_it(processes):
    missing = entrant("bad", packages=("no_such_package", "numpy"))
    _, (skipped,) = results_of(Case("f", "c", 2, "steps", (entrant("good"), missing)), processes)
    assert skipped.reason == "no_such_package not installed: pip install 'fastppo[bench-peers]'."
    _, (skipped,) = results_of(Case("f", "c", 2, "steps", (entrant("good"), entrant("bad", why_not="No."))), processes)
    assert skipped.reason == "No."


def test_a_wrong_result_of_ours_is_an_error_and_is_not_timed(processes):
    case = Case("f", "c", 2, "steps", (entrant("ours", "Wrong", side="ours"), entrant("good")))
    with pytest.raises(WrongResultError, match="1 is not 2"):
        next(measure(case, processes, 3))


@pytest.mark.parametrize("other", [1.1, math.nan])
def test_results_that_do_not_agree_are_not_timed(processes, other):
    entrants = (entrant("ours", arguments=(1.0, 0.0, 1.0), side="ours"), entrant("peer", arguments=(1.0, 0.0, other)))
    with pytest.raises(WrongResultError, match=r"c: ours computes 1\.0, peer "):
        next(measure(Case("f", "c", 2, "steps", entrants, tolerance=0.05), processes, 3))
    if other > 1:
        assert results_of(Case("f", "c", 2, "steps", entrants, tolerance=0.2), processes)[1] == []


def test_a_process_answers_and_reports_what_fails():
    with PeerProcess("collections:Counter", "abca") as process:
        assert process.call("most_common", 1) == [("a", 2)]
        with pytest.raises(PeerError, match="TypeError: "):
            process.call("most_common", "x")
        assert process.call("most_common", 1) == [("a", 2)]
    with pytest.raises(MeasurementError, match="ModuleNotFoundError: No module named 'no_such_peer'"):
        PeerProcess("no_such_peer:Anything")


def test_a_call_that_does_not_come_back_ends_the_process(monkeypatch):
    with PeerProcess("toys:Toy", 1.0, 60.0) as process:
        monkeypatch.setattr(process_module, "_LONGEST_CALL_S", 0.2)
        with pytest.raises(PeerError, match=r"It took longer than 0 s\."):
            process.call("run")
        assert not process.is_running


def test_tasks_share_the_time_and_those_that_come_too_late_are_named():
    deadlines = []

    def run(deadline):
        deadlines.append(deadline - time.perf_counter())
        yield Skipped("f", "ran", 0, "x", "")

    def run_long(deadline):
        time.sleep(1.0)
        yield from run(deadline)

    tasks = [Task("f", "1", run, weight=3.0), Task("f", "2", run_long), Task("f", "3", run)]
    found = list(run_tasks(tasks, 0.8))
    assert deadlines[0] == pytest.approx(0.8 * 3 / 5, abs=0.1)
    assert [item.case for item in found] == ["ran", "ran", "3"]
    assert found[-1].reason == "the time budget was spent before it began."
    assert len(list(run_tasks(tasks[:1]))) == 1
    assert deadlines[-1] == math.inf


def test_an_environment_that_computes_something_else_is_not_timed(monkeypatch):
    class SlightlyOff(CartPoleVectorEnv):
        def step(self, actions):
            observations, *others = super().step(actions)
            observations[0, 0] += 1e-7
            return observations, *others

    check_bits(2000)
    monkeypatch.setattr("bench.correctness.CartPoleVectorEnv", SlightlyOff)
    with pytest.raises(WrongResultError, match=r"observations differ from those of SyncVectorEnv.* at step 1\."):
        check_bits(2000)


def trajectory(num_steps=60):
    environments = CartPoleVectorEnv(50)
    observations, ended = [environments.reset(seed=0)[0]], []
    actions = random_actions(0, num_steps, 50)
    for row in actions:
        results = environments.step(row)
        observations.append(results[0])
        ended.append(results[2])
    return Trajectory(np.array(observations), actions, np.array(ended))


def test_the_dynamics_of_any_cartpole_are_compared_with_gymnasiums():
    right = trajectory()
    assert right.ended.any()
    check_dynamics(right)
    wrong = right.observations.copy()
    wrong[7, 3, 1] += 1e-3
    with pytest.raises(WrongResultError, match=r"observations are up to 1\.0e-03 away from Gymnasium's at step [67]\."):
        check_dynamics(right._replace(observations=wrong))
    with pytest.raises(WrongResultError, match="observations are up to"):
        check_dynamics(right._replace(actions=1 - right.actions))
    with pytest.raises(WrongResultError, match="episodes end otherwise"):
        check_dynamics(right._replace(ended=np.zeros_like(right.ended)))
