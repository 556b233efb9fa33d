"""Checks that detect whether training has diverged."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..config import HIGHEST_LOG_STD, LOWEST_LOG_STD
from ..environments.heads import ActionHead
from ..errors import DivergenceError
from ..kernels.acting import LEAST_VARIANCE, PolicySnapshot
from .update import UpdateMetrics


def assert_losses_are_finite(update: UpdateMetrics, epoch: int) -> None:
    """Check the losses, KL divergence and entropy of an update.

    Args:
        update: Metrics of the update.
        epoch: Number of the epoch, for the message.

    Raises:
        DivergenceError: If one of them is infinite or NaN.
    """
    for name in ("policy_loss", "value_loss", "kl", "entropy"):
        value = getattr(update, name)
        if not math.isfinite(value):
            raise DivergenceError(f"The training has diverged: in epoch {epoch} {name} is {value}.")


def assert_actions_vary(
    policy: PolicySnapshot, head: ActionHead, observations: npt.NDArray[np.float32], epoch: int
) -> None:
    """Check that the standard deviations of continuous actions are in range, which finite losses do not guarantee.

    Args:
        policy: The policy.
        head: The action head, which defines the policy's outputs.
        observations: Observations at which to check a custom actor, shape (N, D), float32.
        epoch: Number of the epoch, for the message.

    Raises:
        DivergenceError: If a log standard deviation is too low or too high.
    """
    lowest, log_std = LOWEST_LOG_STD, policy.log_std
    if log_std is None:
        assert policy.outputs is not None
        log_std = policy.outputs(observations)[:, head.num_entries :]
    elif log_std.ndim == 2:
        # With state-dependent noise, the largest weight counts. Below this bound, the variance from all weights is less
        # than the floor that is added to it.
        lowest = 0.5 * math.log(LEAST_VARIANCE / len(log_std))
        log_std = log_std.max(axis=0)
    if not ((log_std >= lowest) & (log_std <= HIGHEST_LOG_STD)).all():
        worst = log_std.ravel()[np.argmax(np.abs(log_std))]
        raise DivergenceError(
            f"The training has diverged: in epoch {epoch} a logarithm of a standard deviation is {worst:g}, not "
            f"between {lowest:g} and {HIGHEST_LOG_STD:g}."
        )
