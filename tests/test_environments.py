"""The commands in environments other than CartPole, as users see them."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from PIL import Image
from runs import FASTPPO, files_of, invoke, message_of, metrics_of

from agent import PPO, TensorBoardWriter, evaluate, load, preset_config, sweep
from agent.environments.ids import MODULE_FOLDER, folder_of_modules, is_known_to_commands
from agent.process import surroundings
from agent.runs.directory import RunDirectory
from agent.runs.next_commands import next_commands
from agent.sweeps.sweeping import given_environment
from agent.views.plots import _label

OPTIONS = ("--env-id", "MountainCar-v0", "--envs", "2", "--steps-per-epoch", "64", "--hidden-sizes", "8")
SHORT_EPISODES = ("--max-episode-steps", "30")


class Wandering(gymnasium.Env):
    """An environment that changes the working directory when it is created, reset or stepped."""

    metadata: ClassVar = {"render_modes": ["human", "rgb_array"], "render_fps": 30}
    observation_space = Box(-1.0, 1.0, (2,), np.float32)
    action_space = Discrete(2)
    elsewhere = None

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        os.chdir(self.elsewhere)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        os.chdir(self.elsewhere)
        return np.zeros(2, dtype=np.float32), {}

    def step(self, action):
        os.chdir(self.elsewhere)
        return np.zeros(2, dtype=np.float32), 1.0, bool(self.np_random.random() < 0.2), False, {}

    def render(self):
        return np.zeros((16, 16, 3), dtype=np.uint8)


gymnasium.register("Wandering-v0", Wandering)


@pytest.fixture(scope="module")
def trained_elsewhere(tmp_path_factory):
    """Return the directory of a run of two epochs. Tests must not change it."""
    directory = tmp_path_factory.mktemp("runs") / "trained_elsewhere"
    result = invoke(
        "train", *OPTIONS, *SHORT_EPISODES, "--epochs", 2, "--gif-epochs", 1, "--out", directory, "--tensorboard"
    )
    assert result.exit_code == 0, result.output
    assert "Greedy policy in MountainCar-v0, 10 episodes: mean -" in result.output
    return directory


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("NoSuch-v0", "NoSuch-v0 cannot be made: Environment `NoSuch` doesn't exist."),
        ("CartPole-v7", "CartPole-v7 cannot be made: Environment version `v7` for environment `CartPole` doesn't"),
        (
            "probes:Image-v0",
            "space Box(0, 255, (8, 8, 3), uint8) is not supported by the networks that are built",
        ),
        (
            "probes:TwoParts-v0",
            "the action space Tuple(Discrete(2), Discrete(2)) is not supported: Discrete, MultiDiscrete, MultiBinary",
        ),
        ("no_such_module:Thing-v0", "no_such_module:Thing-v0 cannot be made: No module named 'no_such_module'."),
    ],
)
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_an_unsupported_environment_is_reported_and_nothing_is_written(tmp_path, command, env_id, message):
    result = invoke(command, "--env-id", env_id, "--out", tmp_path / "out")
    said = message_of(result)
    assert "Invalid value for '--env-id': " in said
    assert message in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--env-kwargs", "{"), "Invalid value for '--env-kwargs': '{' is not valid JSON"),
        (("--env-kwargs", "[1]"), """'[1]' is not a JSON object such as {"natural": true}."""),
        (("--env-kwargs", '{"speed": 3}'), "got an unexpected keyword argument 'speed'"),
        (("--vectorization", "vector_entry_point"), "must be auto, sync or async for Acrobot-v1, which has no vector"),
        (("--max-episode-steps", "many"), "'many' is neither a whole number nor 'registered' nor 'none'."),
        (("--target-return", "high"), "'high' is neither a number nor 'registered' nor 'none'."),
    ],
)
def test_wrong_options_of_an_environment_are_reported_in_one_sentence(tmp_path, options, message):
    result = invoke("train", "--env-id", "Acrobot-v1", *options, "--out", tmp_path / "out")
    assert message in message_of(result)
    assert list(tmp_path.iterdir()) == []


def test_a_run_notes_its_environment_and_what_it_left_open(trained_elsewhere):
    config = json.loads((trained_elsewhere / "config.json").read_text())
    assert (config["env_id"], config["env_kwargs"], config["vectorization"]) == ("MountainCar-v0", {}, "auto")
    assert (config["max_episode_steps"], config["target_return"]) == (30, -110.0)
    assert [float(row["mean_return"]) for row in metrics_of(trained_elsewhere)] == [-30.0, -30.0]
    assert {path.name for path in trained_elsewhere.iterdir()} == {
        *("actor.keras", "best_actor.keras", "best_evaluation.json", "checkpoint.npz", "config.json", "critic.keras"),
        *("epoch_1.gif", "evaluation.json", "learning_curve.png", "metrics.csv", "tensorboard"),
    }
    best = json.loads((trained_elsewhere / "best_evaluation.json").read_text())
    assert best["mean_length"] > 30, "evaluations play the environment as it is registered"
    with Image.open(trained_elsewhere / "epoch_1.gif") as image:
        assert image.size == (300, 200)
        # MountainCar renders 30 frames per second; GIFs count hundredths of a second.
        assert image.info["duration"] == 30


@pytest.mark.slow
def test_every_command_plays_the_runs_environment(trained_elsewhere, tmp_path):
    before = files_of(trained_elsewhere)
    evaluated = invoke("eval", trained_elsewhere, "--episodes", 3, "--json")
    assert evaluated.exit_code == 0, evaluated.output
    content = json.loads(evaluated.output)
    assert content["returns"] == [-float(length) for length in content["lengths"]]
    for arguments in (
        ("render", trained_elsewhere, "--out", tmp_path / "last.gif"),
        ("play", trained_elsewhere, "--episodes", 1),
        ("plot", trained_elsewhere, "--out", tmp_path / "curve.png"),
        ("export", trained_elsewhere, "--format", "onnx", "--out", tmp_path / "actor.onnx"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
    assert files_of(trained_elsewhere) == before


def test_a_model_without_a_run_is_taken_for_cartpole_unless_another_environment_is_named(trained_elsewhere, tmp_path):
    model = tmp_path / "model.keras"
    model.write_bytes((trained_elsewhere / "actor.keras").read_bytes())
    said = message_of(invoke("eval", model))
    assert "must map shape (None, 4) to (None, 2), not (None, 2) to (None, 3)." in said
    assert "It would play CartPole-v1; --env-id selects another environment." in said
    result = invoke("eval", model, "--env-id", "MountainCar-v0", "--episodes", 2)
    assert result.exit_code == 0, result.output
    assert "got 'fast', which is CartPole's" in message_of(invoke("eval", trained_elsewhere, "--env", "fast"))


@pytest.mark.slow
def test_a_resumed_run_begins_new_episodes_says_so_and_is_retraced(trained_elsewhere, tmp_path):
    resumed = []
    for name in ("one", "other"):
        directory = tmp_path / name
        first = invoke("train", *OPTIONS, *SHORT_EPISODES, "--epochs", 2, "--out", directory)
        assert first.exit_code == 0, first.output
        result = invoke("train", "--resume", directory, "--epochs", 4, "--env-id", "MountainCar-v0")
        assert result.exit_code == 0, result.output
        assert "The environments begin new episodes: their state could not be kept." in result.output
        resumed.append(metrics_of(directory))
        assert RunDirectory(directory).read_resumptions() == [(2, 2)]
    assert resumed[0] == resumed[1]
    assert resumed[0][:2] == metrics_of(trained_elsewhere)
    result = invoke("render", directory, "--epoch", 4, "--out", tmp_path / "fourth.gif")
    assert result.exit_code == 0, result.output
    said = message_of(invoke("train", "--resume", directory, "--epochs", 5, "--env-id", "CartPole-v1"))
    assert "trains in MountainCar-v0, not in CartPole-v1." in said


@pytest.mark.slow
def test_cartpole_can_be_played_with_any_vectorization(tmp_path):
    options = ("--envs", 2, "--steps-per-epoch", 64, "--hidden-sizes", 8, "--epochs", 1, "--no-early-stop")
    for name, more in (
        ("ours", ("--env-id", "fastcartpole/CartPole-v1")),
        ("sync", ("--vectorization", "sync")),
        ("batch", ("--vectorization", "vector_entry_point")),
    ):
        result = invoke("train", *options, *more, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
    # Gymnasium's batched environment resets in the step after the end of an episode and ignores that step's action.
    steps = [int(metrics_of(tmp_path / name)[0]["env_steps"]) for name in ("ours", "sync", "batch")]
    assert steps[:2] == [64, 64]
    assert steps[2] < 64


@pytest.mark.slow
def test_a_sweep_of_another_environment(tmp_path):
    options = ("--env-id", "MountainCar-v0", "--seeds", "0:2", "--jobs", 1, "--set", "num_envs=2", "--set", "epochs=1")
    options = (*options, "--set", "steps_per_epoch=64", "--set", "hidden_sizes=8", "--set", "max_episode_steps=30")
    result = invoke("sweep", *options, "--out", tmp_path / "sweep")
    assert result.exit_code == 0, result.output
    assert "not solved" in result.output
    (summary,) = json.loads((tmp_path / "sweep" / "summary.json").read_text()).values()
    assert summary["optimality_gap"]["value"] == pytest.approx(-110.0 - summary["mean"]["value"])
    assert summary["solved"]["value"] == 0.0
    plan = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert plan["environment"] == {"env_id": "MountainCar-v0"}
    again = invoke("sweep", "--resume", tmp_path / "sweep", "--jobs", 1, "--env-id", "MountainCar-v0")
    assert again.exit_code == 0, again.output
    said = message_of(invoke("sweep", "--resume", tmp_path / "sweep", "--jobs", 1, "--env-id", "CartPole-v1"))
    assert "trains in MountainCar-v0, not in CartPole-v1." in said


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "eval"])
def test_the_module_of_an_id_is_found_in_the_current_folder_and_nothing_else_of_it(
    hostile_folder, trained_elsewhere, command
):
    (hostile_folder.path / "my_environments.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:MountainCarEnv', max_episode_steps=30)\n"
    )
    arguments = {
        "train": (*OPTIONS[2:], "--epochs", "1", "--vectorization", "async", "--out", "run"),
        "eval": (str(trained_elsewhere), "--episodes", "2"),
    }[command]
    completed = subprocess.run(
        [FASTPPO, command, "--env-id", "my_environments:Mine-v0", *arguments],
        cwd=hostile_folder.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert "in Mine-v0, " in completed.stdout
    assert hostile_folder.imported() == []


def test_a_module_that_only_a_runs_configuration_names_has_to_be_installed(trained_elsewhere, tmp_path, monkeypatch):
    (tmp_path / "from_a_stranger.py").write_text("raise SystemExit('it was imported')")
    run = tmp_path / "run"
    run.mkdir()
    config = json.loads((trained_elsewhere / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "env_id": "from_a_stranger:Mine-v0"}))
    for name in ("actor.keras", "checkpoint.npz", "metrics.csv"):
        (run / name).write_bytes((trained_elsewhere / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    for arguments in (("eval", run), ("render", run), ("play", run), ("train", "--resume", run, "--epochs", 9)):
        said = message_of(invoke(*arguments))
        assert "No module named 'from_a_stranger'; with --env-id from_a_stranger:Mine-v0 it is also looked for" in said


def test_an_environment_whose_spaces_have_changed_is_named(trained_elsewhere, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_elsewhere, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "env_id": "Acrobot-v1"}))
    before = files_of(run)
    said = message_of(invoke("train", "--resume", run, "--epochs", 9))
    assert "the spaces of Acrobot-v1 have changed since " in said
    assert "{'observation_size': 2, 'action_sizes': [3]}, now {'observation_size': 6, 'action_sizes': [3]}." in said
    said = message_of(invoke("eval", run))
    assert "must map shape (None, 6) to (None, 3), not (None, 2) to (None, 3). It would play Acrobot-v1;" in said
    (run / "config.json").write_text(json.dumps({**config, "env_id": "NotInstalled-v3"}))
    said = message_of(invoke("train", "--resume", run, "--epochs", 9))
    assert "NotInstalled-v3 cannot be made: Environment `NotInstalled` doesn't exist." in said
    assert files_of(run).keys() == before.keys()


def test_a_run_is_loaded_and_trained_on_in_its_environment_or_another(trained_elsewhere):
    with load(trained_elsewhere) as ppo:
        assert (ppo.spec.name, ppo.epoch) == ("MountainCar-v0", 2)
        assert ppo.predict([0.0, 0.0]) in (0, 1, 2)
    config = RunDirectory(trained_elsewhere).read_config()
    with load(trained_elsewhere, make_env=lambda: gymnasium.make("MountainCar-v0")) as ppo:
        assert ppo.config == config.replace(env_id=None)
        assert ppo.collect().observations.shape[-1] == 2


def test_what_an_environment_raises_ends_the_training_with_its_traceback(tmp_path):
    directory = tmp_path / "run"
    options = ("--envs", 2, "--steps-per-epoch", 64, "--hidden-sizes", 8, "--epochs", 9, "--checkpoint-every", 64)
    result = invoke("train", "--env-id", "probes:Crashing-v0", *options, "--out", directory)
    assert result.exit_code == 1
    assert "the simulator is gone" in result.stderr
    assert "probes.py" in result.stderr
    kept = f"The last checkpoint is intact: fastppo train --resume {directory} continues from it."
    assert result.stderr.endswith(f"Error: the environment raised an exception. {kept}\n")
    assert len(metrics_of(directory)) == 2
    with np.load(directory / "checkpoint.npz") as state:
        assert state["epoch"] == 2


@pytest.mark.parametrize(
    ("fault", "exit_code", "message"),
    [
        ("exit", 1, "the environment raised an exception. The last checkpoint is intact: fastppo train --resume {} "),
        ("reward", 1, "gave the reward None, which is not one number, in step 20. The last checkpoint is intact: "),
        ("old", 2, "step() must return five values, the observation, the reward, terminated, truncated, and a dict"),
    ],
)
def test_environments_that_exit_or_return_something_else_end_the_training_with_a_sentence(
    tmp_path, fault, exit_code, message
):
    directory = tmp_path / "run"
    options = ("--envs", 2, "--steps-per-epoch", 32, "--hidden-sizes", 8, "--epochs", 9, "--checkpoint-every", 32)
    kwargs = ("--env-kwargs", json.dumps({"fault": fault}))
    result = invoke("train", "--env-id", "probes:Odd-v0", *kwargs, *options, "--out", directory)
    assert result.exit_code == exit_code
    assert message.format(directory) in " ".join(result.stderr.split())
    assert ("called sys.exit()" in result.stderr) == (fault == "exit")
    assert directory.exists() == (fault != "old")


def test_what_was_learned_before_an_environment_fails_is_kept(tmp_path):
    options = ("--envs", 2, "--steps-per-epoch", 32, "--hidden-sizes", 8, "--epochs", 9)
    kwargs = ("--env-kwargs", json.dumps({"fault": "exit"}))
    result = invoke("train", "--env-id", "probes:Odd-v0", *kwargs, *options, "--out", tmp_path / "run")
    assert "The last checkpoint is intact" in result.stderr
    with np.load(tmp_path / "run" / "checkpoint.npz") as state:
        assert state["epoch"] == 1


def test_the_evaluation_at_the_end_has_as_many_episodes_as_training_had_steps_for_or_as_are_asked_for(tmp_path):
    options = ("--env-id", "probes:Odd-v0", "--envs", 2, "--steps-per-epoch", 64, "--hidden-sizes", 8)
    # Episodes have 8 steps.
    for epochs, more, episodes in ((1, (), 10), (3, (), 24), (1, ("--eval-episodes", 13), 13)):
        directory = tmp_path / f"run-{epochs}-{len(more)}"
        result = invoke("train", *options, "--epochs", epochs, *more, "--out", directory)
        assert f"Greedy policy in Odd-v0, {episodes} episodes: " in result.output
        evaluation = json.loads((directory / "evaluation.json").read_text())
        assert evaluation["episodes"] == episodes
        printed = json.loads(invoke("eval", directory, "--episodes", episodes, "--json").stdout)
        assert {name: printed[name] for name in evaluation} == evaluation


def test_an_environment_that_cannot_be_rendered_is_reported_before_training_starts(tmp_path):
    options = ("--env-id", "probes:Crashing-v0", "--gif-epochs", "1", "--out", tmp_path / "run")
    assert "Crashing-v0 cannot be drawn: rgb_array is not among" in message_of(invoke("train", *options))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """Return a function that goes to a folder; from there ``Wandering`` goes to another one, which must stay empty."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.setattr(Wandering, "elsewhere", elsewhere)

    def go_home():
        assert list(elsewhere.iterdir()) == []
        monkeypatch.chdir(home)
        return home

    return go_home


def test_an_environment_that_changes_the_working_directory_changes_no_path(at_home):
    options = ("--env-id", "Wandering-v0", *OPTIONS[2:], "--checkpoint-every", 64)
    at_home()
    result = invoke("train", *options, "--epochs", 2, "--gif-epochs", "0,2", "--tensorboard", "--out", "runs/x")
    assert result.exit_code == 0, result.output
    assert "Saved in runs/x\n" in result.output
    assert "fastppo plot runs/x" in result.output
    for arguments, written in (
        (("train", "--resume", "runs/x", "--epochs", 3), "metrics.csv"),
        (("eval", "runs/x", "--episodes", 2), "actor.keras"),
        (("eval", "runs/x/actor.keras", "--episodes", 2), "actor.keras"),
        (("play", "runs/x", "--episodes", 1), "actor.keras"),
        (("render", "runs/x"), "actor.gif"),
        (("render", "runs/x", "--epoch", 0, 1), "epochs_0_1.gif"),
        (("export", "runs/x", "--format", "keras"), "exported_actor.keras"),
        (("export", "runs/x", "--format", "html", "--out", "runs/x/page.html"), "page.html"),
        (("plot", "runs/x", "--out", "runs/x/curve.svg"), "curve.svg"),
    ):
        home = at_home()
        result = invoke(*arguments)
        assert result.exit_code == 0, (arguments, result.output)
        assert (home / "runs" / "x" / written).exists(), arguments
        if written not in ("metrics.csv", "actor.keras"):
            assert f"Saved in runs/x/{written}" in result.output
    at_home()


def test_a_training_from_python_writes_where_it_was_told_to_whatever_its_environment_does(at_home):
    config = preset_config("standard", env_id="Wandering-v0", num_envs=2, steps_per_epoch=64, epochs=2)
    with PPO(config.replace(policy_update_epochs=1, value_update_epochs=1)) as ppo:
        at_home()
        writer = TensorBoardWriter("events")
        ppo.train([writer, lambda ppo, metrics: ppo.__setattr__("stop_training", metrics.epoch == 1)], run="run")
        at_home()
        ppo.save("saved")
    home = at_home()
    with load("saved") as loaded:
        assert loaded.history == ppo.history
        os.chdir(home)
        loaded.train(run="saved")
    at_home()
    assert len(list((home / "events").iterdir())) == 1
    assert {"evaluation.json", "actor.keras"} <= {path.name for path in (home / "saved").iterdir()}
    assert len(metrics_of(home / "run")) == 1


@pytest.mark.slow
def test_a_sweep_writes_where_it_was_told_to_whatever_its_environment_does(at_home):
    small = [f"--set={name}" for name in ("num_envs=2", "epochs=1", "steps_per_epoch=64", "hidden_sizes=8")]
    at_home()
    result = invoke("sweep", "--env-id", "Wandering-v0", "--seeds", "0:2", "--jobs", 1, *small, "--out", "sweeps/s")
    assert result.exit_code == 0, result.output
    assert "Saved in sweeps/s\n" in result.output
    home = at_home()
    assert invoke("sweep", "--resume", "sweeps/s", "--jobs", 1).exit_code == 0
    at_home()
    sweep([0], {"num_envs": [2], "epochs": [1], "steps_per_epoch": [64]}, env_id="Wandering-v0", jobs=1, out="other")
    at_home()
    for name in ("sweeps/s", "other"):
        assert {"results.csv", "summary.json", "learning_curves.png"} <= {path.name for path in (home / name).iterdir()}


def test_an_id_without_a_version_stands_for_the_latest_one_everywhere(tmp_path):
    small = ("--envs", 8, "--steps-per-epoch", 512, "--hidden-sizes", 16, "--no-early-stop", "--epochs", 1)
    result = invoke("train", "--env-id", "CartPole", *small, "--out", tmp_path / "run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert RunDirectory(tmp_path / "run").read_config().env_id == "CartPole-v1"
    config = RunDirectory(tmp_path / "run").read_config().replace(env_id="CartPole")
    with PPO(config) as ppo, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (ppo.config.env_id, ppo.is_exact) == ("CartPole-v1", True)
        versions = [evaluate(ppo.actor, env_id=env_id, episodes=2).returns for env_id in ("CartPole", "CartPole-v1")]
        assert versions[0] == versions[1]
        assert evaluate(ppo.actor, env_id="CartPole", episodes=2, environment="fast").returns == versions[0]
    for arguments in (
        ("eval", tmp_path / "run", "--env-id", "CartPole", "--env", "fast", "--episodes", 2),
        ("render", tmp_path / "run", "--env-id", "CartPole"),
        ("export", tmp_path / "run", "--env-id", "CartPole", "--format", "html"),
        ("train", "--resume", tmp_path / "run", "--env-id", "CartPole", "--epochs", 2),
    ):
        result = invoke(*arguments)
        assert (result.exit_code, result.stderr) == (0, ""), arguments
    assert given_environment("Pendulum", None, None) == {"env_id": "Pendulum-v1"}
    said = message_of(invoke("train", "--env-id", "NoSuch"))
    assert "NoSuch cannot be made: Environment `NoSuch` doesn't exist." in said


def test_the_commands_to_continue_name_a_module_of_the_current_folder(tmp_path, monkeypatch):
    code = "import gymnasium, probes\ngymnasium.register('CrashingHere-v0', probes.Crashing)\n"
    (tmp_path / "crashing_here.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    options = ("--env-id", "crashing_here:CrashingHere", *OPTIONS[2:], "--epochs", 9, "--checkpoint-every", 64)
    result = invoke("train", *options, "--out", "-run")
    assert result.exit_code == 1
    command = "fastppo train --resume ./-run --env-id crashing_here:CrashingHere-v0"
    assert result.stderr.endswith(f"The last checkpoint is intact: {command} continues from it.\n")
    # The environment crashes again, after it was found.
    assert "the simulator is gone" in invoke(*command.split()[1:]).stderr


def test_only_commands_that_work_are_printed_and_what_else_is_needed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "beside_the_program")
    for folder in ("here", "beside_the_program"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.py").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(MODULE_FOLDER, str(tmp_path / "here"))
    for module in ("here", "beside_the_program"):
        with folder_of_modules():
            import_module(module)

    def printed(env_id, handed_over=(), *, is_drawn=True):
        return next_commands(Path("r x"), env_id, handed_over, is_drawn=is_drawn).removeprefix("Next: ")

    plain = "fastppo eval 'r x', fastppo render 'r x', or fastppo plot 'r x'"
    for env_id in ("CartPole-v1", "fastcartpole/CartPole-v1", "Hopper-v5", "gymnasium:Pendulum-v1"):
        assert printed(env_id) == plain
    assert printed("CartPole-v1", ("Subclass", "critic")) == plain
    assert printed("CartPole-v1", is_drawn=False) == "fastppo eval 'r x', or fastppo plot 'r x'"
    named = "'r x' --env-id here:A-v0"
    assert printed("here:A-v0") == f"fastppo eval {named}, fastppo render {named}, or fastppo plot 'r x'"
    own_layers = "\nCommands can load the actor only if it consists of Keras' own layers."
    # A main program in the current folder is no module that a command finds.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["here"])
    for env_id, module, name in (
        (None, "MODULE", "ID"),
        ("Mine-v0", "MODULE", "Mine-v0"),
        ("__main__:Mine-v0", "MODULE", "Mine-v0"),
        ("beside_the_program:A-v0", "beside_the_program", "A-v0"),
    ):
        plot, eval_, render = (f"fastppo {word} 'r x'" for word in ("plot", "eval", "render"))
        option = f"--env-id {module}:{name}"
        needed = f"\n{module} must be a module, installed or in the current folder, that registers the environment as "
        assert printed(env_id) == f"{plot}, or {eval_} {option} and {render} {option}{needed}{name}."
        assert printed(env_id, is_drawn=False) == f"{plot}, or {eval_} {option}{needed}{name}."
        assert printed(env_id, ("actor",)) == f"{printed(env_id)}{own_layers}"
    both = f"fastppo eval {named} and fastppo render {named}"
    assert printed("here:A-v0", ("actor",)) == f"fastppo plot 'r x', or {both}{own_layers}"


def test_programs_know_ids_by_the_package_of_the_class_and_commands_know_whatever_they_played(monkeypatch):
    for env_id, entry_point in (
        ("Strange-v0", Wandering),
        ("Strange-v1", "strange.environments:Strange"),
        ("Strange-v2", "gymnasium_extras:Strange"),
        ("Strange-v3", "gymnasium.envs.classic_control:PendulumEnv"),
    ):
        monkeypatch.setitem(gymnasium.registry, env_id, gymnasium.envs.registration.EnvSpec(env_id, entry_point))
        assert is_known_to_commands(env_id) == (env_id == "Strange-v3")
    # A program may replace Gymnasium's own.
    replaced = gymnasium.envs.registration.EnvSpec("CartPole-v1", "strange.environments:Strange")
    with monkeypatch.context() as patch:
        patch.setitem(gymnasium.registry, "CartPole-v1", replaced)
        assert not is_known_to_commands("CartPole-v1")
    assert is_known_to_commands("CartPole-v1")
    monkeypatch.setattr(surroundings, "_IS_COMMAND", True)
    assert is_known_to_commands("Strange-v0")


def test_printed_commands_name_modules_of_the_folder_in_which_the_program_was_started(tmp_path):
    program = """
import os, sys
sys.path[0] = ""
from agent.runs.next_commands import next_commands
from pathlib import Path
import mine
os.chdir("elsewhere")
print(next_commands(Path("r"), "mine:A-v0", (), is_drawn=False))
"""
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "elsewhere").mkdir()
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert printed == "Next: fastppo eval r --env-id mine:A-v0, or fastppo plot r\n"


@pytest.mark.slow
def test_the_commands_printed_for_an_environment_of_the_current_folder_work(tmp_path):
    (tmp_path / "my_environments.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v3', 'gymnasium.envs.classic_control:MountainCarEnv', max_episode_steps=30)\n"
    )

    def run(command):
        arguments = [FASTPPO, *shlex.split(command)[1:]]
        completed = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, (command, completed.stderr)
        return completed.stdout

    options = shlex.join((*OPTIONS[2:], "--epochs", "1"))
    output = run(f"fastppo train --env-id my_environments:Mine {options} --out 'my runs/x'")
    commands = re.findall(r"fastppo \w+ [^,\n]+", output.partition("Next: ")[2])
    assert [command.split()[1] for command in commands] == ["eval", "render", "plot"]
    for command in commands:
        run(command)


def test_runs_of_several_environments_are_told_apart():
    runs = [{"env_id": env_id, "preset": "fast", "gamma": gamma} for env_id, gamma in (("A-v0", 0.9), ("B-v1", 0.8))]
    assert [_label(run, runs) for run in runs] == ["A-v0, preset fast", "B-v1, preset fast"]
    assert _label(runs[0], [runs[0], {**runs[0], "gamma": 0.5}]) == "preset fast, gamma 0.9"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the system has no signals of terminals")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_no_process_and_no_traceback(tmp_path, times):
    arguments = ("train", "--env-id", "MountainCar-v0", "--vectorization", "async", "--envs", "2", "--epochs", "100000")
    with subprocess.Popen(
        [FASTPPO, *arguments, "--steps-per-epoch", "64", "--out", tmp_path / "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.split()[:1] == ["20"]:
                break
        for _ in range(times):
            # A terminal sends the signal to every process of the command.
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.02)
        rest = process.stdout.read()
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
