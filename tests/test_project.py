"""House rules that a reader should be able to rely on."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("fastcartpole", "agent", "bench", "fastppo")
MAY_IMPORT = {
    "fastcartpole": {"fastcartpole"},
    "agent": {"agent", "fastcartpole"},
    "bench": {"fastcartpole", "agent", "bench"},
    "fastppo": {"agent", "fastppo"},
}
EXACT_MODULES = ("physics.py", "random_streams.py", "trigonometry.py", "batch.py", "env.py", "rollout.py")


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported_packages(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # The agent's modules find each other under whatever name the package goes by.
            is_agents = path.is_relative_to(ROOT / "agent")
            assert not (node.level and not is_agents), f"{path}: relative import"
            assert not (is_agents and str(node.module).split(".")[0] == "agent"), f"{path}: absolute import"
            yield "agent" if node.level else node.module.split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_dependencies_flow_one_way(package):
    for path in sources(package):
        imported = set(imported_packages(path))
        assert imported & set(PACKAGES) <= MAY_IMPORT[package], path
        if package == "fastcartpole":
            assert not imported & {"tensorflow", "keras"}, path


# The rooms and lone modules of ``agent``, the highest first: each imports from those below it only. What stands in one
# line does not know each other.
FLOORS = (
    {"cli"},
    {"commands"},
    {"sweeps"},
    {"loading", "replay"},
    {"ppo"},
    {"recording"},
    {"views"},
    {"runs"},
    {"learning", "rollouts"},
    {"actors"},
    {"environments"},
    {"kernels"},
    {"process", "memory"},
    {"callbacks"},
    {"presets"},
    {"config", "metrics", "state"},
    {"errors", "validation"},
)


def rooms_imported_while_running(tree, depth):
    """Yield the rooms a module imports from, ``depth`` floors below ``agent``, but for what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from (node.module.split(".")[:1] if node.module else [alias.name for alias in node.names])
        yield from rooms_imported_while_running(node, depth)


def test_rooms_import_from_those_below_them_only():
    floors = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    root = ROOT / "agent"
    assert floors.keys() == {path.stem for path in root.iterdir() if path.stem not in ("__init__", "py", "__pycache__")}
    for path in root.rglob("*.py"):
        room = path.relative_to(root).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        depth = len(path.relative_to(root).parts)
        for imported in rooms_imported_while_running(ast.parse(path.read_text()), depth):
            assert floors.get(imported, -1) > floors[room], f"{path} imports {imported}"


def test_no_kernel_of_the_exact_environment_uses_fastmath():
    for name in EXACT_MODULES:
        assert "fastmath" not in (ROOT / "fastcartpole" / name).read_text(), name


@pytest.mark.parametrize("package", PACKAGES)
def test_kernels_are_compiled_in_one_way_only(package):
    for path in sources(package):
        if path.name != "kernels.py" and "numba" in imported_packages(path):
            names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
            assert not names & {"njit", "jit", "vectorize", "guvectorize"}, path


def test_ci_runs_both_commands_of_the_readme():
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv")]
    train_command, test_command = commands
    assert train_command.endswith("fastppo train --envs 256")
    script = (ROOT / ".ci" / "run").read_text()
    assert train_command in script
    assert test_command in script


def rows_of_table(text):
    """Return the cells of the rows of all tables in a text."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_readme_quotes_only_figures_of_the_results():
    readme, results = ((ROOT / name).read_text() for name in ("README.md", "bench/RESULTS.md"))
    sections = {section.split("\n")[0]: rows_of_table(section) for section in results.split("\n## ")[1:]}
    quoted = [row for row in rows_of_table(readme) if row[0] in sections]
    assert len(quoted) >= 5
    for title, ours_rate, entrant, rate, ratio in quoted:
        _, _, ours, *others = sections[title]
        assert (ours[0], ours[2]) == ("ours", ours_rate)
        assert [row[1:3] + row[4:5] for row in others if row[1] == entrant] == [[entrant, rate, ratio]]
    medians = [row[6] for row in sections["solve"][2:] if row[2].startswith("time ")]
    sentence = readme.split("The median time until the greedy policy's")[1].split(";")[0]
    assert set(re.findall(r"(\d+\.\d+) s\b", sentence)) <= set(medians)


def test_every_test_that_a_promise_refers_to_exists():
    text = (ROOT / "docs" / "reliability.md").read_text()
    references = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text))
    assert len(references) > 30
    for path, name in references:
        functions = {node.name for node in ast.parse((ROOT / path).read_text()).body if hasattr(node, "name")}
        assert not name or name in functions, f"{path}::{name}"
    mentioned = {path for path, _ in references}
    assert mentioned >= {f"tests/reliability/{path.name}" for path in (ROOT / "tests/reliability").glob("test_*.py")}


def python_blocks(name):
    blocks = (ROOT / name).read_text(encoding="utf-8").split("```python\n")[1:]
    return [block.split("```")[0] for block in blocks]


def readme_examples():
    examples = python_blocks("README.md")
    # A sweep starts processes that import TensorFlow and train to the end; two agents compile twice.
    are_slow = [any(word in code for word in ("sweep", "make_env", "load")) for code in examples]
    marks = [pytest.mark.slow if is_slow else () for is_slow in are_slow]
    return [pytest.param(code, marks=mark) for code, mark in zip(examples, marks, strict=True)]


@pytest.mark.parametrize("code", readme_examples())
def test_the_readmes_examples_run_as_they_stand(code, tmp_path):
    completed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout


@pytest.mark.slow
@pytest.mark.parametrize("code", python_blocks("docs/tracking.md"))
def test_the_examples_of_trackers_run_as_they_stand(code, tmp_path):
    completed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
