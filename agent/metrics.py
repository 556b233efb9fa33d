"""What a training run reports after each epoch. Imports the standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochMetrics:
    """The figures of one epoch; the field names are the columns of ``metrics.csv``.

    Attributes:
        epoch: Number of the epoch, from 1.
        env_steps: Environment steps taken since the run began.
        mean_return: Mean undiscounted return of the episodes: where every epoch starts new ones, of all episodes of
            this epoch, those it cut off included; else of the last 100 that ended. Not a number before the first ended.
        mean_length: Mean length of the same episodes in steps.
        kl: Estimated KL divergence between the policy that acted and the updated one, from the last minibatch.
        policy_loss: Negative clipped objective (Schulman et al. 2017, equation 7), likewise; the entropy bonus, which
            the actor's optimizer adds to it, is not part of it.
        entropy: Mean entropy of the updated policy in nats, likewise; ln 2 where both actions are equally probable.
        clip_fraction: Share of the transitions whose probability ratio is clipped, likewise.
        policy_iterations: Gradient steps the actor took.
        value_loss: Mean squared error of the critic, from the last minibatch before its last step.
        explained_variance: Share of the variance of the value targets that the critic's values explained before the
            update; 0 for a constant, 1 at best.
        steps_per_second: Environment steps of this epoch over its duration, rollout and update together.
        elapsed_s: Sum of the durations of all epochs so far in s. What is not compiled before the first epoch (see
            ``PPO.compile``) is compiled in it and counts.
    """

    epoch: int
    env_steps: int
    mean_return: float
    mean_length: float
    kl: float
    policy_loss: float
    entropy: float
    clip_fraction: float
    policy_iterations: int
    value_loss: float
    explained_variance: float
    steps_per_second: float
    elapsed_s: float
