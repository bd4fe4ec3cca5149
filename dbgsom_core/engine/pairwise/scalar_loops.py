"""The loops around a metric that is written for one pair, compiled once and kept on disk.

What is kept is named by everything known about the metric's function and by the versions: a changed
function has another name and is compiled anew. Where something about a function cannot be known its
loops are compiled in each process. An empty file remembers whether it works for many prototypes.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.pairwise.fingerprint import fingerprint

_TEXT = """
from dbgsom_core.engine.llvm.many_prototypes import PAIRS, rows_at, write_numbers


@compiled
def distances(x, prototypes, params, values):
    {distances}


@compiled
def assign(X, prototypes, params, values, bmu, distance):
    for i in range(X.shape[0]):
        distances(X[i], prototypes, params, values)
        best, nearest = 0, values[0]
        for j in range(1, values.size):
            if values[j] < nearest:
                best, nearest = j, values[j]
        bmu[i], distance[i] = best, nearest


@compiled
def pairwise(X, prototypes, params, values, out):
    for i in range(X.shape[0]):
        distances(X[i], prototypes, params, values)
        for j in range(out.shape[1]):  # numba compiles a slice ten times as long
            out[i, j] = values[j]
"""
_ONE = _TEXT.format(
    distances="""for j in range(prototypes.shape[0]):
        values[j] = scalar(x, prototypes[j], params)"""
)
_MANY = _TEXT.format(
    distances="""n_blocks, size, _ = prototypes.shape
    for g in range(n_blocks):
        w = rows_at(prototypes.ctypes.data + g * size * PAIRS * 8, size)
        write_numbers(scalar(x, w, params), values.ctypes.data + g * PAIRS * 8)"""
)


@dataclass(frozen=True)
class Loops:
    """The compiled loops of a metric: for many prototypes at once, or for one pair at a time."""

    many: bool
    assign: Callable[..., None]
    pairwise: Callable[..., None]

    def prototypes(
        self, prototypes: NDArray[np.float64], params: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], ...]:
        """Return the arguments for prototypes (K, D), parameters (P,) and room for distances."""
        if not self.many:
            return prototypes, params, np.empty(len(prototypes))
        from dbgsom_core.engine.aligned import aligned
        from dbgsom_core.engine.llvm.many_prototypes import PAIRS

        n_neurons, d = prototypes.shape
        n_blocks = -(-n_neurons // PAIRS)
        # The last one fills the last block: equal distances go to the lower row.
        rows = np.minimum(np.arange(n_blocks * PAIRS), n_neurons - 1)
        blocks = aligned((n_blocks, d, PAIRS), np.float64)
        blocks[:] = prototypes[rows].reshape(n_blocks, PAIRS, d).transpose(0, 2, 1)
        return blocks, params, aligned((n_blocks * PAIRS,), np.float64)


_compiling = Lock()


def loops_around(scalar: Any) -> Loops:
    """Return the loops around a metric's compiled function.

    Raises
    ------
    TypeError
        It is not compiled with numba.
    """
    with _compiling:  # threads ask at the same time
        return _loops(scalar)


@lru_cache(maxsize=64)
def _loops(scalar: Any) -> Loops:
    from numba.extending import is_jitted

    from dbgsom_core.engine.compile import loops_folder  # numba is slow to import

    if not is_jitted(scalar):
        raise TypeError(f"{scalar!r} is not compiled with numba")
    name, folder = fingerprint(scalar), loops_folder()
    if name is None or folder is None:
        return _made(scalar, _works_for_many(scalar), None)
    marks = {many: folder / f"scalar_{name}_{'many' if many else 'one'}" for many in (True, False)}
    many = next((many for many, mark in marks.items() if mark.exists()), None)
    if many is None:
        many = _works_for_many(scalar)
        with suppress(OSError):
            marks[many].touch()
    return _made(scalar, many, marks[many].name)


def _made(scalar: Any, many: bool, made_of: str | None) -> Loops:
    from dbgsom_core.engine.compile import compiled

    name = made_of or f"scalar_{id(scalar)}"
    module = ModuleType(name)
    module.__dict__.update(scalar=scalar, compiled=compiled, MADE_OF=made_of)
    exec(compile(_MANY if many else _ONE, f"<{name}>", "exec"), module.__dict__)
    sys.modules[name] = module  # where numba looks for the globals of what it loads
    return Loops(many, module.assign, module.pairwise)


def _works_for_many(scalar: Any) -> bool:
    """Say whether the function compiles for many prototypes at once."""
    from numba import float64, njit, types

    from dbgsom_core.engine.llvm.many_prototypes import NUMBERS, ROWS

    # Numba hands the options of a caller down: they are those of the loops.
    @njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
    def probe(x: Any, w: Any, params: Any) -> Any:
        return scalar(x, w, params)

    arguments = (float64[::1], ROWS, float64[::1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probe.compile(arguments)
        found = probe.overloads[arguments].signature.return_type
    except Exception:  # whatever numba says about it: it is compiled for one pair then
        return False
    return found == NUMBERS or isinstance(found, (types.Float, types.Integer))
