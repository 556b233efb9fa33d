"""The command ``fastppo`` as ``python -m fastppo``."""

from importlib import import_module

from fastppo import agent

if __name__ == "__main__":
    import_module(f"{agent.__name__}.cli").run()
