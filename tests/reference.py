"""``CartPole-v1`` in plain NumPy, for comparisons over many more steps than Gymnasium can take.

It shares no code with ``fastcartpole``: it applies one operation after another to float64 arrays, takes sines and
cosines from Python's ``math``, and has one NumPy generator per environment. ``test_long_parity.py`` compares it with
Gymnasium itself.
"""

import math

import numpy as np

DEFAULTS = {
    "gravity": 9.8,
    "cart_mass": 1.0,
    "pole_mass": 0.1,
    "half_length": 0.5,
    "force_magnitude": 10.0,
    "tau": 0.02,
    "position_threshold": 2.4,
    "angle_threshold": 12 * 2 * math.pi / 360,
}


def elementwise(function, values):
    return np.array([function(value) for value in values.tolist()])


class PlainCartPoles:
    """N CartPoles with the resets of ``SyncVectorEnv`` or, if ``shared``, of Gymnasium's ``CartPoleVectorEnv``."""

    def __init__(
        self,
        num_envs,
        *,
        autoreset_mode="NextStep",
        max_episode_steps=500,
        semi_implicit=False,
        sutton_barto_reward=False,
        shared=False,
        parameters=None,
    ):
        self.num_envs = num_envs
        self.autoreset_mode = autoreset_mode
        self.max_episode_steps = max_episode_steps
        self.semi_implicit = semi_implicit
        self.shared = shared
        # Gymnasium's CartPoleVectorEnv negates the terminated flag, so a step that does not terminate has reward -0.
        self.rewards = (-0.0 if shared else 0.0, -1.0) if sutton_barto_reward else (1.0, 1.0)
        self.parameters = {**DEFAULTS, **(parameters or {})}
        self.state = np.zeros((4, num_envs))
        self.elapsed = np.zeros(num_envs, dtype=int)
        self.has_ended = np.zeros(num_envs, dtype=bool)
        self.generators = []

    def seed(self, seed):
        """Seed the generators and start an episode in every environment."""
        seeds = [seed] if self.shared else range(seed, seed + self.num_envs)
        self.generators = [np.random.default_rng(one) for one in seeds]
        self.restart(np.arange(self.num_envs))

    def restart(self, indices):
        """Start an episode in some environments."""
        if self.shared:
            self.state[:, indices] = self.generators[0].uniform(-0.05, 0.05, (4, len(indices)))
        else:
            for index in indices:
                self.state[:, index] = self.generators[index].uniform(-0.05, 0.05, 4)
        self.elapsed[indices] = 0
        self.has_ended[indices] = False

    def step(self, actions):
        """Return observations, rewards, terminated, truncated, and the observations before any autoreset."""
        resting = self.has_ended.copy() if self.autoreset_mode == "NextStep" else np.zeros(self.num_envs, dtype=bool)
        self.move(actions)
        x, _, theta, _ = self.state
        terminated = (np.abs(x) > self.parameters["position_threshold"]) | (
            np.abs(theta) > self.parameters["angle_threshold"]
        )
        self.elapsed += 1
        truncated = (self.elapsed >= self.max_episode_steps) & ~resting
        terminated &= ~resting
        rewards = np.where(resting, 0.0, np.where(terminated, self.rewards[1], self.rewards[0]))
        final_observations = self.state.T.astype(np.float32)
        self.has_ended = terminated | truncated
        if self.autoreset_mode == "SameStep":
            self.restart(np.flatnonzero(self.has_ended))
        else:
            ended = self.has_ended.copy()
            self.restart(np.flatnonzero(resting))
            self.has_ended = ended
        return self.state.T.astype(np.float32), rewards, terminated, truncated, final_observations

    def move(self, actions):
        """Advance every environment by one time step."""
        p = self.parameters
        x, x_dot, theta, theta_dot = self.state
        total_mass = p["pole_mass"] + p["cart_mass"]
        pole_mass_length = p["pole_mass"] * p["half_length"]
        force = np.where(actions == 1, p["force_magnitude"], -np.asarray(p["force_magnitude"]))
        sine, cosine = elementwise(math.sin, theta), elementwise(math.cos, theta)
        thrust = (force + pole_mass_length * np.square(theta_dot) * sine) / total_mass
        theta_acceleration = (p["gravity"] * sine - cosine * thrust) / (
            p["half_length"] * (4.0 / 3.0 - p["pole_mass"] * np.square(cosine) / total_mass)
        )
        x_acceleration = thrust - pole_mass_length * theta_acceleration * cosine / total_mass
        if self.semi_implicit:
            x_dot = x_dot + p["tau"] * x_acceleration
            x = x + p["tau"] * x_dot
            theta_dot = theta_dot + p["tau"] * theta_acceleration
            theta = theta + p["tau"] * theta_dot
        else:
            x = x + p["tau"] * x_dot
            x_dot = x_dot + p["tau"] * x_acceleration
            theta = theta + p["tau"] * theta_dot
            theta_dot = theta_dot + p["tau"] * theta_acceleration
        self.state = np.stack([x, x_dot, theta, theta_dot])
