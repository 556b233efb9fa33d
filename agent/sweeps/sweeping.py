"""The sweep itself: training the remaining runs, recording each as it ends, and reporting the statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from ..config import Vectorization
from ..environments.ids import versioned
from ..validation import plain_number
from .directory import Plan, SweepDirectory
from .engine import Backend, Workers, check_workers, outcomes
from .grid import Key, Run, distinct_seeds, label_of, plain_values, runs_of
from .statistics import Summary, summarize
from .worker import Failure, Outcome


class Result(NamedTuple):
    """A run and its outcome."""

    run: Run
    outcome: Outcome | Failure


OnResult = Callable[[Result], object]


@dataclass(frozen=True)
class SweepResult:
    """Results of a sweep.

    Attributes:
        results: The result of each run, in the order of settings and seeds.
    """

    results: tuple[Result, ...]

    def __repr__(self) -> str:
        return f"<SweepResult: {len(self.results)} runs of {len(self.groups())} settings, {len(self.failures)} failed>"

    @property
    def failures(self) -> list[tuple[Run, Failure]]:
        """The failed runs and the reasons."""
        return [(run, outcome) for run, outcome in self.results if isinstance(outcome, Failure)]

    def groups(self) -> dict[str, tuple[list[Outcome], int]]:
        """Return the outcomes and the number of failed runs of each setting, by a label such as ``gamma=0.99``."""
        groups: dict[str, tuple[list[Outcome], int]] = {}
        for run, outcome in self.results:
            outcomes, failed = groups.setdefault(label_of(run), ([], 0))
            if isinstance(outcome, Outcome):
                outcomes.append(outcome)
            else:
                groups[label_of(run)] = outcomes, failed + 1
        return groups

    def summaries(self) -> dict[str, Summary]:
        """Return the statistics of each setting, by the label of ``groups``."""
        return {label: summarize(*members) for label, members in self.groups().items()}


def sweep(
    seeds: Iterable[int],
    settings: Mapping[str, Sequence[Any]] | None = None,
    *,
    preset: str = "fast",
    env_id: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    vectorization: Vectorization | None = None,
    jobs: int = -1,
    backend: Backend = "loky",
    address: str | None = None,
    out: str | PathLike[str] | None = None,
    on_result: OnResult | None = None,
) -> SweepResult:
    """Train every combination of settings with every seed, in parallel.

    Except for times, the results do not depend on the number of jobs or the backend. A failed run does not end the
    sweep; a run whose worker is killed is trained again.

    Args:
        seeds: The seeds, such as ``range(32)``.
        settings: Values to try, by field of ``PPOConfig``, such as ``{"gamma": [0.98, 0.99]}``; ``lr`` sets the
            learning rates of both networks.
        preset: ``fast``, ``keras`` or ``standard``.
        env_id: Environment id in Gymnasium's registry; None for CartPole. Its module must be installed on the workers.
        env_kwargs: Keyword arguments of the environment.
        vectorization: See ``PPOConfig``.
        jobs: Number of parallel runs; -1 for all cores of the machine or the cluster. With backend ``"loky"``, 1 trains
            in this process.
        backend: ``"loky"`` for processes on this machine, ``"ray"`` or ``"dask"`` for a cluster.
        address: Address of the cluster; None starts one on this machine.
        out: Directory, new or empty, for results.csv, curves.csv, summary.json and two plots. None writes nothing.
        on_result: Function that is called with the ``Result`` of each run as it ends.

    Returns:
        The results of all runs.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.
        FileExistsError: If ``out`` is not a new or empty directory.
        ImportError: If the backend's package is not installed.
    """
    plan = Plan(
        preset,
        distinct_seeds(seeds),
        {name: plain_values(name, values) for name, values in (settings or {}).items()},
        given_environment(env_id, env_kwargs, vectorization),
    )
    runs = runs_of(*plan)
    workers = Workers(plain_number(jobs), backend, address)
    check_workers(workers)
    if out is None:
        return train_all(runs, {}, None, workers, on_result)
    directory = SweepDirectory(Path(out))
    directory.create(plan, list(runs[0].settings))
    with directory.locked():
        result = train_all(runs, {}, directory, workers, on_result)
        report(result, directory)
    return result


def given_environment(
    env_id: str | None, env_kwargs: Mapping[str, Any] | None, vectorization: Vectorization | None
) -> dict[str, Any]:
    """Return the given fields, without those that are None, and the id with its version."""
    if isinstance(env_id, str):
        env_id = versioned(env_id)
    fields = {"env_id": env_id, "env_kwargs": env_kwargs, "vectorization": vectorization}
    return {name: value for name, value in fields.items() if value is not None}


def train_all(
    runs: Sequence[Run],
    known: Mapping[Key, Outcome],
    directory: SweepDirectory | None,
    workers: Workers,
    on_result: OnResult | None,
) -> SweepResult:
    """Train the runs whose outcomes are not known yet, and record each as it ends.

    Args:
        runs: All runs of the sweep.
        known: The known outcomes, by the key of the run.
        directory: Directory for the records; None writes nothing.
        workers: The workers.
        on_result: Function that is called with the ``Result`` of each run as it ends.

    Returns:
        The results of all runs.
    """
    found: dict[Key, Outcome | Failure] = dict(known)
    for run, outcome in outcomes([run for run in runs if run.key not in known], workers):
        found[run.key] = outcome
        if directory is not None:
            directory.append(run, outcome)
        if on_result is not None:
            on_result(Result(run, outcome))
    return SweepResult(tuple(Result(run, found[run.key]) for run in runs))


def report(result: SweepResult, directory: SweepDirectory) -> None:
    """Write the statistics and the plots of a sweep."""
    from .plots import plot_learning_curves, plot_profile

    groups = result.groups()
    directory.write_summary({label: summary.as_dict() for label, summary in result.summaries().items()})
    directory.write_learning_curves(lambda path: plot_learning_curves(groups, path))
    directory.write_profile(lambda path: plot_profile(groups, path))
