"""The Stable-Baselines3 face, with the real Stable-Baselines3."""

import numpy as np
import pytest

pytestmark = [pytest.mark.sb3, pytest.mark.filterwarnings("default")]


@pytest.fixture
def make_vec_env():
    pytest.importorskip("stable_baselines3")
    from fastcartpole.sb3 import make_vec_env

    return make_vec_env


def test_episodes_are_those_stable_baselines3_makes_of_gymnasium(make_vec_env):
    from stable_baselines3.common.env_util import make_vec_env as make_reference

    ours = make_vec_env(4, seed=7, max_episode_steps=15)
    theirs = make_reference("CartPole-v1", n_envs=4, seed=7, env_kwargs={"max_episode_steps": 15})
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    generator = np.random.default_rng(0)
    truncated = 0
    for _ in range(100):
        actions = generator.integers(0, 2, 4)
        actual, expected = ours.step(actions), theirs.step(actions)
        for a, b in zip(actual[:3], expected[:3], strict=True):
            np.testing.assert_array_equal(a, b, strict=True)
        for done, info, reference in zip(expected[2], actual[3], expected[3], strict=True):
            if done:
                np.testing.assert_array_equal(info["terminal_observation"], reference["terminal_observation"])
                assert info["TimeLimit.truncated"] == reference["TimeLimit.truncated"]
                truncated += info["TimeLimit.truncated"]
            else:
                assert info == {}
    assert truncated > 3


def test_vec_monitor_and_ppo_work_on_it(make_vec_env):
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecMonitor

    environments = VecMonitor(make_vec_env(8, seed=0))
    model = PPO("MlpPolicy", environments, n_steps=64, batch_size=128, seed=0, device="cpu")
    model.learn(4096)
    assert len(model.ep_info_buffer) > 20
    assert np.mean([episode["r"] for episode in model.ep_info_buffer]) > 22


def test_what_a_batch_cannot_do_is_said(make_vec_env):
    from fastcartpole import CartPoleVectorEnv
    from fastcartpole.sb3 import CartPoleVecEnv

    environments = make_vec_env(2)
    with pytest.raises(NotImplementedError, match="pass settings to make_vec_env"):
        environments.set_attr("gravity", 1.0)
    with pytest.raises(NotImplementedError, match="they are one batch"):
        environments.env_method("reset")
    with pytest.raises(RuntimeError, match=r"step_async\(\) before step_wait\(\)"):
        environments.step_wait()
    with pytest.raises(ValueError, match="autoreset_mode SAME_STEP"):
        CartPoleVecEnv(CartPoleVectorEnv(2))
    assert environments.get_attr("max_episode_steps") == [500, 500]
    assert environments.env_is_wrapped(object) == [False, False]
    environments.close()
