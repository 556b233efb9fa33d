"""Parallel training runs: joblib's processes on this machine, or a Ray or Dask cluster."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib.util import find_spec
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
from .worker import Failure, Outcome, is_used_up, train_one

Backend = Literal["loky", "ray", "dask"]

BACKENDS: tuple[str, ...] = get_args(Backend)
_PACKAGES = {"loky": "joblib", "ray": "ray", "dask": "distributed"}
_LOOPBACK = "127.0.0.1"
# Ray and Dask themselves try to connect for minutes.
_SECONDS_TO_ANSWER = 5.0
# How often a run may lose its worker: once while other runs train, which may be the cause, then while it trains alone.
_MAX_LOSSES = 3
_LOSSES_BESIDE_OTHERS = 1


class Workers(NamedTuple):
    """The workers that train the runs of a sweep.

    Attributes:
        jobs: Number of parallel runs, at least 1; -1 for all cores of the machine or the cluster.
        backend: ``"loky"`` for processes on this machine, ``"ray"`` or ``"dask"`` for a cluster.
        address: Address of the cluster; None starts one on this machine.
    """

    jobs: int = -1
    backend: Backend = "loky"
    address: str | None = None


# None if the worker has left the run to another process.
Ended = tuple[Run, Outcome | Failure | None]


class ClusterError(RuntimeError):
    """Raised if a cluster cannot be started or connected to."""


def check_workers(workers: Workers) -> None:
    """Check the workers of a sweep.

    Raises:
        TypeError: If ``jobs`` is not an integer.
        ValueError: If ``jobs`` is neither -1 nor at least 1, the backend does not exist, or nothing answers at the
            address.
        ImportError: If the backend's package is not installed.
    """
    if workers.jobs != -1:
        checked_integer("jobs", workers.jobs, minimum=1)
    if workers.backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {workers.backend!r}.")
    package = _PACKAGES[workers.backend]
    if workers.address is not None and workers.backend == "loky":
        raise ValueError("address is for a cluster: it needs backend 'ray' or 'dask'.")
    if workers.address is not None and not _is_reachable(workers.address):
        raise ValueError(f"address must be that of a cluster; nothing answers at {workers.address!r}.")
    if not find_spec(package):
        raise ImportError(f"backend {workers.backend!r} needs {package}: pip install 'fastppo[{workers.backend}]'")


def _is_reachable(address: str) -> bool:
    """Return whether the address answers; True for addresses without a port, such as ``auto``, left to the library."""
    match = re.search(r"([^/@]+):(\d+)$", address)
    if match is None:
        return True
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=_SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError):
        return False
    return True


def outcomes(runs: Sequence[Run], workers: Workers) -> Iterator[tuple[Run, Outcome | Failure]]:
    """Train all runs and yield each as soon as it ends, in any order.

    If a worker is lost, another one trains its runs again from the start. A run that repeatedly loses its worker, even
    when it trains alone, is a failure. Workers that are used up are replaced when all others have ended their runs.

    Args:
        runs: The runs to train.
        workers: The workers that train them.
    """
    remaining = {run.key: run for run in runs}
    losses: Counter[Key] = Counter()
    with _connected(workers):
        while remaining:
            batch = _next_batch(list(remaining.values()), losses)
            jobs = _number_of_jobs(workers)
            unfinished = {run.key for run in batch}
            some_are_used_up = False
            try:
                for run, outcome in _starting_safely(_parallel_outcomes(batch, workers.backend, jobs)):
                    unfinished.remove(run.key)
                    if outcome is None:
                        some_are_used_up = True
                        continue
                    del remaining[run.key]
                    yield run, outcome
            except _worker_losses(workers.backend):
                # Runs start in order, each when another one ends, so the first unfinished ones were being trained.
                losses.update([run.key for run in batch if run.key in unfinished][:jobs])
            for run in [run for run in batch if run.key in remaining and losses[run.key] > _MAX_LOSSES]:
                del remaining[run.key]
                yield run, Failure(f"its worker was lost {losses[run.key]} times")
            if some_are_used_up:
                # The next batch starts new processes.
                get_reusable_executor().shutdown(wait=True)


def _starting_safely(outcomes: Iterator[Ended]) -> Iterator[Ended]:
    """Yield outcomes; processes that are started for them do not import from the current folder.

    Processes that the caller starts between two outcomes are not affected.
    """
    while True:
        with children_with_safe_path():
            ended = next(outcomes, None)
        if ended is None:
            return
        yield ended


def _next_batch(remaining: Sequence[Run], losses: Counter[Key]) -> Sequence[Run]:
    """Return the runs to train next: those that have lost no worker; then those that lost one; then one run alone.

    Most workers are lost by accident. But a run that kills its worker, for example by exhausting the memory, would
    otherwise kill other runs with it again and again.
    """
    for most in range(_LOSSES_BESIDE_OTHERS + 1):
        if innocent := [run for run in remaining if losses[run.key] <= most]:
            return innocent
    return remaining[:1]


def _parallel_outcomes(runs: Sequence[Run], backend: Backend, jobs: int) -> Iterator[Ended]:
    """Train runs in parallel until all have ended, or were left to other processes, or a worker is lost."""
    with (
        joblib.parallel_config(backend=backend, n_jobs=jobs),
        joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs") as parallel,
    ):
        yield from parallel(joblib.delayed(_train)(run, backend, os.getpid()) for run in runs)


def _train(run: Run, backend: Backend, main_process: int) -> Ended:
    if backend == "loky":
        if os.getpid() != main_process:
            if is_used_up():
                return run, None
            _prepare_worker(run)
        return run, train_one(run.config)
    # Processes of a cluster may also serve other programs, so their settings must be restored.
    from fastcartpole.threads import thread_limit

    with thread_limit(1):
        return run, train_one(run.config)


def _prepare_worker(run: Run) -> None:
    """Prepare a worker process.

    It ignores Ctrl-C, which a terminal sends to all processes: the main process ends the workers. It also hides the
    GPUs from TensorFlow, which would otherwise reserve all their memory in every worker without using it.
    """
    if current_thread() is main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if run.config.device == "cpu":
        with standard_error_held_back():
            from ..process.backend import hide_gpus
        hide_gpus()


@contextmanager
def quiet_workers(workers: Workers) -> Iterator[None]:
    """End the worker processes on this machine together with the sweep, and silence joblib's warnings about it.

    For programs that only run the sweep. Other programs may reuse the workers, which end by themselves later.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="joblib")
        try:
            yield
        finally:
            if workers.backend == "loky" and workers.jobs != 1:
                get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _worker_losses(backend: Backend) -> tuple[type[Exception], ...]:
    """Return the exceptions that are raised when a worker is lost."""
    if backend == "ray":
        from ray.exceptions import RayError

        return (RayError,)
    if backend == "dask":
        from distributed import KilledWorker

        return (KilledWorker,)
    return (TerminatedWorkerError,)


@contextmanager
def _connected(workers: Workers) -> Iterator[None]:
    """Connect to the cluster; raise a ClusterError if that fails."""
    with ExitStack() as stack:
        try:
            with children_with_safe_path():
                stack.enter_context(_connection(workers))
        except Exception as error:
            raise ClusterError(f"no connection to the cluster: {reason_of(error)}") from error
        yield


def _connection(workers: Workers) -> AbstractContextManager[object]:
    """Return a context manager that connects to the cluster, or to one that it starts on this machine."""
    if workers.backend == "ray":
        return _ray(workers.jobs, workers.address)
    return _dask(workers.jobs, workers.address) if workers.backend == "dask" else nullcontext()


@contextmanager
def _ray(jobs: int, address: str | None) -> Iterator[None]:
    import ray
    from ray.util.joblib.ray_backend import RayBackend

    class StreamingRayBackend(RayBackend):  # type: ignore[misc]
        # Ray reports each result as it arrives, but inherits False from joblib's multiprocessing backend.
        supports_return_generator = True

    joblib.register_parallel_backend("ray", StreamingRayBackend)
    # A connection that the caller opened is left open.
    is_own = not ray.is_initialized()
    if is_own:
        # Without "local", Ray could connect to another user's cluster.
        options = {} if address else {"num_cpus": _jobs_here(jobs), "include_dashboard": False}
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    try:
        yield
    finally:
        if is_own:
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
    """Return the number of parallel runs; on a cluster, at most its current number of cores."""
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
