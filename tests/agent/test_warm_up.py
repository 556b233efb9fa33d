"""Kernels are compiled ahead of time, in parallel with the import of TensorFlow."""

import os
import subprocess
import sys

import pytest

from agent import PRESETS
from agent.rollouts import warm_up
from agent.rollouts.cartpole import rollout_kernel_is_on_disk
from agent.rollouts.warm_up import RolloutCompilation, compile_rollout_kernel

CONFIG = PRESETS["fast"].replace(num_envs=3)


@pytest.mark.slow
def test_another_process_compiles_the_rollout_kernel_for_this_one(tmp_path):
    script = """
from agent import PRESETS
from agent.rollouts.cartpole import _collect, rollout_kernel_is_on_disk
from agent.rollouts.warm_up import RolloutCompilation, compile_rollout_kernel
assert not rollout_kernel_is_on_disk()
with RolloutCompilation(PRESETS["fast"].replace(num_envs=3)) as compilation:
    compilation.wait()
assert rollout_kernel_is_on_disk()
compile_rollout_kernel()
assert sum(_collect.stats.cache_hits.values()) == 1
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_no_process_is_started_for_a_kernel_that_is_on_disk(monkeypatch):
    compile_rollout_kernel()
    assert rollout_kernel_is_on_disk()
    monkeypatch.setattr(subprocess, "Popen", None)
    with RolloutCompilation(CONFIG) as compilation:
        compilation.wait()


def test_the_process_does_not_outlive_what_it_compiles_for(monkeypatch):
    monkeypatch.setattr(warm_up, "rollout_kernel_is_on_disk", lambda: False)
    started = []

    def fail():
        with RolloutCompilation(CONFIG) as compilation:
            started.extend(compilation._processes)
            assert all(process.poll() is None for process in started)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert started
    assert all(process.returncode is not None for process in started)
