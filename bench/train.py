"""Training, rollouts and updates together: ``python -m bench.train``."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config import PPOConfig
from agent.presets import PRESETS
from bench.harness import SETTLING_S, Case, Entrant
from bench.rollout import MULTIPLY_ADDS, sgemm_limits
from bench.tasks import Session, Task, tasks_of

_SIZES = (256,)
_JAX = ("jax", "gymnax", "optax")
# More than any number of rounds takes: the learning rate never reaches 0.
_MANY_EPOCHS = 100_000
# Long against the signals with which two processes begin together.
_EPOCHS_AT_ONCE = 8


def tasks(session: Session) -> list[Task]:
    """Return what to measure: epochs of preset ``keras``, PureJaxRL's setting, everybody's own, and how ours share."""
    cases = [
        case_of_keras(),
        *(case_of_purejaxrl(size) for size in session.num_envs or _SIZES),
        case_of_own_settings(),
        case_of_two_at_once(),
        case_of_small_rollouts(),
    ]
    return tasks_of(cases, session)


def case_of_keras() -> Case:
    """Return whole epochs of 4,000 steps and an update, early stopping included; the example takes part once."""
    example = Entrant(
        "the Keras example's loop", "peer", "bench.workloads.keras_example:ExampleEpoch", (), "keras", most_rounds=1
    )
    config = PRESETS["keras"]
    return Case("train", "epoch, preset keras", 1, "steps", (_ours("preset keras", config), example, *_limits(config)))


def purejaxrl_config(num_envs: int) -> PPOConfig:
    """Return PureJaxRL's hyperparameters: rollouts of 128 steps, 4 passes over 4 minibatches each.

    Two details differ: PureJaxRL clips the value loss and takes truncation for termination.

    Args:
        num_envs: Size of the batch.
    """
    return PRESETS["fast"].replace(
        num_envs=num_envs,
        epochs=_MANY_EPOCHS,
        steps_per_epoch=128 * num_envs,
        target_return=None,
        policy_learning_rate=2.5e-4,
        value_learning_rate=2.5e-4,
        learning_rate_schedule="linear",
        max_gradient_norm=0.5,
        entropy_coefficient=0.01,
        advantage_normalization="minibatch",
        policy_update_epochs=4,
        value_update_epochs=4,
        minibatch_size=32 * num_envs,
    )


def case_of_purejaxrl(num_envs: int) -> Case:
    """Return training with PureJaxRL's hyperparameters on both sides.

    Args:
        num_envs: Size of the batch.
    """
    entrants = (
        _ours("fastppo", purejaxrl_config(num_envs)),
        Entrant(
            "PureJaxRL's PPO, written anew",
            "peer",
            "bench.workloads.jax_ppo:JaxPPO",
            (num_envs, 128, _MANY_EPOCHS),
            "jax",
            _JAX,
        ),
        *_limits(purejaxrl_config(num_envs)),
    )
    return Case("train", "training, PureJaxRL's setting", num_envs, "steps", entrants, settling_s=SETTLING_S)


def case_of_own_settings() -> Case:
    """Return training with the settings that each project uses for CartPole: not the same work a step."""
    entrants = (
        _ours("preset fast, 256 envs", PRESETS["fast"].replace(epochs=_MANY_EPOCHS, target_return=None), 4),
        _ours("preset keras, 1 env", PRESETS["keras"].replace(epochs=_MANY_EPOCHS)),
        Entrant(
            "PureJaxRL's PPO, written anew, 4 envs",
            "peer",
            "bench.workloads.jax_ppo:JaxPPO",
            (4, 128, 976, 8),
            "jax",
            _JAX,
        ),
        Entrant(
            "SB3 PPO, its zoo's settings, 8 envs",
            "peer",
            "bench.workloads.sb3:Sb3Training",
            (),
            "sb3",
            ("stable_baselines3",),
        ),
        *_limits(PRESETS["fast"]),
    )
    return Case("train", "training, everybody's own settings", 0, "steps", entrants, settling_s=SETTLING_S)


def case_of_two_at_once() -> Case:
    """Return a training of preset ``fast`` alone, beside another one, and alone with half of the cores."""
    config = PRESETS["fast"].replace(epochs=_MANY_EPOCHS, target_return=None)
    arguments = (config, _EPOCHS_AT_ONCE)
    sharing = "bench.workloads.sharing"
    entrants = (
        _ours("one training alone", *arguments),
        Entrant("each of two at once", "ours", f"{sharing}:OneOfTwoTrainings", arguments, "two"),
        Entrant("one with half of the cores", "ours", f"{sharing}:OnHalfOfTheCores", arguments, "half"),
    )
    return Case("train", "two trainings at once", config.num_envs, "steps", entrants)


def case_of_small_rollouts() -> Case:
    """Return an epoch of 8 environments and 64 steps, 16 gradient steps, beside these alone: the rest is fixed cost."""
    config = PRESETS["fast"].replace(
        epochs=_MANY_EPOCHS,
        target_return=None,
        num_envs=8,
        steps_per_epoch=512,
        minibatch_size=128,
        policy_update_epochs=4,
        value_update_epochs=4,
    )
    ours = "bench.workloads.our_agent"
    entrants = (
        _ours("whole epochs", config),
        Entrant("their environment steps alone", "ours", f"{ours}:OurPolicyRollouts", (8, 64), "agent"),
        Entrant("their gradient steps alone", "ours", f"{ours}:OurGradientSteps", (config,), "agent"),
    )
    return Case("train", "small rollouts, 8 x 64 steps", config.num_envs, "steps", entrants)


def _limits(config: PPOConfig) -> Iterator[Entrant]:
    """Return the SGEMM peak for all multiply-adds of a step: in the rollout, for its value, and in the updates.

    An update needs one product for each of the forward pass, its kernel's and its inputs' gradient. Updates that end
    early, as preset keras's may, need less.
    """
    passes = 2 + 3 * (config.policy_update_epochs + config.value_update_epochs)
    yield from sgemm_limits(passes * MULTIPLY_ADDS)


def _ours(name: str, config: PPOConfig, epochs_of_a_run: int = 1) -> Entrant:
    return Entrant(name, "ours", "bench.workloads.our_agent:OurEpochs", (config, epochs_of_a_run), "agent")


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("train")
