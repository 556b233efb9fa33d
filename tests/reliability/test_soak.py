"""Memory, file handles and threads do not grow in long training runs or with many steps."""

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from runs import FASTPPO, number_of_rows

from fastcartpole import CartPoleVectorEnv

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not tell what a process holds"),
]

MEBIBYTE = 2**20


def held_by(process):
    """Return the memory in bytes, the file handles and the threads of a process."""
    directory = Path("/proc") / str(process)
    status = dict(line.split(":", 1) for line in (directory / "status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) * 1024, len(list((directory / "fd").iterdir())), int(status["Threads"])


def test_a_thousand_epochs_take_no_more_memory_files_or_threads_than_some(tmp_path, figure):
    arguments = ("--epochs", "1000", "--no-early-stop", "--seed", "1", "--tensorboard", "--out", str(tmp_path / "run"))
    process = subprocess.Popen([FASTPPO, "train", *arguments], stdout=subprocess.DEVNULL)
    samples = []
    for epoch in range(100, 1000, 100):
        while number_of_rows(tmp_path / "run") < epoch:
            assert process.poll() is None
            time.sleep(0.01)
        samples.append(held_by(process.pid))
    assert process.wait() == 0
    memory, handles, threads = zip(*samples, strict=True)
    growth = (memory[-1] - memory[1]) / MEBIBYTE
    figure(
        f"1,000 epochs of preset fast, 8,192,000 steps: {memory[1] / MEBIBYTE:.0f} MiB after 200 epochs, "
        f"{growth:+.1f} MiB until epoch 900; {handles[1]} and {handles[-1]} file handles, {threads[1]} and "
        f"{threads[-1]} threads"
    )
    assert growth < 10
    # A file may be open for writing at the moment of a measurement.
    assert max(handles) - min(handles) <= 2
    assert threads[-1] == threads[1]


def test_a_million_environments_take_a_thousand_steps_in_constant_memory(figure):
    num_envs, num_steps, checked = 1_000_000, 1000, 500
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 2, (8, num_envs))
    chosen = np.sort(generator.choice(num_envs, checked, replace=False))
    many, few = CartPoleVectorEnv(num_envs, copy=False), CartPoleVectorEnv(checked)
    many.reset(seed=11)
    few.reset(seed=(11 + chosen).tolist())
    memory = []
    for step in range(num_steps):
        actions = rows[generator.integers(8)]
        observations, rewards, terminated, truncated, _ = many.step(actions)
        expected = few.step(actions[chosen])
        for actual, alone in zip((observations, rewards, terminated, truncated), expected, strict=False):
            assert actual[chosen].tobytes() == alone.tobytes(), f"step {step}"
        if step in (num_steps // 10, num_steps - 1):
            memory.append(held_by("self")[0])
    growth = (memory[1] - memory[0]) / MEBIBYTE
    figure(
        f"1,000,000 environments, 1,000 steps: {growth:+.1f} MiB from step 100 to the last; "
        f"{checked} of them compared with a small batch at every step: the same bits"
    )
    assert growth < 5
