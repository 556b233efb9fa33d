"""The files of a training run: nothing else knows their names."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.callbacks import Callback
from agent.metrics import EpochMetrics

if TYPE_CHECKING:
    from agent.training import PPO

_COLUMNS = [field.name for field in dataclasses.fields(EpochMetrics)]


class RunDirectory(Callback):
    """A directory that holds one training run.

    Files that are written whole are written under a temporary name and renamed: a killed run leaves each of them as it
    was, or complete, never half-written. ``metrics.csv`` grows by one line an epoch, each in a single write.
    """

    def __init__(self, path: Path) -> None:
        """Name the directory; nothing is made yet.

        Args:
            path: Where it is, or is to be.
        """
        self.path = path
        self.config_path = path / "config.json"
        self.metrics_path = path / "metrics.csv"
        self.actor_path = path / "actor.keras"
        self.critic_path = path / "critic.keras"
        self.evaluation_path = path / "evaluation.json"
        self._new_parents: list[Path] = []
        self.has_epochs = False

    def create(self) -> None:
        """Make the directory for a new run.

        Raises:
            FileExistsError: If the path is a file, or a directory that is not empty.
            OSError: If the directory cannot be made, or nothing can be written into it.
        """
        self._new_parents = [parent for parent in (self.path, *self.path.parents) if not parent.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        if any(self.path.iterdir()):
            raise FileExistsError(f"{self.path} is not empty")
        # Of two runs that come this far, only one creates the file.
        with self.metrics_path.open("x", newline="") as file:
            file.write(_csv_line(_COLUMNS))

    def discard_if_unused(self) -> None:
        """Remove everything again if the run ended before its first epoch did."""
        if self.has_epochs:
            return
        for path in (self.config_path, self.metrics_path, self.gif_path(0)):
            path.unlink(missing_ok=True)
        for directory in self._new_parents:
            with suppress(OSError):
                directory.rmdir()

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the configuration as JSON."""
        _write_json(self.config_path, config)

    def write_evaluation(self, result: dict[str, Any]) -> None:
        """Write the result of an evaluation as JSON."""
        _write_json(self.evaluation_path, result)

    def gif_path(self, epoch: int) -> Path:
        """Return where the animation of the policy after an epoch is, or is to be; 0 means before the training."""
        return self.path / f"epoch_{epoch}.gif"

    def write_gif(self, epoch: int, write: Callable[[Path], object]) -> None:
        """Let ``write`` make the animation of the policy after an epoch at the path it is given."""
        _write_atomically(self.gif_path(epoch), write)

    def save_models(self, ppo: PPO) -> None:
        """Write actor and critic as ``.keras`` files, which plain Keras loads."""
        _write_atomically(self.actor_path, ppo.actor.save)
        _write_atomically(self.critic_path, ppo.critic.save)

    def has_models(self) -> bool:
        """Return whether actor and critic have been saved."""
        return self.actor_path.exists() and self.critic_path.exists()

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Append one line to ``metrics.csv``."""
        self.has_epochs = True
        line = _csv_line([getattr(metrics, column) for column in _COLUMNS])
        with self.metrics_path.open("a", newline="") as file:
            file.write(line)


def _csv_line(values: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write_atomically(path, lambda temporary: temporary.write_text(json.dumps(content, indent=2) + "\n"))


def _write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it; on failure ``path`` stays as it was."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
