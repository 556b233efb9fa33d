"""Loading a run or a model never executes code from the file."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from runs import files_of, invoke, message_of

from agent import load
from agent.actors import load_actor
from agent.environments.making import EnvironmentSource
from agent.process.backend import keras
from agent.runs.checkpoint import read_checkpoint

CARTPOLE = EnvironmentSource("CartPole-v1").describe()


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def function(module, name):
    """Return a reference to a function in the format of Keras archives."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def layer_calling(something, **arguments):
    """Return a layer, in the format of Keras archives, that calls a function with a tensor and these arguments."""
    config = {"name": "payload", "function": something, "output_shape": [2], "arguments": arguments}
    return {"module": "keras.layers", "class_name": "Lambda", "config": config, "registered_name": None}


@pytest.fixture
def harmless(tmp_path):
    path = tmp_path / "harmless.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="payload")]).save(path)
    return path


def with_config(path, change):
    """Return a copy of a Keras archive with a changed configuration."""
    changed = path.with_name("malicious.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"]["layers"])
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return changed


def payloads(left_behind):
    """Return layers that would run a command, download a file or disable Keras' safe mode."""
    return {
        "a command as activation": lambda layers: layers[1]["config"].update(activation=function("os", "mkdir")),
        "a command as layer": lambda layers: layers.__setitem__(1, layer_calling(function("os", "mkdir"))),
        "a command among the builtins": lambda layers: layers[1]["config"].update(
            activation=function("builtins", "exec")
        ),
        "a download": lambda layers: layers.__setitem__(
            1,
            layer_calling(function("keras.utils", "get_file"), origin=f"file://{__file__}", cache_dir=str(left_behind)),
        ),
        "protection switched off": lambda layers: layers[1]["config"].update(
            activation=function("keras.config", "enable_unsafe_deserialization")
        ),
        "a class of another module": lambda layers: layers.__setitem__(
            1,
            {
                "module": "subprocess",
                "class_name": "Popen",
                "config": {"args": ["mkdir", str(left_behind)]},
                "registered_name": None,
            },
        ),
        "marshalled code": lambda layers: layers.__setitem__(
            1,
            layer_calling({"class_name": "__lambda__", "config": {"code": "4wA=", "defaults": None, "closure": None}}),
        ),
    }


@pytest.mark.parametrize("kind", payloads(""))
def test_a_model_that_would_run_something_is_refused_and_does_not_run_it(harmless, tmp_path, kind, capfd):
    left_behind = tmp_path / "left_behind"
    malicious = with_config(harmless, payloads(left_behind)[kind])
    assert load_actor(harmless, CARTPOLE).output_shape == (None, 2)
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match=r"malicious\.keras' cannot be loaded as a Keras model"):
        load_actor(malicious, CARTPOLE)
    assert not left_behind.exists()
    assert files_of(tmp_path) == before
    message = message_of(invoke("eval", malicious))
    assert "cannot be loaded as a Keras model: " in message
    assert "Traceback" not in capfd.readouterr().err
    # Keras' safe mode must still be on.
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_actor(with_config(harmless, payloads(left_behind)["marshalled code"]), CARTPOLE)


def test_a_model_with_working_code_is_refused_although_it_would_run(tmp_path):
    left_behind = tmp_path / "left_behind"
    path = tmp_path / "malicious.keras"
    source = f"lambda x: (__import__('os').makedirs({str(left_behind)!r}, exist_ok=True), x)[1]"
    keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(2), keras.layers.Lambda(eval(source), output_shape=(2,))]
    ).save(path)
    assert not left_behind.exists()
    with pytest.raises(ValueError, match="cannot be loaded as a Keras model"):
        load_actor(path, CARTPOLE)
    assert "cannot be loaded as a Keras model" in message_of(invoke("eval", path))
    assert not left_behind.exists()
    # Only the safe mode protects: without it, the code runs.
    keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 4), dtype=np.float32))
    assert left_behind.exists()


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.pkl", "model"])
def test_other_formats_that_could_hold_code_are_not_even_opened(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Malicious(tmp_path / "left_behind")))
    assert f"'{path}' is not a .keras file." in message_of(invoke("eval", path))
    assert not (tmp_path / "left_behind").exists()


def test_a_checkpoint_with_a_pickle_is_refused_and_not_unpickled(copied_run, tmp_path):
    left_behind = tmp_path / "left_behind"
    path = copied_run / "checkpoint.npz"
    with np.load(path) as archive:
        entries = {name: archive[name] for name in archive.files}
    entries["epoch"] = np.array(Malicious(left_behind), dtype=object)
    np.savez(path, **entries, allow_pickle=True)
    before = files_of(copied_run)
    for reading in (lambda: read_checkpoint(path), lambda: load(copied_run)):
        with pytest.raises(ValueError, match="is damaged, or not a checkpoint"):
            reading()
    assert "is damaged, or not a checkpoint" in message_of(invoke("train", "--resume", copied_run, "--epochs", 9))
    assert not left_behind.exists()
    assert files_of(copied_run) == before
    # The pickle does run if pickles are allowed.
    with np.load(path, allow_pickle=True) as archive:
        assert archive["epoch"].item() is None
    assert left_behind.exists()
