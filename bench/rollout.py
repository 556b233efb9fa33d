"""Rollouts with the policy in the loop: ``python -m bench.rollout``."""

from __future__ import annotations

from collections.abc import Iterator

from bench.harness import SETTLING_S, Case, Entrant
from bench.tasks import Session, Task, tasks_of

_SIZES = (256,)
_NUM_STEPS = 128
# Entrants that need milliseconds per step play shorter rollouts.
_FEW_STEPS = 16
# One forward pass of the actor, whose kernels have the shapes (4, 64), (64, 64) and (64, 2).
MULTIPLY_ADDS = 4 * 64 + 64 * 64 + 64 * 2
_EXAMPLE_STEPS = 4000
_LARGE = 2048
# With fewer rows, the overhead of the NumPy call outweighs the product itself.
_MANY_ROWS = 256


def tasks(session: Session) -> list[Task]:
    """Return the tasks: rollouts of preset ``keras``, and of preset ``fast`` with each number of environments."""
    cases = [case_of_keras(), *(case_of_fast(size) for size in session.num_envs or _SIZES)]
    return tasks_of(cases, session)


def case_of_keras() -> Case:
    """Return the rollout of the Keras example: one environment, no time limit."""
    entrants = (
        _entrant("preset keras", "our_agent:OurPolicyRollouts", 1, _EXAMPLE_STEPS, None),
        _keras_steps(1, _EXAMPLE_STEPS // 20),
        Entrant("the Keras example's loop", "peer", "bench.workloads.keras_example:ExampleRollouts", (), "keras"),
        *sgemm_limits(MULTIPLY_ADDS),
    )
    return Case("rollout", "policy in the loop, as preset keras", 1, "steps", entrants, settling_s=SETTLING_S)


def case_of_fast(num_envs: int) -> Case:
    """Return rollouts of 128 steps with the (64, 64) actor; the limits are the time its multiply-adds alone would take.

    Args:
        num_envs: Number of environments.
    """
    jax = Entrant(
        "JAX, gymnax, one lax.scan",
        "peer",
        "bench.workloads.jax_ppo:JaxRollouts",
        (num_envs, _NUM_STEPS),
        "jax",
        ("jax", "gymnax", "optax"),
    )
    sb3 = Entrant(
        "SB3's collector",
        "peer",
        "bench.workloads.sb3:Sb3Rollouts",
        (num_envs, _FEW_STEPS),
        "sb3",
        ("stable_baselines3",),
    )
    entrants = (
        _entrant("fastppo", "our_agent:OurPolicyRollouts", num_envs, _NUM_STEPS),
        _keras_steps(num_envs, _FEW_STEPS),
        jax,
        sb3,
        *sgemm_limits(MULTIPLY_ADDS, rows=num_envs),
    )
    return Case("rollout", "policy in the loop", num_envs, "steps", entrants, settling_s=SETTLING_S)


def sgemm_limits(multiply_adds_per_unit: float, rows: int = 0) -> Iterator[Entrant]:
    """Yield the machine's SGEMM peak for large matrices, and for the hidden layer's shape if it has many rows.

    Args:
        multiply_adds_per_unit: Multiply-adds per unit of the case's work.
        rows: Number of observations that the layer is applied to at once; 0 if this differs between the entrants.
    """
    shapes = [(rows, 64, 64)] if rows >= _MANY_ROWS else []
    for shape in (*shapes, (_LARGE, _LARGE, _LARGE)):
        name = f"SGEMM {' x '.join(map(str, shape))}, all cores"
        arguments = (*shape, multiply_adds_per_unit)
        yield Entrant(name, "limit", "bench.workloads.limits:MatrixProducts", arguments, "limits")


def _entrant(name: str, factory: str, *arguments: int | None) -> Entrant:
    return Entrant(name, "ours", f"bench.workloads.{factory}", arguments, "agent")


def _keras_steps(num_envs: int, num_steps: int) -> Entrant:
    name = "Keras, one tf.function a step, Gymnasium"
    return Entrant(name, "peer", "bench.workloads.keras_steps:KerasStepRollouts", (num_envs, num_steps), "keras")


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("rollout")
