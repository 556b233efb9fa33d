"""The equations of CartPole.

The dynamics are those of R. V. Florian, "Correct equations for the dynamics of the cart-pole system" (2007), equations
23 and 24, without friction, with the arithmetic of Gymnasium's ``CartPole-v1``: float64, the same order of operations,
true divisions. Changing ``a * b / c`` to ``a * (b / c)`` here changes the last bits, and with them whole trajectories.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel
from fastcartpole.trigonometry import libm_cosine, libm_sine
from fastcartpole.validation import checked_parameter


class PhysicsConstants(NamedTuple):
    """Constants of the jitted equations, in SI units, as float64 scalars."""

    gravity: float
    pole_mass: float
    total_mass: float
    half_length: float
    pole_mass_length: float
    force_magnitude: float
    tau: float
    position_threshold: float
    angle_threshold: float


INTEGRATORS = ("euler", "semi-implicit euler")
"""The supported methods of integration."""

Parameter = float | npt.NDArray[np.float64]

MAY_BE_ANY_SIGN = ("gravity", "force_magnitude")
"""The quantities that need not be greater than 0."""

Quantities = dict[str, Parameter]
"""The fields of ``PhysicsConstants`` and ``cart_mass`` by name, each a number or an array of shape (N,)."""


@dataclass(frozen=True, eq=False)
class CartPoleParameters:
    """Physical parameters of cart and pole; the defaults are those of ``CartPole-v1``.

    Each is a number for all environments or a sequence with one number per environment (domain randomization), stored
    as a read-only float64 array of shape (N,).

    Attributes:
        gravity: Acceleration of gravity in m/s^2.
        cart_mass: Mass of the cart in kg, greater than 0.
        pole_mass: Mass of the pole in kg, greater than 0.
        half_length: Half the length of the pole in m, greater than 0.
        force_magnitude: Force of a push, to the left for action 0 and to the right for action 1, in N.
        tau: Time step in s, greater than 0.
        position_threshold: Distance of the cart from the centre in m beyond which the episode terminates, greater than
            0.
        angle_threshold: Angle of the pole in rad beyond which the episode terminates (default 12 degrees), greater than
            0.
    """

    gravity: Parameter = 9.8
    cart_mass: Parameter = 1.0
    pole_mass: Parameter = 0.1
    half_length: Parameter = 0.5
    force_magnitude: Parameter = 10.0
    tau: Parameter = 0.02
    position_threshold: Parameter = 2.4
    angle_threshold: Parameter = 12 * 2 * math.pi / 360

    def __post_init__(self) -> None:
        """Check every parameter.

        Raises:
            TypeError: If a parameter is neither a number nor a sequence of numbers.
            ValueError: If a parameter is not finite, or is not greater than 0 although it must be, or if arrays differ
                in length.
        """
        lengths = set()
        for field in fields(self):
            value = checked_parameter(field.name, getattr(self, field.name), positive=field.name not in MAY_BE_ANY_SIGN)
            object.__setattr__(self, field.name, value)
            if isinstance(value, np.ndarray):
                lengths.add(value.size)
        if len(lengths) > 1:
            raise ValueError(f"parameters given as arrays must have one length, got lengths {sorted(lengths)}.")

    @property
    def num_envs(self) -> int | None:
        """Length of the array parameters, or None if all parameters are numbers."""
        sizes = [value.size for field in fields(self) if isinstance(value := getattr(self, field.name), np.ndarray)]
        return sizes[0] if sizes else None

    def quantities(self) -> Quantities:
        """Return all quantities of the equations, with the derived masses computed as in Gymnasium."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "total_mass": self.pole_mass + self.cart_mass,
            "pole_mass_length": self.pole_mass * self.half_length,
        }

    def constants(self) -> npt.NDArray[np.float64]:
        """Return the constants of the equations.

        Returns:
            The fields of ``PhysicsConstants`` as rows, shape (9, 1) or (9, N), float64.
        """
        return constants_of_quantities(self.quantities())


def constants_of_quantities(quantities: Quantities) -> npt.NDArray[np.float64]:
    """Return the fields of ``PhysicsConstants`` as rows, shape (9, 1) or (9, N), float64."""
    rows = [np.atleast_1d(quantities[name]) for name in PhysicsConstants._fields]
    return np.ascontiguousarray(np.stack(np.broadcast_arrays(*rows)), dtype=np.float64)


@kernel()
def accelerations(
    sine: float, cosine: float, angular_velocity: float, force: float, constants: PhysicsConstants
) -> tuple[float, float]:
    """Return the accelerations of cart and pole under a force (Florian 2007, equations 23 and 24).

    Args:
        sine: Sine of the pole's angle from the vertical, float64.
        cosine: Its cosine, float64.
        angular_velocity: Rate of change of the angle in rad/s, float64.
        force: Force on the cart in N, positive to the right.
        constants: Physical constants.

    Returns:
        ``(acceleration, angular_acceleration)`` in m/s^2 and rad/s^2, float64.
    """
    thrust = (force + constants.pole_mass_length * (angular_velocity * angular_velocity) * sine) / constants.total_mass
    angular_acceleration = (constants.gravity * sine - cosine * thrust) / (
        constants.half_length * (4.0 / 3.0 - constants.pole_mass * (cosine * cosine) / constants.total_mass)
    )
    acceleration = thrust - constants.pole_mass_length * angular_acceleration * cosine / constants.total_mass
    return acceleration, angular_acceleration


@kernel()
def push(action: int, constants: PhysicsConstants) -> float:
    """Return the force on the cart in N: to the right (positive) for action 1, to the left for action 0."""
    return constants.force_magnitude if action == 1 else -constants.force_magnitude


@kernel()
def next_state(
    position: float,
    velocity: float,
    angle: float,
    angular_velocity: float,
    acceleration: float,
    angular_acceleration: float,
    semi_implicit: bool,
    tau: float,
) -> tuple[float, float, float, float]:
    """Return the state one time step later.

    Args:
        position: Position of the cart in m, float64.
        velocity: Velocity of the cart in m/s, float64.
        angle: Angle of the pole in rad, float64.
        angular_velocity: Angular velocity of the pole in rad/s, float64.
        acceleration: Acceleration of the cart in m/s^2, float64.
        angular_acceleration: Angular acceleration of the pole in rad/s^2, float64.
        semi_implicit: Whether positions move with the new velocities (semi-implicit Euler) or the old ones (Euler).
        tau: Length of the time step in s.

    Returns:
        ``(position, velocity, angle, angular_velocity)``, float64.
    """
    new_velocity = velocity + tau * acceleration
    new_angular_velocity = angular_velocity + tau * angular_acceleration
    return (
        position + tau * (new_velocity if semi_implicit else velocity),
        new_velocity,
        angle + tau * (new_angular_velocity if semi_implicit else angular_velocity),
        new_angular_velocity,
    )


@kernel()
def has_fallen(position: float, angle: float, constants: PhysicsConstants) -> bool:
    """Return whether pole or cart is beyond its threshold; a state exactly on a threshold is not."""
    return (
        position < -constants.position_threshold
        or position > constants.position_threshold
        or angle < -constants.angle_threshold
        or angle > constants.angle_threshold
    )


@kernel()
def constants_of(index: int, constants: npt.NDArray[np.float64]) -> PhysicsConstants:
    """Return column ``index`` of an array of constants, shape (9, N), float64, as a record of scalars."""
    return PhysicsConstants(
        constants[0, index],
        constants[1, index],
        constants[2, index],
        constants[3, index],
        constants[4, index],
        constants[5, index],
        constants[6, index],
        constants[7, index],
        constants[8, index],
    )


@kernel()
def exact_next_state(
    position: float,
    velocity: float,
    angle: float,
    angular_velocity: float,
    action: int,
    semi_implicit: bool,
    constants: PhysicsConstants,
) -> tuple[float, float, float, float]:
    """Return the state one time step after an action, with the C library's sine and cosine.

    Args:
        position: Position of the cart in m, float64.
        velocity: Velocity of the cart in m/s, float64.
        angle: Angle of the pole in rad, float64.
        angular_velocity: Angular velocity of the pole in rad/s, float64.
        action: 0 or 1.
        semi_implicit: Whether positions move with the new velocities.
        constants: Physical constants.

    Returns:
        ``(position, velocity, angle, angular_velocity)``, float64.
    """
    acceleration, angular_acceleration = accelerations(
        libm_sine(angle), libm_cosine(angle), angular_velocity, push(action, constants), constants
    )
    return next_state(
        position, velocity, angle, angular_velocity, acceleration, angular_acceleration, semi_implicit, constants.tau
    )


@kernel(brief=True)
def step_state(
    state: npt.NDArray[np.float64],
    action: int,
    semi_implicit: bool,
    constants: npt.NDArray[np.float64],
    observation: npt.NDArray[np.float32],
) -> bool:
    """Advance one environment by one time step, in place.

    Args:
        state: Position, velocity, angle and angular velocity, shape (4,), float64, changed in place.
        action: 0 or 1.
        semi_implicit: Whether positions move with the new velocities.
        constants: Physical constants, shape (9, 1), float64.
        observation: Overwritten with the new state, shape (4,), float32.

    Returns:
        Whether the pole has fallen or the cart has left the track.
    """
    scalars = constants_of(0, constants)
    state[0], state[1], state[2], state[3] = exact_next_state(
        state[0], state[1], state[2], state[3], action, semi_implicit, scalars
    )
    for row in range(4):
        observation[row] = np.float32(state[row])
    return has_fallen(state[0], state[2], scalars)
