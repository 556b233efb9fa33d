"""What is played: Gymnasium's environments, how they are made, and what the agent must know of them."""
