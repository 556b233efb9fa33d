"""The options of ``fastppo train`` that set fields of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import click
import cloup

from ..config import AUTO, CHOICES, REGISTERED, PPOConfig
from ..presets import PRESETS
from .environment import env_id_option, env_kwargs_option

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Parser = Callable[[str], Any]

NONE = "none"
"""The word for None on the command line. An option that is not given has the value None."""
MAX_ENVIRONMENTS = 10**12
"""More than any memory can hold; much larger numbers would not be valid array sizes."""


class Count(click.IntRange):
    """A whole number within a range; ``1e5`` and ``100_000`` are accepted, too."""

    name = "whole number"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the number."""
        if isinstance(value, str):
            with suppress(ArithmeticError):
                number = Decimal(value)
                # Converting 1e999999999 would take forever.
                if number.is_finite() and abs(number) < 10**30 and number == number.to_integral_value():
                    value = int(number)
        return super().convert(value, parameter, context)


def integers_of_list(text: str, example: str = "64,64") -> tuple[int, ...]:
    """Return the numbers of a list such as ``64,64``.

    Args:
        text: The list.
        example: An example for the error message.

    Raises:
        ValueError: If the text is anything else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"{text!r} is not a list of whole numbers such as {example}.")
    return tuple(int(part) for part in parts)


def _setting(flag: str, field: str, help_text: str, **attributes: Any) -> Any:
    """Return the option for a field; the preset provides its default."""
    return cloup.option(flag, field, default=None, show_default=_defaults(field), help=help_text, **attributes)


def _defaults(field: str) -> str:
    """Return a field's value in each preset, such as ``256 for fast, 1 for keras``."""
    values = {name: _shown(getattr(config, field)) for name, config in PRESETS.items()}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{value} for {name}" for name, value in values.items())


def _shown(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _integer(flag: str, field: str, help_text: str, maximum: int | None = None) -> Any:
    return _setting(flag, field, help_text, type=Count(1, maximum), metavar="N")


def _number(flag: str, field: str, help_text: str) -> Any:
    return _setting(flag, field, help_text, type=float, metavar="X")


def _choice(flag: str, field: str, help_text: str) -> Any:
    return _setting(flag, field, help_text, type=click.Choice(CHOICES[field]))


def _optional_integer(flag: str, field: str, help_text: str) -> Any:
    return _setting(flag, field, help_text, metavar="N|none", callback=or_none(int, "a whole number"))


def _optional_number(flag: str, field: str, help_text: str) -> Any:
    return _setting(flag, field, help_text, metavar="X|none", callback=or_none(float, "a number"))


def _registered_or_none(flag: str, field: str, parse: Parser, expected: str, help_text: str, metavar: str) -> Any:
    """Return the option for a number that may be taken from Gymnasium's registry."""

    def parsed(text: str) -> Any:
        return text if text == REGISTERED else parse(text)

    return _setting(
        flag,
        field,
        help_text,
        metavar=f"{metavar}|{REGISTERED}|{NONE}",
        callback=or_none(parsed, f"{expected} nor '{REGISTERED}'"),
    )


def or_none(parse: Parser, expected: str) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return an option's callback that leaves ``none`` unchanged and parses everything else.

    Args:
        parse: Parses a value; raises ValueError if it is invalid.
        expected: What ``parse`` accepts, for the error message.
    """

    def convert(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
        if value is None or value == NONE:
            return value
        try:
            return parse(value)
        except ValueError:
            message = f"{value!r} is neither {expected} nor '{NONE}'."
            raise click.BadParameter(message, context, parameter) from None

    return convert


def _one_number(context: click.Context, parameter: click.Parameter, values: tuple[float, ...]) -> float | None:
    if len(values) > 1:
        names = " and ".join(parameter.opts)
        raise click.BadParameter(
            f"{names} are one option, given with {' and '.join(map(str, values))}.", context, parameter
        )
    return values[0] if values else None


def _sizes_of_list(text: str) -> tuple[int, ...]:
    """Return the numbers of a list such as ``64,64``, or ``64x64`` as in sweeps.

    Raises:
        ValueError: If the text is anything else.
    """
    return integers_of_list(text if "," in text else text.replace("x", ","))


def _sizes(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    try:
        return None if value is None else _sizes_of_list(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


BUDGET: Decorator = cloup.option_group(
    "Training budget",
    _integer("--epochs", "epochs", "Maximum number of epochs; each collects one rollout and updates both networks."),
    cloup.option(
        "--total-steps",
        type=Count(min=1),
        metavar="N",
        help="Maximum number of environment steps, rounded up to whole epochs; an alternative to --epochs.",
    ),
    _registered_or_none(
        "--target-return",
        "target_return",
        float,
        "a number",
        "Stop once the greedy policy reaches this mean return. registered: Gymnasium's reward threshold, if the "
        "environment has one.",
        "X",
    ),
    cloup.option("--no-early-stop", is_flag=True, help="Train for all epochs, like --target-return none."),
)

ENVIRONMENT: Decorator = cloup.option_group(
    "Environment",
    env_id_option(
        "Any environment in Gymnasium's registry with discrete or continuous actions, and with observations that are "
        "vectors or can be flattened. MODULE is imported first and may be in the current folder.",
        show_default=PPOConfig.env_id,
    ),
    env_kwargs_option(),
    _choice(
        "--vectorization",
        "vectorization",
        "How environments are vectorized, as in gymnasium.make_vec. auto: fastppo's kernel for CartPole; for others "
        "their own vectorized version if they have one, else sync.",
    ),
    _registered_or_none(
        "--max-episode-steps",
        "max_episode_steps",
        int,
        "a whole number",
        "Time limit of training episodes in steps. registered: Gymnasium's limit for the environment. Evaluations "
        "always use the registered limit.",
        "N",
    ),
)

ROLLOUT: Decorator = cloup.option_group(
    "Rollouts",
    _integer(
        "--envs",
        "num_envs",
        "Number of parallel environments. On CartPole, preset 'fast' adapts other settings to it.",
        maximum=MAX_ENVIRONMENTS,
    ),
    _integer(
        "--steps-per-epoch",
        "steps_per_epoch",
        "Environment steps per rollout, summed over all environments; rounded up to a multiple of their number.",
    ),
    _setting(
        "--reset-each-epoch/--continue-episodes",
        "reset_each_epoch",
        "Whether each rollout starts new episodes or continues those of the previous rollout.",
    ),
)

NETWORKS: Decorator = cloup.option_group(
    "Networks",
    _setting(
        "--hidden-sizes",
        "hidden_sizes",
        "Units of each hidden layer.",
        metavar="N,N,...",
        callback=_sizes,
    ),
    _setting(
        "--critic-hidden-sizes",
        "critic_hidden_sizes",
        "Units of each hidden layer of the critic. none: as in --hidden-sizes.",
        metavar="N,N,...|none",
        callback=or_none(_sizes_of_list, "a list of whole numbers"),
    ),
    _choice("--activation", "activation", "Activation function of the hidden layers."),
    _choice("--initializer", "initializer", "Kernel initializer."),
)

ALGORITHM: Decorator = cloup.option_group(
    "PPO",
    _number("--gamma", "gamma", "Discount factor."),
    _number("--gae-lambda", "gae_lambda", "Lambda of generalized advantage estimation."),
    _number("--clip-ratio", "clip_ratio", "Epsilon of the clipped objective."),
    _choice(
        "--clip-ratio-schedule",
        "clip_ratio_schedule",
        "Keep --clip-ratio and --value-clip-range constant, or decrease them linearly to 0 at the end of training.",
    ),
    _setting(
        "--value-clip-range",
        "value_clip_range",
        "Distance from the old values at which the critic's new values are clipped. auto: 0.2 if actions are "
        "continuous, else none.",
        metavar=f"X|{AUTO}|{NONE}",
        callback=or_none(lambda text: text if text == AUTO else float(text), f"a number nor '{AUTO}'"),
    ),
    _optional_number(
        "--target-kl", "target_kl", "Stop a policy update when the estimated KL divergence exceeds 1.5 times this."
    ),
    _choice(
        "--target-kl-check",
        "target_kl_check",
        "Check --target-kl after each gradient step or after each pass over the rollout.",
    ),
    _number("--entropy-coefficient", "entropy_coefficient", "Weight of the entropy bonus."),
    _choice("--advantage-normalization", "advantage_normalization", "Scope in which advantages are normalized."),
    _choice("--value-target", "value_target", "Regression target of the critic."),
)

CONTINUOUS: Decorator = cloup.option_group(
    "Continuous actions and normalization",
    _choice(
        "--exploration",
        "exploration",
        "Noise of continuous actions: independent at every step, or a function of the state (gSDE).",
    ),
    _number("--initial-log-std", "initial_log_std", "Initial log standard deviation of continuous actions."),
    _optional_integer(
        "--noise-interval",
        "noise_interval",
        "Steps between new noise samples of state-dependent exploration. none: once per rollout.",
    ),
    _setting(
        "--normalize-observations/--raw-observations",
        "normalize_observations",
        "Whether to normalize observations by their running mean and standard deviation. auto: if actions are "
        "continuous.",
    ),
    _setting(
        "--normalize-rewards/--raw-rewards",
        "normalize_rewards",
        "Whether to divide rewards by the running standard deviation of their discounted sum. auto: if actions are "
        "continuous. Reported returns are always of the environment's own rewards.",
    ),
)

OPTIMIZATION: Decorator = cloup.option_group(
    "Optimization",
    cloup.option(
        "--learning-rate",
        "--lr",
        type=float,
        # Otherwise the last of the two names would silently take precedence.
        multiple=True,
        callback=_one_number,
        metavar="X",
        help="Adam's learning rate for both networks; sets the following two options.",
    ),
    _number("--policy-learning-rate", "policy_learning_rate", "Adam's learning rate for the actor."),
    _number("--value-learning-rate", "value_learning_rate", "Adam's learning rate for the critic."),
    _number("--adam-epsilon", "adam_epsilon", "Adam's epsilon."),
    _choice(
        "--learning-rate-schedule",
        "learning_rate_schedule",
        "Keep learning rates constant, or decrease them linearly to 0 at the end of training. auto: linear if actions "
        "are continuous.",
    ),
    _optional_number(
        "--max-gradient-norm", "max_gradient_norm", "Global norm to which each network's gradient is clipped."
    ),
    _integer("--policy-update-epochs", "policy_update_epochs", "Passes over the rollout per update of the actor."),
    _integer("--value-update-epochs", "value_update_epochs", "Passes over the rollout per update of the critic."),
    _optional_integer("--minibatch-size", "minibatch_size", "Transitions per gradient step. none: the whole rollout."),
    _choice("--device", "device", "Device that updates the networks; networks this small are faster on the CPU."),
)


def configuration_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all option groups to a command, in the order in which the help lists them."""
    for group in (OPTIMIZATION, CONTINUOUS, ALGORITHM, NETWORKS, ROLLOUT, BUDGET, ENVIRONMENT):
        command = group(command)
    return command


def changes_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the user set with the options of this module.

    Args:
        settings: Values by field; None if the option was not given.

    Returns:
        The changed fields and their values.
    """
    return {field: None if value == NONE else value for field, value in settings.items() if value is not None}
