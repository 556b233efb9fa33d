"""What is kept of a training, and how it is read again."""
