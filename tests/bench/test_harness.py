"""The harness checks results first, measures alternately, and keeps other results if an entrant fails."""

import math
from types import SimpleNamespace

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


class FakeProcesses:
    """Entrants that take a given time per run, by a simulated clock; the first argument is this time in s."""

    is_running = True

    def __init__(self):
        self.seconds, self.runs = {}, []

    def of(self, _entrant):
        return self

    def call(self, method, name, *arguments):
        if method == "load":
            self.seconds[name] = arguments[1][0]
            return 4.0, 2 * self.seconds[name], 100.0, 1, None
        if method == "run":
            self.runs.append((name, arguments[0]))
            return arguments[0] * self.seconds[name]
        return None


def test_entrants_take_turns_and_run_long_enough_against_timer_noise():
    running = FakeProcesses()
    ours = entrant("ours", arguments=(0.01,), side="ours")
    peer = entrant("peer", arguments=(0.02,))
    long = entrant("long", arguments=(7.0,))
    result, skipped = results_of(Case("f", "c", 8, "steps", (ours, peer, long)), running, repeats=4)
    assert (result.family, result.case, result.num_envs, result.unit, skipped) == ("f", "c", 8, "steps", [])
    # Each entrant runs once for calibration, then round after round.
    assert running.runs == [("ours", 1), ("peer", 1), ("long", 1)] + 4 * [("ours", 5), ("peer", 3), ("long", 1)]
    ours, peer, long = result.timings
    assert ours.durations == pytest.approx((0.05,) * 4)
    assert (ours.work, peer.work, long.work) == (20.0, 12.0, 4.0)
    assert (ours.rate, peer.rate, long.rate) == pytest.approx((400.0, 200.0, 4 / 7))
    assert result.ratios(peer) == pytest.approx((2.0,) * 4)
    assert ours.first_call_s == 0.02


def test_real_entrants_are_timed_in_processes_of_their_own(processes):
    case = Case("f", "c", 8, "steps", (entrant("ours", arguments=(4.0, 0.001), side="ours"), entrant("peer")))
    result, skipped = results_of(case, processes, repeats=3)
    assert skipped == []
    assert all(len(item.durations) == 3 and min(item.durations) > 0 for item in result.timings)
    assert all(item.first_call_s > 0 for item in result.timings)


def test_rounds_end_at_the_deadline_but_not_before_three_and_slow_entrants_leave_early():
    ours = entrant("ours", arguments=(0.1,), side="ours")
    slow = entrant("slow", arguments=(1.0,), most_rounds=1)
    result, _ = results_of(Case("f", "c", 1, "steps", (ours, slow)), FakeProcesses(), repeats=50, deadline=-math.inf)
    assert [len(item.durations) for item in result.timings] == [3, 1]
    assert len(result.ratios(result.timings[1])) == 1


def test_peak_memory_is_that_of_the_case(processes):
    result, _ = results_of(Case("f", "c", 1, "steps", (entrant("big", "Greedy"), entrant("small"))), processes)
    big, small = (item.peak_memory_mib for item in result.timings)
    assert big > 200
    # Only Linux can reset the peak of an earlier case.
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


def test_tasks_share_the_time_and_those_that_do_not_start_in_time_are_named(monkeypatch):
    now, deadlines = [100.0], []
    monkeypatch.setattr("bench.tasks.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def taking(seconds):
        def run(deadline):
            deadlines.append(deadline - now[0])
            now[0] += seconds
            yield Skipped("f", "ran", 0, "x", "")

        return run

    tasks = [Task("f", "1", taking(2.0), weight=3.0), Task("f", "2", taking(9.0)), Task("f", "3", taking(1.0))]
    found = list(run_tasks(tasks, 10.0))
    # The others share the time that the first one left.
    assert deadlines == [10.0 * 3 / 5, 8.0 / 2]
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
    with pytest.raises(WrongResultError, match="episodes do not end when Gymnasium's do"):
        check_dynamics(right._replace(ended=np.zeros_like(right.ended)))
