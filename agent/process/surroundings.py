"""Protection of a command's process from its surroundings, which must never turn its work into a traceback.

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

# Tells Python not to search for modules in the current folder or next to a script.
_SAFE_PATH = "PYTHONSAFEPATH"
_NUMBER_OF_THREADS = "NUMBA_NUM_THREADS"
_BACKEND = "MPLBACKEND"
# Whether this process only runs a command.
_IS_COMMAND = False


def prepare_process() -> None:
    """Make the process of a command safe, before anything else is imported.

    Closed standard streams are redirected to the null device, and streams that cannot encode a character write its
    escape sequence instead. Warnings are not errors. Child processes import nothing from the current folder. Ctrl-C
    prints no traceback if Python cannot raise its exception.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        _open_if_closed(descriptor, name)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    _undo_warnings_as_errors()
    _drop_wrong_number_of_threads()
    sys.unraisablehook = _report_unraisable
    # A command plots with its own settings; those of the user, or of a notebook, may not even be readable.
    global _IS_COMMAND
    _IS_COMMAND = True
    os.environ.pop(_BACKEND, None)
    os.environ["MATPLOTLIBRC"] = os.devnull
    os.environ[_SAFE_PATH] = "1"


def is_command() -> bool:
    """Return whether this process only runs a command of this project."""
    return _IS_COMMAND


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Report an exception that cannot be raised, unless Ctrl-C caused it.

    Python may run the handler of Ctrl-C between any two instructions, including in finalizers and in the callbacks of
    weak references that imports use. ``interrupt_not_lost`` raises that exception later.
    """
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


def _undo_warnings_as_errors() -> None:
    """Undo ``PYTHONWARNINGS=error``: warnings come from libraries, and as errors they would end a training."""
    warnings.filters[:] = [entry for entry in warnings.filters if entry[0] != "error"]  # type: ignore[index]
    # The appended filter changes nothing, but it makes Python read the list again.
    warnings.simplefilter("default", append=True)
    actions = os.environ.get("PYTHONWARNINGS", "").split(",")
    os.environ["PYTHONWARNINGS"] = ",".join(action for action in actions if not action.strip().startswith("e"))


def _drop_wrong_number_of_threads() -> None:
    """Remove an invalid number of threads, with which Numba cannot be imported."""
    number = os.environ.get(_NUMBER_OF_THREADS)
    if number and not (number.isascii() and number.isdecimal() and int(number) > 0):
        del os.environ[_NUMBER_OF_THREADS]
        show_warning(
            f"{_NUMBER_OF_THREADS} is not taken into account: it must be a number of at least 1, not {number!r}."
        )


def show_warning(sentence: str) -> None:
    """Show a warning on standard error; a failure to write it is ignored."""
    with suppress(OSError):
        print(f"Warning: {sentence}", file=sys.stderr, flush=True)


@contextmanager
def environment_variable(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable, or remove it if the value is None, and restore it afterwards."""
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
    """Let Python processes started in this context import nothing from the current folder."""
    return environment_variable(_SAFE_PATH, "1")


def _open_if_closed(descriptor: int, name: str) -> None:
    """Redirect a closed standard stream to the null device; otherwise the next file opened would take its place."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    if getattr(sys, name) is None:
        setattr(sys, name, open(descriptor, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115


@contextmanager
def matplotlib_backend_left_out() -> Iterator[None]:
    """Let matplotlib be imported without the backend that the environment variable names.

    Child processes of a notebook inherit a backend that may be missing, with which matplotlib cannot be imported. If
    matplotlib has been imported in this context, its backend is set afterwards, if possible.
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
    """Disable garbage collection while many modules are imported, which live as long as the process.

    In a command, the imported objects are excluded from later collections, too.
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
    """Hide a module from libraries that import it only if it is installed."""
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
    """In a command, leave the current folder meanwhile, because its ``matplotlibrc`` takes precedence."""
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
    """End the process, quickly if TensorFlow is loaded, because the interpreter's clean-up then takes a second.

    Exit handlers of libraries, such as those that remove temporary files, are run.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            # Nobody can read the remaining output, but the interpreter's clean-up would try to write it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except OSError:
            # Output could not be written, for instance because the disk is full.
            status = status or 1
    if "tensorflow" not in sys.modules:
        raise SystemExit(status)
    with suppress(Exception):
        atexit._run_exitfuncs()
    os._exit(status)
