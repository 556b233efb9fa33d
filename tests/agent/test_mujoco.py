"""Training in MuJoCo's environments."""

import numpy as np
import pytest

from agent import PPO, preset_config

pytestmark = pytest.mark.mujoco


def test_a_pendulum_is_held_upright_longer():
    config = preset_config("standard", env_id="InvertedPendulum-v5", epochs=12, learning_rate=1e-3, target_return=None)
    with PPO(config) as ppo:
        before = ppo.evaluate().mean
        ppo.train()
        assert before < 100
        assert ppo.evaluate().mean > 2 * before


def test_a_humanoid_is_played():
    config = preset_config("standard", env_id="Humanoid-v5", num_envs=2, steps_per_epoch=256)
    with PPO(config) as ppo:
        assert ppo.spec.observation_size == 348
        assert np.isfinite(ppo.train_epoch().value_loss)
        action = ppo.predict(np.zeros(348))
    assert action.shape == (17,)
    assert (np.abs(action) <= np.float32(0.4)).all()
