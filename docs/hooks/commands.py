"""A hook of MkDocs: ``::: command NAME`` in a page becomes the help of a ``fastppo`` command."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click

_DIRECTIVE = re.compile(r"^::: command (\w+)$", re.MULTILINE)
_ELSEWHERE = {"bench": "bench.cli"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the directives."""
    return _DIRECTIVE.sub(lambda found: "\n".join(_help_of(found[1])), markdown)


def _help_of(name: str) -> Iterator[str]:
    """Yield the lines of the help of a command: its usage, its text and a table of each group of options."""
    from agent.cli import main

    command: Any = getattr(import_module(_ELSEWHERE[name]), name) if name in _ELSEWHERE else main.commands[name]
    context = click.Context(command, info_name=f"fastppo {name}", max_content_width=200)
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield from ("```text", usage, "```", "")
    yield from (_paragraph(text) for text in (command.help or "").split("\n\n"))
    groups = getattr(command, "option_groups", None) or []
    grouped = [(group.title, group.options) for group in groups]
    seen = {option for _, options in grouped for option in options}
    rest = [option for option in command.get_params(context) if isinstance(option, click.Option) and option not in seen]
    for title, options in [*grouped, ("Other options" if grouped else "Options", rest)]:
        yield from (f"**{title}**", "", "| option | description |", "|---|---|")
        yield from filter(None, (_row(option, context) for option in options))
        yield ""


def _paragraph(text: str) -> str:
    """Return a paragraph of a help text; one that keeps its line breaks becomes a block of text."""
    if text.startswith("\b"):
        return "```text\n" + text.removeprefix("\b\n") + "\n```\n"
    return " ".join(text.split()) + "\n"


def _row(option: click.Option, context: click.Context) -> str | None:
    record = option.get_help_record(context)
    if record is None:
        return None
    names, description = record
    # Within a table, a line break would end the row, and a bar outside of code a cell.
    return f"| `{names}` | {' '.join(description.split()).replace('|', '&#124;')} |"
