"""The command ``fastppo train``."""

from __future__ import annotations

import dataclasses
import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import cloup
from click.core import ParameterSource

from ..config import PPOConfig
from ..errors import (
    DeviceError,
    DivergenceError,
    EnvironmentUseError,
    InvalidTransitionError,
    is_of_the_environment,
)
from ..presets import PRESETS, adapted_preset
from ..process.interrupts import interrupt_not_lost
from ..process.surroundings import is_command, show_warning
from ..runs.directory import RunDirectory
from ..runs.next_commands import command
from ..runs.outputs import CHECKPOINT_EVERY, EVAL_EVERY, Outputs, assert_tensorboard
from .directories import INTERRUPTED, lock_until_the_end
from .environment import ENV_ID_HINT, check_drawing, described
from .options import NONE, Count, changes_of, configuration_options, integers_of_list, or_none
from .output import created_directory, possible_directories, unwritable

if TYPE_CHECKING:
    from ..environments.spec import EnvironmentSpec
    from ..ppo import PPO
    from ..rollouts.warm_up import RolloutCompilation
    from ..state import State
    from ..views.display import Display
    from ..views.drawing import CurveDrawing

# The epochs after which the Keras example shows its policy.
_EXAMPLE_GIF_EPOCHS = (0, 8, 20)


def _epochs_of_list(text: str) -> tuple[int, ...]:
    return tuple(sorted(set(integers_of_list(text))))


@cloup.command(show_constraints=False)
@cloup.option_group(
    "Run",
    cloup.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default="fast",
        help="Settings to start from. 'fast' is tuned for CartPole, Acrobot, Pendulum, MountainCar and LunarLander "
        "(discrete and continuous), and BipedalWalker; for all others it equals 'standard'. 'standard' has "
        "Stable-Baselines3's defaults for discrete and those of CleanRL for continuous actions. 'keras' reproduces the "
        "Keras example, which trains without a time limit.",
    ),
    cloup.option(
        "--seed",
        type=click.IntRange(min=0),
        metavar="N",
        default=0,
        help="Seed for initial weights, initial states, sampled actions and minibatches.",
    ),
    cloup.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        show_default="runs/[ENV-]PRESET-SEED-TIME",
        help="Run directory to write; must be new or empty.",
    ),
    cloup.option(
        "--resume",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Resume the run in this directory from its last checkpoint: bit for bit on CartPole, with new episodes in "
        "other environments. You can change the training budget, the device, and what is shown and saved; the run "
        "determines everything else.",
    ),
    cloup.option(
        "--checkpoint-every",
        type=Count(min=1),
        metavar="N",
        default=CHECKPOINT_EVERY,
        help="Write a checkpoint every N environment steps, at the end of an epoch. One is always written at the end "
        "of training and after Ctrl-C.",
    ),
    cloup.option(
        "--eval-every",
        type=Count(min=1),
        metavar="N",
        default=EVAL_EVERY,
        help="Every N environment steps, at the end of an epoch, the policy becomes a candidate for best_actor.keras. "
        "Only the three candidates with the highest mean_return are kept. At the end, they and the last policy play "
        "the same new episodes.",
    ),
    cloup.option(
        "--eval-episodes",
        type=Count(min=1),
        metavar="N",
        show_default="100, or fewer after a short training",
        help="Number of greedy episodes of the evaluation at the end. By default, they take at most about as many "
        "steps as the training, but there are at least 10.",
    ),
    cloup.option(
        "--gif-epochs",
        callback=or_none(_epochs_of_list, "a list of epochs such as 0,8,20"),
        metavar="N,N,...|none",
        show_default="0,8,20 for keras, else none",
        help="Epochs after which to record an episode as epoch_N.gif; 0 is before training. Requires "
        "pip install 'fastppo[rendering]'.",
    ),
    cloup.option(
        "--tensorboard/--no-tensorboard",
        default=False,
        help="Write TensorBoard event files into the run directory. Requires pip install 'fastppo[tensorboard]'.",
    ),
)
@cloup.option_group(
    "Output",
    cloup.option("--quiet", is_flag=True, help="Show only warnings and errors."),
    cloup.option("--json", "as_json", is_flag=True, help="Print one JSON object per epoch and nothing else."),
)
@configuration_options
def train(
    preset: str,
    seed: int,
    out: Path | None,
    resume: Path | None,
    checkpoint_every: int,
    eval_every: int,
    eval_episodes: int | None,
    gif_epochs: tuple[int, ...] | str | None,
    tensorboard: bool,
    quiet: bool,
    as_json: bool,
    total_steps: int | None,
    no_early_stop: bool,
    **settings: Any,
) -> None:
    """Train an agent, evaluate it and save its networks.

    On a terminal, the command shows progress, the latest metrics and the learning curve; otherwise it prints one line
    per epoch. mean_return is the mean over the last 100 episodes or, with preset 'keras', over those of the epoch.
    Preset 'keras' also prints the line of the Keras example. elapsed_s excludes imports and compilation. Training ends
    early when the target return is reached.

    The run directory holds config.json, metrics.csv, checkpoint.npz, actor.keras, critic.keras, evaluation.json,
    best_actor.keras and its best_evaluation.json, learning_curve.png and any requested animations. Ctrl-C ends training
    after the current epoch, saves everything and exits with code 130; --resume continues the run.
    """
    if quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other.")
    changes = _changes(total_steps, no_early_stop, changes_of(settings))
    run, state = None, None
    if resume is None:
        config = _budgeted(_checked(adapted_preset, preset, seed=seed, **changes), total_steps)
        possible = possible_directories(out, _default_name(config), RunDirectory)
    else:
        run, config, state = _reopened(resume, changes, total_steps)
    config, spec = _with_environment(config)
    if run is not None:
        _check_spaces(run, spec)
    recorded = Outputs(gif_epochs=_own_gif_epochs(config)) if run is None else run.read_outputs()
    first = 0 if state is None else int(state["epoch"])
    recorded_epochs = _checked_gif_epochs(gif_epochs, config, spec, recorded.gif_epochs, first)
    outputs = _with_options(
        dataclasses.replace(recorded, gif_epochs=recorded_epochs),
        checkpoint_every=checkpoint_every,
        eval_every=eval_every,
        eval_episodes=eval_episodes,
        tensorboard=tensorboard,
    )
    if outputs.tensorboard:
        _check_tensorboard()
    _check_memory(config, spec)
    _warn_of_short_episodes(config, spec)
    if run is None:
        run = created_directory(possible, RunDirectory.create)
        lock_until_the_end(run)
    completed = False
    with _told(run, config.env_id):
        if resume is None:
            run.write_config(config, spec.spaces, outputs=outputs)
        completed = _train(config, run, state, _Shown(quiet, as_json), outputs, is_resumed=resume is not None)
    if not completed:
        to_continue = command("train --resume", run.shown_path, config.env_id)
        saved = f"what was learned so far is saved. To continue: {to_continue}"
        click.echo(f"Interrupted; {saved if run.has_models() else 'nothing was learned yet.'}", err=True)
        raise SystemExit(INTERRUPTED)


def _reopened(
    path: Path, changes: dict[str, Any], total_steps: int | None
) -> tuple[RunDirectory, PPOConfig, State | None]:
    """Return the run to resume, its configuration with the changes, and the state of its last checkpoint."""
    from .resume import continued, read_run, refuse_other_settings

    refuse_other_settings()
    lock_until_the_end(RunDirectory(path))
    run, config, state = read_run(path)
    env_id = changes.pop("env_id", config.env_id)
    if env_id != config.env_id:
        raise click.BadParameter(f"'{path}' trains in {config.env_id}, not in {env_id}.", param_hint=ENV_ID_HINT)
    config = _budgeted(_checked(config.replace, **changes), total_steps)
    return run, config, continued(run, config, state, changes)


def _with_environment(config: PPOConfig) -> tuple[PPOConfig, EnvironmentSpec]:
    """Return the configuration with environment-dependent values filled in, and the environment's spec."""
    from ..environments.making import UnknownEnvironmentError, source_of
    from ..environments.spec import resolved

    source = source_of(config)
    spec = described(source, builds_networks=True)
    try:
        source.assert_can_batch()
    except UnknownEnvironmentError as error:
        raise click.BadParameter(str(error), param_hint="'--vectorization'") from None
    return _checked(resolved, config, spec), spec


def _check_spaces(run: RunDirectory, spec: EnvironmentSpec) -> None:
    """Check that the environment's spaces have not changed since the run was started."""
    before = run.read_spaces()
    if before not in (None, spec.spaces):
        name = run.shown_path
        message = f"the spaces of {spec.name} have changed since '{name}' was trained: {before}, now {spec.spaces}."
        raise click.UsageError(message)


def _default_name(config: PPOConfig) -> str:
    """Return the default name of a run directory."""
    environment = "" if config.env_id == PPOConfig.env_id else re.sub(r"[^\w.-]+", "-", f"{config.env_id}-")
    return f"{environment}{config.preset}-{config.seed}-{time.strftime('%Y%m%d-%H%M%S')}"


def _warn_of_short_episodes(config: PPOConfig, spec: EnvironmentSpec) -> None:
    """Warn if rollouts cut episodes off before the environment's time limit."""
    from ..environments.spec import episode_limit

    limit = episode_limit(config, spec) or spec.max_episode_steps
    if config.reset_each_epoch and limit and config.num_steps < limit:
        show_warning(
            f"every epoch starts new episodes, and each of the {config.num_envs} environments takes {config.num_steps} "
            "steps per epoch, so no episode can be longer. Increase --steps-per-epoch or decrease --envs."
        )


@contextmanager
def _told(run: RunDirectory, env_id: str | None) -> Iterator[None]:
    """Report the errors that end a training run as one sentence that says what is saved; Ctrl-C is not an error.

    Exceptions raised by the environment's own code are shown with their traceback.
    """
    try:
        with _environment_told(run, env_id):
            yield
    except KeyboardInterrupt:
        pass
    except MemoryError as error:
        raise click.ClickException(f"{error} {_kept(run, env_id)}") from None
    except InvalidTransitionError as error:
        raise click.ClickException(f"{error} {_kept(run, env_id)}") from None
    except DivergenceError as error:
        kept = "The last checkpoint is intact" if run.checkpoint_path.exists() else "Nothing was kept"
        raise click.ClickException(f"{error} {kept}; a lower learning rate may help.") from None
    except EnvironmentUseError as error:
        raise click.UsageError(str(error)) from None
    except (ImportError, DeviceError) as error:
        raise click.ClickException(f"the training cannot start: {error}") from None
    except BrokenPipeError:
        # The reader of standard output is gone. This is not an error, and everything learned is saved.
        raise
    except OSError as error:
        raise click.ClickException(f"{unwritable(error)} {_kept(run, env_id)}") from None
    finally:
        run.discard_if_unused()


@contextmanager
def _environment_told(run: RunDirectory, env_id: str | None) -> Iterator[None]:
    """End the command with the traceback of an exception raised by the environment's own code."""
    try:
        yield
    except Exception as error:
        if not is_of_the_environment(error):
            raise
        traceback.print_exception(error)
        click.echo(f"Error: the environment raised an exception. {_kept(run, env_id)}", err=True)
        raise SystemExit(1) from None


def _kept(run: RunDirectory, env_id: str | None) -> str:
    if not run.checkpoint_path.exists():
        return "Nothing was kept."
    to_continue = command("train --resume", run.shown_path, env_id)
    return f"The last checkpoint is intact: {to_continue} continues from it."


class _Shown(NamedTuple):
    """What to show during training."""

    quiet: bool
    as_json: bool


def _changes(total_steps: int | None, no_early_stop: bool, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields set by the options, after checking those that exclude each other."""
    if total_steps is not None and "epochs" in changes:
        raise click.UsageError("--epochs and --total-steps exclude each other.")
    if no_early_stop:
        if changes.get("target_return") is not None:
            raise click.UsageError("--target-return and --no-early-stop exclude each other.")
        return {**changes, "target_return": None}
    return changes


def _checked(make: Callable[..., PPOConfig], *arguments: Any, **changes: Any) -> PPOConfig:
    """Return the configuration that ``make`` returns; report an invalid one as a usage error."""
    try:
        return make(*arguments, **changes)
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _check_tensorboard() -> None:
    """Check that TensorBoard is installed."""
    try:
        assert_tensorboard()
    except ImportError as error:
        raise click.BadParameter(str(error), param_hint="'--tensorboard'") from None


def _check_memory(config: PPOConfig, spec: EnvironmentSpec) -> None:
    """Check that training can fit the machine's memory."""
    from ..memory import assert_training_fits_memory

    try:
        assert_training_fits_memory(config, spec.observation_size)
    except MemoryError as error:
        raise click.UsageError(str(error)) from None


def _budgeted(config: PPOConfig, total_steps: int | None) -> PPOConfig:
    """Return the configuration with the number of epochs that ``total_steps`` requires."""
    return config if total_steps is None else config.replace(epochs=-(-total_steps // config.rollout_size))


def _with_options(recorded: Outputs, **options: Any) -> Outputs:
    """Return the outputs that a run was started with, with those changed whose options are given now."""
    source_of = click.get_current_context().get_parameter_source
    given = {name: value for name, value in options.items() if source_of(name) is ParameterSource.COMMANDLINE}
    return dataclasses.replace(recorded, **given)


def _own_gif_epochs(config: PPOConfig) -> tuple[int, ...]:
    """Return the epochs that a preset records unless others are given."""
    return _EXAMPLE_GIF_EPOCHS if config.preset == "keras" else ()


def _checked_gif_epochs(
    chosen: Any, config: PPOConfig, spec: EnvironmentSpec, own: tuple[int, ...], first: int = 0
) -> tuple[int, ...]:
    """Return the epochs to record.

    Args:
        chosen: Value of ``--gif-epochs``; None if it was not given.
        config: The configuration.
        spec: Properties of the environment.
        own: The epochs of the preset or of the resumed run; those that cannot be recorded are skipped in training.
        first: The epoch from which training continues.

    Raises:
        click.BadParameter: If the chosen epochs cannot be recorded.
    """
    from ..views.animations import missing_packages

    if chosen is None:
        return own
    if chosen == NONE:
        return ()
    if missing := missing_packages():
        message = f"animations need {' and '.join(missing)}: pip install 'fastppo[rendering]'."
        raise click.BadParameter(message, param_hint="'--gif-epochs'")
    check_drawing(spec, "'--gif-epochs'")
    epochs: tuple[int, ...] = chosen
    if epochs[-1] > config.epochs:
        raise click.BadParameter(
            f"{epochs[-1]} is beyond the last epoch, {config.epochs}.", param_hint="'--gif-epochs'"
        )
    if epochs[0] < first:
        raise click.BadParameter(
            f"{epochs[0]} is before the epoch to resume from, {first}; 'fastppo render --epoch' shows it.",
            param_hint="'--gif-epochs'",
        )
    return epochs


def _train(
    config: PPOConfig, run: RunDirectory, state: State | None, shown: _Shown, outputs: Outputs, *, is_resumed: bool
) -> bool:
    """Train, save and evaluate; return False if Ctrl-C ended training early."""
    with interrupt_not_lost():
        from ..views.display import new_display

    past_returns = [metrics.mean_return for metrics in run.read_metrics()]
    with ExitStack() as stack:
        display = stack.enter_context(new_display(config, **shown._asdict(), past_returns=past_returns))
        ppo, drawing = _prepared(config, display, stack)
        from ..recording import train_recorded

        if is_resumed:
            _restore(ppo, run, state, outputs)
            if ppo.epoch and not ppo.is_exact:
                display.message("The environments begin new episodes: their state could not be kept.")
        return train_recorded(ppo, run, display, drawing, outputs).is_complete


def _restore(ppo: PPO, run: RunDirectory, state: State | None, outputs: Outputs) -> None:
    """Restore the agent and its run to the last checkpoint, after checking everything."""
    from ..recording import reopen
    from ..runs.best import BestPolicy

    try:
        if state is not None:
            ppo.set_state(state)
            ppo.set_history(run.read_metrics()[: ppo.epoch])
            # Read again when training begins, but wrong ones are reported before anything is changed.
            BestPolicy(run, outputs.eval_every, ppo.get_policy())
    except ValueError as error:
        message = f"'{run.checkpoint_path}' does not belong to this configuration: {error}"
        raise click.ClickException(message) from None
    reopen(run, ppo, outputs)


def _prepared(config: PPOConfig, display: Display, stack: ExitStack) -> tuple[PPO, CurveDrawing]:
    """Import TensorFlow and Numba, build the agent and compile everything, in parallel where possible.

    Returns:
        The agent, which the stack closes, and the drawing of the learning curve.
    """
    with interrupt_not_lost():
        display.waiting_for("importing TensorFlow")
        from ..rollouts.warm_up import RolloutCompilation
        from ..views.drawing import CurveDrawing

        with RolloutCompilation(config) as compilation:
            drawing = stack.enter_context(CurveDrawing(beside=is_command() and not compilation.is_needed))
            ppo = stack.enter_context(_prepared_agent(config, display, compilation))
    return ppo, drawing


def _prepared_agent(config: PPOConfig, display: Display, compilation: RolloutCompilation) -> PPO:
    """Import TensorFlow, build the agent and compile everything that no other process compiles."""
    from ..ppo import PPO
    from ..process.backend import hide_gpus
    from ..process.graphs import some_are_on_disk

    if config.device == "cpu":
        hide_gpus()
    display.waiting_for("building the agent")
    ppo = PPO(config)
    is_first = compilation.is_needed or not some_are_on_disk()
    display.waiting_for("compiling (only the first time)" if is_first else "loading compiled code")
    ppo.compile_update()
    compilation.wait()
    ppo.compile()
    return ppo
