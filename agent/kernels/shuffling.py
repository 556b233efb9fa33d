"""The order in which an update visits transitions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel
from fastcartpole.random_streams import hashed_double


@kernel()
def shuffled_passes(key: np.uint64, size: int, orders: npt.NDArray[np.int32]) -> None:
    """Write independent random orders of the same transitions.

    Each is a partial shuffle (Fisher and Yates, as in Knuth, "The Art of Computer Programming", volume 2,
    section 3.4.2, algorithm P, from the front).

    Args:
        key: Seed of the orders.
        size: Number of transitions.
        orders: Overwritten with K distinct numbers from 0 to ``size - 1`` for each of P passes, shape (P, K), int32; K
            is at most ``size``.
    """
    num_passes, num_taken = orders.shape
    everything = np.empty(size, dtype=np.int32)
    for one_pass in range(num_passes):
        for i in range(size):
            everything[i] = i
        for i in range(num_taken):
            other = i + int(hashed_double(key, one_pass * num_taken + i) * (size - i))
            everything[i], everything[other] = everything[other], everything[i]
            orders[one_pass, i] = everything[i]
