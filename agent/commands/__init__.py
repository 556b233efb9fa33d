"""The commands of ``fastppo``, one module each."""
