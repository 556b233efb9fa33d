"""Settings shared by all tests."""

import os

from hypothesis import settings

# Windows open in memory only.
os.environ["SDL_VIDEODRIVER"] = "dummy"

# The first example may compile a kernel, which takes seconds.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
