"""A saved run as an agent."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ..ppo import PPO
from .directory import RunDirectory


def load(path: str | PathLike[str]) -> PPO:
    """Return the agent of a run as its last checkpoint has it: to act, to be evaluated, or to be trained on.

    Args:
        path: A run directory, as ``fastppo train`` writes it.

    Raises:
        OSError: If there is no configuration or no checkpoint, or it cannot be read.
        ValueError: If a file is damaged or of another version.
        DeviceError: If the run was trained on a GPU and there is none.
    """
    run = RunDirectory(Path(path))
    config = run.read_config()
    state = run.read_checkpoint()
    if state is None:
        raise FileNotFoundError(f"'{run.checkpoint_path}' does not exist: the run ended before its first checkpoint.")
    ppo = PPO(config)
    ppo.set_state(state)
    return ppo
