"""How long numba compiles: the first run on a machine waits for loops that are not cached yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

_TOPIC = "numba:compile"  # told only of what is not in the cache


class CompileClock(event.Listener):  # type: ignore[misc] # it has no types
    """Adds up the seconds of compilation, and tells when the first one begins.

    Attributes
    ----------
    seconds : float
        Of compilations that have ended.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self.seconds = 0.0
        self._tell = tell
        self._told = False
        self._depth = 0  # a loop that calls others compiles them as well
        self._since = 0.0

    def on_start(self, event: Any) -> None:
        """Note the time; numba compiles in one thread at a time."""
        if self._depth == 0:
            self._since = time.perf_counter()
        self._depth += 1
        if not self._told:
            self._told = True
            self._tell()

    def on_end(self, event: Any) -> None:
        """Add the time since the outermost start."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._since


@contextmanager
def compile_clock(tell: Callable[[], None]) -> Iterator[CompileClock]:
    """Listen to numba; ``tell`` is called when it first compiles."""
    clock = CompileClock(tell)
    event.register(_TOPIC, clock)
    try:
        yield clock
    finally:
        event.unregister(_TOPIC, clock)
