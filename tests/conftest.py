"""Settings shared by all tests."""

from hypothesis import settings

# The first example may compile a kernel, which takes seconds.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
