"""One thread for the small matrix products of an epoch: the same bits whatever the machine."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
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
def _controller() -> ThreadpoolController:
    return _BlasController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Limit BLAS to one thread within a ``with`` block."""
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limit
