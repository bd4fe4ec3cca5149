"""One decorator for all compiled loops, so that they agree on flags and caching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(function: Loop) -> Loop:
    """Compile with numba on first call: no GIL, strict IEEE arithmetic, cached on disk.

    Only for functions at module level that call other such functions: numba's cache misses for
    closures. Where no cache folder can be written the function is compiled in each process.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        compiled_function: Loop = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write
        compiled_function = njit(**options)(function)
    return compiled_function
