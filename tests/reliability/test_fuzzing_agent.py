"""For any input, the agent and the commands return a correct result or say in one sentence what is wrong."""

import dataclasses
import json
import math
from importlib import import_module

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import files_of, invoke

from agent import PPO, PRESETS, EvaluationResult, PPOConfig, adapted_preset, evaluate, load
from agent.cli import main
from agent.config import CHOICES
from agent.learning.networks import build_actor
from agent.runs.directory import RunDirectory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

train, render, plot, export, page = (
    import_module(f"agent.commands.{name}") for name in ("train", "render", "plot", "export", "page")
)
FIELDS = [field.name for field in dataclasses.fields(PPOConfig)]
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**2000), 2**2000)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(0, 5), max_size=3)
    | st.lists(st.integers(0, 5), max_size=3).map(tuple)
    | st.sampled_from([choice for choices in CHOICES.values() for choice in choices])
)
WITHOUT_RESETTING_FIXTURES = [HealthCheck.function_scoped_fixture]


@settings(max_examples=1000)
@given(preset=st.sampled_from(sorted(PRESETS)), changes=st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=2))
def test_a_configuration_is_sound_or_the_field_is_named(preset, changes):
    try:
        config = adapted_preset(preset, **changes)
    except (TypeError, ValueError) as error:
        is_named = any(str(error).startswith(f"{name} ") for name in changes)
        assert is_named or "gradient steps an update, at most 2147483647 are possible" in str(error)
        assert str(error).endswith(".")
        return
    assert PPOConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    assert 1 <= config.gradient_batch_size <= config.rollout_size
    assert config.num_steps * config.num_envs == config.rollout_size >= config.steps_per_epoch
    assert config.num_minibatches >= 1


SENSIBLE = {
    "seed": st.integers(0, 2**80),
    "num_envs": st.integers(1, 140),
    "steps_per_epoch": st.integers(1, 300),
    "max_episode_steps": st.none() | st.integers(1, 300),
    "reset_each_epoch": st.booleans(),
    "hidden_sizes": st.lists(st.integers(1, 20), min_size=1, max_size=3).map(tuple),
    "initializer": st.sampled_from(CHOICES["initializer"]),
    "gamma": st.floats(0, 1, exclude_min=True),
    "gae_lambda": st.floats(0, 1),
    "clip_ratio": st.floats(1e-6, 10),
    "target_kl": st.none() | st.floats(1e-6, 1),
    "entropy_coefficient": st.floats(0, 10),
    "policy_learning_rate": st.floats(1e-8, 1),
    "value_learning_rate": st.floats(1e-8, 1),
    "learning_rate_schedule": st.sampled_from(CHOICES["learning_rate_schedule"]),
    "max_gradient_norm": st.none() | st.floats(1e-6, 100),
    "advantage_normalization": st.sampled_from(CHOICES["advantage_normalization"]),
    "policy_update_epochs": st.integers(1, 3),
    "value_update_epochs": st.integers(1, 3),
    "minibatch_size": st.none() | st.integers(1, 300),
    "value_target": st.sampled_from(CHOICES["value_target"]),
    "epochs": st.integers(1, 3),
}


@settings(max_examples=20)
@given(changes=st.fixed_dictionaries({}, optional=SENSIBLE))
def test_any_sensible_configuration_trains_with_finite_numbers(changes):
    ppo = PPO(adapted_preset("fast", **{"num_envs": 8, "steps_per_epoch": 64, "hidden_sizes": (8,), **changes}))
    for epoch in range(1, 1 + min(2, ppo.config.epochs)):
        metrics = ppo.train_epoch()
        assert metrics.env_steps == epoch * ppo.config.rollout_size
        assert all(math.isfinite(value) for value in (metrics.kl, metrics.policy_loss, metrics.value_loss))
        assert 0 <= metrics.entropy <= math.log(2) + 1e-6
        assert 0 <= metrics.clip_fraction <= 1
        assert 1 <= metrics.policy_iterations <= ppo.config.policy_iterations
    for name, array in ppo.get_state().items():
        assert array.dtype.kind == "U" or np.isfinite(array).all(), name


@pytest.fixture(scope="module")
def agent(trained):
    return load(trained)


ARRAYS = st.builds(
    lambda shape, dtype: np.ones(shape).astype(dtype),
    st.lists(st.integers(0, 5), max_size=3).map(tuple),
    st.sampled_from([np.float64, np.float32, np.int64, np.bool_, np.complex128, object, "U3"]),
)


@settings(max_examples=300)
@given(observations=ANYTHING | ARRAYS | st.lists(st.lists(st.floats(), min_size=4, max_size=4), max_size=3))
def test_actions_are_predicted_or_the_observations_are_named(agent, observations):
    try:
        actions = agent.predict(observations)
    except (TypeError, ValueError) as error:
        assert str(error).startswith("observations must ")
        return
    assert actions.dtype == np.int64
    assert actions.shape == np.shape(observations)[:-1]
    assert ((actions == 0) | (actions == 1)).all()


@settings(max_examples=200)
@given(name=st.sampled_from(["episodes", "seed", "environment"]), value=ANYTHING)
def test_an_evaluation_plays_or_the_argument_is_named(agent, name, value):
    if name == "episodes" and isinstance(value, int) and 20 < value < 10**9:
        return
    try:
        result = evaluate(agent.actor, **{"episodes": 2, name: value})
    except (TypeError, ValueError, MemoryError) as error:
        assert str(error).startswith((f"{name} must be ", f"{value} episodes side by side would take"))
        return
    assert all(1 <= length <= 500 for length in result.returns)


@settings(max_examples=300, suppress_health_check=WITHOUT_RESETTING_FIXTURES)
@given(data=st.data())
def test_altered_files_of_a_run_are_refused_or_read_as_what_they_are(trained, tmp_path, data):
    run = RunDirectory(tmp_path)
    source = RunDirectory(trained)
    name = data.draw(st.sampled_from(["config.json", "metrics.csv", "evaluation.json"]))
    content = bytearray((trained / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 4, len(content))))
        content[start:end] = data.draw(st.binary(max_size=4) | st.sampled_from([b"null", b"1e999", b"[]", b"-1", b","]))
    (tmp_path / name).write_bytes(bytes(content))
    read = {
        "config.json": lambda: isinstance(run.read_config(), PPOConfig),
        "metrics.csv": lambda: len(run.read_metrics()) <= len(source.read_metrics()) + 3,
        "evaluation.json": lambda: isinstance(run.read_evaluation_episodes(), int | None),
    }[name]
    try:
        assert read()
    except ValueError as error:
        assert str(tmp_path / name) in str(error)


@settings(max_examples=200)
@given(data=st.data())
def test_altered_states_are_refused_and_change_nothing(agent, data):
    state = agent.get_state()
    name = data.draw(st.sampled_from(sorted(state)))
    kind = data.draw(st.sampled_from(["missing", "other", "type", "shape"]))
    altered = dict(state)
    if kind == "missing":
        del altered[name]
    elif kind == "other":
        altered[name] = data.draw(ANYTHING | ARRAYS)
    elif kind == "type":
        altered[name] = np.zeros(state[name].shape, dtype=np.complex128)
    else:
        altered[name] = np.zeros((3, *state[name].shape), dtype=state[name].dtype)
    try:
        agent.set_state(altered)
    except ValueError as error:
        assert "state" in str(error)
    else:
        # The alteration replaced a number by another valid one.
        assert kind == "other"
        agent.set_state(state)
    assert all(array.tobytes() == state[key].tobytes() for key, array in agent.get_state().items())


TEXTS = (
    st.sampled_from(
        ["", "0", "1", "-1", "2", "0.5", "nan", "inf", "none", "1e400", "fast", "keras", "x,y", "1,2", ",", "🐍"]
    )
    | st.integers().map(str)
    | st.floats().map(str)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
)


def options_of(command):
    """Return the options of a command that do not write files elsewhere, and whether each takes a value."""
    return [
        (parameter.opts[0], not parameter.is_flag)
        for parameter in main.commands[command].params
        if parameter.param_type_name == "option" and parameter.name not in ("help", "out", "json_path", "epochs_")
    ]


@settings(max_examples=800, suppress_health_check=WITHOUT_RESETTING_FIXTURES)
@given(data=st.data())
def test_commands_run_or_say_in_one_sentence_what_is_wrong(trained, tmp_path, monkeypatch, data):
    # Slow work is replaced, since this test is about arguments.
    trained_configurations = []
    monkeypatch.setattr(train, "_train", lambda config, *_, **__: trained_configurations.append(config) or True)
    monkeypatch.setattr("agent.rollouts.evaluation.evaluate_in", lambda *_, **__: EvaluationResult((1.0,), (1,)))
    actor = build_actor(4, 2, (16,), seed=0)
    for module in (render, page):
        monkeypatch.setattr(module, "earlier_actors", lambda _, epochs: [actor] * len(epochs))
    for module in (render, plot, export, page):
        monkeypatch.setattr(module, "write_output", lambda *_, **__: 0.0)
    monkeypatch.chdir(tmp_path)
    command = data.draw(st.sampled_from(["train", "train", "train", "eval", "render", "plot", "export"]))
    arguments = [command, *([trained] if command != "train" else [])]
    for option, takes_value in data.draw(st.lists(st.sampled_from(options_of(command)), max_size=3)):
        arguments += [option, data.draw(TEXTS)] if takes_value else [option]
    before = files_of(trained)
    result = invoke(*arguments)
    if result.exit_code == 2:
        assert "\nError: " in result.stderr
    else:
        assert result.exit_code == 0, (arguments, result.output, result.exception)
        assert command != "train" or "--help" in arguments or isinstance(trained_configurations[0], PPOConfig)
    assert files_of(tmp_path) == {}
    assert files_of(trained) == before
