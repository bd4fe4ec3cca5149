"""One decorator for all compiled loops, so that they agree on flags and caching."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core import config
from numba.core.runtime import rtsys

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(function: Loop) -> Loop:
    """Compile with numba on first call: no GIL, strict IEEE arithmetic, cached on disk.

    Only for functions at module level that call other such functions: numba's cache misses for
    closures. Where no cache folder can be written the function is compiled in each process.
    """
    return _compiled(function)


def inlined(function: Loop) -> Loop:
    """Compile as `compiled` does and put the code wherever it is called.

    Numba passes every field of an array as an argument of its own, which costs more than a short
    function does.
    """
    return _compiled(function, forceinline=True)


def _compiled(function: Loop, **more: Any) -> Loop:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", **more}
    if config.DISABLE_JIT:
        raise ImportError(
            "dbgsom_core finds units with loops that numba compiles: unset NUMBA_DISABLE_JIT"
        )
    try:
        compiled_function: Any = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write
        uncached: Loop = njit(**options)(function)
        return uncached
    # Numba looks at the date of the function's own file alone: code that another module
    # generates for it, or an installer that dates every file alike, would leave it stale.
    cache_file = getattr(compiled_function._cache, "_cache_file", None)
    if cache_file is not None:
        cache_file._source_stamp = (cache_file._source_stamp, _engine_sources())
        _load_carefully(compiled_function._cache)
    loop: Loop = compiled_function
    return loop


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
        with _uncollected():
            found = load_lightly(signature, context)
            if found is None:
                found = load_fully(signature, context)
        asked = tuple(getattr(signature, "args", signature))
        return found if found is not None and tuple(found.signature.args) == asked else None

    cache.load_overload = load_overload


@contextmanager
def _uncollected() -> Iterator[None]:
    # What is loaded stays. The collector would look through all objects of the process for nothing,
    # which takes longer than to load all loops of a fit.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@lru_cache(maxsize=1)
def _engine_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
