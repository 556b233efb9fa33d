"""Training in Gymnasium environments other than CartPole: ``python -m bench.gymnasium``."""

from __future__ import annotations

from agent.config import PPOConfig
from agent.presets import PRESETS
from bench.harness import SETTLING_S, Case, Entrant
from bench.tasks import Session, Task, tasks_of

# Numbers of environments in the RL Zoo.
_SIZES = {"Acrobot-v1": 16, "LunarLander-v3": 16, "LunarLanderContinuous-v3": 16, "Pendulum-v1": 4}
# More epochs than a measurement ever runs.
_MANY_EPOCHS = 100_000
_TORCH = ("stable_baselines3", "torch")


def tasks(session: Session) -> list[Task]:
    """Return the tasks: training with the RL Zoo's settings, with discrete and with continuous actions."""
    cases = [case_of(env_id, size) for env_id, usual in _SIZES.items() for size in session.num_envs or (usual,)]
    return tasks_of(cases, session)


def zoo_config(env_id: str, num_envs: int) -> PPOConfig:
    """Return the RL Zoo's hyperparameters for an environment, without normalization and state-dependent exploration.

    Args:
        env_id: Id of one of the environments measured here.
        num_envs: Number of environments.
    """
    common = PRESETS["standard"].replace(
        env_id=env_id,
        num_envs=num_envs,
        epochs=_MANY_EPOCHS,
        target_return=None,
        normalize_observations=False,
        normalize_rewards=False,
        learning_rate_schedule="constant",
        value_clip_range=None,
        policy_update_epochs=4,
        value_update_epochs=4,
    )
    if env_id == "Acrobot-v1":
        return common.replace(steps_per_epoch=256 * num_envs, gae_lambda=0.94)
    longer = common.replace(steps_per_epoch=1024 * num_envs)
    if env_id == "Pendulum-v1":
        return longer.replace(
            gamma=0.9,
            policy_learning_rate=1e-3,
            value_learning_rate=1e-3,
            policy_update_epochs=10,
            value_update_epochs=10,
        )
    return longer.replace(gamma=0.999, gae_lambda=0.98, entropy_coefficient=0.01)


def case_of(env_id: str, num_envs: int) -> Case:
    """Return the case of training in an environment; the limit is the time that the environments alone would take.

    Args:
        env_id: Id of the environment.
        num_envs: Number of environments.
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
            "the environments alone, random actions",
            "limit",
            f"{workloads}.random_steps:RandomSteps",
            (env_id, num_envs, config.num_steps),
            "steps",
            needs_box2d,
        ),
    ]
    if env_id in ("Acrobot-v1", "LunarLander-v3"):
        entrants += _with_discrete_actions(env_id, config, needs_box2d)
    return Case("gymnasium", f"training, {env_id}", num_envs, "steps", tuple(entrants), settling_s=SETTLING_S)


def _with_discrete_actions(env_id: str, config: PPOConfig, needs_box2d: tuple[str, ...]) -> list[Entrant]:
    """Return the entrants that support only discrete actions in this benchmark."""
    workloads = "bench.workloads"
    return [
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
            (env_id, config.num_envs, config.num_steps),
            "envpool steps",
            ("envpool",),
        ),
    ]


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("gymnasium")
