"""The output of training: on a terminal, in a pipe, as JSON, or none."""

import dataclasses
import io
import itertools
import json
import math
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from runs import SMALL, invoke, message_of

from agent import PRESETS
from agent.metrics import EpochMetrics
from agent.runs.directory import RunDirectory
from agent.views.display import Display, JsonDisplay, LineDisplay, LiveDisplay, format_epoch, format_solved, new_display
from agent.views.sparkline import Sparkline

pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))

FASTPPO = str(Path(sys.executable).with_name("fastppo"))
FIELDS = [field.name for field in dataclasses.fields(EpochMetrics)]
CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CLEARED_LINE = "\x1b[2K"


def on_a_terminal(directory, *arguments, columns=100, **environment):
    """Run the command on a pseudo-terminal; return its exit code and its output."""
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [FASTPPO, *arguments],
        cwd=directory,
        env={**os.environ, "TERM": "xterm-256color", **environment},
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
    )
    os.close(its_end)
    written = b""
    # On Linux, reading from a pseudo-terminal that no process has open is an error, not end of file.
    while block := _read(terminal):
        written += block
    os.close(terminal)
    return process.wait(), written.decode()


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def drawn(epoch=7, **figures):
    """Return the metrics of an epoch."""
    zeros = {field.name: 0 if field.type == "int" else 0.0 for field in dataclasses.fields(EpochMetrics)}
    return EpochMetrics(**{**zeros, "epoch": epoch, **figures})


@pytest.mark.parametrize("columns", [100, pytest.param(40, marks=pytest.mark.slow)])
def test_a_terminal_shows_progress_the_latest_figures_and_the_curve_as_they_change(tmp_path, columns):
    code, written = on_a_terminal(tmp_path, "train", *SMALL, "--epochs", "100", "--out", "o", columns=columns)
    assert code == 0
    assert "Traceback" not in written
    states = CONTROL_SEQUENCE.sub("", written.replace(CLEARED_LINE, "\f")).split("\f")
    counted = [re.search(r"([\d,]+)/51,200", state) for state in states]
    steps = [int(match[1].replace(",", "")) for match in counted if match]
    assert steps == sorted(steps)
    assert steps[-1] == 51_200
    last = CONTROL_SEQUENCE.sub("", states[-1])
    if columns == 100:
        assert "trained" in last
        assert "51,200/51,200 steps" in last
        assert re.search(r"mean_return +[\d.]+ [▁-█]{50,} +[\d.]+", last)
        assert re.search(r"epoch +100 +mean_return +[\d.]+", last)
        for name in ("kl", "clip_fraction", "policy_loss", "value_loss", "entropy", "explained_variance"):
            assert re.search(rf"{name} +-?[\d.]+", last), name
    *_, evaluation, saved, following, _ = last.replace("\r", "").split("\n")
    assert evaluation.startswith("Greedy policy in CartPole-v1, 100 episodes: mean ")
    assert saved == "Saved in o"
    assert following.startswith("Next: fastppo eval o")
    # Messages of TensorFlow and the plotting library, and Python's warnings.
    assert not re.search(r"oneDNN|cuda|cpu_feature|I0000|XDG|Warning", written)


@pytest.mark.parametrize(
    ("is_terminal", "kind", "display"),
    [(True, "xterm", LiveDisplay), (True, "dumb", LineDisplay), (False, "xterm", LineDisplay)],
)
def test_the_live_display_is_used_only_on_a_capable_terminal(monkeypatch, is_terminal, kind, display):
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    assert type(new_display(PRESETS["fast"])) is display


def test_the_examples_lines_and_warnings_appear_above_the_live_display():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    ppo = FakePPO()
    with LiveDisplay(console, total_steps=40, as_in_the_example=True) as display:
        display.on_train_begin(ppo)
        display.on_epoch_end(ppo, drawn(mean_return=3.0, mean_length=3.0))
        print("UserWarning: mind the gap", file=sys.stderr)
        display.on_train_end(ppo)
    text = CONTROL_SEQUENCE.sub("", screen.getvalue())
    assert " Epoch: 7. Mean Return: 3.0. Mean Length: 3.0\n" in text
    assert "UserWarning: mind the gap" in text
    assert text.rindex("mind the gap") < text.rindex("explained_variance")


def test_the_live_display_names_what_it_waits_for_and_shows_no_bar_until_the_training_begins():
    screen = io.StringIO()
    display = LiveDisplay(Console(file=screen, force_terminal=True, width=100), total_steps=50)
    with display:
        for what in ("importing TensorFlow", "compiling (only the first time)"):
            display.waiting_for(what)
            display._live.refresh()
            assert what in screen.getvalue()
        assert "steps" not in screen.getvalue()
        display.on_train_begin(FakePPO())
        display._live.refresh()
        assert "0/50 steps" in CONTROL_SEQUENCE.sub("", screen.getvalue())


def test_the_bar_of_a_solved_training_ends_full():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with LiveDisplay(console, total_steps=50) as display:
        display.on_train_begin(SolvedPPO())
        display.on_epoch_end(SolvedPPO(), drawn(2, env_steps=20))
        display.on_train_end(SolvedPPO())
    assert "20/20 steps" in CONTROL_SEQUENCE.sub("", screen.getvalue())


def test_the_live_display_moves_with_every_epoch():
    screen = io.StringIO()
    display = LiveDisplay(Console(file=screen, force_terminal=True, width=100), total_steps=50)
    with display:
        display.on_train_begin(FakePPO())
        for epoch in range(1, 6):
            display.on_epoch_end(FakePPO(), drawn(epoch, env_steps=10 * epoch, mean_return=float(epoch)))
            display._live.refresh()
    states = CONTROL_SEQUENCE.sub("", screen.getvalue().replace(CLEARED_LINE, "\f"))
    for epoch in range(1, 6):
        assert f"{10 * epoch}/50 steps" in states
        assert re.search(rf"epoch +{epoch} ", states)


def test_a_resumed_curve_begins_where_the_run_began():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    with LiveDisplay(console, total_steps=40, past_returns=[math.nan, 1.0, 2.0]) as display:
        display.on_train_begin(FakePPO())
        display.on_epoch_end(FakePPO(), drawn(mean_return=8.0))
        display.on_train_end(FakePPO())
    assert re.search(r"mean_return 1\.0  ▁▂█ +8\.0", CONTROL_SEQUENCE.sub("", screen.getvalue()))


class FakePPO:
    """The attributes of an agent that a display reads."""

    epoch = env_steps = 0
    is_solved = False
    is_exact = True
    config = SimpleNamespace(rollout_size=10, target_return=None)


class SolvedPPO(FakePPO):
    env_steps = 20
    is_solved = True
    config = SimpleNamespace(rollout_size=10, target_return=475.0)


def test_json_is_one_object_per_epoch_and_nothing_else(tmp_path):
    result = invoke("train", *SMALL, "--epochs", 3, "--out", tmp_path / "o", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert [list(figures) for figures in objects] == [FIELDS] * 3
    assert [figures["epoch"] for figures in objects] == [1, 2, 3]


def test_json_has_null_for_the_return_before_an_episode_has_ended(tmp_path):
    result = invoke("train", "--envs", 4, "--steps-per-epoch", 8, "--epochs", 1, "--json", "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout, parse_constant=pytest.fail)
    assert figures["mean_return"] is figures["mean_length"] is None
    assert not (tmp_path / "o" / "learning_curve.png").exists()


NO_RETURN_YET = "mean_return is '-' until the first episode ends.\n"


def shown_of(display, returns):
    """Show a training with these mean returns."""
    with display:
        display.on_train_begin(FakePPO())
        for epoch, mean_return in enumerate(returns, start=1):
            display.on_epoch_end(FakePPO(), drawn(epoch, mean_return=mean_return, mean_length=mean_return))
        display.on_train_end(FakePPO())


def test_lines_say_once_what_the_dash_before_the_first_episode_means(capsys):
    shown_of(LineDisplay(), [math.nan, math.nan, 3.0, 4.0])
    _, first, sentence, second, third, _ = capsys.readouterr().out.splitlines(keepends=True)
    assert sentence == NO_RETURN_YET
    assert first.split()[2:4] == second.split()[2:4] == ["-", "-"]
    assert third.split()[2:4] == ["3.0", "3.0"]


def test_the_live_display_says_once_what_the_dash_before_the_first_episode_means():
    screen = io.StringIO()
    shown_of(LiveDisplay(Console(file=screen, force_terminal=True, width=100), 50), [math.nan, math.nan])
    text = CONTROL_SEQUENCE.sub("", screen.getvalue())
    assert text.count(NO_RETURN_YET) == 1
    assert re.search(r"epoch +2 +mean_return +-\n", text)
    assert "nan" not in text


@pytest.mark.parametrize("display", [Display, JsonDisplay])
def test_quiet_and_json_runs_say_nothing_about_the_dash(display, capsys):
    shown_of(display(), [math.nan, math.nan])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["mean_return"] for line in lines] == ([] if display is Display else [None, None])


def test_nothing_is_said_about_a_dash_where_every_epoch_has_a_return(capsys):
    shown_of(LineDisplay(), [1.0, 2.0])
    assert "until" not in capsys.readouterr().out


MEANS = st.floats() | st.floats(-1, 1)


@given(MEANS, MEANS, st.floats(-9, 9))
def test_the_line_of_an_epoch_is_80_characters_wide_whatever_the_returns(mean_return, mean_length, kl):
    line = format_epoch(drawn(mean_return=mean_return, mean_length=mean_length, kl=kl))
    assert len(line) == 80
    assert len(line.split()) == 7
    assert line.split()[4] != "-0.0000"


def test_small_figures_keep_their_digits_in_the_line_the_table_and_the_curve():
    small = drawn(mean_return=0.0412, policy_loss=-0.000012, value_loss=0.0035, explained_variance=math.nan)
    assert format_epoch(small).split()[2] == "0.0412"
    screen = io.StringIO()
    with LiveDisplay(Console(file=screen, force_terminal=True, width=100), 50, past_returns=[0.6, 1.35]) as display:
        display.on_train_begin(FakePPO())
        display.on_epoch_end(FakePPO(), small)
        display.on_train_end(FakePPO())
    text = CONTROL_SEQUENCE.sub("", screen.getvalue())
    assert re.search(r"mean_return 0\.0412 ▄█▁ +1\.35", text)
    for figure in (
        "mean_return +0.0412\n",
        "policy_loss +-0.000012 ",
        "value_loss +0.0035\n",
        "explained_variance +-\n",
    ):
        assert re.search(figure, text), figure


def test_the_sentence_of_a_solved_training_keeps_the_digits_of_return_and_target():
    ppo = SimpleNamespace(config=SimpleNamespace(target_return=0.7831), is_exact=False, recent_mean_return=0.78512)
    assert "reached a mean return of 0.785 (target 0.7831)" in format_solved(ppo, drawn())
    ppo.config.target_return, ppo.recent_mean_return = 475.0, 481.94
    assert "reached a mean return of 481.9 (target 475)" in format_solved(ppo, drawn())


@pytest.mark.parametrize(("seconds_each", "expected"), [(1.0, 9), (0.0, 0)])
def test_a_long_evaluation_shows_every_tenth_in_lines(seconds_each, expected, monkeypatch, capsys):
    moments = itertools.count()
    monkeypatch.setattr("agent.views.display.time.monotonic", lambda: next(moments) * seconds_each * 2)
    with LineDisplay().evaluating(20) as show:
        for done in range(1, 21):
            show(done)
    lines = capsys.readouterr().out.splitlines()
    # Nothing is shown in the first seconds.
    assert lines == [f"evaluating: {2 * tenth} of 20 episodes" for tenth in range(11 - expected, 11)] * bool(expected)


def test_a_terminal_shows_a_bar_during_a_long_evaluation_only(monkeypatch):
    for seconds_each in (0.0, 10.0):
        moments = itertools.count()
        monkeypatch.setattr("agent.views.display.time.monotonic", lambda each=seconds_each, at=moments: next(at) * each)
        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        with LiveDisplay(console, 100).evaluating(20) as show:
            show(7)
        shown = CONTROL_SEQUENCE.sub("", console.file.getvalue())
        assert ("evaluating" in shown) == ("7/20 episodes" in shown) == bool(seconds_each)


def test_a_quiet_run_shows_nothing(tmp_path):
    result = invoke("train", *SMALL, "--epochs", 2, "--out", tmp_path / "o", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "o" / "evaluation.json").exists()


def test_quiet_and_json_exclude_each_other(tmp_path):
    result = invoke("train", "--quiet", "--json", "--out", tmp_path / "o")
    assert "--quiet and --json exclude each other." in message_of(result)
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_a_closed_pipe_ends_the_training_without_a_traceback(tmp_path):
    command = f"'{FASTPPO}' train --envs 8 --epochs 5000 --no-early-stop --out o --json | head -n 1"
    completed = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert completed.stderr == ""
    assert json.loads(completed.stdout)["epoch"] == 1
    state = RunDirectory(tmp_path / "o").read_checkpoint()
    assert len(RunDirectory(tmp_path / "o").read_metrics()) == state["epoch"] >= 1
    assert (tmp_path / "o" / "actor.keras").exists()


def line_of(values, width, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(Sparkline(values), end="")
    return console.file.getvalue().rstrip("\n")


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=200), st.integers(1, 50))
def test_a_sparkline_fits_and_rises_where_the_values_rise(values, width):
    assert len(line_of(values, width)) <= width
    rising = sorted(value for value in values if not math.isnan(value))
    bars = line_of(rising, width)
    assert len(bars) == min(len(rising), width)
    assert all(one <= next_one for one, next_one in itertools.pairwise(bars))


def test_a_sparkline_spans_the_range_leaves_gaps_and_falls_back_to_ascii():
    assert line_of([0.0, math.nan, 7.0, 3.0], 10) == "▁ █▄"
    assert line_of([5.0, 5.0], 10) == "▁▁"
    assert line_of([0.1] * 7, 2) == "▁▁"
    assert line_of([math.nan], 10) == ""
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=10)
    console.print(Sparkline([0.0, 7.0]))
    console.file.flush()
    assert console.file.buffer.getvalue() == b"_#\n"
