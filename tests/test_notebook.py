"""The notebook in ``examples`` runs from top to bottom; its stored outputs are complete, small and clean."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "keras_ppo_cartpole.ipynb"
MAX_BYTES = 1_500_000
# Names at the root of a file system, a Windows drive, or a home directory.
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<])/\w+/|\b[A-Za-z]:\\|(?<!\w)~/")
CONTROL_CHARACTER = re.compile(r"[^\n\t\x20-\x7e\x80-\U0010ffff]")
DATA_URL = re.compile(r"data:image/gif;base64,[\w+/=]+")


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def displays(source):
    """Return whether a cell prints or shows something."""
    statements = ast.parse(source).body
    executed = [node for node in statements if not isinstance(node, ast.FunctionDef)]
    calls = {getattr(node.func, "id", None) for each in executed for node in ast.walk(each) if hasattr(node, "func")}
    return isinstance(statements[-1], ast.Expr) or not calls.isdisjoint({"print", "show", "display"})


def texts_of(cell):
    """Return the texts of a cell's outputs, without the data of pictures."""
    for output in cell.outputs:
        yield output.get("text", "")
        for kind, content in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield DATA_URL.sub("", content)


def assert_ran(cells):
    """Check that all cells have been executed, in order, and that nothing went wrong."""
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert bool(cell.outputs) == displays(cell.source), cell.source
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text
        for text in texts_of(cell):
            assert not re.search(r"(?i)warning", text)
            assert not CONTROL_CHARACTER.search(text)


def test_the_stored_notebook_is_complete_small_and_clean():
    notebook = read()
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert_ran(cells)
    assert NOTEBOOK.stat().st_size < MAX_BYTES
    assert notebook.metadata.kernelspec.name == "python3"
    assert not any(cell.metadata for cell in notebook.cells), "such as times of execution"


def test_the_stored_notebook_names_no_absolute_paths():
    notebook = read()
    outputs = [text for cell in code_cells(notebook) for text in texts_of(cell)]
    for text in [*(cell.source for cell in notebook.cells), *outputs]:
        assert not ABSOLUTE_PATH.search(text)
    for path in ("/tmp/x", "see /home/me/a.py", "'/usr/lib'", r"C:\Users", "~/runs"):
        assert ABSOLUTE_PATH.search(path)
    for other in ("https://keras.io/examples/rl", "steps / seconds", "runs/mine/a.csv", "</div>", "1/2"):
        assert not ABSOLUTE_PATH.search(other)


def test_every_picture_has_a_text_for_readers_who_do_not_see_it():
    shown = []
    for cell in code_cells(read()):
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                shown.append(output.metadata["image/png"]["alt"])
            if DATA_URL.search(data.get("text/html", "")):
                shown.append(re.search(r'alt="([^"]*)"', data["text/html"])[1])
    assert len(shown) >= 6
    assert all(shown)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_notebook_runs_from_top_to_bottom_and_leaves_no_files(tmp_path, monkeypatch):
    # The kernel chooses the inline backend itself, and is this Python's, whatever others the user has.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    directory = tmp_path / "empty"
    directory.mkdir()
    notebook = read()
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None

    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(directory)}}).execute()

    assert_ran(code_cells(notebook))
    assert list(directory.iterdir()) == []
