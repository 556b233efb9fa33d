"""Trainings side by side: joblib's processes on this machine, or a cluster of Ray or Dask."""

from __future__ import annotations

import logging
import re
import signal
import socket
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib.util import find_spec
from multiprocessing import parent_process
from threading import current_thread, main_thread
from typing import Literal, NamedTuple, get_args

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ..errors import reason_of
from ..process.quiet import standard_error_held_back
from ..process.surroundings import children_with_safe_path
from ..validation import checked_integer
from .grid import Key, Run
from .worker import Failure, Outcome, train_one

Backend = Literal["loky", "ray", "dask"]

BACKENDS: tuple[str, ...] = get_args(Backend)
_PACKAGES = {"loky": "joblib", "ray": "ray", "dask": "distributed"}
_LOOPBACK = "127.0.0.1"
# The libraries themselves try for minutes.
_SECONDS_TO_ANSWER = 5.0
# How often a run may lose its worker: once beside others, by accident as it may be, then alone.
_MOST_LOSSES = 3
_LOSSES_BESIDE_OTHERS = 1


class Workers(NamedTuple):
    """Who trains the runs of a sweep.

    Attributes:
        jobs: Trainings side by side, at least 1; -1 for all cores of the machine or the cluster.
        backend: ``"loky"`` for processes on this machine, ``"ray"`` or ``"dask"``.
        address: Of a cluster; None starts one on this machine.
    """

    jobs: int = -1
    backend: Backend = "loky"
    address: str | None = None


Ended = tuple[Run, Outcome | Failure]


class ClusterError(RuntimeError):
    """Raised where a cluster cannot be connected to, or started."""


def check_workers(workers: Workers) -> None:
    """Check what is to train the runs.

    Raises:
        TypeError: If ``jobs`` is no integer.
        ValueError: If it is neither -1 nor at least 1, there is no such backend, or nothing answers at the address.
        ImportError: If the backend's package is not installed.
    """
    if workers.jobs != -1:
        checked_integer("jobs", workers.jobs, minimum=1)
    if workers.backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {workers.backend!r}.")
    package = _PACKAGES[workers.backend]
    if workers.address is not None and workers.backend == "loky":
        raise ValueError("address is that of a cluster: it needs the backend 'ray' or 'dask'.")
    if workers.address is not None and not _is_reachable(workers.address):
        raise ValueError(f"address must be that of a cluster; nothing answers at {workers.address!r}.")
    if not find_spec(package):
        raise ImportError(f"backend {workers.backend!r} needs {package}: pip install 'fastppo[{workers.backend}]'")


def _is_reachable(address: str) -> bool:
    """Return whether something answers, or whether the address, such as ``auto``, is the library's to resolve."""
    match = re.search(r"([^/@]+):(\d+)$", address)
    if match is None:
        return True
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=_SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError):
        return False
    return True


def outcomes(runs: Sequence[Run], workers: Workers) -> Iterator[tuple[Run, Outcome | Failure]]:
    """Train all runs; each is yielded as soon as it is known to have ended, in any order.

    Runs whose worker is lost are trained again by another one: every result is that of a whole training. A run that
    loses its worker again and again, alone too, is a failure.

    Args:
        runs: What to train.
        workers: Who trains them.
    """
    remaining = {run.key: run for run in runs}
    losses: Counter[Key] = Counter()
    with _connected(workers):
        while remaining:
            batch = _next_batch(list(remaining.values()), losses)
            jobs = _number_of_jobs(workers)
            unfinished = {run.key for run in batch}
            try:
                for run, outcome in _starting_safely(_parallel_outcomes(batch, workers.backend, jobs)):
                    unfinished.remove(run.key)
                    del remaining[run.key]
                    yield run, outcome
            except _worker_losses(workers.backend):
                # Runs begin in order, each when another ends: those that were being trained are the first.
                losses.update([run.key for run in batch if run.key in unfinished][:jobs])
            for run in [run for run in batch if run.key in remaining and losses[run.key] > _MOST_LOSSES]:
                del remaining[run.key]
                yield run, Failure(f"its worker was lost {losses[run.key]} times")


def _starting_safely(outcomes: Iterator[Ended]) -> Iterator[Ended]:
    """Yield outcomes; processes that are started for them import nothing from the current folder.

    Those that the caller starts, between one outcome and the next, are the caller's.
    """
    while True:
        with children_with_safe_path():
            ended = next(outcomes, None)
        if ended is None:
            return
        yield ended


def _next_batch(remaining: Sequence[Run], losses: Counter[Key]) -> Sequence[Run]:
    """Return what to train next: all runs that have lost no worker; then those that lost one; then one alone.

    Most workers are lost by accident. A run that ends its worker, for want of memory, would otherwise take others down
    with it again and again.
    """
    for most in range(_LOSSES_BESIDE_OTHERS + 1):
        if innocent := [run for run in remaining if losses[run.key] <= most]:
            return innocent
    return remaining[:1]


def _parallel_outcomes(runs: Sequence[Run], backend: Backend, jobs: int) -> Iterator[tuple[Run, Outcome | Failure]]:
    """Train runs until all have ended or a worker is lost."""
    with (
        joblib.parallel_config(backend=backend, n_jobs=jobs),
        joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs") as parallel,
    ):
        yield from parallel(joblib.delayed(_train)(run, backend) for run in runs)


def _train(run: Run, backend: Backend) -> tuple[Run, Outcome | Failure]:
    if backend == "loky":
        if parent_process() is not None:
            _prepare_worker(run)
        return run, train_one(run.config)
    # A cluster's processes may be others' too: their settings stay as they are.
    from fastcartpole.threads import thread_limit

    with thread_limit(1):
        return run, train_one(run.config)


def _prepare_worker(run: Run) -> None:
    """Make a process of the sweep's own ready.

    It ignores Ctrl-C, which a terminal sends to all processes: the sweep's own process ends the workers. And it leaves
    the memory of GPUs alone, all of which each worker would take to use none of it.
    """
    if current_thread() is main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if run.config.device == "cpu":
        with standard_error_held_back():
            from ..process.backend import hide_gpus
        hide_gpus()


@contextmanager
def quiet_workers(workers: Workers) -> Iterator[None]:
    """End this machine's workers with the sweep, and keep joblib's remarks about that to itself.

    For programs whose only work is the sweep; others may have use for the workers, which end by themselves later.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="joblib")
        try:
            yield
        finally:
            if workers.backend == "loky" and workers.jobs != 1:
                get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _worker_losses(backend: Backend) -> tuple[type[Exception], ...]:
    """Return what is raised where a worker is lost."""
    if backend == "ray":
        from ray.exceptions import RayError

        return (RayError,)
    if backend == "dask":
        from distributed import KilledWorker

        return (KilledWorker,)
    return (TerminatedWorkerError,)


@contextmanager
def _connected(workers: Workers) -> Iterator[None]:
    """Hold the connection to the cluster; what the libraries raise where there is none becomes a ClusterError."""
    with ExitStack() as stack:
        try:
            with children_with_safe_path():
                stack.enter_context(_connection(workers))
        except Exception as error:
            raise ClusterError(f"no connection to the cluster: {reason_of(error)}") from error
        yield


def _connection(workers: Workers) -> AbstractContextManager[object]:
    """Return a connection to the cluster, or to one started on this machine, to be held while the sweep lasts."""
    if workers.backend == "ray":
        return _ray(workers.jobs, workers.address)
    return _dask(workers.jobs, workers.address) if workers.backend == "dask" else nullcontext()


@contextmanager
def _ray(jobs: int, address: str | None) -> Iterator[None]:
    import ray
    from ray.util.joblib.ray_backend import RayBackend

    class StreamingRayBackend(RayBackend):  # type: ignore[misc]
        # Inherited from joblib's backend for multiprocessing, which cannot; Ray's reports each result as it comes.
        supports_return_generator = True

    joblib.register_parallel_backend("ray", StreamingRayBackend)
    # What the caller has connected already is the caller's to close.
    is_ours = not ray.is_initialized()
    if is_ours:
        # Without an address, Ray would look for a cluster of somebody else's.
        options = {} if address else {"num_cpus": _jobs_here(jobs), "include_dashboard": False}
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    try:
        yield
    finally:
        if is_ours:
            ray.shutdown()


@contextmanager
def _dask(jobs: int, address: str | None) -> Iterator[None]:
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        where = address or stack.enter_context(
            LocalCluster(
                n_workers=_jobs_here(jobs),
                threads_per_worker=1,
                host=_LOOPBACK,
                dashboard_address=f"{_LOOPBACK}:0",
                silence_logs=logging.ERROR,
            )
        )
        stack.enter_context(Client(where))
        yield


def _number_of_jobs(workers: Workers) -> int:
    """Return how many trainings there are side by side: on a cluster at most as many as it has cores now."""
    if workers.backend == "loky":
        return _jobs_here(workers.jobs)
    cores = _cores_of_ray() if workers.backend == "ray" else _cores_of_dask()
    return cores if workers.jobs < 0 else min(workers.jobs, cores)


def _cores_of_ray() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _cores_of_dask() -> int:
    from distributed import get_client

    threads: dict[str, int] = get_client().nthreads()
    return max(1, sum(threads.values()))


def _jobs_here(jobs: int) -> int:
    cores: int = joblib.cpu_count()
    return cores if jobs < 0 else jobs
