"""Rules of this project that readers can rely on."""

import ast
import re
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
            # Modules of agent use relative imports, since the package can also be imported as fastppo.agent.
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


# The subpackages and top-level modules of ``agent`` in layers, the highest first. Each imports only from lower layers;
# members of the same layer do not import each other.
LAYERS = (
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
    {"presets"},
    {"environments"},
    {"kernels"},
    {"process", "memory"},
    {"callbacks"},
    {"config", "metrics", "state"},
    {"errors", "formatting", "validation"},
)


def members_imported_at_runtime(tree, depth):
    """Yield the members of ``agent`` that a module ``depth`` levels below it imports, except for type checking."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from (node.module.split(".")[:1] if node.module else [alias.name for alias in node.names])
        yield from members_imported_at_runtime(node, depth)


def test_layers_import_only_from_lower_layers():
    layers = {member: layer for layer, members in enumerate(LAYERS) for member in members}
    root = ROOT / "agent"
    assert layers.keys() == {path.stem for path in root.iterdir() if path.stem not in ("__init__", "py", "__pycache__")}
    for path in root.rglob("*.py"):
        member = path.relative_to(root).parts[0].removesuffix(".py")
        if member == "__init__":
            continue
        depth = len(path.relative_to(root).parts)
        for imported in members_imported_at_runtime(ast.parse(path.read_text()), depth):
            assert layers.get(imported, -1) > layers[member], f"{path} imports {imported}"


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


def test_every_test_that_a_promise_refers_to_exists():
    text = (ROOT / "docs" / "reliability.md").read_text()
    references = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text))
    assert len(references) > 30
    for path, name in references:
        functions = {node.name for node in ast.parse((ROOT / path).read_text()).body if hasattr(node, "name")}
        assert not name or name in functions, f"{path}::{name}"
    mentioned = {path for path, _ in references}
    assert mentioned >= {f"tests/reliability/{path.name}" for path in (ROOT / "tests/reliability").glob("test_*.py")}
