"""Parsing of seeds and settings, and the grid of runs."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import adapted_preset
from agent.sweeps.grid import as_text, fields_named, parsed_seeds, parsed_setting, runs_of


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0:4", (0, 1, 2, 3)),
        ("1,5,9", (1, 5, 9)),
        ("7:8", (7,)),
        ("0:2,9,1:3", (0, 1, 9, 2)),
        (" 3 : 5 , 8 ", (3, 4, 8)),
    ],
)
def test_seeds_are_half_open_ranges_and_lists(text, seeds):
    assert parsed_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1:", ":3", "1:2:3", "-1", "1,,2", "1.5", "3:3", "5:2", "²"])
def test_other_seeds_are_refused(text):
    with pytest.raises(ValueError, match=r"is neither a range such as 0:32 nor a list such as 1,5,9|holds no seed"):
        parsed_seeds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gamma=0.98,0.99", ("gamma", (0.98, 0.99))),
        ("lr=1e-3", ("lr", (1e-3,))),
        ("hidden-sizes=64x64,32", ("hidden-sizes", ((64, 64), (32,)))),
        ("target_kl=none,0.01", ("target_kl", (None, 0.01))),
        ("reset_each_epoch=true,False", ("reset_each_epoch", (True, False))),
        ("advantage_normalization=none,minibatch", ("advantage_normalization", ("none", "minibatch"))),
        ("epochs=3", ("epochs", (3,))),
    ],
)
def test_a_setting_is_a_name_and_its_values(text, expected):
    assert parsed_setting(text) == expected


@pytest.mark.parametrize("text", ["gamma", "gamma=", "=3", "speed=3", "seed=1", "preset=fast"])
def test_other_settings_are_refused(text):
    with pytest.raises(
        ValueError, match=r"is not of the form NAME=VALUE|unknown setting '\w+'; there|cannot be varied"
    ):
        parsed_setting(text)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parsed_seeds, "4", "'4' is ambiguous: 4:5 is seed 4 alone, 0:4 are 4 seeds."),
        (parsed_setting, "gama=0.9", "unknown setting 'gama'. Did you mean 'gamma'"),
        (parsed_setting, "hidden-sizes=64,64", "holds a value twice; the layers of one network are written 64x64."),
        (parsed_setting, "gamma=0.9,0.90", "holds a value twice."),
    ],
)
def test_ambiguous_input_is_refused_with_a_suggestion(parse, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


@given(
    gammas=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4, unique=True),
    sizes=st.lists(
        st.lists(st.integers(1, 99), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3, unique=True
    ),
    limits=st.lists(st.none() | st.integers(1, 999), min_size=1, max_size=3, unique=True),
)
def test_written_settings_are_read_back_unchanged(gammas, sizes, limits):
    for name, values in (("gamma", gammas), ("hidden_sizes", sizes), ("max_episode_steps", limits)):
        assert parsed_setting(f"{name}={','.join(map(as_text, values))}") == (name, tuple(values))


def test_every_combination_is_a_run_of_its_own_with_every_seed():
    runs = runs_of("fast", [3, 4, 3], {"gamma": [0.9, 0.99], "lr": [1e-3, 2e-3]})
    assert [(run.config.gamma, run.config.policy_learning_rate, run.config.seed) for run in runs] == [
        (gamma, rate, seed) for gamma in (0.9, 0.99) for rate in (1e-3, 2e-3) for seed in (3, 4)
    ]
    assert all(run.config.policy_learning_rate == run.config.value_learning_rate for run in runs)
    assert len({run.key for run in runs}) == len(runs)
    assert runs[0].config == adapted_preset(
        "fast", seed=3, gamma=0.9, policy_learning_rate=1e-3, value_learning_rate=1e-3
    )
    # Preset fast adapts to the number of environments in sweeps too.
    assert runs_of("fast", [0], {"envs": [8]})[0].config == adapted_preset("fast", num_envs=8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("slow", [0], {}), ValueError, "preset must be one of fast, keras, standard, got 'slow'"),
        (("fast", [], {}), ValueError, "seeds must hold at least one seed"),
        (("fast", [-1], {}), ValueError, "seed must be at least 0, got -1"),
        (("fast", [0.5], {}), TypeError, "seed must be an integer"),
        (("fast", [0], {"gamma": []}), ValueError, "settings must hold at least one value for gamma"),
        (("fast", [0], {"gamma": [2.0]}), ValueError, "gamma must be at most 1, got 2.0"),
        (("fast", [0], {"epochs": ["x"]}), TypeError, "epochs must be an integer of at least 1, got 'x'"),
        (
            ("fast", [0], {"lr": [1e-3], "policy_learning_rate": [1e-3]}),
            ValueError,
            "policy_learning_rate is set twice",
        ),
    ],
)
def test_settings_that_cannot_be_trained_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        runs_of(*arguments)


def test_numbers_and_arrays_of_numpy_are_numbers_and_lists():
    settings = {"gamma": np.array([0.25, 0.5]), "hidden_sizes": [[np.int64(8), 4]], "num_envs": (np.uint8(8),)}
    runs = runs_of("fast", np.arange(2), settings)
    plain = runs_of("fast", [0, 1], {"gamma": [0.25, 0.5], "hidden_sizes": [(8, 4)], "num_envs": [8]})
    assert [run.config for run in runs] == [run.config for run in plain]
    assert [run.key for run in runs] == [run.key for run in plain]


def test_names_stand_for_fields():
    assert fields_named("lr") == fields_named("learning-rate") == ("policy_learning_rate", "value_learning_rate")
    assert fields_named("envs") == fields_named("num-envs") == ("num_envs",)
