"""Keep the start-up remarks of TensorFlow and of drawing libraries off the terminal."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# What is said each time and means nothing to the user; everything else that is written is shown.
_CHATTER = re.compile(
    rb"[IWEF]\d{4} \d\d:\d\d:[\d.]+ +\d+ \S+:\d+\] "  # TensorFlow's C++ log
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IWEF] \S+:\d+\] "  # and its older form
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions: "
    rb"|ALSA lib "  # SDL, where there is no sound
    rb"|(error: )?XDG_RUNTIME_DIR "  # and no screen
)


@contextmanager
def standard_error_held_back(*, for_good: bool = False) -> Iterator[None]:
    """Hold back what is written to standard error, native libraries included, and show it afterwards without chatter.

    TensorFlow logs from C++ before its log level can be set, so that only the file descriptor itself can be silenced.
    If an exception escapes, everything is shown.

    Args:
        for_good: Whether nothing is shown afterwards, where what runs is none of the user's business.
    """
    try:
        held_back, saved = tempfile.TemporaryFile(), os.dup(2)  # noqa: SIM115
    except OSError:
        # There is no standard error, or no place to hold it.
        yield
        return
    _flush()
    os.dup2(held_back.fileno(), 2)
    has_failed = False
    try:
        yield
    except Exception:
        has_failed = True
        raise
    finally:
        _flush()
        os.dup2(saved, 2)
        os.close(saved)
        with held_back:
            held_back.seek(0)
            _write(b"".join(line for line in held_back if has_failed or not (for_good or _CHATTER.match(line))))


def _flush() -> None:
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def _write(content: bytes) -> None:
    """Write to standard error itself, whatever has replaced ``sys.stderr``."""
    with suppress(OSError):
        while content:
            content = content[os.write(2, content) :]
