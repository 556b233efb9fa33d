"""The ground everything else stands on: Numba's sine and cosine are NumPy's, to the last bit."""

import math

import numpy as np
import pytest

from fastcartpole.kernels import kernel


@kernel()
def _sines_and_cosines(angles, sines, cosines):
    for i in range(angles.size):
        sines[i] = math.sin(angles[i])
        cosines[i] = math.cos(angles[i])


@pytest.mark.parametrize("limit", [0.25, 4.0, 1e6])
def test_sine_and_cosine_have_the_bits_of_numpys_scalars(limit):
    angles = np.random.default_rng(0).uniform(-limit, limit, 100_000)
    expected_sines = np.array([np.sin(angle) for angle in angles])
    expected_cosines = np.array([np.cos(angle) for angle in angles])
    actual_sines, actual_cosines = np.empty_like(angles), np.empty_like(angles)

    _sines_and_cosines(angles, actual_sines, actual_cosines)

    differing = np.sum(actual_sines != expected_sines) + np.sum(actual_cosines != expected_cosines)
    assert differing == 0, (
        f"On this machine NumPy's sine or cosine and the C library's, which the kernels call, differ in {differing} of "
        f"{2 * angles.size} values: parity with Gymnasium to the bit cannot hold here."
    )
