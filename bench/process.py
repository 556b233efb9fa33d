"""Objects in processes of their own: each has the threads and settings it would have if it ran alone."""

from __future__ import annotations

import importlib
import multiprocessing
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from agent.process.quiet import standard_error_held_back

# The slowest call, an epoch of the Keras example, takes half a minute.
_LONGEST_CALL_S = 300.0
_LONGEST_END_S = 5.0


class MeasurementError(RuntimeError):
    """What is to be measured fails."""


class PeerError(MeasurementError):
    """A peer is not installed, cannot be started, or failed."""


class WrongResultError(PeerError):
    """What is to be measured does not compute what it should."""


class PeerProcess:
    """An object that lives in another process; its methods are called by name, one at a time."""

    def __init__(self, factory: str, *arguments: Any) -> None:
        """Start the process and make the object.

        Args:
            factory: Where its class is, as ``module:name``.
            arguments: What the class is called with.

        Raises:
            PeerError: If the object cannot be made.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, factory, arguments), daemon=True)
        self._process.start()
        other_end.close()
        self._answer()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        """Whether it can be called."""
        return self._process.is_alive()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method and wait for what it returns.

        Args:
            method: Name of the method.
            arguments: Its arguments; they are pickled.

        Raises:
            PeerError: If the method raises, takes longer than 5 minutes, or the process has ended.
            WrongResultError: If it raises that.
        """
        try:
            self._connection.send((method, arguments))
        except OSError:
            raise PeerError("The process ended unexpectedly.") from None
        return self._answer()

    def close(self) -> None:
        """End the process: by itself, so that libraries remove their temporary files, or else by force."""
        self._connection.close()
        self._process.join(_LONGEST_END_S)
        self._process.terminate()
        self._process.join()

    def _answer(self) -> Any:
        if not self._connection.poll(_LONGEST_CALL_S):
            self._process.terminate()
            self.close()
            raise PeerError(f"It took longer than {_LONGEST_CALL_S:.0f} s.")
        try:
            error, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise PeerError("The process ended unexpectedly.") from None
        if error is not None:
            raise error(answer)
        return answer


def _serve(connection: Connection, factory: str, arguments: tuple[Any, ...]) -> None:
    """Make the object, then answer calls until the other end is closed."""
    try:
        module, name = factory.split(":")
        with standard_error_held_back(for_good=True):
            peer = getattr(importlib.import_module(module), name)(*arguments)
        connection.send((None, None))
        while True:
            method, method_arguments = connection.recv()
            connection.send(_result(peer, method, method_arguments))
    except (EOFError, KeyboardInterrupt):
        return
    except Exception as error:
        connection.send((PeerError, f"{type(error).__name__}: {error}"))


def _result(peer: object, method: str, arguments: tuple[Any, ...]) -> tuple[type[PeerError] | None, Any]:
    """Return the kind of error, if one was raised, and its message or what the method returned."""
    try:
        # Libraries remark on much when they are imported or compile.
        with standard_error_held_back(for_good=True):
            return None, getattr(peer, method)(*arguments)
    except WrongResultError as error:
        return WrongResultError, str(error)
    except Exception as error:
        return PeerError, f"{type(error).__name__}: {error}"
