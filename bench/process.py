"""Objects in separate processes, so that each has the threads and settings it would have if it ran alone."""

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
    """A measurement failed."""


class PeerError(MeasurementError):
    """A peer is not installed, cannot be started, or failed."""


class WrongResultError(PeerError):
    """An implementation computes wrong results."""


class PeerProcess:
    """An object that lives in another process; its methods are called by name, one at a time."""

    def __init__(self, factory: str, *arguments: Any) -> None:
        """Start the process and create the object.

        Args:
            factory: Class of the object, as ``module:name``.
            arguments: Arguments of the class; they are pickled.

        Raises:
            PeerError: If the object cannot be created.
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
        """Whether the process is alive."""
        return self._process.is_alive()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object and return its result.

        Args:
            method: Name of the method.
            arguments: Arguments of the method; they are pickled.

        Raises:
            PeerError: If the method raises another error, takes longer than 5 minutes, or the process has ended.
            WrongResultError: If the method raises it.
        """
        try:
            self._connection.send((method, arguments))
        except OSError:
            raise PeerError("The process ended unexpectedly.") from None
        return self._answer()

    def close(self) -> None:
        """Let the process exit by itself, so that libraries remove their temporary files; terminate it after 5 s."""
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
    """Create the object, then answer calls until the other end is closed."""
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
    """Return (None, result of the method), or (class of the error, its message) if the method raised one."""
    try:
        # Libraries print a lot to standard error while they are imported or compile.
        with standard_error_held_back(for_good=True):
            return None, getattr(peer, method)(*arguments)
    except WrongResultError as error:
        return WrongResultError, str(error)
    except Exception as error:
        return PeerError, f"{type(error).__name__}: {error}"
