"""Handling of Ctrl-C while a command runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..ppo import PPO


@contextmanager
def interrupt_not_lost() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` if Ctrl-C was pressed but its exception was lost.

    Extension modules may turn the exception into an ``ImportError``, or drop it, while they are being imported.
    """
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    previous = _install(interrupt)
    try:
        yield
    except Exception:
        if not interrupted:
            raise
    finally:
        _set(previous)
    if interrupted:
        raise KeyboardInterrupt


class Interrupt:
    """Records whether Ctrl-C has been pressed.

    Attributes:
        has_come: Whether Ctrl-C has been pressed.
    """

    has_come = False


@contextmanager
def interrupt_stops(ppo: PPO) -> Iterator[Interrupt]:
    """Let Ctrl-C end the training after the current epoch, and a second Ctrl-C immediately.

    Yields:
        The record of whether Ctrl-C has been pressed.
    """
    interrupt = Interrupt()

    def stop(*_: object) -> None:
        if interrupt.has_come:
            raise KeyboardInterrupt
        interrupt.has_come = ppo.stop_training = True

    previous = _install(stop)
    try:
        yield interrupt
    finally:
        _set(previous)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Delay Ctrl-C until the end of the context, and block it in processes that are started inside.

    A terminal sends Ctrl-C to all processes; the training process decides what happens to the others.
    """
    has_come = False

    def note(*_: object) -> None:
        nonlocal has_come
        has_come = True

    is_main = threading.current_thread() is threading.main_thread()
    previous = _install(note) if is_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if is_main:
            _set(previous)
    if has_come:
        signal.raise_signal(signal.SIGINT)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C until the surrounding ``interrupt_stops`` or ``interrupt_not_lost`` ends."""
    _set(signal.SIG_IGN)


def _install(handler: Callable[..., None]) -> Any:
    """Install a handler for Ctrl-C and return the previous one; if the shell ignores Ctrl-C, it stays ignored."""
    previous = signal.getsignal(signal.SIGINT)
    if previous is not signal.SIG_IGN:
        _set(handler)
    return previous


def _set(handler: Any) -> None:
    """Set the handler for Ctrl-C; outside the main thread, do nothing, because Python does not allow it."""
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
