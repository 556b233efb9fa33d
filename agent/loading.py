"""A saved run as an agent."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from gymnasium.vector import VectorEnv

from .config import REGISTERED
from .ppo import PPO
from .runs.directory import RunDirectory


def load(
    path: str | PathLike[str],
    environments: VectorEnv[Any, Any, Any] | None = None,
    **handed_over: Any,
) -> PPO:
    """Return the agent of a run as its last checkpoint has it: to act, to be evaluated, or to be trained on.

    Args:
        path: A run directory, as ``fastppo train`` writes it.
        environments: As of :class:`agent.PPO`, where the agent is to play something else than the run's environment.
        handed_over: Likewise ``make_env``, ``evaluation_environments`` and ``autoreset_mode``; and ``actor`` and
            ``critic`` where the run trained models of the user's, whose weights are set to the run's.

    Raises:
        OSError: If there is no configuration or no checkpoint, or it cannot be read.
        ValueError: If a file is damaged or of another version, or the environment cannot be played.
        DeviceError: If the run was trained on a GPU and there is none.
    """
    run = RunDirectory(Path(path))
    config = run.read_config()
    state = run.read_checkpoint()
    if state is None:
        raise FileNotFoundError(f"'{run.checkpoint_path}' does not exist: the run ended before its first checkpoint.")
    if environments is not None:
        # They are taken as they are.
        config = config.replace(vectorization="auto", max_episode_steps=REGISTERED)
    if environments is not None or handed_over.get("make_env") is not None:
        config = config.replace(env_kwargs={})
    if missing := [name for name in ("actor", "critic") if name in run.read_handed_over() and name not in handed_over]:
        raise ValueError(f"{' and '.join(missing)} must be given for '{path}', which trained models of your own.")
    ppo = PPO(config, environments, **handed_over)
    ppo.set_state(state)
    recorded = run.read_metrics()[: ppo.epoch] if run.metrics_path.exists() else []
    if len(recorded) == ppo.epoch:
        ppo.set_history(recorded)
    return ppo
