"""Train preset ``fast`` on CartPole, evaluate it in Gymnasium's own CartPole-v1, and save the networks."""

from fastppo import PPO, adapted_preset, evaluate

ppo = PPO(adapted_preset("fast", num_envs=256, seed=0))
ppo.compile()  # optional: otherwise the first epoch compiles and takes longer
ppo.train()

result = evaluate(ppo.actor, episodes=100)
outcome = "solved" if ppo.is_solved else "not solved"
print(f"{outcome} after {ppo.epoch} epochs; mean return in Gymnasium's CartPole-v1: {result.mean:.1f}")

ppo.actor.save("actor.keras")
ppo.critic.save("critic.keras")
