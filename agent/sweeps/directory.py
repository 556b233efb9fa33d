"""The files of a sweep: nothing else knows their names."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ..runs.files import append_lines, locked_directory, make_directory, write_atomically, write_through
from ..runs.tables import csv_text, read_json, read_table, write_json, write_text
from .grid import OF_THE_ENVIRONMENT, Key, Run, as_text
from .worker import Failure, Outcome, Point

_RESULT_COLUMNS = ("seed", "final_return", "env_steps", "train_s", "solved", "target", "ended_early", "error")
_CURVE_COLUMNS = ("seed", "epoch", "env_steps", "mean_return", "train_s")
_FORMAT = 2


class Plan(NamedTuple):
    """What a sweep is to train.

    Attributes:
        preset: Name of the preset.
        seeds: The seeds.
        settings: Values to try, by name.
        environment: Values of ``env_id``, ``env_kwargs`` and ``vectorization`` that were given.
    """

    preset: str
    seeds: tuple[int, ...]
    settings: Mapping[str, Sequence[Any]]
    environment: Mapping[str, Any] = MappingProxyType({})


class SweepDirectory:
    """A directory that holds one sweep.

    ``results.csv`` grows by a line for each run that ends, after ``curves.csv`` has grown by its epochs: a run without
    a line in ``results.csv`` has not ended. The other files are written whole or not at all.
    """

    def __init__(self, path: Path) -> None:
        """Name the directory; nothing is made yet.

        Args:
            path: Where it is, or is to be.
        """
        self.path = path
        self.plan_path = path / "sweep.json"
        self.results_path = path / "results.csv"
        self.curves_path = path / "curves.csv"
        self.summary_path = path / "summary.json"
        self.learning_curves_path = path / "learning_curves.png"
        self.profile_path = path / "performance_profile.png"

    def create(self, plan: Plan, fields: Sequence[str]) -> None:
        """Make the directory for a new sweep.

        Args:
            plan: What it is to train.
            fields: The fields it varies, as columns.

        Raises:
            FileExistsError: If the path is a file, or a directory that is not empty.
            OSError: If the directory cannot be made, or nothing can be written into it.
        """
        new_parents = make_directory(self.path)
        if any(self.path.iterdir()):
            raise FileExistsError(f"{self.path} is not empty")
        # Of two sweeps that come this far, only one creates the file.
        self.results_path.touch(exist_ok=False)
        try:
            self._write_plan(plan)
            self._rewrite([], fields)
        except OSError:
            for path in (self.plan_path, self.curves_path, self.results_path):
                path.unlink(missing_ok=True)
            for directory in new_parents:
                with suppress(OSError):
                    directory.rmdir()
            raise

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from working at the same sweep.

        Raises:
            BlockingIOError: If another process does.
        """
        with locked_directory(self.path):
            yield

    def _write_plan(self, plan: Plan) -> None:
        content = {
            "format": _FORMAT,
            "preset": plan.preset,
            "seeds": list(plan.seeds),
            "settings": {name: list(values) for name, values in plan.settings.items()},
            "environment": dict(plan.environment),
            "versions": {name: version(name) for name in ("fastppo", "tensorflow", "keras", "numba", "numpy")},
        }
        write_json(self.plan_path, content)

    def read_plan(self) -> Plan:
        """Return what the sweep is to train.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is damaged or of another version.
        """
        try:
            content = read_json(self.plan_path)
            if content["format"] != _FORMAT:
                raise ValueError(
                    f"'{self.plan_path}' has format {content['format']}; this version of fastppo reads {_FORMAT}."
                )
            environment = dict(content["environment"])
            if unknown := environment.keys() - set(OF_THE_ENVIRONMENT):
                raise ValueError(f"'{self.plan_path}' is damaged: it holds {', '.join(unknown)}.")
            return Plan(content["preset"], tuple(content["seeds"]), dict(content["settings"]), environment)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"'{self.plan_path}' is damaged, or of another version: {error}.") from None

    def append(self, run: Run, outcome: Outcome | Failure) -> None:
        """Record a run that has ended.

        Raises:
            OSError: If it cannot be written.
        """
        if isinstance(outcome, Outcome):
            append_lines(self.curves_path, csv_text(_curve_rows(run.key, outcome)))
            # After a power cut there must be no result without its curve.
            write_through(self.curves_path)
        append_lines(self.results_path, csv_text([_result_row(run.key, outcome)]))

    def read(self, runs: Sequence[Run]) -> dict[Key, Outcome]:
        """Return what the runs that have ended without failure came to.

        Args:
            runs: Those of the plan.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is damaged, or of another sweep.
        """
        fields = list(runs[0].settings)
        curves: dict[Key, dict[int, Point]] = {run.key: {} for run in runs}
        try:
            # First: a run that ends meanwhile has its curve before its result.
            results = list(read_table(self.results_path, [*fields, *_RESULT_COLUMNS]))
            for row in read_table(self.curves_path, [*fields, *_CURVE_COLUMNS]):
                point = Point(int(row["env_steps"]), float(row["mean_return"]), float(row["train_s"]))
                curves[_key(row, fields)][int(row["epoch"])] = point
            return {
                _key(row, fields): _outcome_of(row, curves[_key(row, fields)]) for row in results if not row["error"]
            }
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(f"the results in '{self.path}' are damaged, or of another sweep: {error}.") from None

    def reopen(self, runs: Sequence[Run]) -> dict[Key, Outcome]:
        """Prepare to go on: what is recorded of runs that failed or have not ended is removed.

        Returns:
            What the others came to.

        Raises:
            OSError: If a file cannot be read or written.
            ValueError: If one is damaged, or of another sweep.
        """
        known = self.read(runs)
        self._rewrite([(run, known[run.key]) for run in runs if run.key in known], list(runs[0].settings))
        return known

    def _rewrite(self, known: Sequence[tuple[Run, Outcome]], fields: Sequence[str]) -> None:
        curves = [row for run, outcome in known for row in _curve_rows(run.key, outcome)]
        results = [_result_row(run.key, outcome) for run, outcome in known]
        for path, columns, rows in (
            (self.curves_path, _CURVE_COLUMNS, curves),
            (self.results_path, _RESULT_COLUMNS, results),
        ):
            write_text(path, csv_text([[*fields, *columns], *rows]))

    def write_summary(self, content: Mapping[str, Any]) -> None:
        """Write the statistics as JSON."""
        write_json(self.summary_path, content)

    def write_learning_curves(self, write: Callable[[Path], object]) -> None:
        """Let ``write`` draw the learning curves at the path it is given."""
        write_atomically(self.learning_curves_path, write)

    def write_profile(self, write: Callable[[Path], object]) -> None:
        """Let ``write`` draw the performance profile at the path it is given."""
        write_atomically(self.profile_path, write)


def _key(row: Mapping[str, str], fields: Sequence[str]) -> Key:
    return (*(row[field] for field in fields), row["seed"])


def _result_row(key: Key, outcome: Outcome | Failure) -> list[Any]:
    if isinstance(outcome, Failure):
        return [*key, "", "", "", "", "", "", outcome.reason]
    figures = (outcome.final_return, outcome.env_steps, outcome.train_s)
    judgements = map(as_text, (outcome.solved, outcome.target_return, outcome.ended_early))
    return [*key, *figures, *judgements, ""]


def _curve_rows(key: Key, outcome: Outcome) -> list[list[Any]]:
    return [[*key, epoch, *point] for epoch, point in enumerate(outcome.curve, start=1)]


def _outcome_of(row: Mapping[str, str], curve: Mapping[int, Point]) -> Outcome:
    points = tuple(curve[epoch] for epoch in range(1, len(curve) + 1))
    outcome = Outcome(
        float(row["final_return"]),
        int(row["env_steps"]),
        float(row["train_s"]),
        None if row["solved"] == as_text(None) else _truth(row["solved"]),
        None if row["target"] == as_text(None) else float(row["target"]),
        _truth(row["ended_early"]),
        points,
    )
    if not points or points[-1].env_steps != outcome.env_steps:
        raise ValueError(f"the learning curve of seed {row['seed']} is not whole")
    return outcome


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"
