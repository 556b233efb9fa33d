"""The metrics of a training run. Imports only the standard library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one epoch; the field names are the columns of ``metrics.csv``.

    Attributes:
        epoch: Number of the epoch, from 1.
        env_steps: Environment steps since the run began.
        mean_return: Mean undiscounted return of the last 100 episodes that ended, NaN before the first one ended. With
            ``reset_each_epoch``, of all episodes of this epoch, including those it cut off.
        mean_length: Mean length of the same episodes in steps.
        kl: Estimated KL divergence between the policy that collected the rollout and the updated policy, on the last
            minibatch.
        policy_loss: Negative clipped objective (Schulman et al. 2017, equation 7) of the updated policy, on the last
            minibatch, without the entropy bonus.
        entropy: Mean entropy of the updated policy in nats, on the last minibatch; ln 2 if two actions are equally
            probable.
        clip_fraction: Fraction of the transitions of the last minibatch whose probability ratio is clipped.
        policy_iterations: Gradient steps of the actor.
        value_loss: Mean squared error of the critic on its last minibatch, before its last gradient step.
        explained_variance: Fraction of the variance of the value targets explained by the critic before the update: 1
            at best, 0 for a constant.
        steps_per_second: Environment steps of this epoch divided by its duration, rollout and update together.
        elapsed_s: Total duration of all epochs so far in seconds. Includes compilation, unless ``PPO.compile`` was
            called before.
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
