"""Keep TensorFlow's start-up remarks off the terminal."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def standard_error_held_back() -> Iterator[None]:
    """Hold back everything written to standard error, native libraries included; show it only if an exception escapes.

    TensorFlow logs from C++ before its log level can be set, so that only the file descriptor itself can be silenced.
    """
    if sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except Exception:
            _restore(saved)
            held_back.seek(0)
            os.write(2, held_back.read())
            raise
        except BaseException:
            _restore(saved)
            raise
        _restore(saved)


def _restore(saved: int) -> None:
    sys.stderr.flush()
    os.dup2(saved, 2)
    os.close(saved)
