"""Threads of a batch, threads of a program, and what each may do."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from fastcartpole import CartPoleEnv, CartPoleVectorEnv, kernels


@pytest.fixture
def numbers(monkeypatch):
    """Let Numba have eight threads, and return how many it is told to use, call by call."""
    told = []
    current = [8]
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 8)
    monkeypatch.setattr(numba, "get_num_threads", lambda: current[0])

    def set_num_threads(number):
        told.append(number)
        current[0] = number

    monkeypatch.setattr(numba, "set_num_threads", set_num_threads)
    return told


@pytest.mark.parametrize(("requested", "told"), [(2, [2, 8]), (3, [3, 8]), (20, [])])
def test_a_batch_uses_as_many_threads_as_it_was_asked_to_and_the_program_keeps_its_number(numbers, requested, told):
    environments = CartPoleVectorEnv(5000, num_threads=requested)
    environments.reset(seed=0)
    environments.step(np.zeros(5000, dtype=np.int64))
    assert numbers == told
    environments.rollout("random", 3, seed=0)
    assert numbers == told * 2


def test_one_thread_launches_nothing_on_others(numbers):
    environments = CartPoleVectorEnv(5000, num_threads=1)
    environments.reset(seed=0)
    environments.step(np.zeros(5000, dtype=np.int64))
    environments.rollout("random", 3, seed=0)
    assert numbers == []


def test_the_programs_number_of_threads_is_put_back_after_an_error(numbers):
    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        kernels.launch_parallel(3, fail)
    assert numbers == [3, 8]


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
    # As another thread does while its reset or rollout goes on.
    with environments._one_thread:
        environments._is_prepared = False
        for use in uses:
            with pytest.raises(RuntimeError, match="Another thread is using this environment"):
                use()
        # A copy is in nobody's use.
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
    # Each thread got the observations of its own steps.
    assert sorted(seen[0] + seen[1]) == sorted(expected)


def test_threads_that_share_a_single_environment_move_it_once_for_each_step():
    environment, alone = CartPoleEnv(), CartPoleEnv()
    for each in (environment, alone):
        each.reset(seed=0)
        # It never falls.
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
    threads = [threading.Thread(target=play, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
