"""Keep the start-up remarks of TensorFlow and of drawing libraries off the terminal."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple

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
    """Where standard error goes meanwhile, and where it went before."""

    held_back: IO[bytes]
    saved: int


# Threads share standard error: only the first that holds it back takes it away, and it is put back where it was.
_LOCK = threading.Lock()
_IS_HELD = False


def _begin() -> _Hold | None:
    """Take standard error away; None where another thread has, there is none, or no place to hold it.

    Windows' consoles are not files: what is written to them cannot be held back.
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
    """Put standard error back, and show what was held back but for the lines that are dropped."""
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
    """Write to standard error itself, whatever has replaced ``sys.stderr``."""
    with suppress(OSError):
        while content:
            content = content[os.write(2, content) :]
