"""Threads that share the work of a kernel.

Numba's own threads (``parallel=True``) are not used. OpenMP's threads spin while they wait, inside a parallel region
and after it, and take cores from other threads and other processes. Whether they spin, and which threading layer Numba
picks, depends on environment variables that belong to the user. The threads here sleep while they wait, and the user's
own parallel code keeps its settings.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numba

Result = TypeVar("Result")

_POOL: ThreadPoolExecutor | None = None
_SECONDS_BETWEEN_LOOKS = 0.0005
_THREAD_LIMIT: ContextVar[int | None] = ContextVar("_THREAD_LIMIT", default=None)


def _forget_pool() -> None:
    """Start without threads, as needed in a forked process: the threads stayed in the parent."""
    global _POOL
    _POOL = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def in_ranges(num_threads: int, num_items: int, function: Callable[..., Result], *args: Any) -> list[Result]:
    """Call ``function(start, stop, *args)`` in parallel for ranges that make up ``range(num_items)``.

    The calling thread takes part, and also runs every range that no other thread has started. ``KeyboardInterrupt`` is
    raised only after all calls have finished: when this function returns or raises, nothing writes to the arguments.

    Args:
        num_threads: Number of ranges, at least 1; with 1, everything runs in the calling thread. It is reduced to
            ``num_items`` if it is larger.
        num_items: Number of items, at least 1.
        function: A kernel that releases the global interpreter lock.
        args: Further arguments of the function.

    Returns:
        The function's results, in the order of the ranges.
    """
    if num_threads == 1:
        return [function(0, num_items, *args)]
    count = min(num_threads, num_items)
    bounds = [part * num_items // count for part in range(count + 1)]
    first, *others = itertools.pairwise(bounds)
    calls = _Calls()
    futures: list[Future[Result] | None] = []
    try:
        try:
            for start, stop in others:
                futures.append(_submitted(calls.make, function, start, stop, *args))
            results = [function(*first, *args)]
            for future, (start, stop) in zip(futures, others, strict=True):
                is_free = future is None or future.cancel()
                results.append(function(start, stop, *args) if is_free or future is None else future.result())
            return results
        except BaseException:
            calls.end()
            raise
    except BaseException:
        # A second interrupt may have come before the handler of the first one began to wait.
        calls.end()
        raise


class _Calls:
    """Calls made by other threads, which note them: an interrupt of the thread that submits a call cannot lose it."""

    def __init__(self) -> None:
        self._running: list[None] = []
        self._have_ended = False

    def make(self, function: Callable[..., Any], *args: Any) -> Any:
        """Make a call, unless ``end`` has been called."""
        self._running.append(None)
        try:
            # Read after the call is noted: if this is still False, ``end`` sees the note.
            return None if self._have_ended else function(*args)
        finally:
            self._running.pop()

    def end(self) -> None:
        """Let no call begin any more, wait for those that are running, and only then raise a ``KeyboardInterrupt``."""
        interrupt: KeyboardInterrupt | None = None
        while True:
            try:
                self._have_ended = True
                while self._running:
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
                break
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def _submitted(function: Callable[..., Result], *args: Any) -> Future[Result] | None:
    """Submit a call to the thread pool; return None if no thread can be started, as at interpreter shutdown."""
    global _POOL
    if _POOL is None:
        _POOL = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="fastcartpole")
    pool = _POOL
    try:
        return pool.submit(function, *args)
    except RuntimeError:
        # The caller runs the calls that are still queued for a thread that could not be started.
        pool.shutdown(wait=False, cancel_futures=True)
        _forget_pool()
        return None


@contextmanager
def thread_limit(most: int) -> Iterator[None]:
    """Limit the number of threads that batches created in this context choose; process-wide settings do not change."""
    token = _THREAD_LIMIT.set(most)
    try:
        yield
    finally:
        _THREAD_LIMIT.reset(token)


def usable_threads(requested: int | None, num_items: int, items_per_thread: int) -> int:
    """Return the number of threads for a batch.

    Args:
        requested: The user's choice, at least 1; None chooses by the size of the batch, up to Numba's thread count.
        num_items: Size of the batch, at least 1.
        items_per_thread: Work per thread below which another thread costs more than it saves.

    Returns:
        Number of threads, at least 1.
    """
    if requested is not None:
        return min(requested, num_items)
    maximum: int = numba.config.NUMBA_NUM_THREADS
    limit = _THREAD_LIMIT.get()
    return max(1, min(maximum if limit is None else min(maximum, limit), num_items // items_per_thread))
