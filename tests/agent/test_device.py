"""By default, networks are updated on the CPU, and the settings of the process do not change."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from runs import SMALL

from agent import PPO, adapted_preset
from agent.cli import main
from agent.errors import DeviceError
from agent.process import backend
from agent.process.backend import keras, tf

CONFIG = adapted_preset("fast", num_envs=4, steps_per_epoch=64, hidden_sizes=(4,), target_return=None)


@pytest.mark.slow
def test_everything_is_computed_on_the_cpu_although_the_program_prefers_another_device():
    # A second logical CPU replaces a GPU: TensorFlow places operations on it in the same way.
    code = """
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from agent import PPO, evaluate, adapted_preset
placed = set()
tf.debugging.set_log_device_placement(False)
with tf.device("/CPU:1"):
    ppo = PPO(adapted_preset("fast", num_envs=4, steps_per_epoch=64, hidden_sizes=(4,), target_return=None))
    ppo.compile()
    ppo.train_epoch()
    ppo.predict(np.zeros(4))
    ppo.set_state(ppo.get_state())
    evaluate(ppo.actor, episodes=2)
    ppo.restart(ppo.config.replace(seed=1))
    placed = {variable.value.device[-5:] for variable in ppo._variables().values()}
    print(placed, tf.zeros(1).device[-5:])
print(tf.config.get_visible_devices("GPU") == tf.config.list_physical_devices("GPU"))
"""
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.splitlines() == ["{'CPU:0'} CPU:1", "True"]


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_a_missing_gpu_is_reported():
    with pytest.raises(DeviceError, match=r"device must be 'cpu' where TensorFlow sees no GPU, got 'gpu'\."):
        PPO(CONFIG.replace(device="gpu"))


def test_commands_hide_gpus_from_tensorflow_unless_they_are_asked_for(tmp_path, monkeypatch):
    def invoke(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    hidden = []
    monkeypatch.setattr(backend, "hide_gpus", lambda: hidden.append(True))
    assert invoke("train", *SMALL, "--epochs", 1, "--out", tmp_path / "o").exit_code == 0
    assert invoke("eval", tmp_path / "o", "--episodes", 1).exit_code == 0
    assert len(hidden) == 2
    result = invoke("train", *SMALL, "--epochs", 1, "--device", "gpu", "--out", tmp_path / "p")
    assert len(hidden) == 2
    if not tf.config.list_physical_devices("GPU"):
        assert result.exit_code == 1
        assert "Error: the training cannot start: device must be 'cpu' where TensorFlow sees no GPU" in result.stderr
        assert not (tmp_path / "p").exists()


@pytest.mark.slow
def test_the_precision_that_keras_is_set_to_changes_nothing_and_stays():
    expected = PPO(CONFIG)
    expected.train_epoch()
    keras.config.set_floatx("float16")
    try:
        ppo = PPO(CONFIG)
        ppo.train_epoch()
        assert keras.config.floatx() == "float16"
    finally:
        keras.config.set_floatx("float32")
    state, expected_state = ppo.get_state(), expected.get_state()
    assert all(state[name].tobytes() == expected_state[name].tobytes() for name in state.keys() - {"elapsed_s"})
