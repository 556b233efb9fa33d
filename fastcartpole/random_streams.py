"""NumPy's PCG64 generator and its seeding, for many independent streams at once.

Stream ``i`` of a ``(4, N)`` uint64 array yields what ``numpy.random.Generator(numpy.random.PCG64(seed_i))`` yields. The
rows are the high and low halves of the 128-bit state and of the 128-bit increment (M. E. O'Neill, "PCG: A Family of
Simple Fast Space-Efficient Statistically Good Algorithms for Random Number Generation", 2014; output function XSL-RR).
Seeds are spread by NumPy's ``SeedSequence`` hash, after M. E. O'Neill's ``seed_seq_fe``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.extending import intrinsic

from fastcartpole.kernels import kernel

Streams = npt.NDArray[np.uint64]

_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF_BITS = np.uint64(32)
_PCG_MULTIPLIER_HIGH = np.uint64(0x2360ED051FC65DA4)
_PCG_MULTIPLIER_LOW = np.uint64(0x4385DF649FCCF645)
_TO_UNIT_INTERVAL = 1.0 / 9007199254740992.0
_SPLITMIX_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_SPLITMIX_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_SPLITMIX_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)

# SeedSequence works in 32-bit arithmetic; here each word is stored in the low half of a uint64.
_POOL_SIZE = 4
_XSHIFT = np.uint64(16)
_INIT_A = np.uint64(0x43B0D7E5)
_MULT_A = np.uint64(0x931E8875)
_INIT_B = np.uint64(0x8B51F9DD)
_MULT_B = np.uint64(0x58F38DED)
_MIX_MULT_LEFT = np.uint64(0xCA01F9DD)
_MIX_MULT_RIGHT = np.uint64(0x4973F715)


@intrinsic  # type: ignore[untyped-decorator]
def _multiply_high(_typing_context: Any, a: Any, b: Any) -> Any:
    """Return the high 64 bits of the 128-bit product of two uint64: one instruction that Numba cannot express."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    if (a, b) != (numba.types.uint64, numba.types.uint64):
        return None
    return numba.types.uint64(numba.types.uint64, numba.types.uint64), generate


@kernel()
def _advance(streams: Streams, index: int) -> None:
    """Advance one stream in place: state = state * multiplier + increment, modulo 2**128."""
    high, low = streams[0, index], streams[1, index]
    increment_high, increment_low = streams[2, index], streams[3, index]
    product_high = _multiply_high(low, _PCG_MULTIPLIER_LOW) + high * _PCG_MULTIPLIER_LOW + low * _PCG_MULTIPLIER_HIGH
    new_low = low * _PCG_MULTIPLIER_LOW + increment_low
    carry = np.uint64(1) if new_low < increment_low else np.uint64(0)
    streams[0, index] = product_high + increment_high + carry
    streams[1, index] = new_low


@kernel()
def next_uint64(streams: Streams, index: int) -> np.uint64:
    """Draw 64 random bits from one stream, advancing it in place.

    Args:
        streams: Generator states, shape (4, N), uint64.
        index: Index of the stream.

    Returns:
        The same number as ``PCG64.random_raw``.
    """
    _advance(streams, index)
    high, low = streams[0, index], streams[1, index]
    rotation = high >> np.uint64(58)
    folded = high ^ low
    return np.uint64((folded >> rotation) | (folded << ((np.uint64(64) - rotation) & np.uint64(63))))


@kernel()
def next_double(streams: Streams, index: int) -> float:
    """Draw a float64 uniformly from [0, 1), a multiple of 2**-53, advancing one stream of ``streams`` in place."""
    return (next_uint64(streams, index) >> np.uint64(11)) * _TO_UNIT_INTERVAL


@kernel()
def next_uniform(streams: Streams, index: int, low: float, high: float) -> float:
    """Draw a float64 uniformly from [low, high), rounded like ``numpy.random.Generator.uniform``."""
    return low + (high - low) * next_double(streams, index)


@kernel()
def hashed_uint64(key: np.uint64, counter: int) -> np.uint64:
    """Return 64 random bits that depend only on a key and a counter.

    They are output number ``counter`` of SplitMix64 with seed ``key`` (G. L. Steele, D. Lea and C. H. Flood, "Fast
    Splittable Pseudorandom Number Generators", 2014): random numbers without a state, for any thread in any order.
    """
    z = key + _SPLITMIX_INCREMENT * np.uint64(counter + 1)
    z = (z ^ (z >> np.uint64(30))) * _SPLITMIX_MULTIPLIER_1
    z = (z ^ (z >> np.uint64(27))) * _SPLITMIX_MULTIPLIER_2
    return np.uint64(z ^ (z >> np.uint64(31)))


@kernel()
def hashed_double(key: np.uint64, counter: int) -> float:
    """Return a float64 uniform in [0, 1), a multiple of 2**-53, that depends only on a key and a counter."""
    return (hashed_uint64(key, counter) >> np.uint64(11)) * _TO_UNIT_INTERVAL


@kernel()
def _hash_mix(value: np.uint64, hash_constant: np.uint64, multiplier: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the hashed 32-bit word and the next hash constant."""
    value = value ^ hash_constant
    hash_constant = (hash_constant * multiplier) & _LOW_HALF
    value = (value * hash_constant) & _LOW_HALF
    return value ^ (value >> _XSHIFT), hash_constant


@kernel()
def _mix(x: np.uint64, y: np.uint64) -> np.uint64:
    """Return two 32-bit words mixed into one."""
    mixed = (_MIX_MULT_LEFT * x - _MIX_MULT_RIGHT * y) & _LOW_HALF
    return mixed ^ (mixed >> _XSHIFT)


@kernel()
def _fill_pool(seed: np.uint64, pool: npt.NDArray[np.uint64]) -> None:
    """Fill the entropy pool, shape (4,), from a seed below 2**64, as ``SeedSequence(seed)`` does."""
    hash_constant = _INIT_A
    for i in range(_POOL_SIZE):
        word = np.uint64(0)
        if i == 0:
            word = seed & _LOW_HALF
        elif i == 1:
            word = seed >> _HALF_BITS
        pool[i], hash_constant = _hash_mix(word, hash_constant, _MULT_A)
    for source in range(_POOL_SIZE):
        for target in range(_POOL_SIZE):
            if source != target:
                word, hash_constant = _hash_mix(pool[source], hash_constant, _MULT_A)
                pool[target] = _mix(pool[target], word)


@kernel()
def _seed_stream(seed: np.uint64, streams: Streams, index: int, pool: npt.NDArray[np.uint64]) -> None:
    """Seed one stream as ``PCG64(SeedSequence(seed))``; ``pool`` is scratch space, shape (4,), uint64."""
    _fill_pool(seed, pool)
    hash_constant = _INIT_B
    for row in range(4):
        low, hash_constant = _hash_mix(pool[(2 * row) % _POOL_SIZE], hash_constant, _MULT_B)
        high, hash_constant = _hash_mix(pool[(2 * row + 1) % _POOL_SIZE], hash_constant, _MULT_B)
        streams[row, index] = low | (high << _HALF_BITS)
    initial_high, initial_low = streams[0, index], streams[1, index]
    # The increment must be odd: twice the drawn sequence number plus one.
    streams[2, index] = (streams[2, index] << np.uint64(1)) | (streams[3, index] >> np.uint64(63))
    streams[3, index] = (streams[3, index] << np.uint64(1)) | np.uint64(1)
    streams[0, index] = np.uint64(0)
    streams[1, index] = np.uint64(0)
    _advance(streams, index)
    low = streams[1, index] + initial_low
    carry = np.uint64(1) if low < initial_low else np.uint64(0)
    streams[0, index] = streams[0, index] + initial_high + carry
    streams[1, index] = low
    _advance(streams, index)


@kernel()
def seed_streams(seeds: npt.NDArray[np.uint64], indices: npt.NDArray[np.int64], streams: Streams) -> None:
    """Seed selected streams in place.

    Args:
        seeds: Seeds, shape (K,), uint64.
        indices: Index of the stream for each seed, shape (K,), int64.
        streams: Generator states, shape (4, N), uint64, changed in place.
    """
    pool = np.empty(_POOL_SIZE, dtype=np.uint64)
    for k in range(seeds.size):
        _seed_stream(seeds[k], streams, indices[k], pool)


@kernel()
def _seed_consecutively(first_seed: int, indices: npt.NDArray[np.int64], streams: Streams) -> None:
    """Seed the streams ``indices``, shape (K,), with ``first_seed``, ``first_seed + 1``, ..."""
    pool = np.empty(_POOL_SIZE, dtype=np.uint64)
    for k in range(indices.size):
        _seed_stream(np.uint64(first_seed + k), streams, indices[k], pool)


def seed_streams_from_integers(seeds: Sequence[int], indices: npt.NDArray[np.int64], streams: Streams) -> None:
    """Seed selected streams in place from Python integers of any size.

    Args:
        seeds: K non-negative integers; a range with step 1 is fastest.
        indices: Index of the stream for each seed, shape (K,), int64.
        streams: Generator states, shape (4, N), uint64, changed in place.
    """
    if isinstance(seeds, range) and seeds.stop < 2**63 and seeds.step == 1:
        _seed_consecutively(seeds.start, indices, streams)
        return
    if max(seeds) < 2**64:
        seed_streams(np.array(seeds, dtype=np.uint64), indices, streams)
        return
    for seed, index in zip(seeds, indices, strict=True):
        streams[:, index] = _numpy_stream(seed)


def _numpy_stream(seed: int) -> Streams:
    """Return the rows, shape (4,), of a stream seeded by NumPy itself."""
    state = np.random.PCG64(seed).state["state"]
    return np.array(
        [half for number in (state["state"], state["inc"]) for half in (number >> 64, number % 2**64)],
        dtype=np.uint64,
    )


def new_generator(streams: Streams, index: int) -> np.random.Generator:
    """Return a NumPy generator that continues a stream."""
    generator = np.random.Generator(np.random.PCG64())
    give_state(streams, index, generator)
    return generator


def give_state(streams: Streams, index: int, generator: np.random.Generator) -> None:
    """Set a NumPy generator with PCG64 to the state of a stream."""
    halves = [int(half) for half in streams[:, index]]
    content: Any = generator.bit_generator.state
    content["state"] = {"state": halves[0] << 64 | halves[1], "inc": halves[2] << 64 | halves[3]}
    generator.bit_generator.state = content


def take_state(generator: np.random.Generator, streams: Streams, index: int) -> None:
    """Set a stream to the state of a NumPy generator with PCG64."""
    content: Any = generator.bit_generator.state
    numbers = content["state"]
    low = (1 << 64) - 1
    for row, number in ((0, numbers["state"]), (2, numbers["inc"])):
        streams[row, index], streams[row + 1, index] = number >> 64, number & low
