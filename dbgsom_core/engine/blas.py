"""One thread for the small matrix products of an epoch: the same bits whatever the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

_NAMES = ("blas", "blis", "mkl")


class _BlasController(ThreadpoolController):  # type: ignore[misc] # it has no types
    """Looks at libraries whose names hint at BLAS alone: a process may have hundreds."""

    def _make_controller_from_path(self, filepath: str, *rest: Any) -> None:
        name = filepath.rpartition(os.sep)[2].lower()  # many: a Path takes too long
        if any(part in name for part in _NAMES):
            super()._make_controller_from_path(filepath, *rest)


@lru_cache(maxsize=1)
def _libraries() -> list[Any]:
    return list(_BlasController().select(user_api="blas").lib_controllers)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread within a ``with`` block."""
    before = [(library, library.get_num_threads()) for library in _libraries()]
    try:
        for library, _ in before:
            library.set_num_threads(1)
        yield
    finally:
        for library, threads in before:
            library.set_num_threads(threads)
