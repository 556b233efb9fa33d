"""The commands with continuous actions and normalization, as users see them."""

import json

import numpy as np
import pytest
from runs import invoke, metrics_of

from agent.process.backend import keras, use_one_thread_per_network

use_one_thread_per_network()

OPTIONS = ("--env-id", "Pendulum-v1", "--envs", "2", "--steps-per-epoch", "64", "--hidden-sizes", "8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the directory of a run of two epochs that was resumed for a third."""
    directory = tmp_path_factory.mktemp("runs") / "pendulum"
    result = invoke("train", *OPTIONS, "--learning-rate", "1e-3", "--epochs", 2, "--out", directory)
    assert result.exit_code == 0, result.output
    result = invoke("train", "--resume", directory, "--epochs", 3)
    assert result.exit_code == 0, result.output
    return directory


def test_a_run_with_continuous_actions_is_resumed_evaluated_and_exported(trained, tmp_path):
    config = json.loads((trained / "config.json").read_text())
    assert config["policy_learning_rate"] == config["value_learning_rate"] == 1e-3
    assert config["exploration"] == "state_dependent"
    assert config["normalize_observations"] is config["normalize_rewards"] is True
    assert len(metrics_of(trained)) == 3
    greedy, sampled = (
        json.loads(invoke("eval", trained, "--episodes", 2, "--json", option).stdout)["returns"]
        for option in ("--greedy", "--sample")
    )
    assert greedy != sampled
    assert all(-2000 < episode_return < 0 for episode_return in greedy + sampled)
    result = invoke("export", trained, "--format", "onnx", "--out", tmp_path / "actor.onnx")
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_a_run_with_continuous_actions_is_drawn_again_and_swept(trained, tmp_path):
    for arguments in (
        ("render", trained, "--out", tmp_path / "last.gif"),
        # Earlier policies are recovered by training the recorded run again.
        ("render", trained, "--epoch", 0, 1, 2, 3, "--out", tmp_path / "earlier.gif"),
        ("eval", trained / "best_actor.keras", "--episodes", 2),
        (
            *("sweep", "--env-id", "Pendulum-v1", "--seeds", "0:2", "--jobs", 1, "--out", tmp_path / "sweep"),
            *("--set", "epochs=1", "--set", "exploration=independent,state_dependent"),
        ),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
    assert len((tmp_path / "sweep" / "results.csv").read_text().splitlines()) == 5


@pytest.mark.parametrize("command", ["eval", "render"])
def test_an_actor_that_has_diverged_is_reported_in_one_sentence(tmp_path, command):
    observations = keras.Input((3,))
    outputs = {
        name: keras.layers.Dense(1, "exponential", name=name)(observations * 1e3) for name in ("mean", "log_std")
    }
    actor = keras.Model(observations, outputs)
    actor.set_weights([np.abs(weight) + 1.0 for weight in actor.get_weights()])
    actor.save(tmp_path / "actor.keras")
    options = ("--out", tmp_path / "a.gif") if command == "render" else ("--episodes", "2")
    result = invoke(command, tmp_path / "actor.keras", "--env-id", "Pendulum-v1", *options)
    assert result.exit_code == 1
    assert result.stderr == "Error: The policy has diverged: its actions are infinite or not a number.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["actor.keras"]
