"""Cached compiled code is never stale, and neither a missing cache nor a fork breaks anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from systems import needs_fork

import fastcartpole

PACKAGE = Path(fastcartpole.__file__).parent
PRINT_ONE_STEP = """
from fastcartpole import CartPoleVectorEnv
environments = CartPoleVectorEnv(1)
environments.reset(seed=0)
environments.state = [[0.0], [1.0], [0.0], [0.0]]
environments.step([1])
print(environments.state[0, 0])
"""

DTYPES = ("int64", "float64")


def run(code, *, source_tree, cache, **environment):
    completed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source_tree,
        env={**os.environ, "PYTHONPATH": str(source_tree), "NUMBA_CACHE_DIR": str(cache), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return completed.stdout.strip()


@pytest.mark.slow
def test_a_changed_equation_is_never_answered_by_a_kernel_compiled_before(tmp_path):
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    shutil.copytree(PACKAGE, tree / "fastcartpole", ignore=shutil.ignore_patterns("__pycache__"))
    assert run(PRINT_ONE_STEP, source_tree=tree, cache=cache) == "0.02"
    compiled = set(cache.rglob("*.nbi"))
    assert compiled
    # The step kernel is in batch.py and inlines this line of physics.py.
    physics = tree / "fastcartpole" / "physics.py"
    source = physics.read_text()
    assert source.count("position + tau * (") == 1
    physics.write_text(source.replace("position + tau * (", "position + 2.0 * tau * ("))
    assert run(PRINT_ONE_STEP, source_tree=tree, cache=cache) == "0.04"
    physics.write_text(source)
    assert run(PRINT_ONE_STEP, source_tree=tree, cache=cache) == "0.02"


def test_what_older_versions_compiled_is_removed_when_something_newer_is_written(tmp_path):
    older = [f"kernels-fastcartpole-{'0' * 16}", f"kernels-{'1' * 16}"]
    others = [f"kernels-agent-{'2' * 16}", "kernels-mine", "kernels-fastcartpole-notes", "matrix"]
    for name in (*older, *others):
        (tmp_path / name / "serial").mkdir(parents=True)
    code = "import fastcartpole.kernels as k; print(k._cache_directory(k.Path(k.__file__).parent, 'serial'))"
    directory = Path(run(code, source_tree=PACKAGE.parent, cache=tmp_path))
    assert directory.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {*others, directory.parent.name}
    # A directory that exists already removes nothing, since another version may have been used in between.
    (tmp_path / older[0]).mkdir()
    assert Path(run(code, source_tree=PACKAGE.parent, cache=tmp_path)) == directory
    assert (tmp_path / older[0]).exists()


HALVED = """
from fastcartpole.kernels import kernel

@kernel()
def halved(numbers):
    return numbers[0] / 2
"""
SAVE_BESIDE_ANOTHER_PROCESS = """
import sys
import time
from pathlib import Path
from numba.core.caching import IndexDataCacheFile

us, other, last = sys.argv[1:]
flags = Path.cwd()

def in_order(method, what, is_last):
    original = getattr(IndexDataCacheFile, method)

    def called(*args):
        if is_last:
            wait_for(what + other)
        result = original(*args)
        (flags / (what + us)).touch()
        return result

    setattr(IndexDataCacheFile, method, called)

def wait_for(flag):
    while not (flags / flag).exists():
        time.sleep(0.001)

original = IndexDataCacheFile._load_index

def load_index(self):
    # Both processes read the index before either writes it; the first time, they only look for compiled code.
    index = original(self)
    (flags / f"read {us} {len(list(flags.glob(f'read {us} *')))}").touch()
    if (flags / f"read {us} 1").exists():
        wait_for(f"read {other} 1")
    return index

IndexDataCacheFile._load_index = load_index
in_order("_save_index", "index ", us != last)
in_order("_save_data", "data ", us == last)
"""
HALVE = """
import numpy as np
from halved import halved

for dtype in {dtypes}:
    print(halved(np.array([3], dtype)))
print(len(halved.stats.cache_hits))
"""


@pytest.mark.parametrize("last", DTYPES)
def test_two_processes_that_save_at_once_leave_no_code_of_each_other_under_their_names(tmp_path, last):
    (tmp_path / "halved.py").write_text(HALVED)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (PACKAGE.parent, tmp_path))),
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
    }

    def started(code, *arguments):
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)

    both = [
        started(SAVE_BESIDE_ANOTHER_PROCESS + HALVE.format(dtypes=[dtype]), dtype, other, last)
        for dtype, other in (DTYPES, DTYPES[::-1])
    ]
    assert [process.communicate(timeout=120)[0].split() for process in both] == [["1.5", "0"]] * 2
    *halves, hits = started(HALVE.format(dtypes=DTYPES)).communicate(timeout=120)[0].split()
    assert halves == ["1.5", "1.5"]
    assert int(hits) >= 1
    # A process finds what the last one has compiled again.
    assert started(HALVE.format(dtypes=DTYPES)).communicate(timeout=120)[0].split() == ["1.5", "1.5", "2"]
    # The files have the same names in every process.
    assert len(list((tmp_path / "cache").rglob("*.nbc"))) == 2


def test_kernels_of_a_package_are_named_by_all_its_sources(tmp_path):
    from fastcartpole.kernels import _sources_digest

    digests = set()
    for name in ("a.py", "room/b.py", "room/deeper/c.py"):
        path = tmp_path / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for content in ("X = 1", "X = 2"):
            path.write_text(content)
            _sources_digest.cache_clear()
            digests.add(_sources_digest(tmp_path / "p"))
    assert len(digests) == 6


def test_the_import_explains_why_numba_cannot_compile():
    code = "try:\n    from fastcartpole import CartPoleVectorEnv\nexcept ImportError as error:\n    print(error)\n"
    cache = os.environ.get("NUMBA_CACHE_DIR", "")
    expected = "fastcartpole is compiled by Numba, which NUMBA_DISABLE_JIT switches off: unset it."
    assert run(code, source_tree=PACKAGE.parent, cache=cache, NUMBA_DISABLE_JIT="1") == expected


def test_an_attribute_error_within_an_import_is_not_taken_for_a_missing_name(monkeypatch):
    def fail(module, *_):
        raise AttributeError(f"{module} is broken")

    module = fastcartpole
    monkeypatch.setattr(module, "import_module", fail)
    name = next(iter(module._MODULES))
    with pytest.raises(ImportError, match=r"cannot be imported: \w*\.\w+ is broken"):
        getattr(module, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.slow
def test_without_a_directory_to_write_kernels_are_compiled_in_memory(tmp_path):
    a_file = tmp_path / "file"
    a_file.touch()
    assert run(PRINT_ONE_STEP, source_tree=PACKAGE.parent, cache=a_file / "below") == "0.02"
    assert a_file.read_bytes() == b""


def test_the_users_own_numba_cache_setting_is_left_alone(tmp_path):
    code = "import fastcartpole, numba; fastcartpole.CartPoleVectorEnv; print(numba.config.CACHE_DIR)"
    assert run(code, source_tree=PACKAGE.parent, cache=tmp_path) == str(tmp_path)


@needs_fork
def test_a_forked_child_steps_as_its_parent_does():
    code = """
import os
import numpy as np
from fastcartpole import CartPoleVectorEnv
environments = CartPoleVectorEnv(4096, num_threads=2)
environments.reset(seed=0)
actions = np.ones(4096, dtype=np.int64)
environments.step(actions)
child = os.fork()
observations = environments.step(actions)[0]
if child == 0:
    print(observations.sum(), flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(observations.sum(), status)
"""
    child, parent = run(code, source_tree=PACKAGE.parent, cache=os.environ.get("NUMBA_CACHE_DIR", "")).splitlines()
    assert parent == f"{child} 0"
