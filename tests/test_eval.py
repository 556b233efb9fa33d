"""``fastppo eval`` as users see it."""

import json
import math
import re
import zipfile

import numpy as np
import pytest
from runs import invoke, message_of

from agent.learning.networks import build_actor
from agent.process.backend import keras


@pytest.fixture(scope="module")
def actor_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "actor.keras"
    build_actor(4, 2, (8,), seed=4).save(path)
    return path


def test_a_run_is_evaluated_with_statistics_and_a_histogram(actor_path):
    result = invoke("eval", actor_path.parent, "--episodes", 30)
    assert result.exit_code == 0, result.output
    sentence, quartiles, *bins = result.output.splitlines()
    assert sentence.startswith("Greedy policy in CartPole-v1, 30 episodes: mean ")
    assert quartiles.startswith("Quartiles of the returns: ")
    assert all(re.fullmatch(r" *\d+ to +\d+ +\d+( █*)?", line) for line in bins)
    assert sum(int(line.split()[3]) for line in bins) == 30


def test_json_is_one_object_with_every_return_the_same_in_both_environments(actor_path):
    outputs = []
    for environment in ("gymnasium", "fast"):
        result = invoke("eval", actor_path, "--sample", "--seed", 5, "--episodes", 20, "--env", environment, "--json")
        assert result.exit_code == 0, result.output
        outputs.append(json.loads(result.output))
    assert outputs[0] == outputs[1]
    assert len(outputs[0]["returns"]) == outputs[0]["episodes"] == 20
    assert outputs[0]["mean"] == np.mean(outputs[0]["returns"])


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_any_keras_model_with_4_inputs_and_2_outputs_is_evaluated(tmp_path, dtype):
    layers = [keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2, dtype=dtype)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.save(tmp_path / "mine.keras")
    result = invoke("eval", tmp_path / "mine.keras", "--episodes", 2)
    assert result.exit_code == 0, result.output


def test_a_model_that_was_built_with_one_row_is_evaluated_rendered_and_exported(tmp_path):
    sequential = keras.Sequential([keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)])
    sequential(np.zeros((1, 4), dtype=np.float32))
    assert sequential.input_shape == (1, 4)
    sequential.save(tmp_path / "one.keras")
    for arguments in (
        ("eval", tmp_path / "one.keras", "--episodes", 3),
        ("render", tmp_path / "one.keras", "--out", tmp_path / "one.gif"),
        ("export", tmp_path / "one.keras", "--format", "onnx", "--out", tmp_path / "one.onnx"),
        ("export", tmp_path / "one.keras", "--format", "saved_model", "--out", tmp_path / "one"),
        ("export", tmp_path / "one.keras", "--format", "keras", "--out", tmp_path / "two.keras"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output


class Unregistered(keras.layers.Layer):
    """A custom layer that Keras cannot find by name."""

    def call(self, inputs):
        return inputs


def outputs_of(kind):
    """Return a model with four inputs whose outputs or layers are not those of an actor."""
    inputs = keras.Input((4,))
    if kind == "rows":
        inputs = keras.Input(batch_shape=(3, 4))
        sequence = keras.layers.Reshape((4, 1))(inputs)
        return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.LSTM(2, stateful=True)(sequence)))
    bias = keras.initializers.Constant(math.nan) if kind == "not a number" else "zeros"
    logits = keras.layers.Dense(2, bias_initializer=bias)(inputs)
    outputs = {
        "not a number": logits,
        "dict": {"logits": logits},
        "list": [logits, logits],
        "row": keras.layers.Flatten()(keras.layers.Dense(2)(keras.layers.Reshape((4, 1))(inputs))),
        "Unregistered": Unregistered()(logits),
    }[kind]
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dict", "must map shape (None, 4) to (None, 2): one array of logits, not a dict of outputs."),
        ("list", "must map shape (None, 4) to (None, 2): one array of logits, not a list of outputs."),
        ("row", "must map shape (None, 4) to (None, 2), not (None, 4) to (None, 8)."),
        ("rows", "must map shape (None, 4) to (None, 2), not (3, 4) to (3, 2)."),
        ("not a number", "must give finite logits, which its weights do not."),
        ("Unregistered", "cannot be loaded as a Keras model: Could not locate class 'Unregistered'. Make sure custom"),
    ],
)
@pytest.mark.parametrize("command", [("eval",), ("render",), ("export", "--format", "onnx")])
def test_a_model_with_other_outputs_or_layers_is_refused_alike_by_every_command(tmp_path, kind, message, command):
    outputs_of(kind).save(tmp_path / "other.keras")
    name, *options = command
    said = message_of(invoke(name, tmp_path / "other.keras", *options))
    assert message in said
    assert "config=" not in said
    assert "{" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["other.keras"]


def test_a_failed_evaluation_is_reported_in_one_sentence_with_exit_code_2(tmp_path, actor_path):
    wrong_shape = tmp_path / "wrong.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(wrong_shape)
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(actor_path.read_bytes()[:500])
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((tmp_path / "nothing",), "does not exist."),
        ((tmp_path / "empty",), "holds no trained actor."),
        ((wrong_shape,), "must map shape (None, 4) to (None, 2), not (None, 3) to (None, 2)."),
        ((damaged,), "cannot be loaded as a Keras model: "),
        ((tmp_path / "text.keras",), "cannot be loaded as a Keras model: "),
        ((actor_path, "--episodes", 0), "0 is not in the range 1<=x<=1000000000000."),
        ((actor_path, "--env", "slow"), "'slow' is not one of 'gymnasium', 'fast'."),
    ):
        result = invoke("eval", *arguments)
        assert result.exit_code == 2, arguments
        assert message in " ".join(result.output.split()), result.output


def test_a_model_that_would_run_code_is_refused(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(2), keras.layers.Lambda(lambda x: x, output_shape=(2,))]
    )
    path = tmp_path / "lambda.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        assert b"__lambda__" in archive.read("config.json")
    result = invoke("eval", path)
    assert result.exit_code == 2
    assert "cannot be loaded as a Keras model: " in result.output
