"""Sines and cosines in the physics equal NumPy's to the last bit; all other comparisons depend on this."""

import warnings

import numpy as np
import pytest

from fastcartpole import CartPoleEnv, CartPoleVectorEnv, trigonometry
from fastcartpole.approximate import fast_sines_and_cosines
from fastcartpole.kernels import kernel
from fastcartpole.random_streams import hashed_double
from fastcartpole.trigonometry import (
    BLOCK,
    LIBM,
    ROUNDING_TEST,
    exact_method,
    libm_cosine,
    libm_sine,
    sines_and_cosines,
    warn_where_numpy_differs,
)

# The size of a unit in the last place changes at powers of two.
POWERS_OF_TWO = [np.arcsin(2.0**-k) + j * np.spacing(2.0**-k) for k in range(2, 30) for j in range(-8, 9)]
SPECIAL = [0.0, -0.0, 5e-324, -1e-300, 1e-8, 2.0**-26, 0.25, -0.25, np.nextafter(0.25, 1.0), np.pi / 2, 1e22]


@kernel()
def one_by_one(angles, sines, cosines):
    for i in range(angles.size):
        sines[i] = libm_sine(angles[i])
        cosines[i] = libm_cosine(angles[i])


def in_blocks(method):
    def compute(angles, sines, cosines):
        doubts, indices = np.empty((2, BLOCK)), np.empty(BLOCK + 1, dtype=np.int64)
        for start in range(0, angles.size, BLOCK):
            block = slice(start, min(start + BLOCK, angles.size))
            sines_and_cosines(angles[block], method, sines[block], cosines[block], doubts, indices)

    return compute


def angles_up_to(limit, count=300_000):
    generator = np.random.default_rng(0)
    uniform = generator.uniform(-limit, limit, count)
    small = limit * generator.choice([-1.0, 1.0], count // 10) * 10.0 ** generator.uniform(-12.0, 0.0, count // 10)
    return np.concatenate([uniform, small, SPECIAL, POWERS_OF_TWO])


@pytest.mark.parametrize("limit", [0.05, 0.25, 4.0, 1e6])
@pytest.mark.parametrize("compute", [one_by_one, in_blocks(LIBM), in_blocks(exact_method())])
def test_exact_sines_and_cosines_have_the_bits_of_numpys_scalars(compute, limit):
    angles = angles_up_to(limit)
    expected_sines = np.array([np.sin(angle) for angle in angles])
    expected_cosines = np.array([np.cos(angle) for angle in angles])
    actual_sines, actual_cosines = np.empty_like(angles), np.empty_like(angles)

    compute(angles, actual_sines, actual_cosines)

    differing = np.sum(actual_sines.view(np.int64) != expected_sines.view(np.int64))
    differing += np.sum(actual_cosines.view(np.int64) != expected_cosines.view(np.int64))
    assert differing == 0, (
        f"On this machine the kernels' sine or cosine and NumPy's differ in {differing} of {2 * angles.size} values. "
        "If the one-by-one test fails too, NumPy does not call the C library here, and parity with Gymnasium to the "
        "last bit cannot hold; if only the block tests fail, the C library is less accurate than it says."
    )


@kernel()
def differences(count, seed, limit):
    """Return in how many of ``count`` blocks of random angles a value differs from the C library's."""
    angles, doubts, indices = np.empty(BLOCK), np.empty((2, BLOCK)), np.empty(BLOCK + 1, dtype=np.int64)
    sines, cosines = np.empty(BLOCK), np.empty(BLOCK)
    differing = 0
    for block in range(count):
        for j in range(BLOCK):
            angles[j] = limit * (2.0 * hashed_double(seed, block * BLOCK + j) - 1.0)
        sines_and_cosines(angles, ROUNDING_TEST, sines, cosines, doubts, indices)
        for j in range(BLOCK):
            differing += sines[j] != libm_sine(angles[j]) or cosines[j] != libm_cosine(angles[j])
    return differing


@pytest.mark.slow
@pytest.mark.skipif(exact_method() != ROUNDING_TEST, reason="the rounding test is for glibc")
@pytest.mark.parametrize("limit", [0.01, 0.25])
def test_the_rounding_test_agrees_with_the_c_library_for_200_million_angles(limit, figure):
    differing = differences(200_000_000 // BLOCK, np.uint64(7), limit)
    figure(f"sines and cosines of 200,000,000 angles up to {limit}: {differing} differ from the C library's")
    assert differing == 0


def test_glibc_is_recognized():
    import platform

    assert exact_method() == (ROUNDING_TEST if platform.libc_ver()[0] == "glibc" else LIBM)


@pytest.mark.parametrize("limit", [0.05, 0.25, 4.0])
def test_fast_sines_and_cosines_are_within_1_unit_in_the_last_place(limit):
    angles = angles_up_to(limit)
    sines, cosines = np.empty_like(angles), np.empty_like(angles)
    fast_sines_and_cosines(angles, sines, cosines)
    assert np.max(np.abs(sines - np.sin(angles)) / np.spacing(np.abs(np.sin(angles)))) <= 1.0
    assert np.max(np.abs(cosines - np.cos(angles)) / np.spacing(np.abs(np.cos(angles)))) <= 1.0


def test_no_warning_is_given_where_numpys_sines_are_the_c_librarys():
    warn_where_numpy_differs.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CartPoleEnv()
        CartPoleVectorEnv(2, precision="fast")


def test_where_numpys_sines_are_others_exact_environments_say_so_once(monkeypatch):
    sine = np.sin
    monkeypatch.setattr(trigonometry.np, "sin", lambda angle: np.nextafter(sine(angle), 2.0))
    warn_where_numpy_differs.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CartPoleVectorEnv(2, precision="fast")
    with pytest.warns(RuntimeWarning, match="NumPy's sines are not the C library's on this machine"):
        CartPoleVectorEnv(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CartPoleEnv()
    warn_where_numpy_differs.cache_clear()


def test_where_the_compiled_sines_are_another_librarys_exact_environments_say_so(monkeypatch):
    monkeypatch.setattr(trigonometry, "exact_method", lambda: LIBM)
    warn_where_numpy_differs.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_where_numpy_differs()
    monkeypatch.setattr(trigonometry, "_called_cosine", lambda angle: np.nextafter(np.cos(angle), 2.0))
    warn_where_numpy_differs.cache_clear()
    with pytest.warns(RuntimeWarning, match="NumPy's sines are not the C library's on this machine"):
        warn_where_numpy_differs()
    warn_where_numpy_differs.cache_clear()
