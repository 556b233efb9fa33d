"""The decorator with which this project compiles functions with Numba.

Numba's own disk cache checks only the file that defines a kernel: a kernel that inlines a function from another file is
not rebuilt when that file changes. Here the cache directory is named after a digest of every source file a kernel could
have inlined, so a stale kernel is never loaded: changed sources use another directory.

Numba also numbers the files with machine code, and enters a number into the index before it writes the file. Of two
processes that do so at once, one may enter the file that the other one writes. Here the files are named after what they
were compiled for, and hold it, so that no other code is ever loaded.
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
from numba.core.caching import IndexDataCacheFile

if numba.config.DISABLE_JIT:
    raise ImportError("fastcartpole is compiled by Numba, which NUMBA_DISABLE_JIT switches off: unset it.")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

IN_USE = "Another thread is using this environment: give each thread its own environment."
"""Message of the error raised in a second thread."""


def kernel(
    *,
    fastmath: Collection[str] = (),
    cached: bool = True,
    brief: bool = False,
    inlined: bool = False,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator that compiles a function with Numba and caches the machine code on disk.

    Division follows NumPy (no ``ZeroDivisionError``). The global interpreter lock is released while a kernel runs,
    unless the kernel is ``brief``. Without ``fastmath``, every floating-point operation is rounded separately, in the
    order in which it is written.

    Args:
        fastmath: LLVM's fast-math flags, such as ``"contract"`` (fused multiply-add) or ``"fast"`` (all of them). Must
            be empty for exact physics.
        cached: Whether to cache the machine code on disk, which is impossible if the kernel takes functions as
            arguments.
        brief: Whether to hold the global interpreter lock: the call costs less, but no other thread runs meanwhile.
        inlined: Whether to inline the function into every kernel that calls it, because a call copies each array's
            shape and strides.

    Returns:
        The decorator. If no cache directory can be written, kernels are compiled again in each process.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        directory = None
        if cached:
            # Numba identifies kernels by their source alone: variants of the same source need separate directories.
            variant = "-".join(["brief" if brief else "whole", *sorted(fastmath)])
            package = _package_of(function)
            # Numba's cache entries contain the package's name: a copy imported under another name cannot read them.
            if not function.__module__.startswith(package.name):
                variant += f"-{function.__module__.partition('.')[0]}"
            directory = _cache_directory(package, variant)
        # Numba reads these settings only while it decorates, so the caller's are restored at once. The locator classes
        # are cleared because they may name classes that do not exist.
        config = numba.config
        previous, config.CACHE_DIR = config.CACHE_DIR, directory or config.CACHE_DIR
        locators, config.CACHE_LOCATOR_CLASSES = getattr(config, "CACHE_LOCATOR_CLASSES", ""), ""
        try:
            compiled = numba.njit(
                nogil=not brief,
                error_model="numpy",
                cache=directory is not None,
                fastmath=set(fastmath),
                forceinline=inlined,
            )(function)
            if directory is not None:
                compiled._cache._cache_file = _CacheFile(compiled._cache._impl)
            result: Callable[Parameters, Result] = compiled
            return result
        finally:
            config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = previous, locators

    return decorate


class _CacheFile(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's cache of a kernel, in which concurrent processes lose at most entries of each other.

    A lost entry means that its code is compiled again.
    """

    def __init__(self, implementation: Any) -> None:
        """Create the cache.

        Args:
            implementation: Numba's ``CacheImpl`` of the kernel, which knows its files.
        """
        locator = implementation.locator
        super().__init__(locator.get_cache_path(), implementation.filename_base, locator.get_source_stamp())

    def save(self, key: Any, data: Any) -> None:
        """Save the machine code, and then enter it into the index.

        Args:
            key: What it was compiled for: types, processor, and the function's bytecode.
            data: The machine code.
        """
        # Pickles of Numba's types depend on the process, their names do not.
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        name = f"{self._index_name.removesuffix('.nbi')}.{digest[:32]}.nbc"
        self._save_data(name, (key, data))
        overloads = self._load_index()
        overloads[key] = name
        self._save_index(overloads)

    def load(self, key: Any) -> Any:
        """Return the machine code that was compiled for a key, or None."""
        kept = super().load(key)
        # Types of the same name may differ.
        return kept[1] if kept is not None and kept[0] == key else None


def is_on_disk(function: Callable[..., Any]) -> bool:
    """Return whether a kernel is in the disk cache, or cannot be cached on disk."""
    directory = function.stats.cache_path  # type: ignore[attr-defined]
    return directory is None or any(Path(directory).glob(f"*.{function.__name__}-*.nbi"))


class OneThread:
    """Lets one thread at a time change an object's state, because kernels run without the global interpreter lock.

    A second thread gets an error instead of waiting: its operation would make no sense before or after the first. Where
    fractions of a microsecond count, call the lock's ``acquire(False)`` and ``release()`` instead of using the context
    manager.
    """

    def __init__(self) -> None:
        """Create the lock; no thread holds it yet."""
        lock = threading.Lock()
        self.acquire = lock.acquire
        self.release = lock.release

    def __enter__(self) -> None:
        """Take the lock.

        Raises:
            RuntimeError: If another thread holds it.
        """
        if not self.acquire(False):
            raise RuntimeError(IN_USE)

    def __exit__(self, *_: object) -> None:
        self.release()

    def __reduce__(self) -> tuple[type[OneThread], tuple[()]]:
        # A copy gets a new lock that no thread holds.
        return OneThread, ()


def specialized(
    function: Callable[Parameters, Result], *args: Parameters.args, **_: Parameters.kwargs
) -> Callable[Parameters, Result]:
    """Return a kernel compiled for the types of these arguments, whose calls skip Numba's type analysis.

    The analysis takes several microseconds per call, as long as a step of a small batch. Arrays of another dtype or
    number of dimensions raise an exception.
    """
    signature = tuple(numba.typeof(argument) for argument in args)
    function.compile(signature)  # type: ignore[attr-defined]
    entry_point: Callable[Parameters, Result] = function.overloads[signature].entry_point  # type: ignore[attr-defined]
    return entry_point


def _package_of(function: Callable[..., Any]) -> Path:
    """Return the directory of the top-level package that contains a function's module.

    For a module outside any package, this is the module's own directory.
    """
    directory = Path(inspect.getfile(function)).parent
    while (directory.parent / "__init__.py").exists():
        directory = directory.parent
    return directory


@cache
def _sources_digest(package: Path) -> str:
    """Return a digest of the sources of ``package`` and of this package, whose functions its kernels may inline."""
    digest = hashlib.sha256()
    for directory in sorted({Path(__file__).parent, package}):
        for source in sorted(directory.rglob("*.py")):
            digest.update(source.relative_to(directory).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def compiled_code_directory() -> Path:
    """Return the directory for compiled code: Numba's cache directory if the user has set one, else the user's cache.

    The path is absolute, because environments may change the working directory.

    Raises:
        RuntimeError: If the user has no home directory.
        OSError: If the user has set a relative path and the working directory does not exist.
    """
    return Path(numba.config.CACHE_DIR or platformdirs.user_cache_dir("fastppo", appauthor=False)).absolute()


@cache
def _cache_directory(package: Path, variant: str) -> str | None:
    """Return the directory for machine code compiled from a package's sources, or None if none can be written."""
    try:
        sources = compiled_code_directory() / f"kernels-{package.name}-{_sources_digest(package)}"
        directory = sources / variant
        is_new = not sources.exists()
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except (OSError, RuntimeError):
        # RuntimeError is raised if the user has no home directory.
        return None
    if is_new:
        _remove_older_kernels(package.name, sources)
    return str(directory)


def _remove_older_kernels(package: str, current: Path) -> None:
    """Remove machine code compiled from other versions of a package's sources.

    If two versions are used alternately, each compiles again; so may a process that is running another version now.
    """
    siblings: list[Path] = []
    with suppress(OSError):
        siblings = list(current.parent.iterdir())
    for directory in siblings:
        # Older versions did not include the package's name.
        if directory != current and re.fullmatch(rf"kernels-({re.escape(package)}-)?[0-9a-f]{{16}}", directory.name):
            shutil.rmtree(directory, ignore_errors=True)
