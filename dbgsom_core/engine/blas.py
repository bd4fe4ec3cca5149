"""One thread for the small matrix products of an epoch: the same bits whatever the machine."""

from __future__ import annotations

import os
import threading
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


class _Limit:
    """How many blocks of this process limit BLAS, and what was before the first of them."""

    def __init__(self) -> None:
        self.lock, self.blocks = threading.Lock(), 0
        self.before: list[tuple[Any, int]] = []

    def put_back(self) -> None:
        for library, threads in self.before:
            library.set_num_threads(threads)


_limit = _Limit()


def _start_anew() -> None:
    # In a forked process no block of another thread is open.
    global _limit
    if _limit.blocks:
        _limit.put_back()
    _limit = _Limit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread within a ``with`` block.

    The limit is the process's: of blocks in several threads of Python the first sets it, and the
    last to end puts back what was before.
    """
    limit = _limit
    with limit.lock:
        if not limit.blocks:
            limit.before = [(library, library.get_num_threads()) for library in _libraries()]
            for library, _ in limit.before:
                library.set_num_threads(1)
        limit.blocks += 1
    try:
        yield
    finally:
        with limit.lock:
            limit.blocks -= 1
            if not limit.blocks:
                limit.put_back()
