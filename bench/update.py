"""Updates of the networks: ``python -m bench.update``."""

from __future__ import annotations

from bench.harness import SETTLING_S, Case, Entrant
from bench.rollout import MULTIPLY_ADDS, sgemm_limits
from bench.tasks import Session, Task, tasks_of

_TRANSITIONS = 4000
_ITERATIONS = 80
# Two networks; each matrix product of the forward pass needs two more, for the gradients of its kernel and its inputs.
_MULTIPLY_ADDS_OF_AN_UPDATE = 2 * _ITERATIONS * _TRANSITIONS * 3 * MULTIPLY_ADDS


def tasks(session: Session) -> list[Task]:
    """Return the task: 80 policy and 80 value iterations on the same 4,000 transitions."""
    entrants = (
        Entrant("preset keras", "ours", "bench.workloads.our_agent:OurUpdate", (), "agent"),
        Entrant("the Keras example's loop", "peer", "bench.workloads.keras_example:ExampleUpdate", (), "keras"),
        *sgemm_limits(_MULTIPLY_ADDS_OF_AN_UPDATE, rows=_TRANSITIONS),
    )
    # Rounding errors grow over the 160 steps of Adam.
    case = Case("update", "update, preset keras", 1, "updates", entrants, SETTLING_S, tolerance=1e-3)
    return tasks_of([case], session)


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("update")
