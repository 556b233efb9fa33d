"""The Stable-Baselines3 adapter behaves like Stable-Baselines3's own vector environment of Gymnasium's CartPole-v1."""

import warnings

import numpy as np
import pytest

pytestmark = [pytest.mark.sb3, pytest.mark.filterwarnings("default")]


@pytest.fixture
def make_vec_env():
    pytest.importorskip("stable_baselines3")
    from fastcartpole.sb3 import make_vec_env

    return make_vec_env


@pytest.fixture
def pair(make_vec_env):
    """Return a function that creates our environments and Stable-Baselines3's."""
    from stable_baselines3.common.env_util import make_vec_env as make_reference

    def make(num_envs, seed=None, **env_kwargs):
        return make_vec_env(num_envs, seed=seed, **env_kwargs), make_reference(
            "CartPole-v1", n_envs=num_envs, seed=seed, env_kwargs=env_kwargs
        )

    return make


def same(actual, expected):
    """Return whether two values are equal in type, dtype and bits, except for the times of episodes."""
    if isinstance(expected, (list, tuple)):
        return type(actual) is type(expected) and all(map(same, actual, expected)) and len(actual) == len(expected)
    if isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(
            same(actual[key], expected[key]) for key in actual if key != "t"
        )
    if isinstance(expected, np.ndarray):
        return actual.dtype == expected.dtype and np.array_equal(actual, expected)
    return actual == expected


def test_the_same_spaces_seeds_and_metadata(pair):
    ours, theirs = pair(3, seed=5)
    for name in ("num_envs", "observation_space", "action_space", "render_mode", "metadata", "reset_infos"):
        assert same(getattr(ours, name), getattr(theirs, name)), name
    assert ours.unwrapped.metadata == theirs.unwrapped.metadata
    assert [ours.action_space.sample() for _ in range(20)] == [theirs.action_space.sample() for _ in range(20)]
    assert same(ours.seed(3), theirs.seed(3))
    assert same(ours.reset(), theirs.reset())


def test_episodes_and_infos_are_those_stable_baselines3_makes_of_gymnasium(pair):
    ours, theirs = pair(4, seed=7, max_episode_steps=15)
    assert same(ours.reset(), theirs.reset())
    generator = np.random.default_rng(0)
    truncated = 0
    for _ in range(100):
        actions = generator.integers(0, 2, 4)
        actual, expected = ours.step(actions), theirs.step(actions)
        assert same(actual, expected)
        truncated += sum(info["TimeLimit.truncated"] for info in actual[3])
    assert truncated > 3


@pytest.mark.parametrize(
    "options",
    [
        {"low": 0.01, "high": 0.02},
        [{"low": 0.01, "high": 0.02}, {}, {"low": -0.03}],
        None,
    ],
)
def test_options_hold_for_the_next_reset(pair, options):
    ours, theirs = pair(3, seed=0)
    for seed in (0, None, 1):
        for environments in (ours, theirs):
            environments.set_options(options)
            if seed is not None:
                environments.seed(seed)
        assert same(ours.reset(), theirs.reset())
        assert same(ours.reset(), theirs.reset())
    ours.set_options({"low": 2.0, "high": 1.0})
    with pytest.raises(ValueError, match="low"):
        ours.reset()
    ours.set_options([{}])
    with pytest.raises(ValueError, match="one entry for each of the 3 environments, got 1"):
        ours.reset()


@pytest.mark.parametrize(
    "name",
    [
        *("gravity", "masscart", "masspole", "total_mass", "length", "polemass_length", "force_mag", "tau"),
        *("x_threshold", "theta_threshold_radians", "kinematics_integrator", "steps_beyond_terminated"),
        *("render_mode", "metadata", "observation_space", "action_space", "state", "np_random_seed"),
    ],
)
@pytest.mark.parametrize("indices", [None, 1, [2, 0]])
def test_attributes_are_those_of_each_environment(pair, name, indices):
    ours, theirs = pair(3, seed=0)
    ours.reset(), theirs.reset()
    assert same(ours.get_attr(name, indices), theirs.get_attr(name, indices))
    assert ours.has_attr(name)
    assert not ours.has_attr("nonsense")


@pytest.mark.parametrize(
    ("name", "value", "indices"),
    [
        ("length", 1.5, None),
        ("gravity", 3.7, [0, 2]),
        ("force_mag", 20.0, 1),
        ("state", np.array([0.1, 0.2, -0.1, 0.3]), 2),
        ("kinematics_integrator", "semi-implicit euler", None),
    ],
)
def test_attributes_that_are_set_take_effect(pair, name, value, indices):
    ours, theirs = pair(3, seed=0)
    ours.reset(), theirs.reset()
    ours.set_attr(name, value, indices)
    # Stable-Baselines3's set_attr changes the outermost wrapper, not the environment.
    for index in theirs._get_indices(indices):
        setattr(theirs.envs[index].unwrapped, name, value)
    assert same(ours.get_attr(name), [getattr(env.unwrapped, name) for env in theirs.envs])
    for _ in range(30):
        actions = np.ones(3, dtype=np.int64)
        assert same(ours.step(actions), theirs.step(actions))


def test_methods_are_called_on_each_environment(pair):
    ours, theirs = pair(3, seed=0)
    ours.reset(), theirs.reset()
    for arguments in ({"seed": 4}, {"options": {"low": 0.01, "high": 0.02}}, {}):
        for indices in (1, [2, 0], None):
            actual = ours.env_method("reset", indices=indices, **arguments)
            assert same(actual, theirs.env_method("reset", indices=indices, **arguments))
    assert same(ours.env_method("render", indices=[1]), theirs.env_method("render", indices=[1]))
    assert same(list(ours.get_images()), list(theirs.get_images()))
    assert same(ours.render(), theirs.render())
    assert ours.env_method("get_wrapper_attr", "gravity", indices=[0]) == [9.8]
    ours.env_method("set_wrapper_attr", "gravity", 5.0, indices=[0])
    assert ours.get_attr("gravity") == [5.0, 9.8, 9.8]
    assert ours.env_method("has_wrapper_attr", "nonsense") == [False] * 3


def test_the_physics_of_each_environment_is_its_own(make_vec_env):
    from fastcartpole import CartPoleParameters

    environments = make_vec_env(2, parameters=CartPoleParameters(half_length=[0.5, 0.7]))
    assert [parameters.half_length for parameters in environments.get_attr("parameters")] == [0.5, 0.7]
    assert environments.get_attr("length") == [0.5, 0.7]


def test_training_is_logged_and_recorded(make_vec_env, tmp_path):
    from stable_baselines3 import PPO
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.logger import configure

    environments = make_vec_env(8, seed=0, monitor_dir=tmp_path / "monitor")
    model = PPO("MlpPolicy", environments, n_steps=64, batch_size=128, seed=0, device="cpu")
    model.set_logger(configure(str(tmp_path / "log"), ["csv"]))
    model.learn(4096)
    assert len(model.ep_info_buffer) > 20
    assert "rollout/ep_rew_mean" in (tmp_path / "log" / "progress.csv").read_text()
    with warnings.catch_warnings():
        # Stable-Baselines3 warns of environments without a monitor.
        warnings.simplefilter("error")
        evaluate_policy(model, environments, n_eval_episodes=2)
    model.logger.close()
    environments.close()
    _, columns, *rows = (tmp_path / "monitor" / "0.monitor.csv").read_text().splitlines()
    assert columns == "r,l,t"
    assert len(rows) == environments.episode_count > 20


def test_video_recorders_find_what_they_read(make_vec_env, tmp_path, monkeypatch):
    import sys
    import types

    from stable_baselines3.common.vec_env import VecVideoRecorder

    # The recorder only checks that MoviePy is installed; this test does not write videos.
    monkeypatch.setitem(sys.modules, "moviepy", types.ModuleType("moviepy"))
    recorder = VecVideoRecorder(make_vec_env(2, seed=0), str(tmp_path), lambda step: step == 0, video_length=50)
    recorder.reset()
    for _ in range(5):
        recorder.step(np.ones(2, dtype=np.int64))
    assert recorder.frames_per_sec == 50
    assert [frame.shape for frame in recorder.recorded_frames] == [(800, 600, 3)] * 6
    recorder.recorded_frames.clear()


def test_unsupported_operations_are_reported(make_vec_env):
    from gymnasium.vector import AutoresetMode

    from fastcartpole import CartPoleVectorEnv
    from fastcartpole.sb3 import CartPoleVecEnv

    environments = make_vec_env(2)
    with pytest.raises(ValueError, match="max_episode_steps is the same for all environments"):
        environments.set_attr("max_episode_steps", 10, 0)
    with pytest.raises(ValueError, match="length must be greater than 0"):
        environments.set_attr("length", -1.0)
    with pytest.raises(NotImplementedError, match="they are one batch"):
        environments.env_method("step", 0)
    with pytest.raises(AttributeError, match="nonsense"):
        environments.env_method("nonsense")
    with pytest.raises(AttributeError, match="nonsense"):
        environments.get_attr("nonsense")
    with pytest.raises(RuntimeError, match=r"step_async\(\) before step_wait\(\)"):
        environments.step_wait()
    with pytest.raises(ValueError, match="autoreset_mode SAME_STEP"):
        CartPoleVecEnv(CartPoleVectorEnv(2))
    with pytest.raises(ValueError, match="seeding 'independent'"):
        CartPoleVecEnv(CartPoleVectorEnv(2, autoreset_mode=AutoresetMode.SAME_STEP, seeding="shared"))
    with pytest.warns(UserWarning, match="render_mode must be 'rgb_array' for images, it is None"):
        assert make_vec_env(2, render_mode=None).get_images() == [None, None]
    assert environments.get_attr("max_episode_steps") == [500, 500]
    assert environments.env_is_wrapped(object) == [False, False]
    environments.close()
