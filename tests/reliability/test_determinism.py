"""A seed determines every byte of a training run, whatever else differs between two processes."""

import os
import subprocess
import sys

import pytest

DIGEST_OF_A_TRAINING = """
import hashlib, sys
from agent import PPO, adapted_preset
preset, seed, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ppo = PPO(adapted_preset(preset, seed=seed, target_return=None))
digest = hashlib.sha256()
for _ in range(epochs):
    m = ppo.train_epoch()
    figures = {name: value for name, value in vars(m).items() if name not in ("steps_per_second", "elapsed_s")}
    digest.update(repr(sorted(figures.items())).encode())
state = ppo.get_state()
for name in sorted(state.keys() - {"elapsed_s"}):
    digest.update(name.encode() + state[name].tobytes())
digest.update(repr(ppo.evaluate().returns).encode())
print(digest.hexdigest())
"""
EPOCHS = {"fast": 20, "keras": 3}


def digest(preset, seed, cores=None, **environment):
    """Train in a separate process; return a digest of its state, its metrics and its evaluation."""

    def restrict():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])

    completed = subprocess.run(
        [sys.executable, "-c", DIGEST_OF_A_TRAINING, preset, str(seed), str(EPOCHS[preset])],
        env={**os.environ, **environment},
        preexec_fn=restrict if cores else None,
        capture_output=True,
        text=True,
        check=True,
    )
    return completed.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fast", "keras"])
def test_a_training_is_the_same_to_the_byte_in_every_process(preset, tmp_path, figure):
    cold = {"NUMBA_CACHE_DIR": str(tmp_path)}
    digests = {
        "as it is": digest(preset, 3),
        "again": digest(preset, 3, PYTHONHASHSEED="1"),
        "with nothing compiled before": digest(preset, 3, **cold),
        "with what that compiled": digest(preset, 3, **cold),
        "with Numba on 1 thread": digest(preset, 3, NUMBA_NUM_THREADS="1"),
        "with OpenMP on 1 thread": digest(preset, 3, OMP_NUM_THREADS="1"),
    }
    assert any(tmp_path.rglob("*.nbi"))
    if hasattr(os, "sched_setaffinity"):
        digests["on 1 core"] = digest(preset, 3, cores=1)
    assert set(digests.values()) == {digests["as it is"]}
    assert digest(preset, 4) != digests["as it is"]
    figure(f"preset {preset}, {EPOCHS[preset]} epochs: the same bytes {', '.join(digests)}; others with another seed")
