"""The configuration validates its fields."""

import dataclasses
import json
import warnings
from typing import get_type_hints

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec, registry
from hypothesis import given
from hypothesis import strategies as st

from agent import PRESETS, PPOConfig, adapted_preset, preset_config, validation
from agent.config import Settings
from agent.presets import TUNED
from fastcartpole import validation as environments

FAST = PRESETS["fast"]


def test_every_field_has_a_default_and_the_defaults_are_preset_fast():
    assert PPOConfig() == FAST == preset_config() == adapted_preset()
    assert PPOConfig(num_envs=8) == preset_config("fast", num_envs=8) == FAST.replace(num_envs=8)
    assert preset_config("keras", num_envs=8) == PRESETS["keras"].replace(num_envs=8)


def test_type_checkers_know_every_field_and_its_type():
    assert get_type_hints(Settings) == get_type_hints(PPOConfig)
    assert list(get_type_hints(Settings)) == [field.name for field in dataclasses.fields(PPOConfig)]


@given(
    value=st.integers(-5, 5)
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.booleans()
    | st.text(max_size=3)
    | st.none()
)
@pytest.mark.parametrize("bounds", [{"minimum": 1}, {"minimum": 0, "maximum": None}])
def test_both_integer_checks_agree(bounds, value):
    # There are two functions because the agent's configuration does not import NumPy, and fastcartpole does.
    outcomes = []
    for check in (validation.checked_integer, environments.checked_integer):
        try:
            outcomes.append(check("number", value, **bounds))
        except (TypeError, ValueError) as error:
            outcomes.append((type(error), str(error)))
    assert outcomes[0] == outcomes[1]


def test_the_keras_preset_has_the_hyperparameters_the_examples_run_uses():
    config = PRESETS["keras"]
    assert (config.steps_per_epoch, config.epochs, config.num_envs) == (4000, 30, 1)
    assert (config.gamma, config.gae_lambda, config.clip_ratio, config.target_kl) == (0.99, 0.95, 0.2, 0.01)
    assert (config.policy_learning_rate, config.value_learning_rate) == (3e-4, 1e-3)
    assert (config.policy_iterations, config.value_iterations, config.gradient_batch_size) == (80, 80, 4000)
    assert config.hidden_sizes == (64, 64)
    assert config.max_episode_steps is None
    assert config.reset_each_epoch
    assert config.kl_threshold == 1.5 * 0.01


@pytest.mark.parametrize(("num_envs", "num_steps"), [(1, 4000), (4, 1000), (256, 16), (4000, 1), (5000, 1)])
def test_steps_per_epoch_stay_the_total_rounded_up_to_whole_steps(num_envs, num_steps):
    config = PRESETS["keras"].replace(num_envs=num_envs)
    assert config.num_steps == num_steps
    assert config.rollout_size == num_envs * num_steps >= 4000


def test_a_minibatch_is_never_larger_than_the_rollout():
    config = FAST.replace(num_envs=3, steps_per_epoch=10, minibatch_size=256)
    assert config.rollout_size == config.gradient_batch_size == 12
    assert config.num_minibatches == 1


@pytest.mark.parametrize(
    ("num_envs", "num_steps", "minibatch_size", "passes"),
    [(1, 1024, 64, 2), (8, 128, 64, 2), (64, 32, 64, 1), (256, 16, 128, 1), (1024, 16, 512, 1), (4096, 16, 2048, 1)],
)
def test_preset_fast_takes_about_32_gradient_steps_with_any_number_of_environments(
    num_envs, num_steps, minibatch_size, passes
):
    config = adapted_preset("fast", num_envs=num_envs)
    assert (config.num_steps, config.minibatch_size) == (num_steps, minibatch_size)
    assert config.policy_update_epochs == config.value_update_epochs == passes
    assert config.policy_iterations == 32


def test_explicit_settings_are_not_adapted():
    config = adapted_preset("fast", num_envs=8, steps_per_epoch=4096, minibatch_size=100, value_update_epochs=7)
    assert (config.steps_per_epoch, config.minibatch_size) == (4096, 100)
    assert (config.policy_update_epochs, config.value_update_epochs) == (1, 7)
    assert adapted_preset("fast") == FAST
    assert adapted_preset("keras", seed=3) == PRESETS["keras"].replace(seed=3)
    with pytest.raises(ValueError, match="preset must be one of fast, keras, standard, got 'slow'"):
        adapted_preset("slow")


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("preset", 5, TypeError),
        ("reset_each_epoch", "no", TypeError),
        ("seed", -1, ValueError),
        ("num_envs", 0, ValueError),
        ("epochs", 1.5, TypeError),
        ("steps_per_epoch", True, TypeError),
        ("max_episode_steps", 0, ValueError),
        ("minibatch_size", -1, ValueError),
        ("hidden_sizes", (), TypeError),
        ("hidden_sizes", "64,64", TypeError),
        ("hidden_sizes", (64, 0), ValueError),
        ("critic_hidden_sizes", (), TypeError),
        ("critic_hidden_sizes", (0,), ValueError),
        ("gamma", 0.0, ValueError),
        ("gamma", 1.01, ValueError),
        ("gamma", "high", TypeError),
        ("gae_lambda", -0.1, ValueError),
        ("gae_lambda", float("nan"), ValueError),
        ("clip_ratio", 0.0, ValueError),
        ("target_kl", -0.01, ValueError),
        ("policy_learning_rate", float("inf"), ValueError),
        ("value_learning_rate", 0, ValueError),
        ("policy_update_epochs", 0, ValueError),
        ("value_target", "rewards", ValueError),
        ("initializer", "zeros", ValueError),
        ("activation", "gelu", ValueError),
        ("learning_rate_schedule", "cosine", ValueError),
        ("clip_ratio_schedule", "cosine", ValueError),
        ("value_clip_range", 0.0, ValueError),
        ("advantage_normalization", None, ValueError),
        ("device", "tpu", ValueError),
        ("max_gradient_norm", 0.0, ValueError),
        ("entropy_coefficient", -0.1, ValueError),
        ("target_return", float("nan"), ValueError),
    ],
)
def test_a_wrong_field_is_named(field, value, error):
    with pytest.raises(error, match=f"{field} must be"):
        FAST.replace(**{field: value})


def test_numpy_numbers_are_accepted():
    config = adapted_preset(
        "fast",
        seed=np.int64(3),
        num_envs=np.uint8(8),
        epochs=np.array(5),
        hidden_sizes=(np.int32(16), 8),
        gamma=np.float32(0.98),
        gae_lambda=np.longdouble(0.5),
        reset_each_epoch=np.bool_(True),
        target_return=np.int16(300),
        max_episode_steps=None,
        env_kwargs={"sutton_barto_reward": np.bool_(True), "sizes": [np.int64(3), np.float32(0.5)]},
    )
    plain = adapted_preset(
        "fast",
        seed=3,
        num_envs=8,
        epochs=5,
        hidden_sizes=(16, 8),
        gamma=float(np.float32(0.98)),
        gae_lambda=0.5,
        reset_each_epoch=True,
        target_return=300,
        max_episode_steps=None,
        env_kwargs={"sutton_barto_reward": True, "sizes": [3, 0.5]},
    )
    assert config == plain
    assert json.dumps(config.as_dict()) == json.dumps(plain.as_dict())
    assert {type(value) for value in config.as_dict().values()} <= {str, int, float, bool, tuple, dict, type(None)}
    assert {type(size) for size in config.hidden_sizes} == {int}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", np.bool_(True)),
        ("seed", np.float64(3.0)),
        ("gamma", np.bool_(True)),
        ("gamma", np.array([0.5])),
        ("gamma", np.str_("0.5")),
        ("num_envs", np.array([8])),
        ("gamma", np.complex64(0.5)),
        ("seed", np.datetime64(5, "ns")),
        ("gamma", np.timedelta64(1, "ns")),
    ],
)
def test_other_numpy_values_are_refused(field, value):
    with pytest.raises(TypeError, match=f"{field} must be"):
        FAST.replace(**{field: value})


def test_a_configuration_from_before_there_was_a_choice_of_devices_is_read():
    fields = {name: value for name, value in FAST.as_dict().items() if name != "device"}
    assert PPOConfig.from_dict(fields) == FAST


def test_a_configuration_survives_json():
    loaded = json.loads(json.dumps(FAST.as_dict()))
    loaded["hidden_sizes"] = tuple(loaded["hidden_sizes"])
    assert PPOConfig(**loaded) == FAST


@pytest.mark.parametrize("make", [preset_config, adapted_preset])
def test_one_learning_rate_stands_for_both(make):
    assert make("fast", learning_rate=3e-4) == make("fast", policy_learning_rate=3e-4, value_learning_rate=3e-4)
    for name in ("policy_learning_rate", "value_learning_rate"):
        with pytest.raises(ValueError, match=f"learning_rate and {name} exclude each other"):
            make("fast", learning_rate=3e-4, **{name: 1e-3})
    with pytest.raises(ValueError, match=r"learning_rate must be .*, got 0"):
        make("fast", learning_rate=0.0)


def test_a_preset_drops_its_noise_interval_if_exploration_is_changed():
    pendulum = preset_config("fast", env_id="Pendulum-v1")
    assert (pendulum.exploration, pendulum.noise_interval) == ("state_dependent", 4)
    assert preset_config("fast", env_id="Pendulum-v1", exploration="independent").noise_interval is None
    with pytest.raises(ValueError, match="noise_interval must be None with independent exploration, got 4"):
        preset_config("fast", env_id="Pendulum-v1", exploration="independent", noise_interval=4)


def test_the_tuned_settings_of_an_environment_are_found_by_its_keyword_arguments_too():
    by_id = preset_config("fast", env_id="LunarLanderContinuous-v3")
    by_keyword = preset_config("fast", env_id="LunarLander-v3", env_kwargs={"continuous": True})
    assert by_keyword == by_id.replace(env_id="LunarLander-v3", env_kwargs={"continuous": True})
    discrete = preset_config("fast", env_id="LunarLander-v3", env_kwargs={"continuous": False})
    assert discrete.entropy_coefficient == preset_config("fast", env_id="LunarLander-v3").entropy_coefficient > 0


@pytest.mark.parametrize("env_id", [*TUNED, "CartPole-v1", "fastcartpole/CartPole-v1", "gymnasium:Pendulum-v1"])
@pytest.mark.parametrize("make", [preset_config, adapted_preset])
def test_an_id_without_a_version_means_the_latest_one_and_its_settings(env_id, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = make(env_id=env_id.rpartition("-v")[0], num_envs=8)
    assert config == make(env_id=env_id, num_envs=8)
    assert config.env_id == env_id


@pytest.mark.parametrize("env_id", ["Unversioned", "probes:Unversioned", "NoSuch", "no_such:Thing", "a:b:c", "", "?"])
def test_ids_that_are_unknown_or_registered_without_a_version_stay_as_they_are(env_id, monkeypatch):
    monkeypatch.setitem(registry, "Unversioned", EnvSpec("Unversioned", "probes:Probe"))
    assert preset_config(env_id=env_id).env_id == env_id


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_normalization_is_on_off_or_automatic(value):
    with pytest.raises(TypeError, match=f"normalize_rewards must be True, False or 'auto', got {value!r}"):
        PPOConfig(normalize_rewards=value)
