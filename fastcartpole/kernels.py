"""The one way this project compiles a function with Numba.

Numba's own disk cache judges a kernel by the file it stands in: a kernel that inlines a function from another file is
not rebuilt when that other file changes. Here the cache directory is named after a digest of every source a kernel
could have inlined, so a stale kernel can never be found: changed sources look into another directory.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
import platformdirs

if numba.config.DISABLE_JIT:
    raise ImportError("fastcartpole is compiled by Numba, which NUMBA_DISABLE_JIT switches off: unset it.")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

IN_USE = "Another thread is using this environment: give each thread an environment of its own."
"""What an environment says to a second thread."""


def kernel(
    *,
    fastmath: Collection[str] = (),
    cached: bool = True,
    brief: bool = False,
    inlined: bool = False,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator that compiles a function with Numba and keeps the machine code on disk.

    Division follows NumPy (no ``ZeroDivisionError``), the global interpreter lock is released while a kernel runs
    (unless it is brief), and without ``fastmath`` every floating-point operation is rounded on its own, in the order it
    is written.

    Args:
        fastmath: What the compiler may do to floating-point operations: LLVM's fast-math flags, such as ``"contract"``
            (fused multiply-add) or ``"fast"`` (everything). Never for exact physics.
        cached: Whether the machine code is kept on disk; a kernel that takes functions as arguments cannot be.
        brief: Whether it keeps the global interpreter lock: no other thread runs meanwhile, and the call costs less.
        inlined: Whether it becomes part of every kernel that calls it: a call copies each array's shape and strides.

    Returns:
        The decorator. Where no directory for compiled code can be written, kernels are compiled anew in each process.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        directory = None
        if cached:
            # Numba tells kernels apart by their source alone: others of the same source must not be found in its place.
            variant = "-".join(["brief" if brief else "whole", *sorted(fastmath)])
            package = _package_of(function)
            # What Numba notes of a kernel names its package: a copy of it that goes by another name cannot read that.
            if not function.__module__.startswith(package.name):
                variant += f"-{function.__module__.partition('.')[0]}"
            directory = _cache_directory(package, variant)
        # Numba reads the directory while it decorates, and only then: the caller's own settings are put back at once.
        # Classes that are to look for other directories may not even exist.
        config = numba.config
        previous, config.CACHE_DIR = config.CACHE_DIR, directory or config.CACHE_DIR
        locators, config.CACHE_LOCATOR_CLASSES = getattr(config, "CACHE_LOCATOR_CLASSES", ""), ""
        try:
            compiled: Callable[Parameters, Result] = numba.njit(
                nogil=not brief,
                error_model="numpy",
                cache=directory is not None,
                fastmath=set(fastmath),
                forceinline=inlined,
            )(function)
            return compiled
        finally:
            config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = previous, locators

    return decorate


def is_on_disk(function: Callable[..., Any]) -> bool:
    """Return whether a kernel was compiled before, or cannot be kept on disk."""
    directory = function.stats.cache_path  # type: ignore[attr-defined]
    return directory is None or any(Path(directory).glob(f"*.{function.__name__}-*.nbi"))


class OneThread:
    """Lets one thread at a time do something to an object's state: kernels run while other threads do.

    It waits for nobody: what a second thread would do meanwhile makes no sense in either order. Where each fraction of
    a microsecond counts, ``acquire(False)`` and ``release()``, those of a lock, take the place of the context.
    """

    def __init__(self) -> None:
        """Nobody is within yet."""
        lock = threading.Lock()
        self.acquire = lock.acquire
        self.release = lock.release

    def __enter__(self) -> None:
        """Enter.

        Raises:
            RuntimeError: If another thread is within.
        """
        if not self.acquire(False):
            raise RuntimeError(IN_USE)

    def __exit__(self, *_: object) -> None:
        self.release()

    def __reduce__(self) -> tuple[type[OneThread], tuple[()]]:
        # A copy is nobody's yet.
        return OneThread, ()


def specialized(
    function: Callable[Parameters, Result], *args: Parameters.args, **_: Parameters.kwargs
) -> Callable[Parameters, Result]:
    """Return a kernel compiled for the types of these arguments, callable without Numba's analysis of types.

    The analysis takes several microseconds a call, as long as a step of a small batch. Arrays of another type or
    dimension are refused with an exception.
    """
    signature = tuple(numba.typeof(argument) for argument in args)
    function.compile(signature)  # type: ignore[attr-defined]
    entry_point: Callable[Parameters, Result] = function.overloads[signature].entry_point  # type: ignore[attr-defined]
    return entry_point


def _package_of(function: Callable[..., Any]) -> Path:
    """Return the directory of the package that a function's module belongs to, at the top level where it has several.

    A module of no package has the directory it stands in.
    """
    directory = Path(inspect.getfile(function)).parent
    while (directory.parent / "__init__.py").exists():
        directory = directory.parent
    return directory


@cache
def _sources_digest(package: Path) -> str:
    """Return a digest of this package's sources and of those of ``package``, whose kernels may inline ours."""
    digest = hashlib.sha256()
    for directory in sorted({Path(__file__).parent, package}):
        for source in sorted(directory.rglob("*.py")):
            digest.update(source.relative_to(directory).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def compiled_code_directory() -> Path:
    """Return the directory under which compiled code is kept: Numba's if the user has set one, else the user's cache.

    Raises:
        RuntimeError: If the user has no home directory.
    """
    return Path(numba.config.CACHE_DIR or platformdirs.user_cache_dir("fastppo", appauthor=False))


@cache
def _cache_directory(package: Path, variant: str) -> str | None:
    """Return the directory for machine code compiled from a package's sources, or None where none can be written."""
    try:
        sources = compiled_code_directory() / f"kernels-{package.name}-{_sources_digest(package)}"
        directory = sources / variant
        is_new = not sources.exists()
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except (OSError, RuntimeError):
        # A user without a home directory is a RuntimeError.
        return None
    if is_new:
        _remove_older_kernels(package.name, sources)
    return str(directory)


def _remove_older_kernels(package: str, current: Path) -> None:
    """Remove what was compiled from other versions of a package's sources.

    Where two versions are used in turn, each compiles anew; so does, at worst, a process that runs another one now.
    """
    siblings: list[Path] = []
    with suppress(OSError):
        siblings = list(current.parent.iterdir())
    for directory in siblings:
        # Without the package's name: those of versions that did not note it.
        if directory != current and re.fullmatch(rf"kernels-({re.escape(package)}-)?[0-9a-f]{{16}}", directory.name):
            shutil.rmtree(directory, ignore_errors=True)
