"""Threads that share the work of a kernel.

Numba's own (``parallel=True``) are not used. OpenMP's spin where they wait, within a parallel region and after it: they
take the cores from the other threads of the process, and from other processes. Whether they do, and which threading
layer Numba finds, is decided by environment variables that are the user's. The threads here sleep while they wait, and
the user's own parallel code keeps its settings.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numba

Result = TypeVar("Result")

_POOL: ThreadPoolExecutor | None = None
_THREAD_LIMIT: ContextVar[int | None] = ContextVar("_THREAD_LIMIT", default=None)


def _forget_pool() -> None:
    """Begin without threads, as in a forked process: they stayed in the other one."""
    global _POOL
    _POOL = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def in_ranges(num_threads: int, num_items: int, function: Callable[..., Result], *args: Any) -> list[Result]:
    """Call ``function(start, stop, *args)`` for ranges that make up ``range(num_items)``, side by side.

    The calling thread takes part; a range that no other thread has begun by then, it takes too. Ctrl-C comes when all
    are done: nothing writes into the arguments any more when this returns, or raises.

    Args:
        num_threads: Into how many ranges to cut, at least 1; with 1, no other thread is asked.
        num_items: At least 1.
        function: A kernel that releases the global interpreter lock.
        args: What else it is given.

    Returns:
        What it returned, range by range.
    """
    if num_threads == 1:
        return [function(0, num_items, *args)]
    count = min(num_threads, num_items)
    bounds = [part * num_items // count for part in range(count + 1)]
    first, *others = itertools.pairwise(bounds)
    futures: list[Future[Result] | None] = []
    try:
        for start, stop in others:
            futures.append(_submitted(function, start, stop, *args))
        results = [function(*first, *args)]
        for future, (start, stop) in zip(futures, others, strict=True):
            is_free = future is None or future.cancel()
            results.append(function(start, stop, *args) if is_free or future is None else future.result())
        return results
    except BaseException:
        _wait_for([future for future in futures if future is not None and not future.cancel()])
        raise


def _submitted(function: Callable[..., Result], *args: Any) -> Future[Result] | None:
    """Let another thread call a function; None where no thread can be had, as at the end of the interpreter."""
    global _POOL
    if _POOL is None:
        _POOL = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="fastcartpole")
    pool = _POOL
    try:
        return pool.submit(function, *args)
    except RuntimeError:
        # What waits in the pool, for a thread that could not be started, is the caller's to do now.
        pool.shutdown(wait=False, cancel_futures=True)
        _forget_pool()
        return None


def _wait_for(futures: Sequence[Future[Any]]) -> None:
    """Wait until no thread is at work any more; Ctrl-C comes then."""
    interrupt: KeyboardInterrupt | None = None
    while not all(future.done() for future in futures):
        try:
            wait(futures)
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


@contextmanager
def thread_limit(most: int) -> Iterator[None]:
    """Let batches that are made within choose at most so many threads; the process's settings stay as they are."""
    token = _THREAD_LIMIT.set(most)
    try:
        yield
    finally:
        _THREAD_LIMIT.reset(token)


def usable_threads(requested: int | None, num_items: int, items_per_thread: int) -> int:
    """Return how many threads to give a batch.

    Args:
        requested: The user's choice, at least 1; None for what pays off, at most as many as Numba would take.
        num_items: Size of the batch, at least 1.
        items_per_thread: Work below which another thread costs more than it brings.

    Returns:
        A number of at least 1.
    """
    if requested is not None:
        return min(requested, num_items)
    most: int = numba.config.NUMBA_NUM_THREADS
    limit = _THREAD_LIMIT.get()
    return max(1, min(most if limit is None else min(most, limit), num_items // items_per_thread))
