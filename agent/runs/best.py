"""The best policy of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..callbacks import Callback
from ..metrics import EpochMetrics
from ..state import State, assert_same_structure
from .directory import CANDIDATES, Due, RunDirectory

if TYPE_CHECKING:
    from ..ppo import PPO
    from ..rollouts.evaluation import EvaluationResult
    from ..views.display import Display

MIN_EPISODES = 10
"""The fewest episodes of an evaluation, and the number of which those of a choice are a multiple."""

_MAX_CANDIDATES = 3
# Share of the training's steps that choosing is expected to take at most.
_SHARE = 0.1


class Candidate(NamedTuple):
    """A policy that may be the best.

    Attributes:
        epoch: The epoch after which the agent had this policy.
        mean_return: Mean return of the last training episodes then.
        policy: The policy, as ``PPO.get_policy`` returned it.
    """

    epoch: int
    mean_return: float
    policy: State


class BestPolicy(Callback):
    """Keeps the policies with the highest mean returns in training, and saves the best of them at the end.

    In training, this costs no environment steps. At the end, the best three and the last policy play the same new
    episodes, the policy with the highest mean is saved, and its report is of other episodes. Choosing is given a tenth
    of the training's steps, judged by the length of the last training episodes; if that is too little for ten episodes
    of each policy, fewer policies take part. The last one is saved if it is alone.
    """

    def __init__(self, run: RunDirectory, every: int, policy: State) -> None:
        """Read the candidates of the last checkpoint.

        Args:
            run: The run directory.
            every: Environment steps between two candidates, at least 1.
            policy: A policy of the agent, to compare the structure of candidates with.

        Raises:
            OSError: If the checkpoint cannot be read.
            ValueError: If it is damaged.
        """
        self._run = run
        self._due = Due(every)
        self._candidates = _candidates_of(run.read_candidates(), policy)

    def get_state(self) -> State:
        """Return the candidates as entries of a checkpoint."""
        return {
            f"{CANDIDATES}{index}/{name}": array
            for index, candidate in enumerate(self._candidates)
            for name, array in {
                "epoch": np.array(candidate.epoch),
                "mean_return": np.array(candidate.mean_return),
                **{f"policy/{part}": array for part, array in candidate.policy.items()},
            }.items()
        }

    def on_train_begin(self, ppo: PPO) -> None:
        """Store the number of steps at which training starts."""
        self._due.begin(ppo.env_steps)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Let the policy be a candidate, if one is due and its return in training is among the highest."""
        if not self._due.at(metrics.env_steps):
            return
        self._due.done(metrics.env_steps)
        is_full = len(self._candidates) == _MAX_CANDIDATES
        lowest = self._candidates[-1].mean_return if is_full else -math.inf
        if metrics.mean_return > lowest:
            self._candidates.append(Candidate(metrics.epoch, metrics.mean_return, ppo.get_policy()))
            self._candidates.sort(key=lambda candidate: -candidate.mean_return)
            del self._candidates[_MAX_CANDIDATES:]

    def complete(
        self, ppo: PPO, last: EvaluationResult, evaluate: Callable[[], EvaluationResult], display: Display
    ) -> None:
        """Choose the best policy and save it with its evaluation.

        Args:
            ppo: The agent, with its last policy.
            last: The evaluation of that policy.
            evaluate: Evaluates the agent's current policy in the same way.
            display: Shows what is being done, if it takes environment steps.
        """
        rivals = [candidate for candidate in self._candidates if candidate.epoch != ppo.epoch]
        episodes = _episodes_of_each(ppo, len(rivals) + 1)
        while rivals and not episodes:
            del rivals[-1]
            episodes = _episodes_of_each(ppo, len(rivals) + 1)
        if not rivals:
            self._run.write_best(ppo.actor, {"epoch": ppo.epoch, **last.as_dict()})
            return
        if not ppo.has_free_episodes:
            display.message(f"Choosing the best of {len(rivals) + 1} policies, in {episodes} episodes each")
        # If means are equal, the last policy has learned from most.
        means = {ppo.epoch: _validation_mean(ppo, episodes, display)}
        for rival in rivals:
            with ppo.acting_by(rival.policy):
                means[rival.epoch] = _validation_mean(ppo, episodes, display)
        best = max(means, key=means.__getitem__)
        chosen: dict[str, Any] = {
            "chosen_from": {str(epoch): mean for epoch, mean in sorted(means.items())},
            "choosing_episodes": episodes,
        }
        if best == ppo.epoch:
            self._run.write_best(ppo.actor, {"epoch": best, **last.as_dict(), **chosen})
            return
        (winner,) = (rival for rival in rivals if rival.epoch == best)
        with ppo.acting_by(winner.policy):
            self._run.write_best(ppo.actor, {"epoch": best, **evaluate().as_dict(), **chosen})


def _validation_mean(ppo: PPO, episodes: int, display: Display) -> float:
    with display.evaluating(episodes) as show:
        return ppo.validate(episodes, show).mean


def _episodes_of_each(ppo: PPO, num_policies: int) -> int:
    """Return how many episodes each of several policies may play, a multiple of 10, with which no steps are wasted."""
    episodes = ppo.affordable_episodes(_SHARE / num_policies)
    return episodes - episodes % MIN_EPISODES


def _candidates_of(state: State, policy: State) -> list[Candidate]:
    """Return the candidates in a checkpoint's entries, which ``BestPolicy.get_state`` returned.

    Raises:
        ValueError: If an entry is missing, or not of this agent.
    """
    candidates = []
    for index in range(len({name.partition("/")[0] for name in state})):
        prefix = f"{index}/"
        entries = {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
        parts = {name.removeprefix("policy/"): array for name, array in entries.items() if name.startswith("policy/")}
        assert_same_structure(parts, policy)
        numbers = [entries.get(name) for name in ("epoch", "mean_return")]
        if not all(isinstance(number, np.ndarray) and number.shape == () for number in numbers):
            raise ValueError(f"the entries candidates/{index} are damaged.")
        candidates.append(Candidate(int(entries["epoch"]), float(entries["mean_return"]), parts))
    return candidates
