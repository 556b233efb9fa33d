"""The store of graphs compiled by XLA returns complete graphs or none."""

import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import FASTPPO, SMALL

from agent.process import graphs
from agent.process.graphs import GraphStore, graphs_at_hand, keep_graphs_on_disk
from fastcartpole.kernels import compiled_code_directory

NAME = "xla_compile_cache__1__2__XLA_CPU_JIT.pb"
TRAINING = (*SMALL, "--epochs", 2, "--json")


@pytest.fixture
def new_store(tmp_path):
    """Return a function that creates a store as in a new process, with an empty directory of the process."""
    (tmp_path / "store").mkdir()

    def make(number=0):
        directory = tmp_path / f"process {number}"
        directory.mkdir()
        return GraphStore(tmp_path / "store", directory), directory

    return make


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_graphs_compiled_by_one_process_are_found_by_the_next(new_store):
    first, directory = new_store(1)
    assert first.is_empty
    first.lay_out()
    (directory / NAME).write_bytes(b"machine code")
    first.take_back()
    assert not first.is_empty
    assert contents(directory) == {}
    second, directory = new_store(2)
    second.lay_out()
    assert contents(directory) == {NAME: b"machine code"}
    second.take_back()
    assert contents(directory) == {}
    assert len(contents(directory.parent / "store")) == 1


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_file_that_has_changed_is_not_found(tmp_path_factory, content, other):
    store, directory = (tmp_path_factory.mktemp(name) for name in ("store", "directory"))
    (directory / NAME).write_bytes(content)
    GraphStore(store, directory).take_back()
    (kept,) = store.iterdir()
    kept.write_bytes(other)
    GraphStore(store, directory).lay_out()
    assert contents(directory) == ({NAME: content} if other == content else {})
    assert kept.exists() == (other == content)


def test_the_oldest_graphs_are_evicted(new_store, monkeypatch):
    monkeypatch.setattr(graphs, "_MOST_BYTES", 250)
    store, directory = new_store()
    for number in range(4):
        name = NAME.replace("1", str(number))
        (directory / name).write_bytes(bytes([number]) * 100)
        store.take_back()
        (kept,) = (directory.parent / "store").glob(f"*{name}")
        os.utime(kept, (number, number))
    store.lay_out()
    assert sorted(contents(directory)) == [NAME.replace("1", "2"), NAME.replace("1", "3")]


def test_a_directory_that_cannot_be_written_costs_no_training(tmp_path):
    store = GraphStore(tmp_path / "nowhere", tmp_path / "neither")
    store.lay_out()
    store.take_back()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_has_imported_tensorflow_is_left_alone():
    # In this process, TensorFlow has been imported already.
    keep_graphs_on_disk()
    with graphs_at_hand():
        assert "TF_XLA_FLAGS" not in os.environ
    assert not graphs.some_are_on_disk()


@pytest.fixture
def kept(tmp_path):
    """Return a directory for compiled code that contains the kernels but no graphs."""
    ignored = shutil.ignore_patterns("graphs-*")
    return shutil.copytree(compiled_code_directory(), tmp_path / "compiled", ignore=ignored)


def trained(kept, directory, **environment):
    """Train in a separate process; return its output without times."""
    command = [FASTPPO, "train", *map(str, TRAINING), "--out", directory]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(kept), **environment}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return [(directory / name).read_bytes() for name in ("evaluation.json",)], weights(directory)


def weights(directory):
    script = "import sys, keras; print([w.tobytes().hex() for w in keras.saving.load_model(sys.argv[1]).get_weights()])"
    return subprocess.run(
        [sys.executable, "-c", script, directory / "actor.keras"], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="graphs are kept on Linux only")
def test_a_training_with_graphs_of_another_process_is_the_same_and_compiles_nothing(kept, tmp_path):
    first = trained(kept, tmp_path / "first")
    (store,) = kept.glob("graphs-*")
    files = contents(store)
    assert len(files) == 2
    assert trained(kept, tmp_path / "second") == first
    assert contents(store) == files
    for path in store.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert trained(kept, tmp_path / "damaged") == first
    # Damaged graphs are compiled again and replaced. The contents may differ, since XLA's output does.
    assert {name.partition("-")[2] for name in contents(store)} == {name.partition("-")[2] for name in files}
    assert len(contents(store)) == 2
    assert trained(kept, tmp_path / "flags", TF_XLA_FLAGS="--tf_xla_clustering_debug=false") == first
    # Other processor instructions need other graphs.
    trained(kept, tmp_path / "other", XLA_FLAGS="--xla_cpu_max_isa=SSE4_2")
    assert len(list(kept.glob("graphs-*"))) == 2
