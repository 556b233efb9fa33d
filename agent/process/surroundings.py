"""What a command's process makes of its surroundings: nothing in them may turn its work into a traceback.

Imports the standard library only.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

# What tells Python not to look for modules in the current folder, or beside a script.
_SAFE_PATH = "PYTHONSAFEPATH"
_NUMBER_OF_THREADS = "NUMBA_NUM_THREADS"
_BACKEND = "MPLBACKEND"
# Whether this process does nothing but a command.
_IS_COMMAND = False


def prepare_process() -> None:
    """Make the process of a command safe, before anything else is imported.

    Standard streams that are closed lead nowhere, and those that cannot encode a character write its number instead.
    Warnings are no errors. Processes that this one starts import nothing from the current folder. Ctrl-C prints no
    traceback where Python cannot raise its exception.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        _open_if_closed(descriptor, name)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    _leave_warnings_warnings()
    _drop_wrong_number_of_threads()
    sys.unraisablehook = _report_unraisable
    # A command draws with settings of its own; those of a user, or a notebook, may not even be readable.
    global _IS_COMMAND
    _IS_COMMAND = True
    os.environ.pop(_BACKEND, None)
    os.environ["MATPLOTLIBRC"] = os.devnull
    os.environ[_SAFE_PATH] = "1"


def is_command() -> bool:
    """Return whether this process does nothing but a command of this project's."""
    return _IS_COMMAND


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Report an exception that cannot be raised, unless Ctrl-C caused it.

    Python runs the handler of Ctrl-C between any two instructions, also within callbacks of weak references, as imports
    use them, and finalizers: ``interrupt_not_lost`` raises that exception later.
    """
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


def _leave_warnings_warnings() -> None:
    """Undo what ``PYTHONWARNINGS=error`` asks for: the warnings are those of libraries, and would lose a training."""
    warnings.filters[:] = [entry for entry in warnings.filters if entry[0] != "error"]  # type: ignore[index]
    # What is appended changes nothing; but only now Python looks at the list again.
    warnings.simplefilter("default", append=True)
    actions = os.environ.get("PYTHONWARNINGS", "").split(",")
    os.environ["PYTHONWARNINGS"] = ",".join(action for action in actions if not action.strip().startswith("e"))


def _drop_wrong_number_of_threads() -> None:
    """Remove a number of threads that keeps Numba from being imported."""
    number = os.environ.get(_NUMBER_OF_THREADS)
    if number and not (number.isascii() and number.isdecimal() and int(number) > 0):
        del os.environ[_NUMBER_OF_THREADS]
        show_warning(
            f"{_NUMBER_OF_THREADS} is not taken into account: it must be a number of at least 1, not {number!r}."
        )


def show_warning(sentence: str) -> None:
    """Show a warning on standard error; that it cannot be shown is no reason to end what it warns of."""
    with suppress(OSError):
        print(f"Warning: {sentence}", file=sys.stderr, flush=True)


@contextmanager
def environment_variable(name: str, value: str | None) -> Iterator[None]:
    """Set a variable of the environment, or with None remove it, and put it back afterwards."""
    previous = os.environ.get(name)
    _set_variable(name, value)
    try:
        yield
    finally:
        _set_variable(name, previous)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def children_with_safe_path() -> AbstractContextManager[None]:
    """Let Python processes that are started within import nothing from the current folder."""
    return environment_variable(_SAFE_PATH, "1")


def _open_if_closed(descriptor: int, name: str) -> None:
    """Let a standard stream that is closed lead nowhere: else the next file that is opened would take its place."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    if getattr(sys, name) is None:
        setattr(sys, name, open(descriptor, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115


@contextmanager
def matplotlib_backend_left_out() -> Iterator[None]:
    """Import matplotlib, or what imports it, without the backend that the environment names.

    A notebook's children inherit one that they may not have, and matplotlib cannot be imported then. Where it has been
    imported within, it is told of the backend afterwards, as it would have told itself.
    """
    backend = os.environ.get(_BACKEND)
    is_new = "matplotlib" not in sys.modules
    with environment_variable(_BACKEND, None), _away_from_configuration_files():
        yield
    if backend and is_new and "matplotlib" in sys.modules:
        with suppress(ValueError):
            sys.modules["matplotlib"].rcParams["backend"] = backend


@contextmanager
def imported_quickly() -> Iterator[None]:
    """Import many modules, which live as long as the process, without looking for garbage among them again and again.

    What a command imports is not looked at later either.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_command():
            gc.freeze()
        if was_enabled:
            gc.enable()


@contextmanager
def hidden_from_imports(module: str) -> Iterator[None]:
    """Let a module be missing within, for libraries that import it only where they find it."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


@contextmanager
def _away_from_configuration_files() -> Iterator[None]:
    """Leave the current folder, whose ``matplotlibrc`` comes first, where the process is a command's own."""
    try:
        here = Path.cwd() if is_command() else None
    except OSError:
        here = None
    if here is None:
        yield
        return
    os.chdir(Path(__file__).parent)
    try:
        yield
    finally:
        os.chdir(here)


def end_process(status: int) -> NoReturn:
    """End the process, quickly where TensorFlow is loaded: the interpreter's own clean-up takes a second then.

    What libraries have registered to be done at the end, such as removing their temporary files, is done.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            # What is left is nobody's to read; the interpreter's clean-up would try again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except OSError:
            # A full disk: as it may be, the message about it has been written.
            status = status or 1
    if "tensorflow" not in sys.modules:
        raise SystemExit(status)
    with suppress(Exception):
        atexit._run_exitfuncs()
    os._exit(status)
