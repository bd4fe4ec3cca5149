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


_changing = threading.Lock()
_within = 0  # blocks that are open, of whichever threads of Python
_before: list[tuple[Any, int]] = []


def _alone() -> None:
    # In a forked process no block of another thread is open.
    global _changing, _within
    _changing = threading.Lock()
    if _within:
        for library, threads in _before:
            library.set_num_threads(threads)
    _within = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_alone)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread within a ``with`` block.

    The limit is the process's: of blocks in several threads of Python the first sets it, and the
    last to end puts back what was before.
    """
    global _within, _before
    with _changing:
        if not _within:
            _before = [(library, library.get_num_threads()) for library in _libraries()]
            for library, _ in _before:
                library.set_num_threads(1)
        _within += 1
    try:
        yield
    finally:
        with _changing:
            _within = max(_within - 1, 0)  # 0 already within a block in which the process forked
            if not _within:
                for library, threads in _before:
                    library.set_num_threads(threads)
