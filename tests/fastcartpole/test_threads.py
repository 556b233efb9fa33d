"""Threads of a vector environment, and their interaction with the threads of the program."""

import copy
import itertools
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcartpole import CartPoleEnv, CartPoleVectorEnv, stepping, threads, vector_env
from fastcartpole.kernels import IN_USE


@pytest.fixture
def asked(monkeypatch):
    """Return a list of the work given to other threads, one entry per call."""
    asked = []
    submitted = threads._submitted

    def submit(make, function, start, stop, *args):
        asked.append((start, stop))
        return submitted(make, function, start, stop, *args)

    monkeypatch.setattr(threads, "_submitted", submit)
    return asked


@pytest.mark.parametrize(("requested", "others"), [(1, 0), (2, 1), (3, 2)])
def test_a_batch_uses_as_many_threads_as_it_was_asked_to(asked, requested, others):
    environments = CartPoleVectorEnv(5000, num_threads=requested)
    environments.reset(seed=0)
    environments.step(np.zeros(5000, dtype=np.int64))
    assert len(asked) == others
    environments.rollout("random", 3, seed=0)
    assert len(asked) == 2 * others


def test_by_default_a_batch_uses_no_more_threads_than_numba_may(asked, monkeypatch):
    for most, others in ((1, 0), (3, 2)):
        asked.clear()
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", most)
        environments = CartPoleVectorEnv(50_000)
        environments.reset(seed=0)
        environments.step(np.zeros(50_000, dtype=np.int64))
        assert len(asked) == others


@given(num_threads=st.integers(1, 9), num_items=st.integers(1, 40))
def test_ranges_make_up_the_whole_and_come_in_order(num_threads, num_items):
    ranges = threads.in_ranges(num_threads, num_items, lambda start, stop, shift: (start + shift, stop + shift), 5)
    assert len(ranges) == min(num_threads, num_items)
    assert [item for start, stop in ranges for item in range(start, stop)] == list(range(5, 5 + num_items))


def test_ranges_are_done_side_by_side():
    barrier = threading.Barrier(2)
    places = threads.in_ranges(2, 2, lambda *_: barrier.wait(60))
    assert sorted(places) == [0, 1]


def failing_beside_another(error):
    """Return work whose first range fails while the second one is running, and a list of completed ranges."""
    begun, done = threading.Event(), []

    def work(start, _):
        if start == 0:
            assert begun.wait(60)
            raise error
        begun.set()
        time.sleep(0.05)
        done.append(start)

    return work, done


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_nobody_is_at_work_any_more_when_an_error_comes(error):
    work, done = failing_beside_another(error)
    with pytest.raises(error):
        threads.in_ranges(2, 2, work)
    assert done == [1]


def test_interrupts_while_waiting_come_when_all_is_done(monkeypatch):
    work, done = failing_beside_another(KeyError)
    interrupts = [KeyboardInterrupt, KeyboardInterrupt]

    def sleep(_):
        if interrupts:
            raise interrupts.pop()

    monkeypatch.setattr(threads, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(KeyboardInterrupt):
        threads.in_ranges(2, 2, work)
    assert done == [1]
    assert interrupts == []


class Tracing:
    """Is called at the events of this thread's Python code within a ``with`` statement, as by ``sys.settrace``."""

    def __enter__(self):
        self._previous = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(self._previous)


class Interruption(Tracing):
    """Interrupts the code of the module at its n-th event (a call, a line, a return), as Ctrl-C may do."""

    def __init__(self, number):
        self.number = number
        self.has_come = False

    def __call__(self, frame, *_):
        if frame.f_code.co_filename != threads.__file__:
            return None
        self.number -= 1
        if self.number < 0:
            self.has_come = True
            raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("error", [None, KeyError])
def test_whenever_an_interrupt_comes_nobody_is_at_work_any_more_when_it_is_raised(monkeypatch, error):
    monkeypatch.setattr(threads, "_POOL", None)
    for number in itertools.count():
        begun, done = threading.Event(), []

        def work(start, _, begun=begun, done=done):
            if error and start == 0:
                assert begun.wait(60)
                raise error
            begun.set()
            time.sleep(0.003)
            done.append(start)

        raised = None
        try:
            with Interruption(number) as interruption:
                threads.in_ranges(3, 3, work)
        except (KeyboardInterrupt, KeyError) as caught:
            raised = type(caught)
        assert raised is (KeyboardInterrupt if interruption.has_come else error)
        done_when_raised = list(done)
        if threads._POOL is not None:
            # No call begins later, either.
            threads._POOL.shutdown(wait=True)
            threads._forget_pool()
        assert done == done_when_raised, f"event {number}"
        if not interruption.has_come:
            break
    assert number > 40


def test_where_no_thread_can_be_started_the_calling_one_does_everything_once(monkeypatch):
    done = []

    def work(start, stop):
        done.append((start, stop))

    def fail(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_POOL", None)
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", fail)
        threads.in_ranges(3, 3, work)
    assert sorted(done) == [(0, 1), (1, 2), (2, 3)]
    # No work is left over for threads that start later.
    threads.in_ranges(2, 2, work)
    assert sorted(done) == [(0, 1), (0, 1), (1, 2), (1, 2), (2, 3)]


def test_numbas_own_threads_are_left_to_the_user_and_steps_go_on_to_the_end_of_the_interpreter():
    code = """
import atexit, numba, numpy as np
from fastcartpole import CartPoleVectorEnv
environments = CartPoleVectorEnv(50_000, num_threads=2)
environments.reset(seed=0)
actions = np.zeros(50_000, dtype=np.int64)
def step():
    return environments.step(actions)[0].sum()
atexit.register(lambda: print(step()))
environments.rollout("random", 2, seed=0)
state = environments.get_state()
print(step())
environments.set_state(state)
try:
    numba.threading_layer()
except ValueError as error:
    print(error)
"""
    first, numbas, last = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert "not initialized" in numbas
    assert first == last


def test_threads_with_an_environment_each_step_side_by_side():
    def play(seed):
        environments, single = CartPoleVectorEnv(300), CartPoleEnv()
        observations = [environments.reset(seed=seed)[0], single.reset(seed=seed)[0]]
        actions = np.random.default_rng(seed).integers(0, 2, (200, 300))
        for row in actions:
            observations.append(environments.step(row)[0])
            observation, _, terminated, _, _ = single.step(row[0])
            observations.append(single.reset()[0] if terminated else observation)
        return b"".join(array.tobytes() for array in observations)

    with ThreadPoolExecutor(4) as executor:
        side_by_side = list(executor.map(play, range(8)))
    assert side_by_side == [play(seed) for seed in range(8)]


@pytest.mark.parametrize("num_envs", [3, 600])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda environment: pickle.loads(pickle.dumps(environment))])
def test_a_second_thread_is_told_that_an_environment_is_in_use_and_moves_nothing(num_envs, copied):
    environments = CartPoleVectorEnv(num_envs)
    environments.reset(seed=0)
    actions = np.zeros(num_envs, dtype=np.int64)
    environments.step(actions)
    before = environments.get_state()
    uses = (
        lambda: environments.step(actions),
        lambda: environments.reset(seed=1),
        lambda: environments.rollout("random", 5, seed=0),
    )
    # Another thread holds this lock during its reset or rollout.
    with environments._one_thread:
        vars(environments)["_is_prepared"] = False
        for use in uses:
            with pytest.raises(RuntimeError, match="Another thread is using this environment"):
                use()
        # A copy is not in use.
        copied(environments).step(actions)
    after = environments.get_state()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    for use in uses:
        use()


class Meeting(Tracing):
    """Lets another thread run a function before the n-th bytecode instruction of a step of this thread."""

    def __init__(self, number, function):
        self.number = number
        self._function = function
        self.has_come = False

    def __call__(self, frame, event, _):
        if frame.f_code.co_filename not in (stepping.__file__, vector_env.__file__):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.number -= 1
            if self.number == -1:
                self.has_come = True
                other = threading.Thread(target=self._function)
                other.start()
                other.join()
        return self


def outcomes_of(environments, actions, uses):
    """Step, or reset first; return what is returned, or nothing more after the environments were in use."""
    returned = []
    try:
        for use in uses:
            returned.append(environments.step(actions) if use == "step" else environments.reset(seed=7))
    except RuntimeError as error:
        if str(error) != IN_USE:
            raise
    return returned


def bytes_of(outcomes):
    return [array.tobytes() for *arrays, infos in outcomes for array in (*arrays, *infos.get("final_obs", ()))]


@pytest.mark.parametrize("uses", [["step"], ["step"] * 5, ["reset"], ["reset", "step"]])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("most_envs_of_brief_steps", [0, 2])
def test_wherever_another_thread_comes_in_between_each_gets_the_results_of_its_own_steps(
    monkeypatch, most_envs_of_brief_steps, mode, uses
):
    """What is returned is that of one thread after the other, in either order, or one of them is refused."""
    monkeypatch.setattr(vector_env, "_MAX_BRIEF_STEP_ENVS", most_envs_of_brief_steps)
    # Each step ends an episode, so that final observations are returned, too.
    most = 1 if mode == "SameStep" else None
    environments, alone = (CartPoleVectorEnv(2, autoreset_mode=mode, max_episode_steps=most) for _ in range(2))
    environments.reset(seed=0)
    actions = np.zeros(2, dtype=np.int64)
    state = environments.get_state()

    def in_turn(*turns):
        alone.set_state(state)
        alone.step(actions)
        return [bytes_of(outcomes_of(alone, actions, turn)) for turn in turns]

    ours_first, (others, ours_last) = in_turn(["step"], uses), in_turn(uses, ["step"])
    allowed = (ours_first, [ours_last, others], [ours_first[0], []], [[], others])
    # Python 3.12 traces instructions only once a trace function has asked for it before.
    with Meeting(sys.maxsize, None):
        environments.step(actions)
    for number in itertools.count():
        environments.set_state(state)
        environments.step(actions)
        theirs = []
        with Meeting(number, lambda theirs=theirs: theirs.extend(outcomes_of(environments, actions, uses))) as meeting:
            ours = outcomes_of(environments, actions, ["step"])
        if not meeting.has_come:
            break
        assert [bytes_of(ours), bytes_of(theirs)] in allowed, f"instruction {number}"
    assert number > 50


def test_a_small_batch_is_not_stepped_during_a_rollout_or_a_reset(monkeypatch):
    environments = CartPoleVectorEnv(3)
    environments.reset(seed=0)
    actions = np.zeros(3, dtype=np.int64)
    environments.step(actions)
    returned = []

    def step_meanwhile(*_):
        returned.append(outcomes_of(environments, actions, ["step"]))

    monkeypatch.setattr(vector_env, "roll_out", step_meanwhile)
    monkeypatch.setitem(vars(environments), "_reset_kernel", step_meanwhile)
    environments.rollout("random", 1, seed=0)
    environments.reset(seed=1)
    assert returned == [[], []]


@pytest.mark.parametrize("num_envs", [5, 20_000])
def test_threads_that_do_share_an_environment_move_it_once_for_each_step_that_was_not_refused(num_envs):
    environments = CartPoleVectorEnv(num_envs, max_episode_steps=None, num_threads=1)
    environments.reset(seed=0)
    actions = np.zeros(num_envs, dtype=np.int64)
    taken = [0, 0]
    seen = [[], []]

    def play(index):
        for _ in range(max(50, 100_000 // num_envs)):
            try:
                seen[index].append(environments.step(actions)[0][0].tobytes())
            except RuntimeError:
                continue
            taken[index] += 1

    _run_side_by_side(play)
    alone = CartPoleVectorEnv(num_envs, max_episode_steps=None, num_threads=1)
    alone.reset(seed=0)
    expected = [alone.step(actions)[0][0].tobytes() for _ in range(sum(taken))]
    assert environments.state.tobytes() == alone.state.tobytes()
    # Each thread received the observations of its own steps.
    assert sorted(seen[0] + seen[1]) == sorted(expected)


def test_threads_that_share_a_single_environment_move_it_once_for_each_step():
    environment, alone = CartPoleEnv(), CartPoleEnv()
    for each in (environment, alone):
        each.reset(seed=0)
        # With these thresholds, no episode terminates.
        each.x_threshold = each.theta_threshold_radians = 1e300
    seen = [[], []]

    def play(index):
        for _ in range(20_000):
            seen[index].append(environment.step(1)[0].tobytes())

    _run_side_by_side(play)
    expected = [alone.step(1)[0].tobytes() for _ in range(40_000)]
    assert environment.state.tobytes() == alone.state.tobytes()
    assert sorted(seen[0] + seen[1]) == sorted(expected)


def _run_side_by_side(play):
    both = [threading.Thread(target=play, args=(index,)) for index in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
