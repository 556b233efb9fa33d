"""Probe environments with known answers, and vector environments with every autoreset mode.

J. Schulman's talk "The Nuts and Bolts of Deep RL Research" (2016) and many later guides recommend such environments.
"""

import sys

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv

MODES = (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED)


class Probe(gymnasium.Env):
    """One observed number, two actions, and episodes of a given length that end by truncation or termination."""

    observation_space = Box(-10.0, 10.0, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, length=1, *, truncates=False):
        self.length = length
        self.truncates = truncates

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_number = 0
        self.action = 0
        return self.observation(), {}

    def step(self, action):
        assert self.step_number < self.length, "an episode that has ended is stepped"
        assert self.action_space.contains(action)
        self.action = action
        reward = self.reward()
        self.step_number += 1
        ends = self.step_number == self.length
        return self.observation(), reward, ends and not self.truncates, ends and self.truncates, {}

    def observation(self):
        return np.zeros(1, dtype=np.float32)

    def reward(self):
        return 1.0


class RewardByObservation(Probe):
    """The observation, -1 or 1, is the reward of the next step."""

    def observation(self):
        if self.step_number == 0:
            self.sign = float(self.np_random.integers(2) * 2 - 1)
        return np.full(1, self.sign, dtype=np.float32)

    def reward(self):
        return self.sign


class RewardTwoStepsLater(Probe):
    """Episodes of three steps; the observation is the number of the step, and the last step has reward -2.5."""

    def __init__(self, *, truncates=False):
        super().__init__(3, truncates=truncates)

    def observation(self):
        return np.full(1, self.step_number, dtype=np.float32)

    def reward(self):
        return -2.5 if self.step_number == 2 else 0.0


class RewardByAction(Probe):
    """The last of three actions has reward 1, the others have reward -1."""

    action_space = Discrete(3, start=-1)

    def reward(self):
        return 1.0 if self.action == 1 else -1.0


class RewardByChoices(Probe):
    """The reward is the number of right choices among four."""

    action_space = MultiDiscrete([[3, 2], [4, 2]], start=[[-1, 0], [5, 7]])
    right = np.array([[1, 0], [6, 8]])

    def reward(self):
        return float((self.action == self.right).sum())


class RewardBySwitches(RewardByChoices):
    """The reward is the number of switches among three that are set correctly."""

    action_space = MultiBinary(3)
    right = np.array([1, 0, 1])


class RewardByForces(Probe):
    """Each of four forces costs its squared distance from the right one; some have no bounds or no lower bound."""

    action_space = Box(
        np.float32([[-1.0, -np.inf], [-np.inf, 0.5]]), np.float32([[2.0, np.inf], [0.0, 0.75]]), dtype=np.float32
    )
    right = np.float32([[1.5, -0.5], [-1.0, 0.75]])

    def observation(self):
        # State-dependent exploration has no noise for an observation of 0.
        return np.full(1, 1.0 - 0.1 * self.step_number, dtype=np.float32)

    def reward(self):
        return -float(np.square(self.action - self.right).sum())


class RewardByLevels(Probe):
    """The action is an integer from 0 to 9; the reward decreases with its distance from 7."""

    action_space = Box(0, 9, (1,), np.int64)

    def reward(self):
        return -abs(float(self.action[0]) - 7.0) / 7.0


class Counting(Probe):
    """The observation counts steps across episodes; rewards are large and alternate in sign."""

    count = 0

    def observation(self):
        return np.full(1, self.count, dtype=np.float32)

    def reward(self):
        self.count += 1
        return (-1.0) ** self.count * (0.1 + 1e3 * self.count)


class Mixed(Probe):
    """An environment with nested observations."""

    observation_space = Dict(
        {
            "box": Box(-1.0, 1.0, (2, 2), np.float64),
            "pair": Tuple((Discrete(3, start=2), MultiBinary(2))),
        }
    )

    def observation(self):
        number = self.step_number
        return {
            "box": np.full((2, 2), number / 10.0),
            "pair": (np.int64(2 + number % 3), np.array([number % 2, 1], dtype=np.int8)),
        }

    @staticmethod
    def as_vector(number):
        one_hot = np.eye(3)[number % 3]
        return np.float32([*[number / 10.0] * 4, *one_hot, number % 2, 1])


def vector_of(make_env, num_envs, mode):
    """Return a vector environment with an autoreset mode."""
    return SyncVectorEnv([make_env] * num_envs, autoreset_mode=mode)


class Crashing(Probe):
    """An environment whose 70th step raises an error."""

    count = 0

    def __init__(self):
        super().__init__(8)

    def reward(self):
        self.count += 1
        if self.count == 70:
            raise OSError("the simulator is gone")
        return 1.0


class Odd(Probe):
    """An environment that exits, has the interface of old ones, or returns no reward, in its 20th step."""

    def __init__(self, fault=None):
        super().__init__(8, truncates=True)
        self.fault, self.count = fault, 0

    def step(self, action):
        self.count += 1
        observation, reward, terminated, truncated, infos = super().step(action)
        if self.count == 20 and self.fault == "exit":
            sys.exit()
        if self.count == 20 and self.fault == "reward":
            reward = None
        if self.fault == "old":
            return observation, reward, truncated, infos
        return observation, reward, terminated, truncated, infos


class Image(Probe):
    observation_space = Box(0, 255, (8, 8, 3), np.uint8)


class TwoParts(Probe):
    action_space = Tuple((Discrete(2), Discrete(2)))


gymnasium.register("Crashing-v0", Crashing)
gymnasium.register("Image-v0", Image)
gymnasium.register("Odd-v0", Odd, disable_env_checker=True, order_enforce=False, max_episode_steps=100)
gymnasium.register("TwoParts-v0", TwoParts)
