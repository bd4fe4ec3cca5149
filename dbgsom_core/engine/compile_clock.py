"""Seconds of compilation: the first run on a machine waits for loops that are not cached yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("dbgsom_core")

COMPILES = "compiling loops that are not cached yet: takes about 15 s in all, once"
_clocks: list[CompileClock] = []


class CompileClock:
    """Adds up the seconds of compilation, and tells when the first one begins.

    Attributes
    ----------
    seconds : float
        Of compilations that have ended.
    """

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        self.seconds = 0.0
        self._tell = tell
        self._depth = 0  # a loop that calls others may compile them as well
        self._since = 0.0

    def begin(self) -> None:
        """Note the time; one thread compiles at a time."""
        if self._depth == 0:
            self._since = time.perf_counter()
        self._depth += 1
        if self._tell is not None:
            self._tell(COMPILES)
            self._tell = None

    def end(self) -> None:
        """Add the time since the outermost beginning."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._since


_clocks.append(CompileClock(log.info))


@contextmanager
def compile_clock(tell: Callable[[str], object] | None = None) -> Iterator[CompileClock]:
    """Yield a clock of what is compiled within; ``tell`` gets a sentence when that begins."""
    clock = CompileClock(tell)
    _clocks.append(clock)
    try:
        yield clock
    finally:
        _clocks.remove(clock)


def begin() -> None:
    """Say that a loop begins to be compiled; what is in the cache does not count."""
    for clock in list(_clocks):
        clock.begin()


def end() -> None:
    """Say that this is done."""
    for clock in list(_clocks):
        clock.end()
