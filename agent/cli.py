"""The command line. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from agent.config import PRESETS, PPOConfig, preset_config
from agent.eval_command import eval_command
from agent.options import NONE, changes_of, configuration_options, integers_of_list, or_none
from agent.run_directory import Checkpoints, RunDirectory

if TYPE_CHECKING:
    from agent.callbacks import Callback
    from agent.checkpoint import State
    from agent.training import PPO

_INTERRUPTED = 130
# When the Keras example shows its policy.
_EXAMPLE_GIF_EPOCHS = (0, 8, 20)
# Below this, a rollout that starts anew in every epoch never sees a whole episode of CartPole-v1.
_WHOLE_EPISODE = 500


def _epochs_of_list(text: str) -> tuple[int, ...]:
    return tuple(sorted(set(integers_of_list(text))))


@cloup.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100})
@click.version_option(package_name="fastppo", message="%(package)s %(version)s")
def main() -> None:
    """Train PPO on CartPole in seconds: Keras networks, a Numba CartPole bit-identical to Gymnasium's."""


main.add_command(eval_command)


@main.command(show_constraints=False)
@cloup.option_group(
    "The run",
    cloup.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default="fast",
        help="Where the settings come from: 'fast' is tuned to solve CartPole-v1 quickly; 'keras' is the algorithm and "
        "the hyperparameters of the Keras example, which trains without a time limit.",
    ),
    cloup.option(
        "--seed",
        type=click.IntRange(min=0),
        metavar="N",
        default=0,
        help="Fixes initial weights, initial states, sampled actions and minibatches.",
    ),
    cloup.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        show_default="runs/PRESET-SEED-TIME",
        help="Run directory to write; must be new or empty.",
    ),
    cloup.option(
        "--resume",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Go on with the run in this directory, bit for bit, from its last checkpoint; of its settings only how "
        "long to train can be changed.",
    ),
    cloup.option(
        "--checkpoint-every",
        type=click.IntRange(min=1),
        metavar="N",
        default=10,
        help="Write a checkpoint after every N epochs. The end of the training, and Ctrl-C, write one always.",
    ),
    cloup.option(
        "--gif-epochs",
        callback=or_none(_epochs_of_list, "a list of epochs such as 0,8,20"),
        metavar="N,N,...|none",
        show_default="none for fast, 0,8,20 for keras",
        help="After which epochs to record an episode as epoch_N.gif, 0 being before the training. Needs the extra "
        "'rendering'.",
    ),
    cloup.option(
        "--tensorboard",
        is_flag=True,
        help="Write TensorBoard event files into the run directory. Needs the extra 'tensorboard'.",
    ),
)
@configuration_options
def train(
    preset: str,
    seed: int,
    out: Path | None,
    resume: Path | None,
    checkpoint_every: int,
    gif_epochs: tuple[int, ...] | str | None,
    tensorboard: bool,
    total_steps: int | None,
    no_early_stop: bool,
    **settings: Any,
) -> None:
    """Train an agent, evaluate it in Gymnasium's CartPole-v1 and save both networks.

    Prints one line per epoch. mean_return is taken over the last 100 episodes with preset 'fast' and over the episodes
    of the epoch with preset 'keras', which prints the line of the Keras example too; elapsed_s counts training, without
    imports and compilation. Preset 'fast' ends when CartPole is solved.

    The run directory holds config.json, metrics.csv, checkpoint.npz, actor.keras, critic.keras, evaluation.json and the
    animations asked for. Ctrl-C saves what has been learned so far and exits with code 130; --resume goes on.
    """
    changes = _changes(total_steps, no_early_stop, changes_of(settings))
    run, state = None, None
    if resume is None:
        config = _budgeted(_checked(preset_config, preset, seed=seed, **changes), total_steps)
    else:
        from agent.resume import continued, read_run, refuse_other_settings

        refuse_other_settings(click.get_current_context())
        run, config, state = read_run(resume)
        config = _budgeted(_checked(config.replace, **changes), total_steps)
        state = continued(run, config, state, changes)
        preset = config.preset
    recorded_epochs = _checked_gif_epochs(gif_epochs, config)
    if tensorboard and find_spec("tensorboard") is None:
        raise click.BadParameter(
            "event files need tensorboard: pip install 'fastppo[tensorboard]'.", param_hint="'--tensorboard'"
        )
    if config.reset_each_epoch and config.num_steps < _WHOLE_EPISODE:
        click.echo(
            f"Warning: with preset '{preset}' every epoch starts new episodes, and each of the {config.num_envs} "
            f"environments takes {config.num_steps} steps an epoch: no episode gets longer. More --steps-per-epoch or "
            "fewer --envs change that.",
            err=True,
        )
    if run is None:
        run = _new_run_directory(out, f"{preset}-{seed}-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        if resume is not None:
            run.reopen(0 if state is None else int(state["epoch"]))
        run.write_config(config.as_dict())
        completed = _train(config, run, state, recorded_epochs, checkpoint_every, tensorboard)
    except KeyboardInterrupt:
        completed = False
    except MemoryError:
        raise click.ClickException(f"{config.num_envs} environments need more memory than there is.") from None
    except ImportError as error:
        raise click.ClickException(f"the training cannot start: {error}") from None
    except OSError as error:
        raise click.ClickException(f"'{run.path}' cannot be written: {error.strerror or error}.") from None
    finally:
        run.discard_if_unused()
    if not completed:
        outcome = f"what was learned so far is saved in {run.path}" if run.has_models() else "nothing was learned yet"
        click.echo(f"Interrupted; {outcome}.")
        raise SystemExit(_INTERRUPTED)


def _changes(total_steps: int | None, no_early_stop: bool, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields the options set, after checking those that exclude each other."""
    if total_steps is not None and "epochs" in changes:
        raise click.UsageError("--epochs and --total-steps exclude each other.")
    if no_early_stop:
        if changes.get("target_return") is not None:
            raise click.UsageError("--target-return and --no-early-stop exclude each other.")
        return {**changes, "target_return": None}
    return changes


def _checked(make: Callable[..., PPOConfig], *arguments: Any, **changes: Any) -> PPOConfig:
    """Return a configuration; one that cannot be is a mistake in the options."""
    try:
        return make(*arguments, **changes)
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _budgeted(config: PPOConfig, total_steps: int | None) -> PPOConfig:
    """Return the configuration with as many epochs as so many steps need."""
    return config if total_steps is None else config.replace(epochs=-(-total_steps // config.rollout_size))


def _checked_gif_epochs(chosen: Any, config: PPOConfig) -> tuple[int, ...]:
    """Return after which epochs to record; what the preset does by itself needs no extra and no minimum of epochs."""
    from agent.rendering import missing_packages

    if chosen == NONE:
        return ()
    epochs: tuple[int, ...] = (_EXAMPLE_GIF_EPOCHS if config.preset == "keras" else ()) if chosen is None else chosen
    missing = missing_packages() if epochs else []
    hint = f"animations need {' and '.join(missing)}: pip install 'fastppo[rendering]'"
    if chosen is None:
        if missing:
            click.echo(f"No animations are recorded: {hint}, or choose --gif-epochs none.", err=True)
        return () if missing else epochs
    if missing:
        raise click.BadParameter(f"{hint}.", param_hint="'--gif-epochs'")
    if epochs and epochs[-1] > config.epochs:
        raise click.BadParameter(
            f"{epochs[-1]} is beyond the last epoch, {config.epochs}.", param_hint="'--gif-epochs'"
        )
    return epochs


def _new_run_directory(out: Path | None, default_name: str) -> RunDirectory:
    """Make the directory the user asked for, or one of the default name that no other run has taken."""
    candidates = [out] if out else [Path("runs") / f"{default_name}{suffix}" for suffix in ("", *range(-2, -100, -1))]
    for candidate in candidates:
        run = RunDirectory(candidate)
        try:
            run.create()
        except FileExistsError:
            continue
        except OSError as error:
            message = f"'{candidate}' cannot be written: {error.strerror}."
            raise click.BadParameter(message, param_hint="'--out'") from None
        return run
    raise click.BadParameter(f"'{candidates[0]}' exists and is not an empty directory.", param_hint="'--out'")


def _train(
    config: PPOConfig,
    run: RunDirectory,
    state: State | None,
    gif_epochs: tuple[int, ...],
    checkpoint_every: int,
    tensorboard: bool,
) -> bool:
    """Train, save and evaluate; return False where Ctrl-C ended the training early."""
    with _interrupt_not_lost():
        from agent.console import TrainingDisplay, format_evaluation
        from agent.rendering import GifRecorder

    with TrainingDisplay(config.epochs, as_in_the_example=config.preset == "keras") as display:
        ppo = _prepared_agent(config)
        if state is not None:
            ppo.set_state(state)
        callbacks: list[Callback] = [
            display,
            run,
            GifRecorder(run, gif_epochs),
            Checkpoints(run, checkpoint_every),
        ]
        if tensorboard:
            from agent.tensorboard import TensorBoardWriter

            callbacks.append(TensorBoardWriter(run.tensorboard_path))
        display.start_epochs(ppo.epoch)
        with _interrupt_stops(ppo):
            try:
                ppo.train(callbacks)
            finally:
                # Whatever ended the training: what was learned is not lost to a second Ctrl-C.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                if run.has_epochs:
                    run.save_models(ppo)
                    run.write_checkpoint(ppo.get_state())
        if ppo.stop_training:
            return False
        from agent.evaluation import evaluate

        result = evaluate(ppo.actor, seed=ppo.evaluation_seed)
        run.write_evaluation(result.as_dict())
        display.line(format_evaluation(result))
        display.line(f"Saved in {run.path}")
        return True


def _prepared_agent(config: PPOConfig) -> PPO:
    """Import TensorFlow and Numba, build the agent and compile everything, side by side where it can be."""
    from agent.quiet import standard_error_held_back

    with _interrupt_not_lost():
        from agent.warm_up import RolloutCompilation

        with RolloutCompilation(config) as compilation:
            with standard_error_held_back():
                from agent.training import PPO
            ppo = PPO(config)
            ppo.compile_update()
            compilation.wait()
            ppo.compile()
    return ppo


@contextmanager
def _interrupt_not_lost() -> Iterator[None]:
    """Raise KeyboardInterrupt where Ctrl-C came but its exception got lost.

    Extension modules that are just being loaded turn it into an ImportError, or drop it.
    """
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception:
        if not interrupted:
            raise
    finally:
        signal.signal(signal.SIGINT, previous)
    if interrupted:
        raise KeyboardInterrupt


@contextmanager
def _interrupt_stops(ppo: PPO) -> Iterator[None]:
    """Let Ctrl-C end the training after the current epoch, and a second Ctrl-C at once."""

    def stop(*_: object) -> None:
        if ppo.stop_training:
            raise KeyboardInterrupt
        ppo.stop_training = True

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
