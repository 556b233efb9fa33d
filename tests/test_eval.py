"""``fastppo eval`` as users see it."""

import itertools
import json
import math
import re
import zipfile
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import invoke, message_of

from agent import EvaluationResult
from agent.learning.networks import build_actor
from agent.process.backend import keras
from agent.views.console import format_evaluation, histogram, print_evaluation


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
    # Bins of a single number if all returns are almost equal.
    counts = [re.fullmatch(r" *\d+(?: to +\d+)? +(\d+)( █*)?", line) for line in bins]
    assert sum(int(count[1]) for count in counts) == 30


FINITE = st.floats(allow_nan=False, allow_infinity=False)
RETURNS = st.one_of(
    st.lists(st.one_of(FINITE, st.floats(-1e-6, 1e-6), st.floats(-500, 500)), min_size=1, max_size=50),
    st.lists(st.integers(-500, 500).map(float), min_size=1, max_size=50),
    st.lists(st.integers(-5, 5).map(lambda tenths: tenths / 10), min_size=1, max_size=50),
)


def ends_of(label):
    """Return the lowest and the highest number of a bin; they are equal for a bin of a single number."""
    ends = [Decimal(end) for end in label.split(" to ")]
    return ends[0], ends[-1]


@given(RETURNS)
def test_every_return_is_in_exactly_one_bin_and_in_the_one_that_names_it(returns):
    bins = histogram(returns)
    assert 1 <= len(bins) <= 11
    assert len({len(label) for label, _ in bins}) == 1
    assert sum(count for _, count in bins) == len(returns)
    if len(bins) == 1:
        return
    exact = [Decimal(str(value)) for value in returns]
    last_label, last_count = bins[-1]
    for label, count in bins[:-1]:
        start, end = ends_of(label)
        assert count == sum(value == start or start < value < end for value in exact), label
    start, end = ends_of(last_label)
    assert last_count == sum(start <= value <= end for value in exact)


@given(RETURNS)
def test_the_first_bin_holds_the_lowest_and_the_last_bin_the_highest_return(returns):
    bins = histogram(returns)
    assert bins[0][1] > 0
    assert bins[-1][1] > 0


@given(RETURNS)
def test_bins_follow_one_another_and_have_one_round_width(returns):
    ranges = [ends_of(label) for label, _ in histogram(returns)]
    widths = {end - start for start, end in ranges}
    assert len(widths) == 1
    (width,) = widths
    assert width.normalize().as_tuple().digits in ((0,), (1,), (2,), (5,))
    gaps = {start - end for (_, end), (start, _) in itertools.pairwise(ranges)}
    assert gaps <= ({0} if width else {1})


@pytest.mark.parametrize(
    ("returns", "bins"),
    [
        ([500.0] * 7, {"500": 7}),
        ([0.35] * 7, {"0.35": 7}),
        ([0.0] * 96 + [1.0] * 4, {"0": 96, "1": 4}),
        ([9.0, 10.0, 9.0], {" 9": 2, "10": 1}),
        ([0.3, 0.30000000000000004], {"0.3": 2}),
        ([0.0, 350.0, 499.0, 500.0], {"  0 to  50": 1, "350 to 400": 1, "450 to 500": 2}),
        ([0.6, 0.8, 1.2, 1.35], {"0.6 to 0.7": 1, "0.8 to 0.9": 1, "1.2 to 1.3": 1, "1.3 to 1.4": 1}),
        ([-0.04, 0.0], {"-0.040 to -0.035": 1, "-0.005 to  0.000": 1}),
    ],
)
def test_a_histogram_has_round_bins_up_to_the_highest_return(returns, bins):
    assert {label: count for label, count in histogram(returns) if count} == bins


def test_small_returns_keep_their_digits_in_every_sentence(capsys):
    small = EvaluationResult((0.0,) * 24 + (1.0,), (5,) * 25)
    assert format_evaluation(small, "FrozenLake-v1").endswith("mean 0.04, standard deviation 0.196, min 0, max 1")
    grid = EvaluationResult((0.6, 1.35, 1.2), (5, 5, 5))
    assert repr(grid) == (
        "<EvaluationResult: mean 1.05, standard deviation 0.324, minimum 0.6, maximum 1.35 of 3 episodes>"
    )
    costs = EvaluationResult((-0.04, -0.0025, -0.01), (5, 5, 5))
    print_evaluation(costs, "Costs-v0", greedy=True)
    sentence, quartiles, *_ = capsys.readouterr().out.splitlines()
    assert sentence.endswith("mean -0.0175, standard deviation 0.0162, min -0.04, max -0.0025")
    assert quartiles == "Quartiles of the returns: -0.025, -0.01, -0.00625"


def test_large_and_equal_returns_read_as_they_always_did():
    result = EvaluationResult((9.0, 500.0, 500.0), (9, 500, 500))
    assert format_evaluation(result, "CartPole-v1") == (
        "Greedy policy in CartPole-v1, 3 episodes: mean 336.3, standard deviation 231.5, min 9, max 500"
    )
    # Their standard deviation is a rounding error.
    equal = EvaluationResult((0.1,) * 100, (5,) * 100)
    assert format_evaluation(equal, "Equal-v0").endswith("mean 0.1, standard deviation 0.0, min 0.1, max 0.1")


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
