"""How actions are drawn from a policy."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel


@kernel()
def sample_action(logit_0: float, logit_1: float, uniform: float) -> tuple[int, float]:
    """Draw an action from the categorical policy of two logits.

    Args:
        logit_0: Logit of action 0.
        logit_1: Logit of action 1.
        uniform: A float64 drawn uniformly from [0, 1).

    Returns:
        ``(action, log_prob)``: 0 or 1, and the natural logarithm of its probability, float64.
    """
    margin = np.float64(logit_0) - np.float64(logit_1)
    probability_0 = 1.0 / (1.0 + math.exp(-margin))
    action = 0 if uniform < probability_0 else 1
    # log sigmoid(m) = min(m, 0) - log1p(exp(-|m|)) neither overflows nor loses the small probabilities.
    chosen_margin = margin if action == 0 else -margin
    return action, min(chosen_margin, 0.0) - math.log1p(math.exp(-abs(chosen_margin)))


@kernel()
def sample_actions(logits: npt.NDArray[np.float32], uniforms: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Draw an action for each row of logits, as :func:`sample_action` does.

    Args:
        logits: Shape (B, 2), float32.
        uniforms: Drawn uniformly from [0, 1), shape (B,), float64.

    Returns:
        The actions, shape (B,), int64.
    """
    actions = np.empty(len(logits), dtype=np.int64)
    for i in range(len(logits)):
        actions[i] = sample_action(logits[i, 0], logits[i, 1], uniforms[i])[0]
    return actions
