"""Gymnasium's wrappers and checkers give the same results with our environments as with its own."""

import importlib
import warnings
from contextlib import chdir
from tempfile import TemporaryDirectory

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import vector
from lockstep import gymnasium_batch

from fastcartpole import CartPoleVectorEnv

pytestmark = pytest.mark.filterwarnings("default")

NUM_ENVS = 3
REFUSED = "refused"
UNIT_BOX = spaces.Box(-1.0, 1.0, (4,), np.float32)
SCALAR = spaces.Box(-1.0, 1.0, (1,), np.float32)
IMAGE = spaces.Box(0, 255, (8, 8, 3), np.uint8)


def module(name):
    return pytest.importorskip(name)


def bounded(environment):
    return wrappers.TransformObservation(environment, np.tanh, UNIT_BOX)


def pushed_by_a_number(environment):
    """Take real numbers as actions; a positive one pushes to the right."""
    return wrappers.TransformAction(environment, lambda action: int(np.asarray(action).item() > 0), SCALAR)


def drawn(environment):
    return wrappers.AddRenderObservation(environment)


def with_time(environment):
    return wrappers.TimeAwareObservation(environment, flatten=False)


# Some wrappers need other actions than 0 and 1, or a render mode.
NUMBERS = {"actions": [np.array([x], np.float32) for x in (-0.5, 0.25, 0.75, -1.0)]}
FRAMES = {"render_mode": "rgb_array", "num_steps": 12}

SINGLE = {
    "DelayObservation": (lambda e: wrappers.DelayObservation(e, 2), {}),
    "DtypeObservation": (lambda e: wrappers.DtypeObservation(e, np.float64), {}),
    "DiscretizeObservation": (lambda e: wrappers.DiscretizeObservation(bounded(e), 5), {}),
    "FilterObservation": (lambda e: wrappers.FilterObservation(with_time(e), ["time"]), {}),
    "FlattenObservation": (lambda e: wrappers.FlattenObservation(with_time(e)), {}),
    "FrameStackObservation": (lambda e: wrappers.FrameStackObservation(e, 4), {}),
    "GrayscaleObservation": (lambda e: wrappers.GrayscaleObservation(drawn(e)), FRAMES),
    "TransformObservation": (bounded, {}),
    "MaxAndSkipObservation": (lambda e: wrappers.MaxAndSkipObservation(e, 3), {}),
    "NormalizeObservation": (wrappers.NormalizeObservation, {}),
    "AddRenderObservation": (lambda e: wrappers.AddRenderObservation(e, render_only=False), FRAMES),
    "ResizeObservation": (lambda e: module("cv2") and wrappers.ResizeObservation(drawn(e), (30, 40)), FRAMES),
    "ReshapeObservation": (lambda e: wrappers.ReshapeObservation(e, (2, 2)), {}),
    "RescaleObservation": (lambda e: wrappers.RescaleObservation(bounded(e), 0.0, 3.0), {}),
    "TimeAwareObservation": (lambda e: wrappers.TimeAwareObservation(e, normalize_time=True), {}),
    "ClipAction": (lambda e: wrappers.ClipAction(pushed_by_a_number(e)), NUMBERS),
    "DiscretizeAction": (lambda e: wrappers.DiscretizeAction(pushed_by_a_number(e), 4), {"actions": [0, 1, 2, 3]}),
    "TransformAction": (pushed_by_a_number, NUMBERS),
    "RescaleAction": (lambda e: wrappers.RescaleAction(pushed_by_a_number(e), -3.0, 3.0), NUMBERS),
    "StickyAction": (lambda e: wrappers.StickyAction(e, 0.4, (1, 3)), {}),
    "RepeatAction": (lambda e: wrappers.RepeatAction(e, 3), {}),
    "ClipReward": (lambda e: wrappers.ClipReward(e, 0.0, 0.5), {}),
    "TransformReward": (lambda e: wrappers.TransformReward(e, lambda reward: 3 * reward), {}),
    "NormalizeReward": (wrappers.NormalizeReward, {}),
    "TimeLimit": (lambda e: wrappers.TimeLimit(e, 7), {}),
    "Autoreset": (wrappers.Autoreset, {"resets": False}),
    "PassiveEnvChecker": (lambda e: wrappers.PassiveEnvChecker(e.unwrapped), {}),
    "OrderEnforcing": (lambda e: wrappers.OrderEnforcing(e.unwrapped), {}),
    "RecordEpisodeStatistics": (wrappers.RecordEpisodeStatistics, {}),
    "AddWhiteNoise": (lambda e: wrappers.AddWhiteNoise(e, 0.5), FRAMES),
    "ObstructView": (lambda e: wrappers.ObstructView(e, 0.3, 20), FRAMES),
    "RenderCollection": (wrappers.RenderCollection, FRAMES),
    "RecordVideo": (
        lambda e: module("moviepy") and wrappers.RecordVideo(e, "films", step_trigger=lambda s: s == 0),
        FRAMES,
    ),
    "HumanRendering": (wrappers.HumanRendering, FRAMES),
    "ArrayConversion": (lambda e: wrappers.ArrayConversion(e, np, module("jax.numpy")), {}),
    "JaxToNumpy": (
        lambda e: module("jax") and wrappers.JaxToNumpy(wrappers.ArrayConversion(e, np, module("jax.numpy"))),
        {},
    ),
    "JaxToTorch": (lambda e: module("jax") and wrappers.JaxToTorch(e), {}),
    "NumpyToTorch": (lambda e: module("torch") and wrappers.NumpyToTorch(e), {}),
}

# These need other environments than CartPole.
FOR_OTHERS = {"AtariPreprocessing", "vector"}
# Not every version of JAX can convert flags to its arrays and back.
MAY_BE_REFUSED = {"ArrayConversion", "JaxToNumpy", "JaxToTorch"}


def bounded_batch(environments):
    return vector.TransformObservation(environments, np.tanh, single_observation_space=UNIT_BOX)


def in_a_dictionary(environments):
    return vector.TransformObservation(
        environments,
        lambda observations: {"places": observations[:, ::2], "velocities": observations[:, 1::2]},
        single_observation_space=spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, (2,), np.float32) for name in ("places", "velocities")}
        ),
    )


def pushed_by_numbers(environments):
    return vector.TransformAction(
        environments,
        lambda actions: (np.asarray(actions)[:, 0] > 0).astype(np.int64),
        single_action_space=SCALAR,
    )


def pictured(environments):
    """Replace observations by small images computed from their numbers."""
    return vector.TransformObservation(
        environments,
        lambda observations: np.broadcast_to(
            np.round(100 + 50 * observations[:, :1, None, None]).astype(np.uint8), (NUM_ENVS, 8, 8, 3)
        ),
        single_observation_space=IMAGE,
    )


def each(wrapper, **arguments):
    return lambda e: getattr(vector, f"VectorizeTransform{wrapper[0]}")(e, getattr(wrappers, wrapper[1]), **arguments)


BATCH_NUMBERS = {"actions": [np.array([[x], [-x], [0.5]], np.float32) for x in (-0.5, 0.25, 0.75)]}

VECTOR = {
    "VectorizeTransformObservation": (each(("Observation", "FlattenObservation")), {}),
    "VectorizeTransformAction": (lambda e: each(("Action", "ClipAction"))(pushed_by_numbers(e)), BATCH_NUMBERS),
    "VectorizeTransformReward": (each(("Reward", "ClipReward"), min_reward=0.0, max_reward=0.5), {}),
    "DictInfoToList": (vector.DictInfoToList, {}),
    "TransformObservation": (bounded_batch, {}),
    "FilterObservation": (lambda e: vector.FilterObservation(in_a_dictionary(e), ["velocities"]), {}),
    "FlattenObservation": (vector.FlattenObservation, {}),
    "GrayscaleObservation": (lambda e: vector.GrayscaleObservation(pictured(e)), {}),
    "ResizeObservation": (lambda e: module("cv2") and vector.ResizeObservation(pictured(e), (3, 3)), {}),
    "ReshapeObservation": (lambda e: vector.ReshapeObservation(e, (2, 2)), {}),
    "RescaleObservation": (lambda e: vector.RescaleObservation(bounded_batch(e), 0.0, 3.0), {}),
    "DtypeObservation": (lambda e: vector.DtypeObservation(e, np.float64), {}),
    "NormalizeObservation": (vector.NormalizeObservation, {}),
    "TransformAction": (pushed_by_numbers, BATCH_NUMBERS),
    "ClipAction": (lambda e: vector.ClipAction(pushed_by_numbers(e)), BATCH_NUMBERS),
    "RescaleAction": (lambda e: vector.RescaleAction(pushed_by_numbers(e), -3.0, 3.0), BATCH_NUMBERS),
    "TransformReward": (lambda e: vector.TransformReward(e, lambda rewards: 3 * rewards), {}),
    "ClipReward": (lambda e: vector.ClipReward(e, 0.0, 0.5), {}),
    "NormalizeReward": (vector.NormalizeReward, {}),
    "RecordEpisodeStatistics": (vector.RecordEpisodeStatistics, {}),
    "RecordVideo": (
        lambda e: module("moviepy") and vector.RecordVideo(e, "films", step_trigger=lambda s: s == 0),
        FRAMES,
    ),
    "HumanRendering": (vector.HumanRendering, FRAMES),
    "ArrayConversion": (lambda e: vector.ArrayConversion(e, np, module("jax.numpy")), {}),
    "JaxToNumpy": (
        lambda e: module("jax") and vector.JaxToNumpy(vector.ArrayConversion(e, np, module("jax.numpy"))),
        {},
    ),
    "JaxToTorch": (lambda e: module("jax") and vector.JaxToTorch(e), {}),
    "NumpyToTorch": (lambda e: module("torch") and vector.NumpyToTorch(e), {}),
}


def comparable(value):
    """Return a value as plain data with types, dtypes and bytes, without the times of episodes."""
    if isinstance(value, dict):
        return {key: comparable(entry) for key, entry in value.items() if key not in ("t", "_t")}
    if isinstance(value, (list, tuple)):
        return type(value), [comparable(entry) for entry in value]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [comparable(entry) for entry in value]
    if hasattr(value, "shape"):
        array = np.asarray(value)
        return type(value), array.dtype, array.shape, array.tobytes()
    return type(value), value


def played(make, wrap, *, actions=(0, 1, 1, 0, 1, 1, 1), num_steps=60, resets=True, render_mode=None):
    """Return all results of a wrapped environment, up to its first error, and the warnings.

    Args:
        make: Function that creates the environment with a render mode.
        wrap: Function that wraps the environment.
        actions: Actions to take cyclically, for one environment or for all of a batch.
        num_steps: Number of steps.
        resets: Whether to reset a single environment at the end of each episode.
        render_mode: Render mode; if it is given, frames are part of the results.
    """
    record = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        environment = make(render_mode)
        try:
            wrapped = wrap(environment)
            record.append((wrapped.observation_space, wrapped.action_space, wrapped.render_mode))
            record.append(comparable(wrapped.reset(seed=3)))
            for step in range(num_steps):
                action = actions[step % len(actions)]
                if isinstance(wrapped, gymnasium.vector.VectorEnv) and np.ndim(action) == 0:
                    action = np.full(NUM_ENVS, action)
                result = wrapped.step(action)
                record.append(comparable(result))
                if render_mode is not None and step % 5 == 0:
                    frames = wrapped.render()
                    # Gymnasium's CartPoleVectorEnv renders a list; its SyncVectorEnv and ours render a tuple.
                    record.append(comparable(tuple(frames) if isinstance(frames, list) else frames))
                if resets and isinstance(wrapped, gymnasium.Env) and (result[2] or result[3]):
                    record.append(comparable(wrapped.reset()))
            wrapped.close()
        except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
            environment.close()
            pytest.skip(str(error))
        except (AssertionError, BufferError, TypeError, ValueError):
            record.append(REFUSED)
            environment.close()
    return record, sorted(str(warning.message) for warning in warned)


def assert_played_alike(make_ours, make_theirs, wrap, settings, may_be_refused=False):
    if "render_mode" in settings:
        module("pygame")
    outcomes = []
    for make in (make_ours, make_theirs):
        # Some wrappers write files.
        with TemporaryDirectory() as directory, chdir(directory):
            outcomes.append(played(make, wrap, **settings))
    (ours, actual_warnings), (theirs, expected_warnings) = outcomes
    assert may_be_refused or theirs[-1] != REFUSED
    if theirs[-1] == REFUSED:
        # Ours accepts some actions that Gymnasium's refuses, such as JAX arrays.
        theirs, ours = theirs[:-1], ours[: len(theirs) - 1]
    assert len(ours) == len(theirs)
    for step, (actual, expected) in enumerate(zip(ours, theirs, strict=True)):
        assert actual == expected, f"entry {step} of the record"
    assert actual_warnings == expected_warnings


@pytest.mark.parametrize("name", SINGLE)
def test_a_wrapped_environment_behaves_like_gymnasiums(name):
    if not hasattr(wrappers, "__all__") or name not in wrappers.__all__:
        pytest.skip("this Gymnasium does not have it")
    wrap, settings = SINGLE[name]
    assert_played_alike(
        lambda mode: gymnasium.make("fastcartpole/CartPole-v1", render_mode=mode),
        lambda mode: gymnasium.make("CartPole-v1", render_mode=mode),
        wrap,
        settings,
        may_be_refused=name in MAY_BE_REFUSED,
    )


@pytest.mark.parametrize("autoreset_mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "RecordVideo" else []) for name in VECTOR]
)
def test_a_wrapped_batch_behaves_like_gymnasiums(name, autoreset_mode):
    if name not in vector.__all__:
        pytest.skip("this Gymnasium does not have it")
    wrap, settings = VECTOR[name]
    assert_played_alike(
        lambda mode: CartPoleVectorEnv(NUM_ENVS, autoreset_mode=autoreset_mode, render_mode=mode),
        lambda mode: gymnasium_batch(NUM_ENVS, autoreset_mode, render_mode=mode),
        wrap,
        settings,
        # Most observation wrappers refuse this mode, since they do not transform final observations.
        may_be_refused=autoreset_mode == "SameStep" or name in MAY_BE_REFUSED,
    )


# RecordVideo refuses the lists of frames that Gymnasium's CartPoleVectorEnv renders.
@pytest.mark.parametrize("name", [name for name in VECTOR if name != "RecordVideo"])
def test_a_wrapped_batch_with_shared_seeding_behaves_like_gymnasiums(name):
    if name not in vector.__all__:
        pytest.skip("this Gymnasium does not have it")
    wrap, settings = VECTOR[name]
    batch = importlib.import_module("gymnasium.envs.classic_control.cartpole").CartPoleVectorEnv
    assert_played_alike(
        lambda mode: CartPoleVectorEnv(NUM_ENVS, seeding="shared", render_mode=mode),
        lambda mode: batch(NUM_ENVS, render_mode=mode),
        wrap,
        settings,
        may_be_refused=name in MAY_BE_REFUSED,
    )


def test_no_wrapper_of_gymnasium_is_left_out():
    assert set(wrappers.__all__) - FOR_OTHERS <= SINGLE.keys()
    assert set(vector.__all__) <= VECTOR.keys()


@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_gymnasiums_checker_has_nothing_more_to_say_than_of_its_own(render_mode):
    module("pygame")
    said = {}
    for name in ("fastcartpole/CartPole-v1", "CartPole-v1"):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            check_env(gymnasium.make(name, render_mode=render_mode).unwrapped, skip_render_check=False)
        said[name] = {str(warning.message) for warning in warned}
    assert said["fastcartpole/CartPole-v1"] <= said["CartPole-v1"]


@pytest.mark.parametrize("action", [2, -1, 0.5, None, "left", np.array([0]), np.float32(1.0)])
def test_the_passive_checker_refuses_what_it_refuses_of_gymnasiums(action):
    outcomes = []
    for name in ("fastcartpole/CartPole-v1", "CartPole-v1"):
        environment = gymnasium.make(name)
        environment.reset(seed=0)
        try:
            outcomes.append(comparable(environment.step(action)))
        except Exception as error:
            outcomes.append("refused" if isinstance(error, (AssertionError, TypeError, ValueError)) else error)
    assert outcomes[0] == outcomes[1]
