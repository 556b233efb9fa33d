"""What Ctrl-C does while a command runs."""

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
    """Raise KeyboardInterrupt where Ctrl-C came but its exception got lost.

    Extension modules that are just being loaded turn it into an ImportError, or drop it.
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
    """Tells whether Ctrl-C has been pressed.

    Attributes:
        has_come: Whether it has.
    """

    has_come = False


@contextmanager
def interrupt_stops(ppo: PPO) -> Iterator[Interrupt]:
    """Let Ctrl-C end the training after the current epoch, and a second Ctrl-C at once; yield whether it has come."""
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
    """Let Ctrl-C wait for the end of what is done within, and not reach the processes that are started there.

    A terminal sends it to all processes: the one that trains decides what becomes of the others.
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
    """Let Ctrl-C do nothing until the surrounding ``interrupt_stops`` or ``interrupt_not_lost`` is left."""
    _set(signal.SIG_IGN)


def _install(handler: Callable[..., None]) -> Any:
    """Install a handler of Ctrl-C and return the last one; where a shell has it ignored, it stays ignored."""
    previous = signal.getsignal(signal.SIGINT)
    if previous is not signal.SIG_IGN:
        _set(handler)
    return previous


def _set(handler: Any) -> None:
    """Set what Ctrl-C does; outside of the main thread it is left to the program whose thread this is."""
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
