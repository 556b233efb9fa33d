"""The runs of a sweep. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..config import CHOICES, PPOConfig
from ..presets import adapted_preset
from ..validation import plain_number, unknown_name

MAX_RUNS = 1_000_000
"""Maximum number of runs in a sweep, since the records of each run take memory."""

_NONE = "none"
_BOOLEANS = {"true": True, "false": False}
OF_THE_ENVIRONMENT = ("env_id", "env_kwargs", "vectorization")
"""The fields that all runs of a sweep share, so that the runs can be compared."""

_FIXED = ("preset", "seed", *OF_THE_ENVIRONMENT)
_FIELDS = [field.name for field in dataclasses.fields(PPOConfig) if field.name not in _FIXED]
_SIZES = ("hidden_sizes", "critic_hidden_sizes")
# Other common names, and the fields that they set.
_OTHER_NAMES = {
    "lr": ("policy_learning_rate", "value_learning_rate"),
    "learning_rate": ("policy_learning_rate", "value_learning_rate"),
    "envs": ("num_envs",),
}


Key = tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One training run of a sweep.

    Attributes:
        settings: The values of the fields that the sweep varies.
        config: The whole configuration.
    """

    settings: Mapping[str, Any]
    config: PPOConfig

    @property
    def key(self) -> Key:
        """The settings and the seed as text, as in results.csv; unique within the sweep."""
        return (*map(as_text, self.settings.values()), str(self.config.seed))


def runs_of(
    preset: str,
    seeds: Iterable[int],
    settings: Mapping[str, Sequence[Any]],
    environment: Mapping[str, Any] = MappingProxyType({}),
) -> list[Run]:
    """Return every combination of the settings with every seed; runs with the same settings are consecutive.

    Args:
        preset: ``fast``, ``keras`` or ``standard``.
        seeds: At least one seed; duplicates are ignored.
        settings: Values to try, by field of ``PPOConfig``, or by ``lr`` or ``learning_rate`` (of both networks) or
            ``envs``.
        environment: Values of ``env_id``, ``env_kwargs`` and ``vectorization``.

    Raises:
        TypeError: If a seed or a value has the wrong type.
        ValueError: If there are no seeds, or no values for a setting, or a field or the preset does not exist, or a
            value is out of range.
    """
    distinct = distinct_seeds(seeds)
    if not distinct:
        raise ValueError("seeds must hold at least one seed.")
    axes = [[(name, value) for value in plain_values(name, values)] for name, values in settings.items()]
    number = math.prod(map(len, axes)) * len(distinct)
    if number > MAX_RUNS:
        raise ValueError(f"seeds and settings make {number:,} runs, at most {MAX_RUNS:,} are possible.")
    runs = []
    for combination in itertools.product(*axes):
        changes = _changes(combination)
        runs += [Run(changes, adapted_preset(preset, seed=seed, **environment, **changes)) for seed in distinct]
    return runs


def distinct_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Return seeds as Python numbers, without duplicates.

    Raises:
        TypeError: If the seeds are not iterable.
    """
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be a list of seeds, such as range(8), got {seeds!r}.")
    return tuple(dict.fromkeys(map(plain_number, seeds)))


def plain_values(name: str, values: Any) -> list[Any]:
    """Return the values to try for a setting, without duplicates, in the types of the configuration.

    Lists of sizes become tuples, and NumPy arrays and numbers become Python's.

    Args:
        name: Name of the setting, for the message.
        values: A sequence or an array of values.

    Raises:
        TypeError: If ``values`` is neither.
        ValueError: If ``values`` is empty.
    """
    values = values.tolist() if getattr(values, "ndim", 0) else values
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"settings must hold a list of values for {name}, got {values!r}.")
    if not values:
        raise ValueError(f"settings must hold at least one value for {name}.")
    return list(
        dict.fromkeys(
            tuple(map(plain_number, value)) if isinstance(value, (list, tuple)) else plain_number(value)
            for value in values
        )
    )


def _changes(combination: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, value in combination:
        for field in fields_named(name):
            if field in changes:
                raise ValueError(f"{field} is set twice.")
            changes[field] = value
    return changes


def fields_named(name: str) -> tuple[str, ...]:
    """Return the fields that a name sets.

    Raises:
        ValueError: If the name is unknown, or its field cannot be varied.
    """
    plain = name.replace("-", "_")
    if plain in _OTHER_NAMES:
        return _OTHER_NAMES[plain]
    if plain in _FIXED:
        raise ValueError(f"{plain} cannot be varied here: it is the same for all settings of a sweep.")
    if plain not in _FIELDS:
        raise ValueError(unknown_name("setting", name, [*_FIELDS, *_OTHER_NAMES]))
    return (plain,)


def label_of(run: Run) -> str:
    """Return a label of the run's settings, such as ``gamma=0.99``, or its preset if the sweep varies no settings."""
    settings = dict(run.settings)
    rates = [settings.get(name) for name in _OTHER_NAMES["learning_rate"]]
    if rates[0] is not None and rates[0] == rates[1]:
        settings = {name: value for name, value in settings.items() if name not in _OTHER_NAMES["learning_rate"]}
        settings["learning_rate"] = rates[0]
    return ", ".join(f"{field}={as_text(value)}" for field, value in settings.items()) or run.config.preset


def parsed_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds in a text such as ``0:32`` (half-open, like Python's ranges), ``1,5,9`` or a mix of both.

    A single number is rejected, because it could be a seed or a number of seeds.

    Raises:
        ValueError: If the text has another form, or holds no seed.
    """
    if text.strip().isascii() and text.strip().isdecimal():
        number = int(text)
        several = f", 0:{number} are {number} seeds" if number > 1 else ""
        raise ValueError(f"{text!r} is ambiguous: {number}:{number + 1} is seed {number} alone{several}.")
    seeds: list[int] = []
    for part in text.split(","):
        numbers = [number.strip() for number in part.split(":")]
        if len(numbers) > 2 or not all(number.isascii() and number.isdecimal() for number in numbers):
            raise ValueError(f"{text!r} is neither a range such as 0:32 nor a list such as 1,5,9.")
        first, *end = map(int, numbers)
        part_seeds = range(first, end[0]) if end else range(first, first + 1)
        if part_seeds.stop - part_seeds.start > MAX_RUNS:
            raise ValueError(f"{text!r} are more than {MAX_RUNS:,} seeds.")
        seeds += part_seeds
    if not seeds:
        raise ValueError(f"{text!r} holds no seed: the end of a range is not part of it.")
    return tuple(dict.fromkeys(seeds))


def parsed_setting(text: str) -> tuple[str, tuple[Any, ...]]:
    """Return the name and the values of a setting such as ``gamma=0.98,0.99`` or ``hidden_sizes=64x64,32``.

    Raises:
        ValueError: If the text has another form, or the setting does not exist.
    """
    name, equals, values = text.partition("=")
    if not equals or not name or not values:
        raise ValueError(f"{text!r} is not of the form NAME=VALUE,VALUE,...")
    field = fields_named(name)[0]
    parsed = tuple(_parsed_value(field, value.strip()) for value in values.split(","))
    if len(set(parsed)) < len(parsed):
        layers = "; the layers of one network are written 64x64" if field in _SIZES else ""
        raise ValueError(f"{text!r} holds a value twice{layers}.")
    return name, parsed


def _parsed_value(field: str, text: str) -> Any:
    """Return a value in the type of its field; the configuration checks whether it is allowed."""
    if field in CHOICES:
        return text
    if text.lower() == _NONE:
        return None
    if field in _SIZES:
        return tuple(_parsed_number(size) for size in text.split("x"))
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    return _parsed_number(text)


def _parsed_number(text: str) -> Any:
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            continue
    return text


def as_text(value: Any) -> str:
    """Return a value of a field as text, in the form that ``parsed_setting`` reads."""
    if value is None:
        return _NONE
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
