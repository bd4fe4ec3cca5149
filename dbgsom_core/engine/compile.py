"""Decorators for numba loops with common flags, and the folder that caches compiled code."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core import config, event
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.runtime import rtsys
from numba.extending import register_jitable
from numba.misc.appdirs import user_cache_dir
from numpy.typing import NDArray

from dbgsom_core.engine.runtime import clocks

Loop = TypeVar("Loop", bound=Callable[..., Any])

# Arrays as most loops take them.
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

# No loop is called from C.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_MOST_FOLDERS = 8  # cache folders of other versions, sources and processors
_IN_USE_SECONDS = 3600.0  # age below which a folder stays: another process may fill it


class _CompileListener(event.Listener):  # type: ignore[misc] # it has no types
    def on_start(self, event: Any) -> None:
        for clock in list(clocks):
            clock.begin()

    def on_end(self, event: Any) -> None:
        for clock in list(clocks):
            clock.end()


event.register("numba:compile", _CompileListener())  # not called for code from the cache


# ---------------------------------------------------------------------------------- decorators


def compiled(function: Loop, **more: Any) -> Loop:
    """Compile with numba on first call: no GIL, strict IEEE arithmetic, cached on disk.

    Only for functions at module level that call compiled functions of their own file or of the
    core: the cache misses changes of other files, and numba caches no closures. Without a writeable
    cache folder, or a source file, functions are compiled in each process.
    """
    if config.DISABLE_JIT:
        raise ImportError(
            "dbgsom_core finds units with loops that numba compiles: unset NUMBA_DISABLE_JIT"
        )
    compiled_function: Any = njit(**_OPTIONS, **more)(function)
    with contextlib.suppress(RuntimeError):  # numba found no folder that it may write
        compiled_function._cache = _FunctionCache(function)
    loop: Loop = compiled_function
    return loop


def loop(function: Loop) -> Loop:
    """Compile a function that makes no array, without reference counts.

    This makes less code, above all for arrays in tuples. The caller keeps references to all
    arguments, also to arrays that it passes by address.
    """
    return compiled(function, _nrt=False)


def inner_loop(function: Loop, **more: Any) -> Loop:
    """Compile a function as part of the compiled functions that call it, see `loop`."""
    loop: Loop = register_jitable(**_OPTIONS, _nrt=False, **more)(function)
    return loop


def inlined(function: Loop) -> Loop:
    """Compile a function inline: numba passes each array as seven arguments, which costs time."""
    return inner_loop(function, forceinline=True)


# --------------------------------------------------------------------------------------- cache


@lru_cache(maxsize=4)
def loops_folder() -> Path | None:
    """Return the cache folder of compiled code, or None where it cannot be written.

    It is in the user's cache folder, or in ``NUMBA_CACHE_DIR``, one for each state of the engine's
    sources, Python and numba; numba keeps apart what it compiles for different processors. Old
    folders are removed.
    """
    versions = sys.implementation.cache_tag, numba.__version__, llvmlite.__version__
    key = "\0".join((_engine_sources(), *map(str, versions)))
    given = os.environ.get("NUMBA_CACHE_DIR")
    folders = Path(given, "dbgsom-core") if given else Path(user_cache_dir("dbgsom-core", False))
    if not given and not folders.is_absolute():  # there is no home
        return None
    folder = folders / hashlib.sha256(key.encode()).hexdigest()[:20]
    try:
        is_new = not folder.is_dir()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        os.utime(folder)  # in use
    except OSError:
        return None
    if is_new:
        with contextlib.suppress(OSError):  # a folder that is in use on Windows stays
            by_use = sorted((one.stat().st_mtime, one.path) for one in os.scandir(folders))
            for used, path in by_use[:-_MOST_FOLDERS]:
                if time.time() - used > _IN_USE_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
    return folder


@lru_cache(maxsize=1)
def _engine_sources() -> str:
    # A digest of all code of the engine: loops call each other across files.
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Locator:
    """Cache location of a function for numba, with a digest of its file instead of its date."""

    def __init__(self, function: Any, file: str, folder: Path) -> None:
        self._py_file = file  # for numba's warnings
        self._line, self._folder = function.__code__.co_firstlineno, folder
        self._module = function.__module__

    @classmethod
    def from_function(cls, function: Any, file: str) -> _Locator | None:
        folder = loops_folder()
        return None if folder is None or not Path(file).is_file() else cls(function, file, folder)

    def ensure_cache_path(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return _digest(Path(self._py_file))

    def get_disambiguator(self) -> str:
        module = hashlib.sha256(self._module.encode()).hexdigest()
        return f"{self._line}-{module[:8]}"


class _CacheImpl(CompileResultCacheImpl):  # type: ignore[misc] # it has no types
    _locator_classes = (_Locator,)


class _FunctionCache(FunctionCache):  # type: ignore[misc] # it has no types
    _impl_class = _CacheImpl

    def save_overload(self, signature: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(signature, data)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        # Numba first loads its compiler, which takes longer than a small fit: cached code needs
        # memory management alone. Two processes that fill the cache at once may write one file for
        # different types: a function of other types is not used.
        found = None
        if hasattr(self, "_load_overload") and hasattr(rtsys, "initialize"):
            rtsys.initialize(target_context)
            found = self._load_overload(signature, target_context)
        if found is None:
            found = super().load_overload(signature, target_context)
        expected = tuple(getattr(signature, "args", signature))
        return found if found is not None and tuple(found.signature.args) == expected else None
