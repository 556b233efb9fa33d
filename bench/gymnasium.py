"""Training in Gymnasium's environments beside CartPole: ``python -m bench.gymnasium``."""

from __future__ import annotations

from agent.config import PPOConfig
from agent.presets import PRESETS
from bench.harness import SETTLING_S, Case, Entrant
from bench.tasks import Session, Task, tasks_of

NUM_ENVS = 16
# More than any number of rounds takes.
_MANY_EPOCHS = 100_000
_TORCH = ("stable_baselines3", "torch")


def tasks(session: Session) -> list[Task]:
    """Return what to measure: training in Acrobot-v1 and LunarLander-v3 with the settings of the RL Zoo."""
    sizes = session.num_envs or (NUM_ENVS,)
    return tasks_of([case_of(env_id, size) for size in sizes for env_id in ("Acrobot-v1", "LunarLander-v3")], session)


def zoo_config(env_id: str, num_envs: int) -> PPOConfig:
    """Return the RL Zoo's hyperparameters for an environment, without its normalization of observations.

    Args:
        env_id: ``Acrobot-v1`` or ``LunarLander-v3``.
        num_envs: Size of the batch; the Zoo's is 16.
    """
    common = PRESETS["standard"].replace(
        env_id=env_id,
        num_envs=num_envs,
        epochs=_MANY_EPOCHS,
        target_return=None,
        policy_update_epochs=4,
        value_update_epochs=4,
    )
    if env_id == "Acrobot-v1":
        return common.replace(steps_per_epoch=256 * num_envs, gae_lambda=0.94)
    return common.replace(steps_per_epoch=1024 * num_envs, gamma=0.999, gae_lambda=0.98, entropy_coefficient=0.01)


def case_of(env_id: str, num_envs: int) -> Case:
    """Return training in an environment; the limit is how long the environments alone would take.

    Args:
        env_id: The environment.
        num_envs: Size of the batch.
    """
    config = zoo_config(env_id, num_envs)
    workloads = "bench.workloads"
    needs_box2d = ("Box2D",) if env_id.startswith("LunarLander") else ()
    entrants = [
        Entrant("fastppo", "ours", f"{workloads}.our_agent:OurEpochs", (config,), "agent", needs_box2d),
        Entrant(
            "SB3 PPO, the same settings",
            "peer",
            f"{workloads}.sb3:Sb3Elsewhere",
            (config,),
            "sb3",
            (*_TORCH, *needs_box2d),
            most_rounds=3,
        ),
        Entrant(
            "a loop as CleanRL's, the same settings",
            "peer",
            f"{workloads}.torch_ppo:TorchPPO",
            (config,),
            "torch",
            ("torch", *needs_box2d),
            most_rounds=3,
        ),
        Entrant(
            "the environments alone, random actions",
            "limit",
            f"{workloads}.random_steps:RandomSteps",
            (env_id, num_envs, config.num_steps),
            "steps",
            needs_box2d,
        ),
        Entrant(
            "fastppo, EnvPool's batch",
            "ours",
            f"{workloads}.random_steps:OurEpochsInEnvPool",
            (config,),
            "envpool",
            ("envpool",),
        ),
        Entrant(
            "EnvPool's batch alone, random actions",
            "limit",
            f"{workloads}.random_steps:RandomStepsInEnvPool",
            (env_id, num_envs, config.num_steps),
            "envpool steps",
            ("envpool",),
        ),
    ]
    return Case("gymnasium", f"training, {env_id}", num_envs, "steps", tuple(entrants), settling_s=SETTLING_S)


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("gymnasium")
