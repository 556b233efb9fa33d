"""Train a custom convolutional network to catch a falling ball, observed as an image of 10 x 10 pixels."""

import gymnasium
import keras
import numpy as np
from gymnasium.spaces import Box, Discrete

from fastppo import PPO, evaluate, preset_config


class Catch(gymnasium.Env):
    """A ball falls one pixel per step; a bat in the bottom row moves left, stays, or moves right."""

    observation_space = Box(0, 255, (10, 10, 1), np.uint8)
    action_space = Discrete(3)

    def reset(self, *, seed=None, options=None):
        """Start a new episode with a ball and a bat in random columns."""
        super().reset(seed=seed)
        self.row = 0
        self.column, self.bat = self.np_random.integers(10, size=2)
        return self.image(), {}

    def step(self, action):
        """Move the bat; the last step has reward 1 if the bat catches the ball and -1 if not, all others 0."""
        self.row += 1
        self.bat = np.clip(self.bat + action - 1, 0, 9)
        has_landed = self.row == 9
        reward = float(has_landed) * (1.0 if self.bat == self.column else -1.0)
        return self.image(), reward, has_landed, False, {}

    def image(self):
        """Return an image with ball and bat as white pixels."""
        image = np.zeros((10, 10, 1), dtype=np.uint8)
        image[self.row, self.column] = image[9, self.bat] = 255
        return image


def network(num_outputs):
    """Return a small convolutional network."""
    return keras.Sequential(
        [
            keras.Input((10, 10, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(num_outputs),
        ]
    )


config = preset_config(
    "standard",
    env_id=None,
    num_envs=16,
    steps_per_epoch=2048,
    epochs=30,
    policy_learning_rate=1e-3,
    value_learning_rate=1e-3,
    policy_update_epochs=4,
    value_update_epochs=4,
)
# Pass functions, so that the networks are created after fastppo has configured TensorFlow's threads.
with PPO(config, actor=lambda: network(3), critic=lambda: network(1), make_env=Catch) as ppo:
    ppo.train()
    print(f"mean reward after {ppo.env_steps:,} steps: {evaluate(ppo.actor, make_env=Catch).mean:.2f}")
