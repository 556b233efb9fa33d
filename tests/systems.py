"""Marks for tests that need features of the operating system and are skipped without them."""

import os
import shutil
import signal

import pytest

SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)

needs_posix_signals = pytest.mark.skipif(os.name == "nt", reason="the system sends no Ctrl-C to a process alone")
needs_posix_shell = pytest.mark.skipif(os.name == "nt", reason="the system has no POSIX shell")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system forks no processes")
needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
