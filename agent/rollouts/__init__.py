"""Who plays: CartPole on its kernel, any other vector environment, and evaluations."""
