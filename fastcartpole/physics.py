"""The equations of CartPole: the only place that knows them.

The dynamics are those of R. V. Florian, "Correct equations for the dynamics of the cart-pole system" (2007), equations
23 and 24, without friction, in the arithmetic of Gymnasium's ``CartPole-v1``: float64, in its order of operations, with
true divisions. Changing ``a * b / c`` to ``a * (b / c)`` here changes last bits, and then whole trajectories.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from fastcartpole.kernels import kernel


class PhysicsConstants(NamedTuple):
    """What the jitted equations need, as float64 scalars in SI units; made by :meth:`CartPoleParameters.constants`."""

    gravity: float
    pole_mass: float
    total_mass: float
    half_length: float
    pole_mass_length: float
    force_magnitude: float
    tau: float
    position_threshold: float
    angle_threshold: float


@dataclass(frozen=True)
class CartPoleParameters:
    """Physical parameters of the cart and its pole; the defaults are those of ``CartPole-v1``.

    Attributes:
        gravity: Acceleration of gravity in m/s^2.
        cart_mass: Mass of the cart in kg.
        pole_mass: Mass of the pole in kg.
        half_length: Half the length of the pole in m.
        force_magnitude: Force of a push, to the left for action 0 and to the right for action 1, in N.
        tau: Time between two states in s.
        position_threshold: The episode terminates when the cart is farther than this from the centre, in m.
        angle_threshold: The episode terminates when the pole leans farther than this, in rad (12 degrees).
    """

    gravity: float = 9.8
    cart_mass: float = 1.0
    pole_mass: float = 0.1
    half_length: float = 0.5
    force_magnitude: float = 10.0
    tau: float = 0.02
    position_threshold: float = 2.4
    angle_threshold: float = 12 * 2 * math.pi / 360

    def constants(self) -> PhysicsConstants:
        """Return the record the kernels take, with the derived masses computed as Gymnasium computes them."""
        return PhysicsConstants(
            gravity=self.gravity,
            pole_mass=self.pole_mass,
            total_mass=self.pole_mass + self.cart_mass,
            half_length=self.half_length,
            pole_mass_length=self.pole_mass * self.half_length,
            force_magnitude=self.force_magnitude,
            tau=self.tau,
            position_threshold=self.position_threshold,
            angle_threshold=self.angle_threshold,
        )


@kernel()
def accelerations(
    angle: float, angular_velocity: float, force: float, constants: PhysicsConstants
) -> tuple[float, float]:
    """Return the accelerations of cart and pole under a force (Florian 2007, equations 23 and 24).

    Args:
        angle: Angle of the pole from the vertical in rad, float64.
        angular_velocity: Its rate of change in rad/s, float64.
        force: Force on the cart in N, positive to the right.
        constants: Physical constants.

    Returns:
        ``(acceleration, angular_acceleration)`` in m/s^2 and rad/s^2, float64.
    """
    sine = math.sin(angle)
    cosine = math.cos(angle)
    thrust = (force + constants.pole_mass_length * (angular_velocity * angular_velocity) * sine) / constants.total_mass
    angular_acceleration = (constants.gravity * sine - cosine * thrust) / (
        constants.half_length * (4.0 / 3.0 - constants.pole_mass * (cosine * cosine) / constants.total_mass)
    )
    acceleration = thrust - constants.pole_mass_length * angular_acceleration * cosine / constants.total_mass
    return acceleration, angular_acceleration


@kernel()
def next_state(
    position: float,
    velocity: float,
    angle: float,
    angular_velocity: float,
    action: int,
    constants: PhysicsConstants,
) -> tuple[float, float, float, float]:
    """Return the state one time step later, by the explicit Euler method.

    Args:
        position: Position of the cart in m, float64.
        velocity: Velocity of the cart in m/s, float64.
        angle: Angle of the pole in rad, float64.
        angular_velocity: Angular velocity of the pole in rad/s, float64.
        action: 0 pushes to the left, 1 to the right.
        constants: Physical constants.

    Returns:
        ``(position, velocity, angle, angular_velocity)``, float64.
    """
    force = constants.force_magnitude if action == 1 else -constants.force_magnitude
    acceleration, angular_acceleration = accelerations(angle, angular_velocity, force, constants)
    return (
        position + constants.tau * velocity,
        velocity + constants.tau * acceleration,
        angle + constants.tau * angular_velocity,
        angular_velocity + constants.tau * angular_acceleration,
    )


@kernel()
def has_fallen(position: float, angle: float, constants: PhysicsConstants) -> bool:
    """Return whether the pole leans too far or the cart has left the track; a state on a threshold has not fallen."""
    return (
        position < -constants.position_threshold
        or position > constants.position_threshold
        or angle < -constants.angle_threshold
        or angle > constants.angle_threshold
    )
