"""The random streams equal NumPy's generators."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastcartpole.random_streams import next_double, next_uint64, next_uniform, seed_streams_from_integers

seeds = st.integers(0, 2**32) | st.integers(0, 2**64 + 2**33) | st.integers(0, 2**200)


def seeded(integers):
    streams = np.zeros((4, len(integers)), dtype=np.uint64)
    seed_streams_from_integers(integers, np.arange(len(integers)), streams)
    return streams


@given(st.lists(seeds, min_size=1, max_size=5))
def test_a_stream_yields_the_bits_of_numpys_pcg64(integers):
    streams = seeded(integers)
    for index, seed in enumerate(integers):
        expected = np.random.PCG64(seed).random_raw(20).tolist()
        assert [int(next_uint64(streams, index)) for _ in range(20)] == expected


@given(seeds)
def test_doubles_are_those_of_numpys_generator(seed):
    streams = seeded([seed])
    expected = np.random.default_rng(seed).random(20).tolist()
    assert [next_double(streams, 0) for _ in range(20)] == expected


@given(seeds, st.floats(-10, 10), st.floats(0, 10))
def test_uniform_numbers_are_rounded_as_numpy_rounds_them(seed, low, width):
    streams = seeded([seed])
    expected = np.random.default_rng(seed).uniform(low, low + width, 20).tolist()
    assert [next_uniform(streams, 0, low, low + width) for _ in range(20)] == expected


def test_only_the_chosen_streams_are_seeded():
    streams = seeded([1, 2, 3])
    before = streams.copy()
    seed_streams_from_integers([7], np.array([1]), streams)
    assert np.array_equal(streams[:, [0, 2]], before[:, [0, 2]])
    assert np.array_equal(streams[:, 1], seeded([7])[:, 0])
