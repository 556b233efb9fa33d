"""Peers in processes of their own: each has the threads and settings it would have if it ran alone."""

from __future__ import annotations

import importlib
import multiprocessing
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from agent.quiet import standard_error_held_back


class PeerError(RuntimeError):
    """A peer is not installed, cannot be started, or failed."""


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

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method and wait for what it returns.

        Args:
            method: Name of the method.
            arguments: Its arguments; they are pickled.

        Raises:
            PeerError: If the method raises, or the process has ended.
        """
        self._connection.send((method, arguments))
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def _answer(self) -> Any:
        try:
            succeeded, answer = self._connection.recv()
        except EOFError:
            raise PeerError("The peer's process ended unexpectedly.") from None
        if not succeeded:
            raise PeerError(f"The peer failed: {answer}")
        return answer


def _serve(connection: Connection, factory: str, arguments: tuple[Any, ...]) -> None:
    """Make the object, then answer calls until the other end is closed."""
    module, name = factory.split(":")
    try:
        with standard_error_held_back():
            peer = getattr(importlib.import_module(module), name)(*arguments)
        connection.send((True, None))
        while True:
            method, method_arguments = connection.recv()
            connection.send((True, getattr(peer, method)(*method_arguments)))
    except (EOFError, KeyboardInterrupt):
        return
    except Exception as error:
        connection.send((False, f"{type(error).__name__}: {error}"))
