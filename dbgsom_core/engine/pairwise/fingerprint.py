"""Names for functions by all that their compiled code depends on."""

from __future__ import annotations

import builtins
import hashlib
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from dbgsom_core.engine.cache_folder import engine_sources

_VERSIONED = ("numba", "numpy", "llvmlite")  # packages whose version says what their members do
_FIXED = ("math", "cmath", "operator", "builtins")


class _UnknownError(Exception):
    pass


def fingerprint(dispatcher: Any) -> str | None:
    """Return a name for a function compiled with numba, or None where it cannot be known.

    It covers the function's bytecode, the options that it is compiled with, the values of its
    closure and of the globals that it uses (other such functions and all that they use, numbers,
    arrays), the versions of Python, numba and numpy, and the sources of the engine. Bytecode is
    there where source is not: in a console, or made by ``exec``.
    """
    digest = hashlib.sha256()
    import numba

    versions = (engine_sources(), sys.version, numba.__version__, np.__version__)
    try:
        for part in (*versions, *_told(dispatcher, set(), frozenset())):
            digest.update(part.encode() + b"\0")
    except _UnknownError:
        return None
    return digest.hexdigest()[:32]


def _told(value: Any, seen: set[int], names: frozenset[str]) -> Iterator[str]:
    """Yield what is to be known about a value; ``names`` are those that a function mentions."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"array {value.dtype.str} {value.shape} {value.strides}"
        yield hashlib.sha256(value.tobytes()).hexdigest()
    elif isinstance(value, (tuple, frozenset)):
        # A set has no order of its own.
        parts = list(value) if isinstance(value, tuple) else sorted(value, key=repr)
        yield f"{type(value).__name__} {len(parts)}"
        for part in parts:
            yield from _told(part, seen, names)
    elif isinstance(value, ModuleType):
        yield from _module(value, seen, names)
    elif hasattr(value, "py_func") and hasattr(value, "targetoptions"):
        yield f"compiled {sorted(value.targetoptions.items())!r}"
        if not value._can_compile:  # signatures were given; else they tell what happened so far
            yield f"for {[str(signature) for signature in value.signatures]}"
        if id(value) in seen:
            yield "itself"
            return
        seen.add(id(value))
        yield from _function(value.py_func, seen)
    elif _root(value) in (*_VERSIONED, *_FIXED):
        yield f"member {value.__module__} {getattr(value, '__qualname__', value)}"
    else:
        raise _UnknownError


def _root(value: Any) -> str:
    # The package of a builtin, a class, a ufunc or a function; "" of anything else.
    if isinstance(value, np.ufunc):
        return "numpy"
    if isinstance(value, (BuiltinFunctionType, FunctionType, type)) or callable(value):
        return str(getattr(value, "__module__", None) or "").partition(".")[0]
    return ""


def _module(module: ModuleType, seen: set[int], names: frozenset[str]) -> Iterator[str]:
    yield f"module {module.__name__}"
    if module.__name__.partition(".")[0] in (*_VERSIONED, *_FIXED) or id(module) in seen:
        return
    seen.add(id(module))
    for name in sorted(names & vars(module).keys()):
        yield name
        yield from _told(getattr(module, name), seen, names)


def _function(function: FunctionType, seen: set[int]) -> Iterator[str]:
    code = function.__code__
    names = frozenset(_names(code))
    yield from _code(code)
    yield from _told(function.__defaults__, seen, names)
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    yield from _told(tuple(cells), seen, names)
    known = {**vars(builtins), **function.__globals__}
    for name in sorted(names & known.keys()):
        yield name
        yield from _told(known[name], seen, names)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)


def _code(code: CodeType) -> Iterator[str]:
    yield f"{code.co_code.hex()} {code.co_flags} {code.co_argcount} {code.co_kwonlyargcount}"
    yield f"{code.co_names} {code.co_varnames} {code.co_freevars} {code.co_cellvars}"
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _code(part)
        else:
            yield from _told(part, set(), frozenset())
