"""Decorators for numba loops with common flags, and numba's cache of compiled code."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numba.core import config, event
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.extending import register_jitable
from numpy.typing import NDArray

from dbgsom_core.engine.runtime import clocks

Loop = TypeVar("Loop", bound=Callable[..., Any])

# Arrays as most loops take them.
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

# No loop is called from C.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


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

    Numba chooses the folder: ``NUMBA_CACHE_DIR``, ``__pycache__`` beside the source, or the user's
    cache folder. Only for functions that call compiled functions of their own file or of the core:
    the cache misses changes of other files. A closure may be one over numbers, which are part of
    the cache's key. Without a writeable folder, or a source file, functions are compiled in each
    process.
    """
    if config.DISABLE_JIT:
        raise ImportError(
            "dbgsom_core finds units with loops that numba compiles: unset NUMBA_DISABLE_JIT"
        )
    compiled_function: Any = njit(**_OPTIONS, **more)(function)
    with contextlib.suppress(RuntimeError):  # no folder that numba may write
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


@cache
def _engine_sources() -> str:
    # A digest of all code of the engine: loops call each other across files.
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _FunctionCache(FunctionCache):  # type: ignore[misc] # it has no types
    def __init__(self, function: Any) -> None:
        super().__init__(function)
        # Numba's stamp is that of the function's own file.
        index = self._cache_file
        index._source_stamp = index._source_stamp, _engine_sources()

    def save_overload(self, signature: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(signature, data)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        # Numba's own method first loads the compiler, which takes longer than a small fit: cached
        # code needs memory management alone.
        rtsys.initialize(target_context)
        overload = None
        with contextlib.suppress(OSError):
            overload = self._load_overload(signature, target_context)
        # Two processes that fill the cache at once may write one file for different types.
        expected = tuple(getattr(signature, "args", signature))
        if overload is None or tuple(overload.signature.args) != expected:
            return None
        return overload
