"""Keep the start-up messages of TensorFlow and of graphics libraries off the terminal."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple

# Messages that appear every time and do not matter to the user; everything else is shown.
_CHATTER = re.compile(
    rb"[IWEF]\d{4} \d\d:\d\d:[\d.]+ +\d+ \S+:\d+\] "  # TensorFlow's C++ log
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IWEF] \S+:\d+\] "  # and its older form
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions: "
    rb"|ALSA lib "  # SDL without a sound device
    rb"|(error: )?XDG_RUNTIME_DIR "  # SDL without a display
)


@contextmanager
def standard_error_held_back(*, for_good: bool = False) -> Iterator[None]:
    """Hold back standard error, including native libraries, and show it afterwards without known chatter.

    TensorFlow logs from C++ before its log level can be set, so that only the file descriptor itself can be silenced.
    If an exception escapes, everything is shown.

    Args:
        for_good: Whether to show nothing afterwards, if the output does not concern the user.
    """
    hold = _begin()
    has_failed = False
    try:
        yield
    except Exception:
        has_failed = True
        raise
    finally:
        if hold is not None:
            _end(hold, lambda line: not has_failed and (for_good or bool(_CHATTER.match(line))))


class _Hold(NamedTuple):
    """The temporary file for standard error, and a copy of its original file descriptor."""

    held_back: IO[bytes]
    saved: int


# Threads share standard error: only the first thread that holds it back redirects and restores it.
_LOCK = threading.Lock()
_IS_HELD = False


def _begin() -> _Hold | None:
    """Redirect standard error; return None if it is already redirected, is closed, or cannot be stored.

    On Windows, consoles are not files, and output to them cannot be held back.
    """
    global _IS_HELD
    with _LOCK:
        if _IS_HELD or os.name == "nt":
            return None
        try:
            held_back, saved = tempfile.TemporaryFile(), os.dup(2)  # noqa: SIM115
        except OSError:
            return None
        _flush()
        os.dup2(held_back.fileno(), 2)
        _IS_HELD = True
        return _Hold(held_back, saved)


def _end(hold: _Hold, is_dropped: Callable[[bytes], bool]) -> None:
    """Restore standard error, and show what was held back except for dropped lines."""
    global _IS_HELD
    with _LOCK:
        _flush()
        os.dup2(hold.saved, 2)
        os.close(hold.saved)
        _IS_HELD = False
    with hold.held_back:
        hold.held_back.seek(0)
        _write(b"".join(line for line in hold.held_back if not is_dropped(line)))


def _flush() -> None:
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def _write(content: bytes) -> None:
    """Write to the file descriptor of standard error, even if ``sys.stderr`` has been replaced."""
    with suppress(OSError):
        while content:
            content = content[os.write(2, content) :]
