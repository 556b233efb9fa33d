"""``fastppo plot`` as users see it, and the figures it draws."""

import csv
import json
import shutil

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread
from runs import invoke, message_of

from agent import PRESETS
from agent.runs.directory import RunDirectory
from agent.views import plots

COLUMNS = "epoch,env_steps,mean_return,mean_length,kl,policy_loss,entropy,clip_fraction,policy_iterations,value_loss"
COLUMNS += ",explained_variance,steps_per_second,elapsed_s"


def write_run(path, returns, *, seed=0, steps=100, **settings):
    """Write a run with the given mean returns, whose epochs take ``steps`` steps and half a second each."""
    path.mkdir()
    config = {**PRESETS["fast"].as_dict(), "seed": seed, "gamma": 0.99, "versions": {"numpy": str(seed)}, **settings}
    (path / "config.json").write_text(json.dumps(config))
    with (path / "metrics.csv").open("w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS.split(","))
        for epoch, value in enumerate(returns, start=1):
            writer.writerow([epoch, epoch * steps, value, value, 0, 0, 0, 0, 1, 0, 0, 0, epoch / 2])
    return path


def is_blank(path):
    image = imread(path)[..., :3]
    return np.all(image == image[0, 0])


@pytest.fixture
def drawn(monkeypatch):
    """Return the plotted lines by label, and the bands."""
    lines, bands = {}, []
    plot, fill = Axes.plot, Axes.fill_between

    def plotted(axes, x, y, **options):
        lines[options["label"]] = (np.array(x), np.array(y))
        return plot(axes, x, y, **options)

    def filled(axes, x, lower, upper, **options):
        bands.append((lower, upper))
        return fill(axes, x, lower, upper, **options)

    monkeypatch.setattr(Axes, "plot", plotted)
    monkeypatch.setattr(Axes, "fill_between", filled)
    return lines, bands


def test_every_training_leaves_a_picture_of_its_learning_curve(trained):
    assert not is_blank(trained / "learning_curve.png")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_curves_of_runs_become_an_image(trained, tmp_path, suffix):
    second = shutil.copytree(trained, tmp_path / "second")
    out = tmp_path / f"curves{suffix}"
    result = invoke("plot", trained, second, "--x", "seconds", "--out", out)
    assert (result.exit_code, result.output) == (0, f"Saved in {out}\n")
    if suffix == ".png":
        assert not is_blank(out)
    else:
        assert out.read_bytes()[:5] in (b"<?xml", b"%PDF-")


def test_seeds_of_a_setting_share_a_line_with_a_band_of_one_standard_deviation(tmp_path, drawn):
    lines, bands = drawn
    returns = np.array([[10.0, 20.0, 30.0, 40.0], [20.0, 40.0, 50.0, 90.0], [0.0, 60.0, 70.0, 80.0]])
    runs = [RunDirectory(write_run(tmp_path / str(seed), row, seed=seed)) for seed, row in enumerate(returns)]
    plots.plot_learning_curves(runs, tmp_path / "a.png")
    ((label, (x, y)),) = lines.items()
    assert label == "preset fast: mean and standard deviation of 3 runs"
    expected = np.array([np.interp(x, [100, 200, 300, 400], row) for row in returns])
    np.testing.assert_allclose(y, expected.mean(axis=0))
    np.testing.assert_allclose(bands[0][0], expected.mean(axis=0) - expected.std(axis=0))
    np.testing.assert_allclose(bands[0][1], expected.mean(axis=0) + expected.std(axis=0))
    assert (x[0], x[-1]) == (100.0, 400.0)


def test_settings_are_labelled_by_their_differences_and_finished_runs_keep_their_last_value(tmp_path, drawn):
    lines, _ = drawn
    write_run(tmp_path / "a", [10.0, 500.0], seed=1)
    write_run(tmp_path / "b", ["nan", 100.0, 200.0, 300.0], seed=2)
    write_run(tmp_path / "c", [5.0, 6.0], gamma=0.9)
    write_run(tmp_path / "d", [7.0, 8.0], preset="keras", gamma=0.5)
    runs = [RunDirectory(tmp_path / name) for name in "abcd"]
    plots.plot_learning_curves(runs, tmp_path / "a.png", "seconds")
    both, c, d = (
        "preset fast, gamma 0.99: mean and standard deviation of 2 runs",
        "preset fast, gamma 0.9",
        "preset keras",
    )
    assert list(lines) == [both, c, d]
    assert [list(points) for points in lines[c]] == [[0.5, 1.0], [5.0, 6.0]]
    x, y = lines[both]
    assert (x[0], y[0]) == (1.0, 300.0)
    assert (x[-1], y[-1]) == (2.0, 400.0)


def test_a_failed_plot_is_reported_in_one_sentence_with_exit_code_2(trained, tmp_path):
    (tmp_path / "there.png").write_text("mine")
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "young", ["nan", "nan"])
    write_run(tmp_path / "damaged", [1.0, "x"])
    (write_run(tmp_path / "old", [1.0]) / "config.json").write_text("{}")
    write_run(tmp_path / "huge", ["9" * 200_000])
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "a.png"
    for arguments, message in (
        (("--out", out), "Missing argument 'RUN|SWEEP...'."),
        ((tmp_path / "no", "--out", out), "does not exist."),
        ((trained, "--out", tmp_path / "there.png"), "exists already; --overwrite replaces it."),
        ((trained, "--out", tmp_path / "a.gif"), "must end in .png or .svg or .pdf."),
        ((trained, "--x", "epochs", "--out", out), "'epochs' is not one of 'steps', 'seconds'."),
        ((tmp_path / "empty", "--out", out), "/empty' is neither a run nor a sweep."),
        ((tmp_path, "--out", out), f"is neither a run nor a sweep; pass one run, such as '{tmp_path / 'damaged'}'."),
        ((trained, tmp_path / "young", "--out", out), "no episode has ended in "),
        ((trained, tmp_path / "damaged", "--out", out), "metrics.csv' is damaged, or from another version."),
        ((trained, tmp_path / "old", "--out", out), "the configuration lacks preset, seed, "),
        ((trained, tmp_path / "huge", "--out", out), "metrics.csv' is damaged, or from another version."),
    ):
        assert message in message_of(invoke("plot", *arguments)), arguments
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.png").read_text() == "mine"


def test_a_directory_of_sweeps_names_one_of_them(tmp_path):
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sweep.json").touch()
    hint = f"; pass one sweep, such as '{tmp_path / 'b'}'."
    assert f"is neither a run nor a sweep{hint}" in message_of(invoke("plot", tmp_path))
    assert f"'{tmp_path}' is not a sweep{hint}" in message_of(invoke("sweep", "--resume", tmp_path))
    (tmp_path / "a").mkdir()
    said = message_of(invoke("sweep", "--resume", tmp_path / "a"))
    assert f"'{tmp_path / 'a'}' is not a sweep: it holds no sweep.json." in said
    write_run(tmp_path / "d", [1.0])
    said = message_of(invoke("plot", tmp_path))
    assert f"is neither a run nor a sweep; pass one run, such as '{tmp_path / 'd'}'." in said


def test_sweeps_are_drawn_beside_runs_a_line_for_each_setting(trained, tmp_path, drawn):
    lines, _ = drawn
    small = ("--set", "num_envs=8", "--set", "steps_per_epoch=256", "--set", "hidden_sizes=8", "--set", "epochs=3")
    sweep = ("sweep", "--seeds", "0:2", *small, "--set", "gamma=0.9,0.99", "--jobs", 1, "--out", tmp_path / "s")
    assert invoke(*sweep).exit_code == 0
    lines.clear()
    same_name = shutil.copytree(tmp_path / "s", tmp_path / "other" / "s")
    paths = (trained, tmp_path / "s", same_name)
    result = invoke("plot", *paths, "--x", "seconds", "--out", tmp_path / "a.png")
    assert result.exit_code == 0, result.output
    assert [label.split(",")[0] for label in lines] == ["preset fast", *[str(path) for path in paths[1:] for _ in "ab"]]
    assert ["gamma=0.99" in label for label in lines] == [False, False, True, False, True]
    results = (same_name / "results.csv").read_text().splitlines(keepends=True)
    (same_name / "results.csv").write_text("".join(results[:-1]))
    result = invoke("plot", same_name, "--out", tmp_path / "c.png")
    assert (result.exit_code, "1 of 4 runs of " in result.stderr) == (0, True)
    (tmp_path / "s" / "results.csv").write_text("")
    message = message_of(invoke("plot", tmp_path / "s", "--out", tmp_path / "b.png"))
    assert "the results in " in message
    (tmp_path / "s" / "sweep.json").write_text((same_name / "sweep.json").read_text().replace("[\n", "3, [\n"))
    assert "is damaged" in message_of(invoke("plot", tmp_path / "s", "--out", tmp_path / "b.png"))


def test_a_file_is_replaced_only_on_request(trained, tmp_path):
    out = tmp_path / "a.png"
    out.write_text("old")
    assert "exists already" in message_of(invoke("plot", trained, "--out", out))
    assert invoke("plot", trained, "--out", out, "--overwrite").exit_code == 0
    assert not is_blank(out)
    (tmp_path / "b.png").mkdir()
    assert "is a directory" in message_of(invoke("plot", trained, "--out", tmp_path / "b.png", "--overwrite"))


def test_long_labels_stay_inside_the_picture(tmp_path):
    names = ("a", "b", "c", "d", "e", "f")
    for number, name in enumerate(names):
        settings = {"gamma": 0.9 + number / 100, "clip_ratio": number + 1.0, "hidden_sizes": [number + 1] * 12}
        write_run(tmp_path / name, [1.0, 2.0], **settings, policy_learning_rate=number + 1.0, num_envs=number + 1)
    runs = [RunDirectory(tmp_path / name) for name in names]
    plots.plot_learning_curves(runs, tmp_path / "a.png")
    image = imread(tmp_path / "a.png")[..., :3]
    assert np.all(image[:, [0, -1]] == 1.0)
    assert np.all(image[[0, -1]] == 1.0)
