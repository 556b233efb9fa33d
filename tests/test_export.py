"""``fastppo export`` as users see it."""

import subprocess
import sys

import numpy as np
import pytest
from runs import files_of, invoke, message_of

from agent.process.backend import keras, tf
from agent.runs import exporting

OBSERVATIONS = np.random.default_rng(7).normal(size=(20, 4)).astype(np.float32)


def outputs_of(path, file_format):
    if file_format == "keras":
        return keras.saving.load_model(path)(OBSERVATIONS)
    if file_format == "saved_model":
        return tf.saved_model.load(path).signatures["serving_default"](tf.constant(OBSERVATIONS))["output_0"]
    import onnxruntime

    return onnxruntime.InferenceSession(path).run(None, {"observations": OBSERVATIONS})[0]


@pytest.mark.parametrize(
    ("file_format", "name"),
    [("keras", "exported_actor.keras"), ("saved_model", "exported_actor_saved_model"), ("onnx", "exported_actor.onnx")],
)
def test_an_exported_actor_gives_the_actors_outputs(copied_run, tmp_path, file_format, name):
    expected = keras.saving.load_model(copied_run / "actor.keras")(OBSERVATIONS)
    result = invoke("export", copied_run, "--format", file_format)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Saved in {copied_run / name}; on 1,000 observations its outputs differ from the ")
    np.testing.assert_allclose(outputs_of(copied_run / name, file_format), expected, rtol=1e-5, atol=1e-5)
    suffix = "".join((copied_run / name).suffixes)
    mine = tmp_path / f"mine{suffix}"
    assert invoke("export", copied_run / "actor.keras", "--format", file_format, "--out", mine).exit_code == 0
    np.testing.assert_allclose(outputs_of(mine, file_format), expected, rtol=1e-5, atol=1e-5)
    assert not list(tmp_path.glob("**/.*"))


def test_a_wrong_export_is_not_kept(copied_run, monkeypatch):
    monkeypatch.setitem(exporting._READERS, "keras", lambda *_: lambda _observations: np.zeros((1000, 2)))
    before = sorted(copied_run.iterdir())
    result = invoke("export", copied_run, "--format", "keras")
    assert result.exit_code == 1
    assert result.stderr == "Error: the exported model and the actor give different outputs. Nothing was kept.\n"
    assert sorted(copied_run.iterdir()) == before


def test_a_model_in_double_precision_is_exported(tmp_path):
    inputs = keras.Input((4,), dtype="float64")
    keras.Model(inputs, keras.layers.Dense(2, dtype="float64")(inputs)).save(tmp_path / "double.keras")
    result = invoke("export", tmp_path / "double.keras", "--format", "onnx")
    assert result.exit_code == 0, result.output


def test_a_model_that_a_format_does_not_support_is_reported_in_one_sentence(copied_run, monkeypatch):
    def fail(*_):
        raise NotImplementedError("no such operator\nand much more")

    monkeypatch.setattr(exporting, "_write", fail)
    before = sorted(copied_run.iterdir())
    result = invoke("export", copied_run, "--format", "onnx")
    assert result.exit_code == 1
    expected = "Error: the actor cannot be converted to onnx: no such operator. Nothing was kept.\n"
    assert result.stderr == expected
    assert sorted(copied_run.iterdir()) == before


def test_a_failed_export_is_reported_in_one_sentence_with_exit_code_2(copied_run, tmp_path, monkeypatch):
    (tmp_path / "there.onnx").write_text("mine")
    before = sorted(copied_run.iterdir())
    for arguments, message in (
        ((copied_run,), "Missing option '--format'"),
        ((copied_run, "--format", "torch"), "'torch' is not one of 'keras', 'saved_model', 'onnx', 'html'."),
        ((tmp_path, "--format", "keras"), f"holds no trained actor; pass one run, such as '{copied_run}'."),
        (
            (copied_run, "--format", "onnx", "--out", tmp_path / "there.onnx"),
            "exists already; --overwrite replaces it.",
        ),
        ((copied_run, "--format", "onnx", "--out", tmp_path / "x.txt"), "must end in .onnx."),
        ((copied_run, "--format", "keras", "--out", tmp_path / "no" / "x.keras"), "is not a directory."),
        ((copied_run, "--format", "saved_model", "--out", "x" * 300), "cannot be written: File name too long."),
    ):
        assert message in message_of(invoke("export", *arguments)), arguments
    monkeypatch.setattr(exporting, "missing_packages", lambda _: ["tf2onnx"])
    message = message_of(invoke("export", copied_run, "--format", "onnx"))
    assert message.endswith("Error: this format needs tf2onnx: pip install 'fastppo[onnx]'.")
    assert (tmp_path / "there.onnx").read_text() == "mine"
    assert sorted(copied_run.iterdir()) == before


def test_saved_networks_load_in_plain_keras_without_this_project(trained):
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('agent', 'fastcartpole', 'bench')))\n"
        "import keras, numpy\n"
        "for name, outputs in (('actor', 2), ('critic', 1), ('best_actor', 2)):\n"
        "    model = keras.saving.load_model(f'{sys.argv[1]}/{name}.keras', safe_mode=True)\n"
        "    assert model(numpy.zeros((3, 4))).shape == (3, outputs)\n"
    )
    subprocess.run([sys.executable, "-c", code, trained], check=True, capture_output=True)


def test_a_saved_model_is_replaced_only_on_request_and_nothing_else_is(copied_run, tmp_path):
    out = tmp_path / "model"
    export = ("export", copied_run, "--format", "saved_model", "--out", out)
    assert invoke(*export).exit_code == 0
    assert "exists already; --overwrite replaces it." in message_of(invoke(*export))
    assert invoke(*export, "--overwrite").exit_code == 0
    before = files_of(tmp_path)
    for name, path in (("notes.txt", out), ("file", tmp_path)):
        (path / name).write_text("mine")
        arguments = (*export[:-1], out if path == out else tmp_path / name, "--overwrite")
        assert "is not a directory that holds only a SavedModel" in message_of(invoke(*arguments))
        assert (path / name).read_text() == "mine"
        (path / name).unlink()
    (tmp_path / "link").symlink_to(out)
    arguments = (*export[:-1], tmp_path / "link", "--overwrite")
    assert "is not a directory that holds only a SavedModel" in message_of(invoke(*arguments))
    (tmp_path / "link").unlink()
    (tmp_path / "actor.onnx").mkdir()
    arguments = ("export", copied_run, "--format", "onnx", "--out", tmp_path / "actor.onnx", "--overwrite")
    assert "is a directory" in message_of(invoke(*arguments))
    (tmp_path / "actor.onnx").rmdir()
    assert files_of(tmp_path) == before
