"""Load the agent of a saved run."""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path
from typing import Any

from gymnasium.vector import VectorEnv

from .config import REGISTERED
from .ppo import PPO
from .runs.directory import Resumption, RunDirectory, is_run, named_example


def load(
    path: str | PathLike[str],
    environments: VectorEnv[Any, Any, Any] | None = None,
    *,
    agent_class: type[PPO] = PPO,
    **handed_over: Any,
) -> PPO:
    """Load the agent of a run from its last checkpoint, to predict, evaluate or train further.

    Args:
        path: A run directory written by ``fastppo train``, ``PPO.train`` or ``PPO.save``.
        environments: Vector environment, as for ``PPO``, to use instead of the run's environment.
        agent_class: The class of the agent, if the run was trained by a subclass of ``PPO``.
        handed_over: Further arguments of ``PPO``, or of its subclass: ``make_env``, ``evaluation_environments`` and
            ``autoreset_mode``. ``actor`` and ``critic`` are required if the run trained custom models; their weights
            are set to the run's.

    Returns:
        The agent.

    Raises:
        TypeError: If a setting is given: the run determines them all.
        FileNotFoundError: If the path does not exist or is not a run directory, or there is no checkpoint.
        NotADirectoryError: If the path is a file.
        OSError: If the configuration or the checkpoint cannot be read.
        ValueError: If a file is damaged or from another version, the environment cannot be played, or the models or the
            subclass that trained the run are missing.
        DeviceError: If the run was trained on a GPU and there is none.
    """
    _check_names(agent_class, handed_over)
    run = RunDirectory(Path(path))
    _check_is_run(run)
    config = run.read_config()
    state = run.read_checkpoint()
    if state is None:
        raise FileNotFoundError(f"'{run.checkpoint_path}' does not exist: the run ended before its first checkpoint.")
    _check_handed_over(run, agent_class, handed_over)
    if environments is not None:
        # These settings do not apply to environments that already exist.
        config = config.replace(vectorization="auto", max_episode_steps=REGISTERED)
    if environments is not None or handed_over.get("make_env") is not None:
        config = config.replace(env_kwargs={})
    ppo = agent_class(config, environments, **handed_over)
    ppo.set_state(state)
    _set_history(ppo, run)
    if ppo.epoch:
        ppo.resumptions = (*run.read_resumptions(), Resumption(ppo.epoch, config.epochs))
    return ppo


def _check_names(agent_class: type[PPO], handed_over: dict[str, Any]) -> None:
    """Check that only objects are handed over, and no settings; a subclass may take more.

    Raises:
        TypeError: If there is another argument.
    """
    names = ("actor", "critic", "make_env", "evaluation_environments", "autoreset_mode")
    if agent_class is PPO and (others := handed_over.keys() - set(names)):
        raise TypeError(
            f"load() takes no {sorted(others)[0]}: the run determines the settings. Besides the path it takes "
            f"environments, agent_class, {', '.join(names[:-1])} and {names[-1]}."
        )


def _check_is_run(run: RunDirectory) -> None:
    """Check that a directory holds a run.

    Raises:
        FileNotFoundError: If it does not exist, or holds no run.
        NotADirectoryError: If it is a file.
    """
    path = run.shown_path
    if not run.path.exists():
        raise FileNotFoundError(f"'{path}' does not exist.")
    if not run.path.is_dir():
        raise NotADirectoryError(f"'{path}' is a file; pass its directory.")
    if not is_run(run):
        hint = named_example(path, is_run) or "; it holds no config.json"
        raise FileNotFoundError(f"'{path}' is not a run directory{hint}.")


def _check_handed_over(run: RunDirectory, agent_class: type[PPO], handed_over: dict[str, Any]) -> None:
    """Check that the models and the class that trained the run are given; environments are checked elsewhere.

    Raises:
        ValueError: If one is missing.
    """
    elsewhere = ("environments", "make_env", "evaluation_environments")
    for name in run.read_handed_over():
        if name in ("actor", "critic"):
            if handed_over.get(name) is None:
                raise ValueError(f"{name} must be given for '{run.shown_path}': that run trained your own model.")
        elif name not in elsewhere and agent_class is PPO:
            raise ValueError(f"agent_class must be {name} for '{run.shown_path}', which it trained, got PPO.")


def _set_history(ppo: PPO, run: RunDirectory) -> None:
    """Set the metrics of the epochs if the run has them all; they are not needed to predict or to train."""
    try:
        recorded = run.read_metrics()[: ppo.epoch] if run.metrics_path.exists() else []
    except ValueError as error:
        message = f"{error} The agent's history is empty, so the agent cannot be saved."
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return
    if len(recorded) == ppo.epoch:
        ppo.set_history(recorded)
