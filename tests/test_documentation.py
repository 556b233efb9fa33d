"""The documentation is right: tables come from the code and the results, code blocks run, commands are accepted."""

import dataclasses
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from agent import PRESETS, PPOConfig
from agent.cli import main
from agent.presets import TUNED, preset_config

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
RESULTS = ROOT / "bench" / "RESULTS.md"

# Cases of the results and the peers that the documentation shows.
FIGURES = (
    ("env: step, 1 environment", "Gymnasium SyncVectorEnv"),
    ("env: step, 1 environment", "rlox"),
    ("env: step, 256 environments", "Gymnasium CartPoleVectorEnv"),
    ("env: step, 256 environments", "Gymnasium SyncVectorEnv"),
    ("env: step, 256 environments", "EnvPool"),
    ("env: step, 256 environments", "rlox"),
    ("env: rollout in one call, 4,096 environments", "gymnax on JAX, one lax.scan"),
    ("env: rollout in one call, 1 thread, 1 environment", "float32 loop in C"),
    ("env: rollout in one call, 1 thread, 4,096 environments", "float32 loop in C"),
    ("rollout: policy in the loop, 256 environments", "JAX, gymnax, one lax.scan"),
    ("rollout: policy in the loop, 256 environments", "SB3's collector"),
    ("train: epoch, preset keras, 1 environment", "the Keras example's loop"),
    ("train: training, PureJaxRL's setting, 256 environments", "PureJaxRL's PPO, written anew"),
)
TIME_TO_SOLVE = "time to a policy with mean return 475"
TIME_TO_STOP = "time until the training stopped itself"


def shown(value):
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def table_of_presets():
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


def rows_of(text):
    """Return the cells of the rows of all tables in a text."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def results():
    """Return the rows of each section of the results."""
    sections = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]
    return {section.split("\n")[0]: rows_of(section) for section in sections}


def table_of_figures():
    """Return the table of selected cases: fastppo's rate, the peer's, and the ratio."""
    lines = ["| case | fastppo, per s | peer | per s | fastppo is x times as fast |", "|---" * 5 + "|"]
    for case, peer in FIGURES:
        _, _, ours, *others = results()[case]
        row = next(row for row in others if row[1] == peer)
        lines.append(f"| {case} | {ours[2]} | {peer} | {row[2]} | {row[4]} |")
    return "\n".join(lines) + "\n"


def table_of_solving():
    """Return the table of median times, in s, until CartPole is solved."""
    rows = results()["solve"][2:]
    times = {(row[1], int(row[0].replace(",", "")), row[2]): row[6] for row in rows if row[2].startswith("time ")}
    lines = [
        "| training | environments | to a policy with mean return 475 | until it stops by itself |",
        "|---" * 4 + "|",
    ]
    for (who, num_envs, what), seconds in times.items():
        if what == TIME_TO_SOLVE:
            stopped = times.get((who, num_envs, TIME_TO_STOP))
            lines.append(f"| {who} | {num_envs:,} | {seconds} s | {f'{stopped} s' if stopped else '-'} |")
    return "\n".join(lines) + "\n"


GENERATED = {
    ("training.md", "presets"): table_of_presets,
    ("benchmarks.md", "figures"): table_of_figures,
    ("benchmarks.md", "solve"): table_of_solving,
}


def block_of(text, name):
    """Return a text's parts before, within and after a block that is generated."""
    start, end = f"<!-- {name} -->\n", f"<!-- {name} end -->"
    head, _, rest = text.partition(start)
    content, _, tail = rest.partition(end)
    return head + start, content, end + tail


@pytest.mark.parametrize(("page", "name"), GENERATED)
def test_generated_tables_are_those_of_the_code_and_the_results(page, name):
    assert block_of((DOCS / page).read_text(encoding="utf-8"), name)[1] == GENERATED[page, name]()


def test_the_readme_quotes_only_figures_of_the_results():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    known = rows_of(table_of_figures()) + rows_of(table_of_solving())
    quoted = [row for row in rows_of(readme) if row[0].startswith(("env: ", "rollout: ", "train: ", "preset "))]
    assert len(quoted) >= 5
    assert all(row in known for row in quoted), [row for row in quoted if row not in known]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def blocks_of(page, language):
    """Return the code blocks of a page in a language, those within tabs included."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", code, flags=re.MULTILINE) for indent, code in blocks]


WITH_CODE = [page for page in PAGES if blocks_of(page, "python")]
# These run in the default suite; a training takes the others longer.
QUICK = {"cartpole.md"}


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=() if page.name in QUICK else pytest.mark.slow, id=page.name) for page in WITH_CODE],
)
def test_code_of_the_documentation_runs_as_it_stands(page, tmp_path):
    # One after the other, as a reader would run them in one session.
    program = "\n\n".join(blocks_of(page, "python"))
    script = tmp_path / "program.py"
    # Workers of a sweep import the program.
    guarded = "if __name__ == '__main__':\n" + re.sub("^", "    ", program, flags=re.MULTILINE)
    script.write_text(guarded + "\n", encoding="utf-8")
    if "runs/mine" in program and "run=" not in program and "save(" not in program:
        subprocess.run([sys.executable, "-c", _A_RUN], cwd=tmp_path, check=True)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


_A_RUN = "from fastppo import PPO, preset_config; PPO(preset_config(num_envs=8, epochs=1)).train(run='runs/mine')"


def commands_of(page):
    """Return the ``fastppo`` commands of a page as lists of arguments."""
    for block in blocks_of(page, "sh"):
        for line in block.splitlines():
            for part in re.split(r"; (?:do|done)|&&|;", line):
                words = shlex.split(part.replace("$seed", "0"), comments=True)
                if words and words[0].rpartition("/")[2] == "fastppo":
                    yield words[1:]


WITH_COMMANDS = [page for page in PAGES if list(commands_of(page))]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_commands_of_the_documentation_are_accepted(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in commands_of(page):
        if not words or words[0].startswith("-"):
            continue
        for word in words[1:]:
            # What the commands read is there for a reader who has followed the page.
            if word.startswith("runs/") and word.rpartition(".")[2] not in ("gif", "png"):
                place = Path(word.replace("*", "0"))
                (place if not place.suffix else place.parent).mkdir(parents=True, exist_ok=True)
                if place.suffix and not place.exists():
                    place.touch()
        context = click.Context(main, info_name="fastppo")
        _, command, arguments = main.resolve_command(context, words)
        arguments = [argument.replace("*", "0") for argument in arguments]
        # It parses options and arguments and calls nothing.
        command.make_context(words[0], arguments, parent=context)


def main_of_this_module():
    """Write the generated tables into the pages."""
    for (page, name), table in GENERATED.items():
        path = DOCS / page
        before, _, after = block_of(path.read_text(encoding="utf-8"), name)
        path.write_text(before + table() + after, encoding="utf-8")


if __name__ == "__main__":
    main_of_this_module()
