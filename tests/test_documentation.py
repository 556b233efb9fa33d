"""What the documentation says of settings is what they are."""

import dataclasses
from pathlib import Path

from agent import PRESETS, PPOConfig
from agent.presets import TUNED, preset_config

PAGE = Path(__file__).parents[1] / "docs" / "environments.md"
START, END = "<!-- presets -->\n", "<!-- presets end -->"


def shown(value):
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def table():
    """Return the table of the presets: a row for each setting that differs, a column for each preset."""
    columns = {
        "fast, CartPole-v1": PRESETS["fast"],
        **{f"fast, {env_id}": preset_config("fast", env_id=env_id) for env_id in TUNED},
        "standard": PRESETS["standard"],
        "keras": PRESETS["keras"],
    }
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for field in dataclasses.fields(PPOConfig):
        values = [shown(getattr(config, field.name)) for config in columns.values()]
        if field.name not in ("preset", "env_id") and len(set(values)) > 1:
            lines.append(f"| `{field.name}` | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def test_the_table_of_presets_is_that_of_the_code():
    page = PAGE.read_text(encoding="utf-8")
    assert page.partition(START)[2].partition(END)[0] == table()


if __name__ == "__main__":
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(head + START + table() + END + rest.partition(END)[2], encoding="utf-8")
