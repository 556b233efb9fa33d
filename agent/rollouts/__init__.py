"""Rollouts and evaluations, in CartPole's fused kernel or in any vector environment."""
