"""Log a training run to Weights & Biases: pip install 'fastppo[wandb]'.

With WANDB_MODE=offline, the run is saved to the folder wandb and can be synchronized later.
"""

import dataclasses

import wandb

from fastppo import PPO, Tracker, preset_config


class WandbTracker(Tracker):
    """Logs the metrics of every epoch to the active run."""

    def log(self, figures, step):
        """Log metrics at a number of environment steps."""
        wandb.log(figures, step=step)


config = preset_config("fast", num_envs=64, seed=1)
with wandb.init(project="fastppo", config=dataclasses.asdict(config)) as run, PPO(config) as ppo:
    ppo.train(WandbTracker())
    evaluation = ppo.evaluate()
    run.summary["evaluation/mean_return"] = evaluation.mean
print(f"{ppo.epoch} epochs logged, mean return {evaluation.mean:.1f}")
