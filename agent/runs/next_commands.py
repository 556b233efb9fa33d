"""The commands that are printed for a run or a sweep, which work as printed. Imports nothing heavy."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path

from ..environments.ids import env_id_option, is_known_to_commands


def command(words: str, path: Path, env_id: str | None = None) -> str:
    """Return a ``fastppo`` command that works in the folder in which it is printed.

    Args:
        words: The command and the option before the path, such as ``"train --resume"``.
        path: The directory, as the user gave it.
        env_id: The environment, if the command plays it.
    """
    text = str(path)
    # A path that starts with a dash would be taken for an option.
    return f"fastppo {words} {shlex.quote(f'./{text}' if text.startswith('-') else text)}{env_id_option(env_id)}"


def next_commands(path: Path, env_id: str | None, handed_over: Collection[str], *, is_drawn: bool) -> str:
    """Return the commands for a run that has ended; what else they need follows in lines of its own.

    Args:
        path: The run directory, as the user gave it.
        env_id: The environment; None if a program passed it to the agent.
        handed_over: ``PPO.handed_over``.
        is_drawn: Whether the environment can be rendered as images.
    """
    option, needs = env_id_option(env_id), []
    if not is_known_to_commands(env_id):
        module, _, name = (env_id or "ID").rpartition(":")
        module = "MODULE" if module in ("", "__main__") else module
        option = f" --env-id {shlex.quote(f'{module}:{name}')}"
        needs.append(
            f"{module} must be a module, installed or in the current folder, that registers the environment as {name}."
        )
    if "actor" in handed_over:
        needs.append("Commands can load the actor only if it consists of Keras' own layers.")
    plot = command("plot", path)
    playing = [f"{command(name, path)}{option}" for name in (("eval", "render") if is_drawn else ("eval",))]
    if needs:
        return "\n".join([f"Next: {plot}, or {' and '.join(playing)}", *needs])
    return f"Next: {', '.join(playing)}, or {plot}"
