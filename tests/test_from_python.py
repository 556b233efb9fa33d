"""Trainings from Python: shown and kept as the command shows and keeps them."""

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

# What SMALL stands for.
CONFIG = adapted_preset(
    "fast", num_envs=8, steps_per_epoch=512, hidden_sizes=(16,), target_return=None, epochs=4, seed=0
)


@pytest.fixture(autouse=True)
def _agents_taken_back():
    with agents_taken_back():
        yield


def stopped_after(epochs):
    """Return a callback that stops a training after so many epochs."""

    def stop(ppo, metrics):
        ppo.stop_training = metrics.epoch == epochs

    return stop


def test_a_training_with_a_run_directory_keeps_what_the_command_keeps(trained, tmp_path):
    new_agent(CONFIG).train(run=tmp_path / "run")
    assert_ended_alike(trained, tmp_path / "run")
    assert files_of(tmp_path / "run").keys() == files_of(trained).keys()
    assert invoke("eval", tmp_path / "run", "--episodes", 3).exit_code == 0
    assert invoke("plot", tmp_path / "run", "--out", tmp_path / "curve.png").exit_code == 0
    longer = invoke("train", "--resume", tmp_path / "run", "--epochs", 5, "--quiet")
    assert (longer.exit_code, len(metrics_of(tmp_path / "run"))) == (0, 5)


@pytest.mark.slow
def test_a_training_shows_what_the_command_shows_where_it_is_asked_to_and_nothing_otherwise(tmp_path, capsys):
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


def test_a_run_is_continued_by_its_agent_and_by_one_that_is_loaded(trained, tmp_path):
    ppo = new_agent(CONFIG)
    ppo.train(stopped_after(1), run=tmp_path / "run")
    assert not (tmp_path / "run" / "evaluation.json").exists()
    ppo.train([stopped_after(3)], run=tmp_path / "run")
    with load(tmp_path / "run") as loaded:
        assert loaded.history == ppo.history
        loaded.train(run=str(tmp_path / "run"))
    assert_ended_alike(trained, tmp_path / "run")


def test_epochs_before_the_run_are_kept_too(trained, tmp_path):
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
    with pytest.raises(FileExistsError, match=r"It is not an empty directory: '.*mine'"):
        other.train(run=tmp_path / "mine")
    with pytest.raises(FileExistsError, match=r"File exists: '.*notes.txt'"):
        other.train(run=tmp_path / "mine" / "notes.txt")
    for use in (lambda: other.train(run=3), lambda: other.save(3)):
        with pytest.raises(TypeError, match=r"(run|path) must be a path, got 3"):
            use()
    for path in (copied_run, tmp_path / "mine"):
        with pytest.raises(FileExistsError, match="It is not an empty directory: '"):
            other.save(path)
    with pytest.raises(FileExistsError, match=r"It is not an empty directory: '.*mine'"):
        other.save(tmp_path / "mine", overwrite=True)
    with RunDirectory(copied_run).locked(), pytest.raises(BlockingIOError, match="Another process is working in it: '"):
        other.save(copied_run, overwrite=True)
    assert files_of(tmp_path) == before
    assert other.epoch == 0


def test_what_is_saved_is_loaded_as_it_was_and_resumed_by_the_command(trained, tmp_path):
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


def test_an_agent_whose_figures_are_not_known_is_not_saved_as_if_they_were(tmp_path):
    ppo, other = new_agent(CONFIG), new_agent(CONFIG.replace(seed=1))
    ppo.train_epoch()
    other.set_state(ppo.get_state())
    for save in (lambda: other.save(tmp_path / "a"), lambda: other.train(run=tmp_path / "a")):
        with pytest.raises(ValueError, match=r"the figures of 1 epochs must be known, got 0: set_history\(\)"):
            save()
    assert not (tmp_path / "a").exists()
    other.set_history(ppo.history)
    other.save(tmp_path / "a")


@pytest.mark.slow
def test_a_run_with_models_of_the_users_is_resumed_by_the_program_only(tmp_path):
    config = CONFIG.replace(epochs=1)
    with PPO(config, actor=build_actor(4, 2, (16,), 0, "orthogonal", "tanh")) as ppo:
        ppo.train(run=tmp_path / "run")
    message = message_of(invoke("train", "--resume", tmp_path / "run", "--epochs", 2))
    assert "was trained by a program with its own actor: resume it there, with fastppo.load(...)" in message
    assert "it cannot be trained again" in message_of(invoke("render", tmp_path / "run", "--epoch", 1))
    assert invoke("eval", tmp_path / "run", "--episodes", 3).exit_code == 0
    with pytest.raises(ValueError, match=r"actor must be given for '.*run', which trained models of your own"):
        load(tmp_path / "run")


def test_a_run_in_an_environment_of_the_users_is_kept_and_asks_for_its_name(tmp_path, capsys):
    config = CONFIG.replace(env_id=None, num_envs=2, steps_per_epoch=64, epochs=1)
    with PPO(config, make_env=lambda: gymnasium.make("CartPole-v1")) as ppo:
        ppo.train(progress=True, run=tmp_path / "run")
    assert f"Next: fastppo eval {tmp_path / 'run'} --env-id ID" in capsys.readouterr().out
    assert "in an environment of its own: --env-id has to name one." in message_of(invoke("eval", tmp_path / "run"))
    assert invoke("eval", tmp_path / "run", "--env-id", "CartPole-v1", "--episodes", 2).exit_code == 0
    assert "with its own make_env: resume it there" in message_of(invoke("train", "--resume", tmp_path / "run"))


def test_callbacks_are_objects_or_functions_alone_or_in_a_list():
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


def test_drawn_actions_have_the_policys_probabilities_and_a_seed_fixes_them():
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


def test_objects_show_what_they_are():
    ppo = new_agent(CONFIG)
    ppo.train_epoch()
    assert repr(ppo) == "<PPO on CartPole-v1: preset 'fast', seed 0, epoch 1 of 4>"
    assert re.fullmatch(r"<EvaluationResult: mean \d+\.\d, .* of 100 episodes>", repr(ppo.evaluate()))
    config = preset_config("fast", num_envs=8, env_kwargs={"a": 1})
    assert repr(config) == "PPOConfig(env_kwargs={'a': 1}, num_envs=8)"
    for other in (config, preset_config("keras"), preset_config("standard", env_id="Acrobot-v1")):
        assert eval(repr(other)) == other


def test_what_is_no_setting_or_no_agent_is_one_sentence():
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


def test_lists_of_sizes_and_numbers_of_numpy_are_taken():
    config = PPOConfig(hidden_sizes=[64, np.int64(32)], num_envs=np.int32(8), gamma=np.float32(0.5))
    assert (config.hidden_sizes, config.num_envs, config.gamma) == ((64, 32), 8, 0.5)
    assert hash(config) == hash(config.replace(hidden_sizes=(64, 32)))
