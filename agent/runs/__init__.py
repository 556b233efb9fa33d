"""The files of a training run: writing and reading them."""
