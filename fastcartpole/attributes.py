"""The attributes of Gymnasium's CartPole classes; values that are set take effect with the next step."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcartpole.physics import MAY_BE_ANY_SIGN, CartPoleParameters, Parameter, Quantities, constants_of_quantities
from fastcartpole.validation import checked_parameter

# Similarity above which a new attribute's name may be a misspelling of a known one.
_ALIKE = 0.85


class Quantity:
    """A physical quantity, readable and writable under Gymnasium's name.

    As in Gymnasium's classes, quantities are independent: setting ``masspole`` changes neither ``total_mass`` nor
    ``polemass_length``. Setting ``parameters`` sets all of them consistently.
    """

    def __init__(self, name: str) -> None:
        """Create the descriptor of a quantity.

        Args:
            name: Name of the quantity in ``fastcartpole.physics.Quantities``.
        """
        self._quantity = name

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    def __get__(self, environment: Physical | None, owner: type[Any]) -> Any:
        return self if environment is None else environment._quantities[self._quantity]

    def __set__(self, environment: Physical, value: npt.ArrayLike) -> None:
        """Set the quantity.

        Raises:
            TypeError: If the value is neither a number nor, for a batch, a sequence of numbers.
            ValueError: If the value is not finite, is not greater than 0 although it must be, or does not have one
                entry for each environment.
        """
        checked = checked_parameter(self._name, value, positive=self._quantity not in MAY_BE_ANY_SIGN)
        environment._assert_fits(self._name, checked)
        environment._set_quantities({**environment._quantities, self._quantity: checked})


class Physical:
    """Mixin for environments and batches: their physics, under Gymnasium's names.

    Attributes:
        gravity: Acceleration of gravity in m/s^2.
        masscart: Mass of the cart in kg. Setting it does not change ``total_mass``; setting ``parameters`` does.
        masspole: Mass of the pole in kg. Setting it changes neither ``total_mass`` nor ``polemass_length``; setting
            ``parameters`` does.
        total_mass: Mass of cart and pole in kg.
        length: Half the length of the pole in m. Setting it does not change ``polemass_length``; setting
            ``parameters`` does.
        polemass_length: Mass of the pole times half its length in kg m.
        force_mag: Force of a push in N.
        tau: Time step in s.
        x_threshold: Largest distance of the cart from the centre in m. Setting it does not change the observation
            space.
        theta_threshold_radians: Largest angle of the pole in rad. Setting it does not change the observation space.
    """

    gravity = Quantity("gravity")
    masscart = Quantity("cart_mass")
    masspole = Quantity("pole_mass")
    total_mass = Quantity("total_mass")
    length = Quantity("half_length")
    polemass_length = Quantity("pole_mass_length")
    force_mag = Quantity("force_magnitude")
    tau = Quantity("tau")
    x_threshold = Quantity("position_threshold")
    theta_threshold_radians = Quantity("angle_threshold")

    _quantities: Quantities
    _constants: npt.NDArray[np.float64]
    _is_made: bool

    def _assert_fits(self, name: str, value: Parameter) -> None:
        """Check that a quantity has the number of entries that the environment needs.

        Raises:
            ValueError: If it does not.
        """
        raise NotImplementedError

    def _checked_quantities(self, quantities: object) -> Quantities:
        """Return quantities that can replace those of this environment, after checking them.

        Raises:
            ValueError: If a quantity is missing, unknown, not a number, or out of range.
        """
        if not isinstance(quantities, dict) or quantities.keys() != self._quantities.keys():
            raise ValueError(f"state['quantities'] must hold {', '.join(self._quantities)}.")
        checked: Quantities = {}
        for name, value in quantities.items():
            try:
                checked[name] = checked_parameter(name, value, positive=name not in MAY_BE_ANY_SIGN)
            except TypeError as error:
                raise ValueError(str(error)) from None
            self._assert_fits(name, checked[name])
        return checked

    def _set_quantities(self, quantities: Quantities) -> None:
        self._quantities = quantities
        # A new array: a kernel that runs in another thread keeps the old one.
        self._constants = constants_of_quantities(quantities)

    @property
    def parameters(self) -> CartPoleParameters:
        """The physical parameters; setting them makes all quantities consistent.

        They include values set under Gymnasium's names, except ``total_mass`` and ``polemass_length``, which are
        derived from the other parameters.
        """
        names = CartPoleParameters.__dataclass_fields__
        return CartPoleParameters(**{name: self._quantities[name] for name in names})

    @parameters.setter
    def parameters(self, value: CartPoleParameters) -> None:
        if not isinstance(value, CartPoleParameters):
            raise TypeError(f"parameters must be CartPoleParameters, got {value!r}.")
        for name, quantity in value.quantities().items():
            self._assert_fits(name, quantity)
        self._set_quantities(value.quantities())

    def __setattr__(self, name: str, value: Any) -> None:
        known = self.__dict__
        if "_is_made" in known and name not in known and not name.startswith("_") and not hasattr(type(self), name):
            _warn_of_near_miss(name, [other for other in dir(self) if not other.startswith("_")])
        super().__setattr__(name, value)
        self._discard_preparation()

    def _discard_preparation(self) -> None:
        """Discard what was prepared for the next step, because an attribute has been set."""


def _warn_of_near_miss(name: str, known: Collection[str]) -> None:
    """Warn if the name of a new attribute resembles a known one: setting it would have no effect."""
    if alike := difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
        warnings.warn(
            f"The environment has no attribute {name!r}, and setting it changes nothing; did you mean {alike[0]!r}?",
            UserWarning,
            stacklevel=3,
        )
