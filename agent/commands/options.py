"""The options of ``fastppo train`` that stand for fields of the configuration."""

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
"""What a user writes for a field that may be None. An option that is not given is None."""
MOST_ENVIRONMENTS = 10**12
"""Beyond any memory; numbers that are larger still are no sizes of arrays."""


class Count(click.IntRange):
    """A whole number within a range, which may be written as ``1e5`` or ``100_000``, too."""

    name = "whole number"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the number."""
        if isinstance(value, str):
            with suppress(ArithmeticError):
                number = Decimal(value)
                # Not what has more digits than anybody means.
                if number.is_finite() and abs(number) < 10**30 and number == number.to_integral_value():
                    value = int(number)
        return super().convert(value, parameter, context)


def integers_of_list(text: str, example: str = "64,64") -> tuple[int, ...]:
    """Return the numbers of a list such as ``64,64``.

    Args:
        text: The list.
        example: A list for the message.

    Raises:
        ValueError: If it is anything else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"{text!r} is not a list of whole numbers such as {example}.")
    return tuple(int(part) for part in parts)


def _setting(flag: str, field: str, help_text: str, **attributes: Any) -> Any:
    """Return the option for a field; its default is the preset's."""
    return cloup.option(flag, field, default=None, show_default=_defaults(field), help=help_text, **attributes)


def _defaults(field: str) -> str:
    """Return what the presets say of a field, such as ``256 for fast, 1 for keras``."""
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
    """Return the option for a number that may be Gymnasium's for the environment."""

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
    """Return an option's callback that leaves ``none`` as it is and parses everything else.

    Args:
        parse: Raises a ValueError for what it does not accept.
        expected: What it accepts, for the message.
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


def _sizes_of_list(text: str) -> tuple[int, ...]:
    """Return the numbers of a list such as ``64,64``, or ``64x64`` as sweeps have it.

    Raises:
        ValueError: If it is anything else.
    """
    return integers_of_list(text if "," in text else text.replace("x", ","))


def _sizes(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    try:
        return None if value is None else _sizes_of_list(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


BUDGET: Decorator = cloup.option_group(
    "How long to train",
    _integer("--epochs", "epochs", "Most rounds of collecting a rollout and updating from it."),
    cloup.option(
        "--total-steps",
        type=Count(min=1),
        metavar="N",
        help="Most environment steps, rounded up to whole epochs; instead of --epochs.",
    ),
    _registered_or_none(
        "--target-return",
        "target_return",
        float,
        "a number",
        "Stop once the greedy policy reaches this mean return; registered: Gymnasium's threshold for the environment, "
        "if it has one.",
        "X",
    ),
    cloup.option("--no-early-stop", is_flag=True, help="Train for all epochs; the same as --target-return none."),
)

ENVIRONMENT: Decorator = cloup.option_group(
    "Environment",
    env_id_option(
        "Any environment of Gymnasium's registry whose actions are discrete or continuous, and whose observations are "
        "vectors or can be flattened into vectors. MODULE is imported first, from the current folder too.",
        show_default=PPOConfig.env_id,
    ),
    env_kwargs_option(),
    _choice(
        "--vectorization",
        "vectorization",
        "How environments are batched, as gymnasium.make_vec has it; auto: CartPole on its own kernel, others by their "
        "own batch where there is one, else one after the other.",
    ),
    _registered_or_none(
        "--max-episode-steps",
        "max_episode_steps",
        int,
        "a whole number",
        "Length at which episodes of the training are truncated; registered: Gymnasium's for the environment. "
        "Evaluations play it as it is registered.",
        "N",
    ),
)

ROLLOUT: Decorator = cloup.option_group(
    "Rollouts",
    _integer(
        "--envs",
        "num_envs",
        "Environments stepped side by side; on CartPole preset 'fast' adapts its settings to them.",
        maximum=MOST_ENVIRONMENTS,
    ),
    _integer(
        "--steps-per-epoch",
        "steps_per_epoch",
        "Environment steps of one rollout, all environments together; rounded up to a multiple of their number.",
    ),
    _setting(
        "--reset-each-epoch/--continue-episodes",
        "reset_each_epoch",
        "Whether each rollout starts new episodes, or goes on with those of the last.",
    ),
)

NETWORKS: Decorator = cloup.option_group(
    "Networks",
    _setting(
        "--hidden-sizes",
        "hidden_sizes",
        "Units of the hidden layers.",
        metavar="N,N,...",
        callback=_sizes,
    ),
    _setting(
        "--critic-hidden-sizes",
        "critic_hidden_sizes",
        "Those of the critic; none: the actor's.",
        metavar="N,N,...|none",
        callback=or_none(_sizes_of_list, "a list of whole numbers"),
    ),
    _choice("--activation", "activation", "Of the hidden layers."),
    _choice("--initializer", "initializer", "How kernels are initialized."),
)

ALGORITHM: Decorator = cloup.option_group(
    "PPO",
    _number("--gamma", "gamma", "Discount factor."),
    _number("--gae-lambda", "gae_lambda", "Lambda of generalized advantage estimation."),
    _number("--clip-ratio", "clip_ratio", "Epsilon of the clipped objective."),
    _choice("--clip-ratio-schedule", "clip_ratio_schedule", "Constant, or falling to 0 after the last epoch."),
    _setting(
        "--value-clip-range",
        "value_clip_range",
        "Distance from the old values at which the critic's loss is clipped; auto: 0.2 where actions are continuous.",
        metavar=f"X|{AUTO}|{NONE}",
        callback=or_none(lambda text: text if text == AUTO else float(text), f"a number nor '{AUTO}'"),
    ),
    _optional_number(
        "--target-kl", "target_kl", "A policy update ends when the estimated KL divergence exceeds 1.5 times this."
    ),
    _choice(
        "--target-kl-check",
        "target_kl_check",
        "Whether --target-kl is looked at after each gradient step or pass.",
    ),
    _number("--entropy-coefficient", "entropy_coefficient", "Weight of the entropy bonus."),
    _choice("--advantage-normalization", "advantage_normalization", "Over what advantages are normalized."),
    _choice("--value-target", "value_target", "What the critic learns."),
)

CONTINUOUS: Decorator = cloup.option_group(
    "Continuous actions and normalization",
    _choice(
        "--exploration",
        "exploration",
        "Noise of continuous actions: independent from step to step, or a function of the state (gSDE).",
    ),
    _number("--initial-log-std", "initial_log_std", "Logarithm of the standard deviation that training begins with."),
    _optional_integer(
        "--noise-interval",
        "noise_interval",
        "Steps after which state-dependent exploration draws other noise; none: for each rollout.",
    ),
    _setting(
        "--normalize-observations/--raw-observations",
        "normalize_observations",
        "Whether observations are normalized by their running mean and standard deviation; auto: where actions are "
        "continuous.",
    ),
    _setting(
        "--normalize-rewards/--raw-rewards",
        "normalize_rewards",
        "Whether rewards are scaled by the running standard deviation of their discounted sum; likewise. What is shown "
        "are the environment's own.",
    ),
)

OPTIMIZATION: Decorator = cloup.option_group(
    "Optimization",
    cloup.option(
        "--learning-rate",
        "--lr",
        type=float,
        metavar="X",
        help="Adam's learning rate for both networks, in the place of the following two.",
    ),
    _number("--policy-learning-rate", "policy_learning_rate", "Adam's learning rate for the actor."),
    _number("--value-learning-rate", "value_learning_rate", "Adam's learning rate for the critic."),
    _number("--adam-epsilon", "adam_epsilon", "Adam's epsilon."),
    _choice(
        "--learning-rate-schedule",
        "learning_rate_schedule",
        "Constant, or falling to 0 after the last epoch; auto: falling where actions are continuous.",
    ),
    _optional_number(
        "--max-gradient-norm", "max_gradient_norm", "Global norm that each network's gradient is clipped to."
    ),
    _integer("--policy-update-epochs", "policy_update_epochs", "Passes over the rollout in an update of the actor."),
    _integer("--value-update-epochs", "value_update_epochs", "Passes over the rollout in an update of the critic."),
    _optional_integer(
        "--minibatch-size", "minibatch_size", "Transitions of one gradient step; none: the whole rollout."
    ),
    _choice("--device", "device", "Where the networks are updated; networks this small are faster on the CPU."),
)


def configuration_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all groups to a command, in the order in which help lists them."""
    for group in (OPTIMIZATION, CONTINUOUS, ALGORITHM, NETWORKS, ROLLOUT, BUDGET, ENVIRONMENT):
        command = group(command)
    return command


def changes_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the fields a user has set, from the values of the options of this module.

    Args:
        settings: Values by field, None where the option was not given.

    Returns:
        The fields to change.
    """
    return {field: None if value == NONE else value for field, value in settings.items() if value is not None}
