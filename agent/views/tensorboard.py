"""TensorBoard event files."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from os import PathLike
from pathlib import Path

from ..callbacks import Tracker
from ..errors import reason_of
from ..process.backend import tf
from ..runs.files import write_atomically
from ..runs.outputs import assert_tensorboard

# The maximum length in bytes of an incomplete record left by a killed run; a longer remainder is other damage.
_LARGEST_TORN_RECORD = 512


def cut_events(directory: Path, last_step: int) -> None:
    """Remove later steps from event files, because a resumed run writes them again.

    Args:
        directory: Directory of the event files; other files in it are left unchanged.
        last_step: The step of the last events to keep.

    Raises:
        OSError: If a file cannot be read or written.
    """
    for path in sorted(directory.glob("events.out.tfevents.*")):
        records, rest = _records(path)
        if rest > _LARGEST_TORN_RECORD:
            warnings.warn(
                f"'{path}' is damaged and left as it is: it may show epochs twice.", RuntimeWarning, stacklevel=2
            )
            continue
        kept = [record for record in records if tf.compat.v1.Event.FromString(record).step <= last_step]
        if rest or len(kept) < len(records):
            write_atomically(path, partial(_write_records, kept))


@contextmanager
def _errors_of_the_system(path: Path) -> Iterator[None]:
    """Convert TensorFlow's errors about files to OSErrors that name the file."""
    try:
        yield
    except (tf.errors.OpError, ValueError) as error:
        raise OSError(errno.EIO, reason_of(error), str(path)) from error


def _records(path: Path) -> tuple[list[bytes], int]:
    """Return the records of an event file, and the number of bytes after the last complete one."""
    records: list[bytes] = []
    with _errors_of_the_system(path), suppress(tf.errors.DataLossError):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            records.append(record)
    # Each record has 16 more bytes for its length and two checksums.
    return records, path.stat().st_size - sum(len(record) + 16 for record in records)


def _write_records(records: list[bytes], path: Path) -> None:
    with _errors_of_the_system(path), tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


class TensorBoardWriter(Tracker):
    """Writes the metrics of every epoch as TensorBoard scalars; the step is the number of environment steps."""

    def __init__(self, directory: str | PathLike[str]) -> None:
        """Create the writer; the first epoch opens a new event file next to those of earlier sessions.

        Args:
            directory: TensorBoard's log directory; created if it does not exist.

        Raises:
            ImportError: If TensorBoard is not installed.
        """
        assert_tensorboard()
        # An environment may change the working directory before the first epoch ends.
        self._directory = Path(directory).absolute()
        self._writer: tf.summary.SummaryWriter | None = None

    def log(self, figures: dict[str, float], step: int) -> None:
        """Write a scalar for each metric.

        Args:
            figures: Metrics by tag.
            step: Environment steps so far.

        Raises:
            OSError: If the event file cannot be written.
        """
        with _errors_of_the_system(self._directory):
            if self._writer is None:
                self._writer = tf.summary.create_file_writer(str(self._directory))
            with self._writer.as_default(step=step):
                for tag, value in figures.items():
                    tf.summary.scalar(tag, value)
            self._writer.flush()
