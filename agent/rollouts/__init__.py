"""Who plays: the fused rollouts of CartPole, and evaluations."""
