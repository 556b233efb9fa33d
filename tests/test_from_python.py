"""Training from Python shows progress and saves runs as the command does."""

import re
import signal

import gymnasium
import numpy as np
import pytest
from agents import agents_taken_back, new_agent
from runs import SMALL, assert_ended_alike, files_of, invoke, message_of, metrics_of

from agent import PPO, Callback, PPOConfig, adapted_preset, evaluate, load, preset_config, sweep
from agent.learning.networks import build_actor
from agent.runs.directory import RunDirectory
from agent.runs.outputs import Outputs

# The configuration that the options SMALL select.
CONFIG = adapted_preset(
    "fast", num_envs=8, steps_per_epoch=512, hidden_sizes=(16,), target_return=None, epochs=4, seed=0
)


@pytest.fixture(autouse=True)
def _agents_taken_back():
    with agents_taken_back():
        yield


def stopped_after(epochs):
    """Return a callback that stops training after a number of epochs."""

    def stop(ppo, metrics):
        ppo.stop_training = metrics.epoch == epochs

    return stop


def test_training_with_a_run_directory_saves_what_the_command_saves(trained, tmp_path):
    new_agent(CONFIG).train(run=tmp_path / "run")
    assert_ended_alike(trained, tmp_path / "run")
    assert files_of(tmp_path / "run").keys() == files_of(trained).keys()
    assert invoke("eval", tmp_path / "run", "--episodes", 3).exit_code == 0
    assert invoke("plot", tmp_path / "run", "--out", tmp_path / "curve.png").exit_code == 0
    longer = invoke("train", "--resume", tmp_path / "run", "--epochs", 5, "--quiet")
    assert (longer.exit_code, len(metrics_of(tmp_path / "run"))) == (0, 5)


@pytest.mark.slow
def test_training_shows_what_the_command_shows_on_request_and_nothing_otherwise(tmp_path, capsys):
    new_agent(CONFIG).train()
    new_agent(CONFIG).train(run=tmp_path / "silent")
    assert capsys.readouterr() == ("", "")
    new_agent(CONFIG).train(progress=True, run=tmp_path / "shown")
    shown, errors = capsys.readouterr()
    as_command = invoke("train", *SMALL, "--epochs", 4, "--out", tmp_path / "command").output
    of_time = re.compile(r" +[\d,]+ +\d+\.\d{3}$", re.MULTILINE)
    assert of_time.sub("", shown) == of_time.sub("", as_command).replace("command", "shown")
    assert errors == ""
    new_agent(CONFIG).train(progress=True)
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_run_can_be_continued_by_its_agent_and_by_a_loaded_one(trained, tmp_path):
    ppo = new_agent(CONFIG)
    ppo.train(stopped_after(1), run=tmp_path / "run")
    assert not (tmp_path / "run" / "evaluation.json").exists()
    ppo.train([stopped_after(3)], run=tmp_path / "run")
    with load(tmp_path / "run") as loaded:
        assert loaded.history == ppo.history
        loaded.train(run=str(tmp_path / "run"))
    assert_ended_alike(trained, tmp_path / "run")


def test_epochs_trained_before_the_run_are_saved_too(trained, tmp_path):
    ppo = new_agent(CONFIG)
    ppo.train(stopped_after(2))
    ppo.train(run=tmp_path / "run")
    assert metrics_of(tmp_path / "run") == metrics_of(trained)
    assert [metrics.epoch for metrics in ppo.history] == [1, 2, 3, 4]


def test_ctrl_c_ends_the_epoch_saves_the_run_and_is_raised_then(tmp_path):
    def interrupt(_, metrics):
        if metrics.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    ppo = new_agent(CONFIG)
    with pytest.raises(KeyboardInterrupt):
        ppo.train(interrupt, run=tmp_path / "run")
    assert ppo.epoch == 2
    assert int(RunDirectory(tmp_path / "run").read_checkpoint()["epoch"]) == 2


def test_a_directory_that_holds_something_else_is_left_alone(copied_run, tmp_path):
    other = new_agent(CONFIG.replace(seed=1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match=r"that of this agent's training so far, got '.*copied', which holds another"):
        other.train(run=copied_run)
    with pytest.raises(FileExistsError, match=r"A run directory must be new or empty: '.*mine'"):
        other.train(run=tmp_path / "mine")
    with pytest.raises(FileExistsError, match=r"File exists: '.*notes.txt'"):
        other.train(run=tmp_path / "mine" / "notes.txt")
    for use in (lambda: other.train(run=3), lambda: other.save(3)):
        with pytest.raises(TypeError, match=r"(run|path) must be a path, got 3"):
            use()
    for path in (copied_run, tmp_path / "mine"):
        with pytest.raises(FileExistsError, match="A run directory must be new or empty: '"):
            other.save(path)
    with pytest.raises(FileExistsError, match=r"A run directory must be new or empty: '.*mine'"):
        other.save(tmp_path / "mine", overwrite=True)
    with (
        RunDirectory(copied_run).locked(),
        pytest.raises(BlockingIOError, match="Another training"),
    ):
        other.save(copied_run, overwrite=True)
    assert files_of(tmp_path) == before
    assert other.epoch == 0


def test_a_saved_agent_is_loaded_unchanged_and_resumed_by_the_command(trained, tmp_path):
    ppo = new_agent(CONFIG)
    ppo.train(stopped_after(2))
    ppo.save(tmp_path / "saved")
    with load(tmp_path / "saved") as loaded:
        state, ours = loaded.get_state(), ppo.get_state()
        assert all(np.array_equal(state[name], ours[name]) for name in ours)
        assert loaded.history == ppo.history
    assert invoke("train", "--resume", tmp_path / "saved", "--quiet").exit_code == 0
    assert_ended_alike(trained, tmp_path / "saved")
    ppo.save(tmp_path / "saved", overwrite=True)
    assert not (tmp_path / "saved" / "evaluation.json").exists()
    assert int(RunDirectory(tmp_path / "saved").read_checkpoint()["epoch"]) == 2


def test_a_run_that_is_saved_over_is_replaced_whole_or_not_at_all(copied_run, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "critic.keras")

    ppo, before = new_agent(CONFIG.replace(seed=1)), files_of(copied_run.parent)
    ppo.train(stopped_after(1))
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save_models", fail)
        for path in (copied_run, copied_run.with_name("new")):
            with pytest.raises(OSError, match="No space left"):
                ppo.save(path, overwrite=True)
    assert files_of(copied_run.parent) == before
    assert [path.name for path in copied_run.parent.iterdir()] == [copied_run.name]
    ppo.save(copied_run, overwrite=True)
    assert RunDirectory(copied_run).read_config().seed == 1
    assert not {"evaluation.json", "best_actor.keras", "learning_curve.png"} & {p.name for p in copied_run.iterdir()}


def test_only_a_run_is_saved_over(tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "mine"}')
    (tmp_path / "metrics.csv").write_text("mine")
    before = files_of(tmp_path)
    ppo = new_agent(CONFIG)
    for use in (lambda: ppo.save(tmp_path, overwrite=True), lambda: ppo.train(run=tmp_path)):
        with pytest.raises(FileExistsError, match="A run directory must be new or empty"):
            use()
    assert files_of(tmp_path) == before


def test_an_agent_that_was_interrupted_within_an_epoch_is_not_saved(tmp_path, monkeypatch):
    ppo = new_agent(CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr(ppo, "update", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ppo.train(run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for use in (lambda: ppo.save(tmp_path / "a"), lambda: ppo.train(run=tmp_path / "a")):
        with pytest.raises(RuntimeError, match="the last epoch was interrupted"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_training_on_from_python_keeps_what_was_asked_for_on_the_command_line(tmp_path):
    run = RunDirectory(tmp_path / "run")
    asked = ("--checkpoint-every", 512, "--gif-epochs", "5", "--tensorboard")
    assert invoke("train", *SMALL, "--epochs", 5, "--quiet", *asked, "--out", run.path).exit_code == 0
    run.gif_path(5).unlink()
    before = run.read_outputs()
    with load(run.path) as ppo:
        ppo.config = ppo.config.replace(epochs=6)
        written = []
        # The user's callbacks come after the checkpoint.
        ppo.train(lambda *_: written.append(int(run.read_checkpoint()["epoch"])), run=run.path)
    assert written == [6]
    assert run.read_outputs() == before


def test_saving_over_a_run_keeps_what_was_asked_for(copied_run, tmp_path):
    run = RunDirectory(copied_run)
    outputs = Outputs(512, 2048, eval_episodes=3, gif_epochs=(5,), tensorboard=True)
    run.write_config(run.read_config(), outputs=outputs)
    with load(run.path) as ppo:
        ppo.save(run.path, overwrite=True)
        ppo.save(tmp_path / "new")
    assert run.read_outputs() == outputs
    assert RunDirectory(tmp_path / "new").read_outputs() == Outputs()


@pytest.mark.parametrize(
    ("env_id", "make_env"),
    [(None, lambda: gymnasium.make("CartPole-v1", render_mode="rgb_array")), ("probes:Odd-v0", None)],
)
def test_animations_of_environments_that_cannot_be_made_to_draw_are_skipped(tmp_path, env_id, make_env):
    run = RunDirectory(tmp_path / "run")
    config = CONFIG.replace(env_id=env_id, num_envs=2, steps_per_epoch=64, epochs=1)
    with PPO(config, make_env=make_env) as ppo:
        ppo.save(run.path)
        run.write_config(ppo.config, ppo.spec.spaces, (), ppo.handed_over, Outputs(gif_epochs=(0, 1)))
        ppo.train(run=run.path)
    assert (len(run.read_metrics()), list(run.path.glob("*.gif"))) == (1, [])


def test_what_load_cannot_take_is_named_in_one_sentence(copied_run, tmp_path):
    empty, actor = tmp_path / "empty", copied_run / "actor.keras"
    empty.mkdir()
    for path, error, message in (
        (tmp_path / "nothing", FileNotFoundError, f"'{tmp_path / 'nothing'}' does not exist."),
        (actor, NotADirectoryError, f"'{actor}' is a file; pass its directory."),
        (empty, FileNotFoundError, f"'{empty}' is not a run directory; it holds no config.json."),
        (tmp_path, FileNotFoundError, f"'{tmp_path}' is not a run directory; pass one run, such as '{copied_run}'."),
    ):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            load(path)
    for name in ("learning_rate", "gamma", "config"):
        with pytest.raises(
            TypeError, match=rf"load\(\) takes no {name}: the run determines .* takes environments, agent"
        ):
            load(copied_run, **{name: 1e-3})


def test_a_complete_run_is_left_unchanged_and_says_how_to_train_on(copied_run):
    before = files_of(copied_run)
    with (
        load(copied_run) as ppo,
        pytest.raises(RuntimeError, match=r"all 4 epochs .* set ppo\.config = ppo\.config\.replace\(epochs=\.\.\.\)"),
    ):
        ppo.train(run=copied_run)
    assert files_of(copied_run) == before


def test_a_run_that_ended_before_its_first_checkpoint_starts_again(trained, tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.create()
    ppo = new_agent(CONFIG)
    run.write_config(ppo.config)
    ppo.train(run=tmp_path / "run")
    assert_ended_alike(trained, tmp_path / "run")


@pytest.mark.slow
def test_a_run_of_a_subclass_asks_for_the_subclass(tmp_path):
    class Mine(PPO):
        pass

    with Mine(CONFIG.replace(epochs=1)) as ppo:
        ppo.train(run=tmp_path / "run")
    message = message_of(invoke("train", "--resume", tmp_path / "run", "--epochs", 2))
    assert "with its own Mine: resume it there" in message
    with pytest.raises(ValueError, match="agent_class must be Mine for '"):
        load(tmp_path / "run")
    with load(tmp_path / "run", agent_class=Mine) as loaded:
        assert (type(loaded), loaded.epoch) == (Mine, 1)


@pytest.mark.slow
def test_environments_whose_state_cannot_be_saved_begin_new_episodes_and_the_run_records_when(tmp_path):
    config = preset_config(
        "standard", env_id="MountainCar-v0", vectorization="async", num_envs=2, steps_per_epoch=512, epochs=4
    ).replace(policy_update_epochs=1, value_update_epochs=1)
    with PPO(config) as ppo:
        ppo.train(stopped_after(2), run=tmp_path / "run")
        # Continuing works because the environments' processes do not hold the lock of the run.
        ppo.train(stopped_after(3), run=tmp_path / "run")
    with load(tmp_path / "run") as loaded:
        loaded.train(run=tmp_path / "run")
        loaded.save(tmp_path / "copy")
    for name in ("run", "copy"):
        assert [entry.after_epoch for entry in RunDirectory(tmp_path / name).read_resumptions()] == [2, 3]
        assert len(metrics_of(tmp_path / name)) == 4
    assert invoke("render", tmp_path / "copy", "--epoch", 4, "--out", tmp_path / "a.gif").exit_code == 0


def test_an_agent_without_its_history_is_not_saved(tmp_path):
    ppo, other = new_agent(CONFIG), new_agent(CONFIG.replace(seed=1))
    ppo.train_epoch()
    other.set_state(ppo.get_state())
    for save in (lambda: other.save(tmp_path / "a"), lambda: other.train(run=tmp_path / "a")):
        with pytest.raises(ValueError, match=r"history must hold the metrics of all 1 epochs, got 0: set_history\(\)"):
            save()
    assert not (tmp_path / "a").exists()
    other.set_history(ppo.history)
    other.save(tmp_path / "a")


@pytest.mark.slow
def test_a_run_with_custom_models_can_be_resumed_only_by_its_program(tmp_path):
    config = CONFIG.replace(epochs=1)
    with PPO(config, actor=build_actor(4, 2, (16,), 0, "orthogonal", "tanh")) as ppo:
        ppo.train(run=tmp_path / "run")
    message = message_of(invoke("train", "--resume", tmp_path / "run", "--epochs", 2))
    assert "was trained by a program with its own actor: resume it there, with fastppo.load(...)" in message
    assert "it cannot be trained again" in message_of(invoke("render", tmp_path / "run", "--epoch", 1))
    assert invoke("eval", tmp_path / "run", "--episodes", 3).exit_code == 0
    with pytest.raises(ValueError, match=r"actor must be given for '.*run': that run trained your own model."):
        load(tmp_path / "run")


def test_a_run_in_a_custom_environment_is_saved_and_asks_for_its_name(tmp_path, capsys):
    config = CONFIG.replace(env_id=None, num_envs=2, steps_per_epoch=64, epochs=1)
    with PPO(config, make_env=lambda: gymnasium.make("CartPole-v1")) as ppo:
        ppo.train(progress=True, run=tmp_path / "run")
    run = f"{tmp_path / 'run'}"
    named = f"{run} --env-id MODULE:ID"
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"Next: fastppo plot {run}, or fastppo eval {named} and fastppo render {named}",
        "MODULE must be a module, installed or in the current folder, that registers the environment as ID.",
    ]
    assert "in a custom environment; name one with --env-id." in message_of(invoke("eval", tmp_path / "run"))
    assert invoke("eval", tmp_path / "run", "--env-id", "CartPole-v1", "--episodes", 2).exit_code == 0
    assert "with its own make_env: resume it there" in message_of(invoke("train", "--resume", tmp_path / "run"))


def test_callbacks_can_be_objects_or_functions_alone_or_in_a_list():
    class Counter(Callback):
        epochs = 0

        def on_epoch_end(self, ppo, metrics):
            self.epochs += 1

    counter, seen = Counter(), []
    new_agent(CONFIG).train(counter)
    new_agent(CONFIG).train([counter, lambda ppo, metrics: seen.append((ppo.epoch, metrics.epoch))])
    assert (counter.epochs, seen) == (8, [(1, 1), (2, 2), (3, 3), (4, 4)])
    ppo = new_agent(CONFIG)
    for given, message in (
        ([lambda: None], "callbacks must hold functions that take an agent and its metrics, got <function"),
        ([Counter], "callbacks must hold agent.Callback objects or functions, got <class"),
        (["print"], "callbacks must hold agent.Callback objects or functions, got 'print'"),
        (3, "callbacks must be a list of agent.Callback objects or functions, got 3"),
    ):
        with pytest.raises(TypeError, match=re.escape(message)):
            ppo.train(given)
    assert ppo.epoch == 0


def test_an_epoch_beyond_the_last_is_refused_so_that_a_loop_until_solved_ends():
    ppo = new_agent(CONFIG.replace(target_return=500.0, epochs=2))

    def train_until_solved():
        while not ppo.is_solved:
            ppo.train_epoch()

    with pytest.raises(RuntimeError, match="all 2 epochs of the configuration have been trained; for more, set"):
        train_until_solved()
    ppo.config = ppo.config.replace(epochs=3)
    assert ppo.train_epoch().epoch == 3


def test_sampled_actions_have_the_policys_probabilities_and_depend_on_the_seed_only():
    observations = np.random.default_rng(0).uniform(-0.2, 0.2, (5, 4))
    ppo = new_agent(CONFIG)
    logits = np.asarray(ppo.actor(observations.astype(np.float32)))
    probabilities = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    number = 4000
    drawn = ppo.predict(np.repeat(observations, number, axis=0), deterministic=False).reshape(5, number)
    np.testing.assert_allclose(drawn.mean(axis=1), probabilities, atol=5 * 0.5 / np.sqrt(number))
    np.testing.assert_array_equal(ppo.predict(observations), logits.argmax(axis=1))
    ppo.restart(CONFIG)
    again = ppo.predict(np.repeat(observations, number, axis=0), deterministic=False).reshape(5, number)
    np.testing.assert_array_equal(drawn, again)
    assert not np.array_equal(again, ppo.predict(np.repeat(observations, number, axis=0), False).reshape(5, number))


def test_objects_have_readable_representations():
    ppo = new_agent(CONFIG)
    ppo.train_epoch()
    assert repr(ppo) == "<PPO on CartPole-v1: preset 'fast', seed 0, epoch 1 of 4>"
    assert re.fullmatch(r"<EvaluationResult: mean \d+\.\d, .* of 100 episodes>", repr(ppo.evaluate()))
    config = preset_config("fast", num_envs=8, env_kwargs={"a": 1})
    assert repr(config) == "PPOConfig(env_kwargs={'a': 1}, num_envs=8)"
    for other in (config, preset_config("keras"), preset_config("standard", env_id="Acrobot-v1")):
        assert eval(repr(other)) == other


def test_arguments_of_a_wrong_type_are_reported_in_one_sentence():
    ppo = new_agent(CONFIG)
    for call, message in (
        (
            lambda: PPO({"num_envs": 8}),
            "config must be a PPOConfig, as preset_config() returns it, got {",
        ),
        (lambda: PPO("fast"), "config must be a PPOConfig, as preset_config() returns it, got 'fast'."),
        (lambda: evaluate(ppo), "actor must be a Keras model, got <PPO on CartPole-v1: preset 'fast', seed 0, epoch 0"),
        (lambda: evaluate("run"), "actor must be a Keras model, got 'run'."),
        (lambda: sweep(4), "seeds must be a list of seeds, such as range(8), got 4."),
        (lambda: preset_config(gama=0.9), "unknown setting 'gama'. Did you mean 'gamma'"),
        (lambda: CONFIG.replace(num_env=3), "unknown setting 'num_env'. Did you mean 'num_envs'"),
    ):
        with pytest.raises(TypeError, match=re.escape(message)):
            call()


def test_lists_of_sizes_and_numpy_numbers_are_accepted():
    config = PPOConfig(hidden_sizes=[64, np.int64(32)], num_envs=np.int32(8), gamma=np.float32(0.5))
    assert (config.hidden_sizes, config.num_envs, config.gamma) == ((64, 32), 8, 0.5)
    assert hash(config) == hash(config.replace(hidden_sizes=(64, 32)))
