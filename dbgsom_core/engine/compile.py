"""One decorator for all compiled loops, so that they agree on flags and caching."""

from __future__ import annotations

import contextlib
import gc
import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
from numba import njit
from numba.core import config, event
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.runtime import rtsys
from numba.extending import register_jitable

from dbgsom_core.engine import compiling
from dbgsom_core.engine.cache_folder import cache_folder

Loop = TypeVar("Loop", bound=Callable[..., Any])


class _Told(event.Listener):  # type: ignore[misc] # it has no types
    def on_start(self, event: Any) -> None:
        compiling.begin()

    def on_end(self, event: Any) -> None:
        compiling.end()


event.register("numba:compile", _Told())  # of what is not in the cache


def loops_folder() -> Path | None:
    """Return the folder of what is compiled, or None where none can be written."""
    return cache_folder(numba.__version__, llvmlite.__version__)


def compiled(function: Loop) -> Loop:
    """Compile with numba on first call: no GIL, strict IEEE arithmetic, cached on disk.

    Only for functions at module level that call other such functions, of their own file or of the
    core: a change of another file would go unseen, and numba's cache misses for closures. Where no
    cache folder can be written functions are compiled in each process, and so is code that stands
    in no file.
    """
    return _compiled(function)


def loop(function: Loop) -> Loop:
    """Compile as `compiled` does what makes no array: no reference to one is counted.

    Numba makes less code of it, above all where arrays come in tuples. The caller keeps what it
    gives, also what only its address is used of.
    """
    return _compiled(function, _nrt=False)


def inner_loop(function: Loop) -> Loop:
    """Compile as `loop` does, and only as a part of the compiled functions that call it."""
    return _part(function)


def inlined(function: Loop) -> Loop:
    """Compile as `inner_loop` does and put the code wherever it is called.

    Numba passes every field of an array as an argument of its own, which costs more than a short
    function does.
    """
    return _part(function, forceinline=True)


# Nothing calls a loop by a pointer of C.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def _part(function: Loop, **more: Any) -> Loop:
    loop: Loop = register_jitable(**_OPTIONS, _nrt=False, **more)(function)
    return loop


def _compiled(function: Loop, **more: Any) -> Loop:
    if config.DISABLE_JIT:
        raise ImportError(
            "dbgsom_core finds units with loops that numba compiles: unset NUMBA_DISABLE_JIT"
        )
    compiled_function: Any = njit(**_OPTIONS, **more)(function)
    with contextlib.suppress(RuntimeError):  # numba found no folder that it may write
        compiled_function._cache = _FunctionCache(function)
        _load_carefully(compiled_function._cache)
    loop: Loop = compiled_function
    return loop


class _Place:
    """Tells numba where to cache a function, and what its code is: dates of files tell nothing."""

    def __init__(self, function: Any, file: str, folder: Path, source: bytes) -> None:
        self._py_file = file  # for numba's warnings
        self._line, self._folder = function.__code__.co_firstlineno, folder
        self._module, self._stamp = function.__module__, hashlib.sha256(source).hexdigest()

    @classmethod
    def from_function(cls, function: Any, file: str) -> _Place | None:
        """Return the place, or None where nothing can be written."""
        folder, source = loops_folder(), _source(file)
        return None if folder is None or source is None else cls(function, file, folder, source)

    def ensure_cache_path(self) -> None:
        """Make the folder once more where somebody removed it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        """Return the folder."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """Return what changes with the code of the function's own file."""
        return self._stamp

    def get_disambiguator(self) -> str:
        """Return what tells functions of the same name apart."""
        module = hashlib.sha256(self._module.encode()).hexdigest()
        return f"{self._line}-{module[:8]}"


class _CacheImpl(CompileResultCacheImpl):  # type: ignore[misc] # it has no types
    _locator_classes = (_Place,)


class _FunctionCache(FunctionCache):  # type: ignore[misc] # it has no types
    _impl_class = _CacheImpl

    def save_overload(self, signature: Any, data: Any) -> None:
        """Save what was compiled, if that is possible."""
        with contextlib.suppress(OSError):
            super().save_overload(signature, data)


def _source(file: str) -> bytes | None:
    # Of the file; code in a notebook has none.
    path = Path(file)
    return _contents(path) if path.is_file() else None


@lru_cache(maxsize=64)
def _contents(path: Path) -> bytes:
    return path.read_bytes()


def _load_carefully(cache: Any) -> None:
    # Before numba looks into its cache it loads all that it needs to compile, which takes longer
    # than a small fit: what is cached needs memory management alone. And two processes that fill
    # the cache at once may both write the same file, for different types: what was not asked for
    # is compiled anew.
    load_fully = cache.load_overload

    def load_lightly(signature: Any, context: Any) -> Any:
        if not hasattr(cache, "_load_overload") or not hasattr(rtsys, "initialize"):
            return None
        rtsys.initialize(context)
        return cache._load_overload(signature, context)

    def load_overload(signature: Any, context: Any) -> Any:
        # Python's collector would look through all objects again and again for nothing, which
        # takes longer than to load all loops of a fit.
        enabled = gc.isenabled()
        gc.disable()
        try:
            found = load_lightly(signature, context)
            if found is None:
                found = load_fully(signature, context)
        finally:
            if enabled:
                gc.enable()
        asked = tuple(getattr(signature, "args", signature))
        return found if found is not None and tuple(found.signature.args) == asked else None

    cache.load_overload = load_overload
