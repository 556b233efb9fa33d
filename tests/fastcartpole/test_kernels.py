"""Compiled code on disk is never stale, and its absence or a fork never breaks anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    # The step kernel stands in batch.py and inlines this line of physics.py.
    physics = tree / "fastcartpole" / "physics.py"
    source = physics.read_text()
    assert source.count("position + tau * (") == 1
    physics.write_text(source.replace("position + tau * (", "position + 2.0 * tau * ("))
    assert run(PRINT_ONE_STEP, source_tree=tree, cache=cache) == "0.04"
    physics.write_text(source)
    assert run(PRINT_ONE_STEP, source_tree=tree, cache=cache) == "0.02"


@pytest.mark.slow
def test_without_a_directory_to_write_kernels_are_compiled_in_memory(tmp_path):
    a_file = tmp_path / "file"
    a_file.touch()
    assert run(PRINT_ONE_STEP, source_tree=PACKAGE.parent, cache=a_file / "below") == "0.02"
    assert a_file.read_bytes() == b""


def test_the_users_own_numba_cache_setting_is_left_alone(tmp_path):
    code = "import fastcartpole, numba; fastcartpole.CartPoleVectorEnv; print(numba.config.CACHE_DIR)"
    assert run(code, source_tree=PACKAGE.parent, cache=tmp_path) == str(tmp_path)


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
