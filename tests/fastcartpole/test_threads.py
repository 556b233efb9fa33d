"""Threads of a vector environment, and their interaction with the threads of the program."""

import copy
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcartpole import CartPoleEnv, CartPoleVectorEnv, threads


@pytest.fixture
def asked(monkeypatch):
    """Return a list of the work given to other threads, one entry per call."""
    asked = []
    submitted = threads._submitted

    def submit(function, start, stop, *args):
        asked.append((start, stop))
        return submitted(function, start, stop, *args)

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


def test_an_interrupt_while_waiting_comes_when_all_is_done(monkeypatch):
    work, done = failing_beside_another(KeyError)

    def wait(_):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(threads, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        threads.in_ranges(2, 2, work)
    assert done == [1]


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
        environments._is_prepared = False
        for use in uses:
            with pytest.raises(RuntimeError, match="Another thread is using this environment"):
                use()
        # A copy is not in use.
        copied(environments).step(actions)
    after = environments.get_state()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    for use in uses:
        use()


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
