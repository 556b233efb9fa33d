"""Learning results of preset ``fast`` in several environments: ``python -m bench.learning``."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from agent import preset_config
from agent.formatting import format_number
from agent.sweeps.statistics import Estimate, estimate, interquartile_mean

if TYPE_CHECKING:
    from agent import PPO, EpochMetrics


@dataclass(frozen=True)
class Published:
    """Published results of PPO in an environment.

    Attributes:
        target: Mean return to reach: that of the RL Zoo, or slightly less because the Zoo reports a single run.
        zoo: Result of the RL Zoo.
        cleanrl: Result in CleanRL's documentation.
        seeds: Maximum number of training runs, for environments in which a run takes very long.
    """

    target: float
    zoo: str
    cleanrl: str = "-"
    seeds: int | None = None


ENVIRONMENTS = {
    "CartPole-v1": Published(475.0, "500.0 (100 k steps)", "490.0"),
    "Acrobot-v1": Published(-80.0, "-73.5 (1 M)", "-86.4"),
    "MountainCar-v0": Published(-115.0, "-110.4 (1 M)", "-200.0"),
    "LunarLander-v3": Published(230.0, "242.1 (v2, 1 M)"),
    "Pendulum-v1": Published(-180.0, "-172.2 (100 k)"),
    "MountainCarContinuous-v0": Published(88.0, "88.3 (20 k)"),
    "LunarLanderContinuous-v3": Published(250.0, "270.9 (v2, 1 M)"),
    "BipedalWalker-v3": Published(280.0, "287.9 (5 M)", seeds=3),
}
# LunarLander counts as solved at this mean return. Training should reach it within 1.5 times the time that the
# environments alone take for _COMPARED_STEPS steps.
_LANDING = "LunarLander-v3"
_LANDED = 200.0
# If the mean return of the last 100 training episodes never exceeds this, the car has never reached the flag: training
# episodes of MountainCar-v0 end after 1,000 steps of reward -1, and MountainCarContinuous-v0 penalizes actions.
_NO_FLAG = {"MountainCar-v0": -999.0, "MountainCarContinuous-v0": 0.0}
_COMPARED_STEPS = 800_000
# Once the sampled policy is near the target, the greedy policy is evaluated every few epochs.
_LOOK_EVERY, _NEAR = 4, 0.9
_STEPS_ALONE = 300


@dataclass(frozen=True)
class Training:
    """Results of one training run.

    Attributes:
        seed: Seed of the run.
        final_return: Mean return of the final policy over 100 greedy episodes.
        env_steps: Number of environment steps.
        train_s: Training time in s.
        curve: Environment steps and mean return after each epoch.
        landed_s: Training time in s until an evaluation of the greedy policy first had a mean return of at least 200;
            NaN if none had.
        steps_per_s_alone: Steps per second of the environments alone with random actions, measured just before the run.
    """

    seed: int
    final_return: float
    env_steps: int
    train_s: float
    curve: tuple[tuple[int, float], ...]
    landed_s: float
    steps_per_s_alone: float


def train(ppo: PPO, *, looks_for: float = math.nan) -> Training:
    """Train for all epochs, without early stopping.

    Args:
        ppo: Untrained agent.
        looks_for: Greedy mean return whose training time is recorded; evaluations do not count as training time. NaN
            for none.
    """
    alone = steps_per_s_alone(str(ppo.config.env_id), ppo.config.num_envs)
    curve: list[tuple[int, float]] = []
    landed_s = math.nan
    for epoch in range(1, ppo.config.epochs + 1):
        metrics: EpochMetrics = ppo.train_epoch()
        curve.append((metrics.env_steps, metrics.mean_return))
        is_near = math.isnan(landed_s) and metrics.mean_return >= _NEAR * looks_for
        if is_near and epoch % _LOOK_EVERY == 0 and ppo.validate().mean >= looks_for:
            landed_s = metrics.elapsed_s
    return Training(
        ppo.config.seed, ppo.evaluate().mean, metrics.env_steps, metrics.elapsed_s, tuple(curve), landed_s, alone
    )


def steps_per_s_alone(env_id: str, num_envs: int) -> float:
    """Return how many steps per second the environments of a training run take with random actions."""
    from bench.workloads.random_steps import RandomSteps

    steps = RandomSteps(env_id, num_envs, _STEPS_ALONE)
    steps.run()
    start = time.perf_counter()
    steps.run()
    return steps.work / (time.perf_counter() - start)


def trainings_of(env_id: str, seeds: Sequence[int]) -> list[Training]:
    """Train preset ``fast`` in an environment for all of its epochs, once with each seed.

    Args:
        env_id: Id of the environment.
        seeds: Seeds, at least one.
    """
    from agent import PPO

    looks_for = _LANDED if env_id == _LANDING else math.nan
    trainings: list[Training] = []
    ppo: PPO | None = None
    for seed in seeds:
        config = preset_config("fast", env_id=env_id, seed=seed, target_return=None)
        if ppo is None:
            ppo = PPO(config)
            ppo.compile()
        else:
            ppo.restart(config)
        trainings.append(train(ppo, looks_for=looks_for))
        final_return = format_number(trainings[-1].final_return)
        click.echo(f"{env_id}, seed {seed}: {final_return} after {trainings[-1].train_s:.0f} s")
    assert ppo is not None
    ppo.close()
    return trainings


def as_markdown(results: dict[str, list[Training]], machine: str) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# Learning",
        "",
        "`fastppo train --env-id ID --no-early-stop`: mean return of the final policy over 100 greedy episodes. The",
        "table shows the interquartile mean over the seeds with a 95% bootstrap confidence interval (Agarwal et al.",
        "2021), and the range over the seeds. For comparison, it quotes published results of PPO: those of the RL",
        "Baselines3 Zoo, one run each, and those of CleanRL's documentation, after 500,000 steps.",
        "",
        "| environment | seeds | interquartile mean | range | RL Zoo | CleanRL | steps | seconds (median) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for env_id, trainings in results.items():
        returns = np.array([training.final_return for training in trainings])
        seconds = np.median([training.train_s for training in trainings])
        published = ENVIRONMENTS[env_id]
        lowest, highest = format_number(returns.min()), format_number(returns.max())
        lines.append(
            f"| {env_id} | {len(trainings)} | {_shown(estimate(returns, interquartile_mean))} "
            f"| {lowest} to {highest} | {published.zoo} | {published.cleanrl} "
            f"| {trainings[0].env_steps:,} | {seconds:.0f} |"
        )
    lines += ["", *_flags(results), *_landing(results), "![Learning curves](learning.png)", "", machine, ""]
    lines += ["Made by `python -m bench.learning`.", ""]
    return "\n".join(lines)


def _flags(results: dict[str, list[Training]]) -> list[str]:
    """Return sentences on how many training runs reached the flag of a mountain car."""
    sentences = []
    for env_id, lowest in _NO_FLAG.items():
        if trainings := results.get(env_id):
            found = sum(max((mean for _, mean in training.curve), default=lowest) > lowest for training in trainings)
            sentences += [f"In {env_id}, {found} of {len(trainings)} runs found the flag.", ""]
    return sentences


def _landing(results: dict[str, list[Training]]) -> list[str]:
    """Return sentences that compare the time to a greedy mean return of 200 in LunarLander with the environments'."""
    trainings = results.get(_LANDING, [])
    times = [training.landed_s for training in trainings if not math.isnan(training.landed_s)]
    if not times:
        return []
    ratios = [training.landed_s * training.steps_per_s_alone / _COMPARED_STEPS for training in trainings]
    # A run that never reached the mean return counts as slower than all others.
    median = np.median(np.nan_to_num(ratios, nan=math.inf))
    return [
        f"In {_LANDING}, an evaluation during training showed a greedy mean return of {_LANDED:.0f} in {len(times)} of "
        f"{len(trainings)} runs, first after a median of {np.median(times):.0f} s of training. Over all runs, the "
        f"median is {median:.2f} times as long as the environments alone take for {_COMPARED_STEPS:,} random steps; a "
        "run without such an evaluation counts as slowest.",
        "",
    ]


def _shown(found: Estimate) -> str:
    return f"{format_number(found.value)} [{format_number(found.low)}, {format_number(found.high)}]"


def plot(results: dict[str, list[Training]], path: Path) -> None:
    """Plot the learning curves: one panel per environment, one line per seed."""
    from agent.views.figures import Figure, own_settings

    with own_settings():
        columns = min(len(results), 4)
        rows = -(-len(results) // columns)
        figure = Figure(figsize=(4 * columns, 3.6 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(results) :]:
            axes.remove()
        for axes, (env_id, trainings) in zip(panels, results.items(), strict=False):
            for training in trainings:
                axes.plot(*np.array(training.curve).reshape(-1, 2).T, color="tab:blue", alpha=0.5, linewidth=1.0)
            axes.axhline(ENVIRONMENTS[env_id].target, color="grey", linestyle="--", linewidth=1.0)
            axes.set(title=env_id, xlabel="environment steps", ylabel="mean return of the last 100 episodes")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.tick_params(axis="x", labelrotation=30)
            axes.grid(alpha=0.3)
        figure.savefig(path, dpi=110)


def write(path: Path, trainings: list[Training], machine: str) -> None:
    """Write the training runs in an environment, and the machine they ran on, as JSON."""
    # JSON has no NaN.
    content = {"machine": machine, "trainings": [_without_nan(dataclasses.asdict(one)) for one in trainings]}
    path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def kept(folder: Path) -> tuple[dict[str, list[Training]], list[str]]:
    """Return the training runs saved in a folder, in the order of ``ENVIRONMENTS``, and their machines."""
    results, machines = {}, set()
    for env_id in ENVIRONMENTS:
        path = folder / f"{env_id}.json"
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            machines.add(content["machine"])
            results[env_id] = [
                Training(**{**entry, "landed_s": entry["landed_s"] or math.nan}) for entry in content["trainings"]
            ]
    return results, sorted(machines)


def _without_nan(fields: dict[str, Any]) -> dict[str, Any]:
    curve = [(steps, mean) for steps, mean in fields["curve"] if not math.isnan(mean)]
    return {**fields, "curve": curve, "landed_s": None if math.isnan(fields["landed_s"]) else fields["landed_s"]}


@click.command()
@click.option(
    "--seeds", type=click.IntRange(min=2), default=10, show_default=True, help="Training runs per environment."
)
@click.option(
    "--env-id",
    "env_ids",
    type=click.Choice(list(ENVIRONMENTS)),
    multiple=True,
    help="Train only in this environment; can be given several times.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="docs",
    show_default=True,
    help="Directory to write to.",
)
def main(seeds: int, env_ids: tuple[str, ...], out: Path) -> None:
    """Train preset 'fast' for all epochs in eight environments; write a table and a plot.

    The results of each environment are saved to learning/ID.json. For environments that are not trained this time, the
    table and the plot use the saved results.
    """
    from bench.machine import describe

    folder = out / "learning"
    folder.mkdir(parents=True, exist_ok=True)
    for env_id in env_ids or ENVIRONMENTS:
        trainings = trainings_of(env_id, range(min(seeds, ENVIRONMENTS[env_id].seeds or seeds)))
        machine = describe()
        text = f"{machine['processor']}, {machine['cores']} cores; {machine['date']}"
        write(folder / f"{env_id}.json", trainings, text)
    results, machines = kept(folder)
    plot(results, out / "learning.png")
    page = as_markdown(results, f"Machine: {'; '.join(machines)}.")
    (out / "learning.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
