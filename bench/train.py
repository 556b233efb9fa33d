"""Training, that is, rollouts and updates together: ``python -m bench.train``."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config import PPOConfig
from agent.presets import PRESETS
from bench.harness import SETTLING_S, Case, Entrant
from bench.rollout import MULTIPLY_ADDS, sgemm_limits
from bench.tasks import Session, Task, tasks_of

_SIZES = (256,)
_JAX = ("jax", "gymnax", "optax")
# More epochs than a measurement ever runs, so that the learning rate never reaches 0.
_MANY_EPOCHS = 100_000
# So many that the signals that synchronize the two processes take a negligible part of the time.
_EPOCHS_AT_ONCE = 8


def tasks(session: Session) -> list[Task]:
    """Return the tasks: preset ``keras``, PureJaxRL's and each project's own settings, two at once, small rollouts."""
    cases = [
        case_of_keras(),
        *(case_of_purejaxrl(size) for size in session.num_envs or _SIZES),
        case_of_own_settings(),
        case_of_two_at_once(),
        case_of_small_rollouts(),
    ]
    return tasks_of(cases, session)


def case_of_keras() -> Case:
    """Return whole epochs, 4,000 steps and an update with its KL stopping; the Keras example runs in one round only."""
    example = Entrant(
        "the Keras example's loop", "peer", "bench.workloads.keras_example:ExampleEpoch", (), "keras", most_rounds=1
    )
    config = PRESETS["keras"]
    return Case("train", "epoch, preset keras", 1, "steps", (_ours("preset keras", config), example, *_limits(config)))


def purejaxrl_config(num_envs: int) -> PPOConfig:
    """Return PureJaxRL's hyperparameters: rollouts of 128 steps, 4 passes over 4 minibatches each.

    Two details differ: PureJaxRL clips the value loss and treats truncation as termination.

    Args:
        num_envs: Number of environments.
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
    """Return training with PureJaxRL's hyperparameters, by fastppo and by a reimplementation of PureJaxRL's PPO.

    Args:
        num_envs: Number of environments.
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
    """Return training with each project's own settings for CartPole; the work per step differs between them."""
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
    """Return a training run of preset ``fast`` alone, next to a second one, and alone on half of the cores."""
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
    """Return epochs of 8 environments, 64 steps and 16 gradient steps, and these parts alone; the rest is overhead."""
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
    """Yield the SGEMM peak for all multiply-adds of a step: its action, its value, and its part in the updates.

    An update needs three matrix products per layer: the forward pass, the gradient of the kernel, and the gradient of
    the inputs. Updates that stop early, as those of preset ``keras`` may, need less.
    """
    passes = 2 + 3 * (config.policy_update_epochs + config.value_update_epochs)
    yield from sgemm_limits(passes * MULTIPLY_ADDS)


def _ours(name: str, config: PPOConfig, epochs_of_a_run: int = 1) -> Entrant:
    return Entrant(name, "ours", "bench.workloads.our_agent:OurEpochs", (config, epochs_of_a_run), "agent")


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("train")
