"""The attributes that Gymnasium's CartPole classes have, on ours: what is set takes effect with the next step."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcartpole.physics import MAY_BE_ANY_SIGN, CartPoleParameters, Parameter, Quantities, constants_of_quantities
from fastcartpole.validation import checked_parameter

# How alike a new attribute's name and a known one are where one may have been meant for the other.
_ALIKE = 0.85


class Quantity:
    """A physical quantity under Gymnasium's name, readable and writable.

    As on Gymnasium's classes, each is a number of its own: setting ``masspole`` changes neither ``total_mass`` nor
    ``polemass_length``. ``parameters`` sets all of them, consistently.
    """

    def __init__(self, name: str) -> None:
        """Stand for a quantity.

        Args:
            name: What ``fastcartpole.physics.Quantities`` calls it.
        """
        self._quantity = name

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    def __get__(self, environment: Physical | None, owner: type[Any]) -> Any:
        return self if environment is None else environment._quantities[self._quantity]

    def __set__(self, environment: Physical, value: npt.ArrayLike) -> None:
        """Set it.

        Raises:
            TypeError: If the value is neither a number nor, for a batch, a sequence of numbers.
            ValueError: If it is not finite, not greater than 0 where it must be, or has not one entry for each
                environment.
        """
        checked = checked_parameter(self._name, value, positive=self._quantity not in MAY_BE_ANY_SIGN)
        environment._assert_fits(self._name, checked)
        environment._set_quantities({**environment._quantities, self._quantity: checked})


class Physical:
    """What a single environment and a batch have in common: their physics, by Gymnasium's names.

    Attributes:
        gravity: In m/s^2.
        masscart: In kg. Only through ``parameters`` does it change ``total_mass``.
        masspole: In kg. Only through ``parameters`` does it change ``total_mass`` and ``polemass_length``.
        total_mass: In kg.
        length: Half the length of the pole, in m. Only through ``parameters`` does it change ``polemass_length``.
        polemass_length: In kg m.
        force_mag: In N.
        tau: In s.
        x_threshold: In m; the observation space stays as it was made.
        theta_threshold_radians: In rad, likewise.
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
        """Check that a quantity has as many entries as the environment can use.

        Raises:
            ValueError: If it has not.
        """
        raise NotImplementedError

    def _checked_quantities(self, quantities: object) -> Quantities:
        """Return quantities that can take the place of this environment's.

        Raises:
            ValueError: If one is missing, unknown, no number, or out of its range.
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
        """The physical parameters; those that are set make all quantities consistent.

        What has been set under Gymnasium's names is part of them, but for ``total_mass`` and ``polemass_length``, which
        follow from the others here.
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
        self._look_anew()

    def _look_anew(self) -> None:
        """Forget what was made ready for the next step: an attribute has been set, whichever it is."""


def _warn_of_near_miss(name: str, known: Collection[str]) -> None:
    """Warn of a new attribute whose name is nearly that of a known one: nothing would come of it."""
    if alike := difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
        warnings.warn(
            f"The environment has no attribute {name!r}, and setting it changes nothing; did you mean {alike[0]!r}?",
            UserWarning,
            stacklevel=3,
        )
