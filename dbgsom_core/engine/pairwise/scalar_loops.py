"""The loops around a metric that is written for one pair, compiled once and kept on disk.

Numba keeps compiled code only for functions of a file, and finds a change only in that file. So
each metric gets a file of its own in numba's cache folder, named by everything known about the
metric's function and by the versions: a changed function has another name and is compiled anew.
The file is never read here; what runs is this module's own text.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.pairwise.fingerprint import fingerprint

_TEXT = '''"""A metric's loops, written by dbgsom-core; `scalar` is put in when they are loaded."""

from dbgsom_core.engine.compile import compiled
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
'''
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

    if not is_jitted(scalar):
        raise TypeError(f"{scalar!r} is not compiled with numba")
    name = fingerprint(scalar)
    folder = _folder() if name else None
    if name is None or folder is None:
        return _module(scalar, _works_for_many(scalar), "dbgsom_scalar", "<scalar metric>")
    paths = {many: folder / f"scalar_{name}_{'many' if many else 'one'}.py" for many in (1, 0)}
    known = [many for many, path in paths.items() if path.exists()]
    many = bool(known[0]) if known else _works_for_many(scalar)
    path = paths[many]
    if not known and not _write(path, _MANY if many else _ONE):
        return _module(scalar, many, "dbgsom_scalar", "<scalar metric>")
    return _module(scalar, many, path.stem, str(path))


def _module(scalar: Any, many: bool, name: str, file: str) -> Loops:
    module = ModuleType(name)
    module.__dict__.update(scalar=scalar, __file__=file)
    exec(compile(_MANY if many else _ONE, file, "exec"), module.__dict__)
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


def _folder() -> Path | None:
    """Return the folder for the files, where numba keeps what it compiled; None: no such place."""
    from numba.core import config
    from numba.misc.appdirs import AppDirs

    base = config.CACHE_DIR or AppDirs(appname="numba", appauthor=False).user_cache_dir
    folder = Path(base) / "dbgsom_core_metrics"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _write(path: Path, text: str) -> bool:
    """Write a file at once, dated alike by all processes: numba compares the date."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        temporary.write_text(text, encoding="utf-8")
        os.utime(temporary, (0, 0))
        temporary.replace(path)
    except OSError:
        return False
    return True
