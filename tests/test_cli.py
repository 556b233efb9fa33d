"""The command line as users see it, in an empty directory."""

import csv
import dataclasses
import json
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from PIL import Image
from runs import FASTPPO, invoke, message_of
from systems import needs_posix_signals

from agent import PRESETS, PPOConfig
from agent.cli import main
from agent.commands.train import _checked_gif_epochs, _own_gif_epochs
from agent.environments.making import EnvironmentSource
from agent.metrics import EpochMetrics
from agent.runs.directory import RunDirectory
from agent.views import animations
from agent.views.display import format_epoch

COLUMNS = [field.name for field in dataclasses.fields(EpochMetrics)]


def start(directory, *arguments):
    return subprocess.Popen(
        [FASTPPO, *arguments], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(directory, *arguments):
    process = start(directory, *arguments)
    output, errors = process.communicate()
    return process.returncode, output, errors


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def load_actor(path):
    from agent.process.backend import keras

    return keras.saving.load_model(path)


def test_training_prints_a_line_per_epoch_then_the_evaluation_and_fills_the_run_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("train", "--envs", 64, "--epochs", 2, "--seed", 3, "--out", "results/first")
    assert (result.exit_code, result.stderr) == (0, "")
    header, first, second, evaluation, saved, following = result.stdout.splitlines()
    required = "epoch env_steps mean_return mean_length kl steps_per_second elapsed_s"
    assert header.split() == required.split()
    assert set(header.split()) < set(COLUMNS)
    assert first.split()[:2] == ["1", "2048"]
    assert second.split()[:2] == ["2", "4096"]
    assert evaluation.startswith("Greedy policy in CartPole-v1, 100 episodes: mean ")
    assert all(word in evaluation for word in ("standard deviation", "min", "max"))
    assert evaluation.endswith("; mean_return above is of sampled actions")
    assert saved == "Saved in results/first"
    commands = (f"fastppo {name} results/first" for name in ("eval", "render", "plot"))
    assert following == "Next: {}, {}, or {}".format(*commands)

    directory = tmp_path / "results" / "first"
    assert sorted(p.name for p in directory.iterdir()) == [
        "actor.keras",
        "best_actor.keras",
        "best_evaluation.json",
        "checkpoint.npz",
        "config.json",
        "critic.keras",
        "evaluation.json",
        "learning_curve.png",
        "metrics.csv",
    ]
    config = json.loads((directory / "config.json").read_text())
    assert (config["preset"], config["num_envs"], config["epochs"], config["seed"]) == ("fast", 64, 2, 3)
    rows = rows_of(directory / "metrics.csv")
    assert list(rows[0]) == COLUMNS
    assert [row["env_steps"] for row in rows] == ["2048", "4096"]
    assert load_actor(directory / "actor.keras").output_shape == (None, 2)
    assert load_actor(directory / "critic.keras").output_shape == (None, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--envs", "0"], "Invalid value for '--envs': 0 is not in the range 1<=x<=1000000000000."),
        (["--envs", "-3"], "Invalid value for '--envs': -3 is not in the range 1<=x<=1000000000000."),
        (["--envs", "1" + "0" * 20], "is not in the range 1<=x<=1000000000000."),
        (
            ["--envs", "1" + "0" * 12],
            "Error: num_envs=1000000000000 would take at least 139,698 GiB of memory, and this",
        ),
        (
            ["--hidden-sizes", "1000000,1000000"],
            "Error: hidden_sizes=(1000000, 1000000) would take at least 29,802 GiB",
        ),
        (
            ["--policy-update-epochs", "50000000"],
            "Error: 50000000 passes over a rollout of 4096 steps would take at least",
        ),
        (
            ["--policy-update-epochs", "1" + "0" * 9],
            "make 32000000000 gradient steps an update, at most 2147483647 are",
        ),
        (["--envs", "abc"], "Invalid value for '--envs': 'abc' is not a valid whole number."),
        (["--epochs", "0"], "Invalid value for '--epochs': 0 is not in the range x>=1."),
        (["--seed", "-1"], "Invalid value for '--seed': -1 is not in the range x>=0."),
        (["--preset", "slow"], "Invalid value for '--preset': 'slow' is not one of 'fast', 'keras', 'standard'."),
        (["--steps-per-epoch", "0"], "Invalid value for '--steps-per-epoch': 0 is not in the range x>=1."),
        (["--total-steps", "0"], "Invalid value for '--total-steps': 0 is not in the range x>=1."),
        (["--total-steps", "9", "--epochs", "9"], "Error: --epochs and --total-steps exclude each other."),
        (["--no-early-stop", "--target-return", "9"], "Error: --target-return and --no-early-stop exclude each other."),
        (
            ["--lr", "1e-3", "--learning-rate", "2e-3"],
            "Invalid value for '--learning-rate' / '--lr': --learning-rate and --lr are one option, given with 0.001",
        ),
        (["--gamma", "1.5"], "Error: gamma must be at most 1, got 1.5."),
        (["--gamma", "nan"], "Error: gamma must be finite, got nan."),
        (["--target-kl", "x"], "Invalid value for '--target-kl': 'x' is neither a number nor 'none'."),
        (
            ["--minibatch-size", "0.5"],
            "Invalid value for '--minibatch-size': '0.5' is neither a whole number nor 'none'.",
        ),
        (["--minibatch-size", "0"], "Error: minibatch_size must be at least 1, got 0."),
        (["--hidden-sizes", "64,"], "Invalid value for '--hidden-sizes': '64,' is not a list of whole numbers such as"),
        (["--hidden-sizes", "64,0"], "Error: hidden_sizes must be at least 1, got 0."),
        (["--initializer", "zeros"], "Invalid value for '--initializer': 'zeros' is not one of"),
        (["--gif-epochs", "0,x"], "'0,x' is neither a list of epochs such as 0,8,20 nor 'none'."),
        (["--gif-epochs", "0,,8"], "'0,,8' is neither a list of epochs such as 0,8,20 nor 'none'."),
        (["--gif-epochs", "-1"], "'-1' is neither a list of epochs such as 0,8,20 nor 'none'."),
        (["--epochs", "5", "--gif-epochs", "0,8"], "Invalid value for '--gif-epochs': 8 is beyond the last epoch, 5."),
        (["--out", "full"], "Invalid value for '--out': 'full' exists and is not an empty directory."),
        (["--out", "file"], "Invalid value for '--out': 'file' exists and is not an empty directory."),
        (["--out", "file/below"], "Invalid value for '--out': 'file/below' cannot be written: Not a directory."),
        (["--out", "/proc/run"], "Invalid value for '--out': '/proc/run' cannot be written: "),
        (["--out", "x" * 300], "cannot be written: File name too long."),
    ],
)
def test_a_wrong_argument_is_one_sentence_exit_code_2_and_nothing_touched(tmp_path, arguments, message, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine too")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    result = invoke("train", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine too"


@pytest.mark.slow
def test_every_setting_can_be_set_and_is_saved_with_the_run(tmp_path):
    settings = {
        "env_id": ("--env-id", "Pendulum-v1"),
        "env_kwargs": ("--env-kwargs", {"g": 9.5}),
        "vectorization": ("--vectorization", "async"),
        "num_envs": ("--envs", 3),
        "steps_per_epoch": ("--steps-per-epoch", 100),
        "max_episode_steps": ("--max-episode-steps", None),
        "reset_each_epoch": ("--reset-each-epoch", True),
        "hidden_sizes": ("--hidden-sizes", [8, 9]),
        "critic_hidden_sizes": ("--critic-hidden-sizes", [7]),
        "activation": ("--activation", "silu"),
        "initializer": ("--initializer", "glorot_uniform"),
        "exploration": ("--exploration", "state_dependent"),
        "initial_log_std": ("--initial-log-std", -0.5),
        "noise_interval": ("--noise-interval", 4),
        "normalize_observations": ("--normalize-observations", True),
        "normalize_rewards": ("--normalize-rewards", True),
        "gamma": ("--gamma", 0.9),
        "gae_lambda": ("--gae-lambda", 0.8),
        "clip_ratio": ("--clip-ratio", 0.3),
        "clip_ratio_schedule": ("--clip-ratio-schedule", "linear"),
        "value_clip_range": ("--value-clip-range", 0.4),
        "target_kl": ("--target-kl", 0.5),
        "target_kl_check": ("--target-kl-check", "pass"),
        "entropy_coefficient": ("--entropy-coefficient", 0.01),
        "advantage_normalization": ("--advantage-normalization", "minibatch"),
        "value_target": ("--value-target", "rewards_to_go"),
        "policy_learning_rate": ("--policy-learning-rate", 0.001),
        "value_learning_rate": ("--value-learning-rate", 0.004),
        "learning_rate_schedule": ("--learning-rate-schedule", "linear"),
        "adam_epsilon": ("--adam-epsilon", 1e-6),
        "max_gradient_norm": ("--max-gradient-norm", 0.5),
        "policy_update_epochs": ("--policy-update-epochs", 3),
        "value_update_epochs": ("--value-update-epochs", 5),
        "minibatch_size": ("--minibatch-size", 20),
        "device": ("--device", "cpu"),
        "target_return": ("--target-return", 200.0),
        "epochs": ("--total-steps", 2),
    }
    arguments = ["train", "--out", tmp_path / "o", "--seed", "4"]
    for flag, value in settings.values():
        arguments.append(flag)
        if value is not True:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            text = json.dumps(value) if isinstance(value, dict) else text
            arguments.append("none" if value is None else text if flag != "--total-steps" else "200")
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "o" / "config.json").read_text())
    saved = {field.name: config[field.name] for field in dataclasses.fields(PPOConfig)}
    assert saved == {"preset": "fast", "seed": 4, **{field: value for field, (_, value) in settings.items()}}


def test_training_ends_once_cartpole_is_solved_and_says_so(tmp_path):
    result = invoke("train", "--envs", 64, "--out", tmp_path / "o")
    assert (result.exit_code, result.stderr) == (0, "")
    *_, last, solved, evaluation, _, _ = result.stdout.splitlines()
    assert int(last.split()[0]) < 200
    assert solved.startswith(f"Solved after {int(last.split()[1]):,} steps and ")
    # The evaluation plays other episodes than those that confirmed the target.
    mean = json.loads((tmp_path / "o" / "evaluation.json").read_text())["mean"]
    assert mean >= 450
    assert f"mean {mean:.1f}, " in evaluation


def test_preset_keras_prints_the_examples_lines_and_shows_the_policy(tmp_path):
    short = ("--policy-update-epochs", 2, "--value-update-epochs", 2, "--gif-epochs", "2,0")
    result = invoke("train", "--preset", "keras", "--epochs", 2, *short, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "o" / "metrics.csv")
    printed = [line for line in result.stdout.splitlines() if line.startswith(" Epoch: ")]
    assert printed == [
        f" Epoch: {row['epoch']}. Mean Return: {row['mean_return']}. Mean Length: {row['mean_length']}" for row in rows
    ]
    assert sorted(path.name for path in (tmp_path / "o").glob("*.gif")) == ["epoch_0.gif", "epoch_2.gif"]
    for epoch in (0, 2):
        with Image.open(tmp_path / "o" / f"epoch_{epoch}.gif") as animation:
            assert animation.size == (300, 200)
            assert animation.is_animated
            # Equal consecutive frames are merged into one that is shown longer.
            assert animation.info["duration"] % 40 == 0
            assert animation.n_frames >= 4


def test_by_default_preset_keras_records_before_the_training_and_after_8_and_20_epochs():
    spec = EnvironmentSource("CartPole-v1").describe()
    assert _own_gif_epochs(PRESETS["fast"]) == ()
    own = _own_gif_epochs(PRESETS["keras"])
    assert _checked_gif_epochs(None, PRESETS["keras"], spec, own) == own == (0, 8, 20)
    assert _checked_gif_epochs("none", PRESETS["keras"], spec, own) == ()


def test_without_the_rendering_extra_preset_keras_trains_and_says_how_to_get_animations(tmp_path, monkeypatch):
    monkeypatch.setattr(animations, "missing_packages", lambda: ["pygame"])
    short = ("--epochs", 1, "--policy-update-epochs", 2, "--value-update-epochs", 2)
    result = invoke("train", "--preset", "keras", *short, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    hint = "animations need pygame: pip install 'fastppo[rendering]'"
    assert result.stderr == f"Warning: no animations are recorded: {hint}, or choose --gif-epochs none.\n"
    assert list(tmp_path.glob("o/*.gif")) == []
    assert RunDirectory(tmp_path / "o").read_outputs().gif_epochs == (0, 8, 20)
    arguments = ["train", "--gif-epochs", "0", "--out", str(tmp_path / "p")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: Invalid value for '--gif-epochs': {hint}."
    assert not (tmp_path / "p").exists()


def test_preset_keras_with_many_environments_warns_that_no_episode_outlasts_an_epoch(tmp_path):
    short = ("--policy-update-epochs", 2, "--value-update-epochs", 2, "--gif-epochs", "none")
    result = invoke("train", "--preset", "keras", "--envs", 256, "--epochs", 1, *short, "--out", tmp_path / "o")
    assert result.exit_code == 0
    expected = "Warning: every epoch starts new episodes, and each of the 256 environments takes 16 steps per epoch"
    assert result.stderr.startswith(expected)
    assert result.stdout.splitlines()[1].split()[:2] == ["1", "4096"]


def wait_for_epoch(process, epoch):
    for line in process.stdout:
        if line.split()[:1] == [str(epoch)]:
            return
    pytest.fail(f"the training ended before epoch {epoch}: {process.stderr.read()}")


@needs_posix_signals
def test_an_interrupt_saves_what_was_learned_and_exits_with_130(tmp_path):
    process = start(tmp_path, "train", "--preset", "keras", "--epochs", "100000", "--out", "out")
    wait_for_epoch(process, 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "Interrupted; what was learned so far is saved. To continue: fastppo train --resume out\n"
    rows = rows_of(tmp_path / "out" / "metrics.csv")
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 3
    assert load_actor(tmp_path / "out" / "actor.keras").output_shape == (None, 2)
    assert load_actor(tmp_path / "out" / "critic.keras").output_shape == (None, 1)


@needs_posix_signals
def test_an_interrupt_before_the_training_began_leaves_no_traceback(tmp_path):
    process = start(tmp_path, "train", "--out", "out")
    while not (tmp_path / "out" / "config.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output + errors
    assert errors == "Interrupted; nothing was learned yet.\n"
    assert not (tmp_path / "out").exists()


def test_a_failed_start_is_reported_in_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    code, output, errors = run(tmp_path, "train", "--out", "out")
    assert code == 1
    assert errors.splitlines()[-1].startswith("Error: the training cannot start: agent needs Keras on TensorFlow")
    assert "Traceback" not in errors + output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_runs_without_a_name_that_start_together_get_directories_of_their_own(tmp_path):
    processes = [start(tmp_path, "train", "--envs", "16", "--epochs", "1") for _ in range(2)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert len(list((tmp_path / "runs").glob("fast-0-*/actor.keras"))) == 2


def test_version_and_help_answer_without_tensorflow_or_numba(tmp_path):
    code = (
        "import sys; sys.argv = ['fastppo', *sys.argv[1:]]\n"
        "from agent.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        "print(sorted({'tensorflow', 'keras', 'numba', 'gymnasium', 'numpy'} & set(sys.modules)))\n"
    )
    for arguments in (["--help"], ["train", "--help"], ["bench", "--help"], ["--version"]):
        completed = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert completed.stdout.splitlines()[-1] == "[]", arguments
    assert completed.stdout.startswith("fastppo 0.")


def test_help_names_every_option_with_its_default():
    result = invoke("train", "--help")
    words = " ".join(result.output.split())
    assert result.exit_code == 0
    for expected in (
        "[default: fast]",
        "256 for fast, 1 for keras",
        "200 for fast, 30 for keras",
        "4096 for fast, 4000 for keras",
        "0,8,20 for keras, else none",
        "[default: 0; x>=0]",
        "runs/[ENV-]PRESET-SEED-TIME",
    ):
        assert expected in words


def test_the_metrics_of_an_epoch_are_aligned_in_columns():
    metrics = EpochMetrics(
        epoch=7,
        env_steps=28000,
        mean_return=123.45,
        mean_length=123.5,
        kl=-0.00123,
        policy_loss=0.1,
        entropy=0.5,
        clip_fraction=0.2,
        policy_iterations=80,
        value_loss=3.0,
        explained_variance=0.4,
        steps_per_second=1234567.0,
        elapsed_s=1.5,
    )
    line = format_epoch(metrics)
    assert line.split() == ["7", "28000", "123.5", "123.5", "-0.0012", "1,234,567", "1.500"]
    assert len(line) == 80


def test_counts_and_option_names_have_convenient_spellings(tmp_path):
    options = ("--envs", "8", "--steps-per-epoch", "2.56e2", "--hidden-sizes", "8x8", "--lr", "1e-3", "--no-early-stop")
    result = invoke("train", *options, "--total-steps", "1e3", "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "o" / "config.json").read_text())
    assert (config["epochs"], config["steps_per_epoch"], config["hidden_sizes"]) == (4, 256, [8, 8])
    assert config["policy_learning_rate"] == config["value_learning_rate"] == 1e-3
    for wrong in ("1.5", "1e400", "nan", "ten"):
        message = message_of(invoke("train", "--total-steps", wrong))
        assert f"Invalid value for '--total-steps': '{wrong}' is not a valid whole number." in message
    assert "Did you mean" in message_of(invoke("train", "--gama", "0.9"))
