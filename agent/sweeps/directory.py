"""The directory of a sweep; only this module knows the names of its files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ..runs.directory import named_example
from ..runs.files import append_lines, locked_directory, make_directory, write_atomically, write_through
from ..runs.tables import csv_text, read_json, read_table, write_json, write_text
from .grid import OF_THE_ENVIRONMENT, Key, Run, as_text
from .worker import Failure, Outcome, Point

_RESULT_COLUMNS = ("seed", "final_return", "env_steps", "train_s", "solved", "target", "ended_early", "error")
_CURVE_COLUMNS = ("seed", "epoch", "env_steps", "mean_return", "train_s")
_FORMAT = 2


class Plan(NamedTuple):
    """The specification of a sweep.

    Attributes:
        preset: Name of the preset.
        seeds: The seeds.
        settings: Values to try, by name of the setting.
        environment: The given values of ``env_id``, ``env_kwargs`` and ``vectorization``.
    """

    preset: str
    seeds: tuple[int, ...]
    settings: Mapping[str, Sequence[Any]]
    environment: Mapping[str, Any] = MappingProxyType({})


class SweepDirectory:
    """A directory that holds one sweep.

    When a run ends, its epochs are appended to ``curves.csv``, then one line to ``results.csv``: a run without a line
    in ``results.csv`` has not ended. All other files are written atomically.

    Attributes:
        path: Absolute path of the directory, so that an environment may change the working directory.
        shown_path: The path as the user gave it, for messages.
    """

    def __init__(self, path: Path) -> None:
        """Set the paths of the files; nothing is created yet.

        Args:
            path: Path of the directory, which need not exist.
        """
        self.shown_path = path
        self.path = path = path.absolute()
        self.plan_path = path / "sweep.json"
        self.results_path = path / "results.csv"
        self.curves_path = path / "curves.csv"
        self.summary_path = path / "summary.json"
        self.learning_curves_path = path / "learning_curves.png"
        self.profile_path = path / "performance_profile.png"

    def create(self, plan: Plan, fields: Sequence[str]) -> None:
        """Create the directory for a new sweep.

        Args:
            plan: The specification of the sweep.
            fields: The fields that it varies, for the columns of the tables.

        Raises:
            FileExistsError: If the path is a file, or a directory that is not empty.
            OSError: If the directory cannot be created or written to.
        """
        new_parents = make_directory(self.path)
        if any(self.path.iterdir()):
            raise FileExistsError(f"{self.shown_path} is not empty")
        # If two sweeps get this far, only one of them creates the file.
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
        """Lock the directory against other processes.

        Raises:
            BlockingIOError: If another process holds the lock.
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
        """Return the specification of the sweep.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is damaged or from another version.
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
            raise ValueError(f"'{self.plan_path}' is damaged, or from another version: {error}.") from None

    def append(self, run: Run, outcome: Outcome | Failure) -> None:
        """Record a run that has ended.

        Raises:
            OSError: If it cannot be written.
        """
        if isinstance(outcome, Outcome):
            append_lines(self.curves_path, csv_text(_curve_rows(run.key, outcome)))
            # Even after a power failure, every result must have its curve.
            write_through(self.curves_path)
        append_lines(self.results_path, csv_text([_result_row(run.key, outcome)]))

    def read(self, runs: Sequence[Run]) -> dict[Key, Outcome]:
        """Return the outcomes of the runs that have ended without failure.

        Args:
            runs: All runs of the sweep.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If a file is damaged or belongs to another sweep.
        """
        fields = list(runs[0].settings)
        curves: dict[Key, dict[int, Point]] = {run.key: {} for run in runs}
        try:
            # Results first: if a run ends in the meantime, its curve is written before its result.
            results = list(read_table(self.results_path, [*fields, *_RESULT_COLUMNS]))
            for row in read_table(self.curves_path, [*fields, *_CURVE_COLUMNS]):
                point = Point(int(row["env_steps"]), float(row["mean_return"]), float(row["train_s"]))
                curves[_key(row, fields)][int(row["epoch"])] = point
            return {
                _key(row, fields): _outcome_of(row, curves[_key(row, fields)]) for row in results if not row["error"]
            }
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            message = f"the results in '{self.shown_path}' are damaged, or from another sweep: {error}."
            raise ValueError(message) from None

    def reopen(self, runs: Sequence[Run]) -> dict[Key, Outcome]:
        """Prepare to continue the sweep by removing the records of runs that failed or have not ended.

        Args:
            runs: All runs of the sweep.

        Returns:
            The outcomes of the other runs.

        Raises:
            OSError: If a file cannot be read or written.
            ValueError: If a file is damaged or belongs to another sweep.
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
        """Call ``write`` with a path to draw the learning curves."""
        write_atomically(self.learning_curves_path, write)

    def write_profile(self, write: Callable[[Path], object]) -> None:
        """Call ``write`` with a path to draw the performance profile."""
        write_atomically(self.profile_path, write)


def named_sweep(path: Path) -> str:
    """Return a hint that names one of the sweeps in a directory, as ``named_example`` does for runs."""
    return named_example(path, lambda child: SweepDirectory(child.path).plan_path.is_file(), "sweep")


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
        raise ValueError(f"the learning curve of seed {row['seed']} is incomplete")
    return outcome


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"
