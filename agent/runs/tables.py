"""Text, CSV and JSON files of runs and sweeps; incomplete last lines of CSV files are ignored."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import write_atomically


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        OSError: If it cannot be written.
    """
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically.

    Raises:
        OSError: If it cannot be written.
        ValueError: If it holds a number that JSON does not support, such as infinity.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file does not hold a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is damaged: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' is damaged: it does not hold a JSON object.")
    return content


def csv_text(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as lines of a CSV file."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def whole_lines(path: Path) -> list[str]:
    """Return the complete lines of a file, including their line endings.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is not UTF-8 text.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def read_table(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file as dictionaries.

    Args:
        path: The file.
        columns: The required columns.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file has other columns, or a line has the wrong number of values.
        csv.Error: If it is not a CSV file.
    """
    reader = csv.DictReader(whole_lines(path))
    if list(reader.fieldnames or ()) != list(columns):
        raise ValueError(f"{path.name} must have the columns {', '.join(columns)}")
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"a line of {path.name} has the wrong number of columns")
        yield row
