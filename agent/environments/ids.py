"""Ids of environments: the modules that register them, and their versions. Imports nothing heavy."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from ..process.surroundings import is_command

MODULE_FOLDER = "FASTPPO_MODULE_FOLDER"
"""Environment variable with the folder that is searched last for the module of an id.

Processes started for environments or trainings inherit it.
"""
_VERSION = re.compile(r"-v\d+$")
# The folder in which the process was started: an environment may change the working directory. It may be gone.
_START = Path()
with suppress(OSError):
    _START = Path.cwd()


@contextmanager
def folder_of_modules() -> Iterator[None]:
    """Let imports also search, after everything else, the folder that the user named, if any."""
    folder = os.environ.get(MODULE_FOLDER)
    if not folder:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        # Remove the last occurrence: imports may have inserted other entries before it.
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


def import_module_of(env_id: str) -> None:
    """Import the module of an id ``module:id``; do nothing for other ids."""
    module, colon, _ = env_id.partition(":")
    if colon:
        import_module(module)


def versioned(env_id: str) -> str:
    """Return an id with its version: if it has none, the highest one that is registered, as Gymnasium takes it.

    An id that is unknown, or registered without a version, is returned unchanged.

    Args:
        env_id: Id in Gymnasium's registry; ``module:id`` imports the module first.
    """
    if _VERSION.search(env_id):
        return env_id
    from gymnasium.envs.registration import find_highest_version, parse_env_id

    # Imported to register its ids.
    import fastcartpole  # noqa: F401

    version = None
    # Whoever creates the environment reports modules that cannot be imported and malformed ids.
    with suppress(Exception, SystemExit), folder_of_modules():
        import_module_of(env_id)
        namespace, name, _ = parse_env_id(env_id.rpartition(":")[2])
        version = find_highest_version(namespace, name)
    return env_id if version is None else f"{env_id}-v{version}"


def is_known_to_commands(env_id: str | None) -> bool:
    """Return whether the ``fastppo`` commands find an environment, in the current folder with ``env_id_option``.

    They find what a command has played. They do not find what only a program registers, or a module beside a program
    that was started in another folder. An id without a module counts as found if its class belongs to Gymnasium or
    this project, even if a program registered that class under an id of its own.
    """
    if is_command():
        return True
    # The main module of a command is another one.
    if env_id is None or env_id.startswith("__main__:"):
        return False
    module, colon, name = env_id.rpartition(":")
    if not colon:
        from gymnasium import registry

        return name in registry and str(registry[name].entry_point).startswith(("gymnasium.", "fastcartpole."))
    folder = _folder_of(module)
    return folder is None or bool(env_id_option(env_id)) or folder != _START / sys.path[0]


def env_id_option(env_id: str | None) -> str:
    """Return the option with which a command finds a module in the current folder, else an empty string."""
    module, colon, _ = (env_id or "").rpartition(":")
    here = Path(os.environ.get(MODULE_FOLDER) or _START)
    return f" --env-id {shlex.quote(str(env_id))}" if colon and _folder_of(module) == here else ""


def _folder_of(module: str) -> Path | None:
    """Return the folder in which an imported module was found; None if it is not a file."""
    found = sys.modules.get(module.partition(".")[0])
    # A package is a directory; a namespace package has no file.
    places = [*getattr(found, "__path__", ()), getattr(found, "__file__", None)]
    return None if places[0] is None else (_START / places[0]).parent
