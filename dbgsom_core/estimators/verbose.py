"""Show the epochs of a fit: a bar in place on a terminal or in a notebook, some lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dbgsom_core.engine.runtime import compile_clock
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.plugins.callbacks import line

_CELLS = 24  # of the bar
_SECONDS_BETWEEN_BARS = 0.1
_LINES = 10  # of the epochs, evenly; a slow fit also prints every few seconds
_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress_shown(verbose: int) -> Iterator[Callable[[EpochRecord], object] | None]:
    """Yield what shows an epoch; None where nothing is to be shown.

    ``verbose`` 0: nothing. 1: a bar, where standard output is a terminal or a notebook; elsewhere a
    line each tenth of the epochs, and every five seconds. 2: a line an epoch.
    """
    if verbose != 1:
        with compile_clock(*([print] if verbose else [])):
            yield (lambda epoch: print(line(epoch))) if verbose else None
        return
    progress = _Progress(sys.stdout)
    with compile_clock(progress.print_line):
        try:
            yield progress
        except BaseException:
            progress.end("stopped after")
            raise
        progress.end("done in")


class _Progress:
    def __init__(self, stream: Any) -> None:
        self._stream, self._started = stream, time.monotonic()
        self._in_place = stream.isatty() or type(stream).__module__.startswith("ipykernel")
        utf = "utf" in str(getattr(stream, "encoding", "")).lower()
        self._full, self._empty = "━╌" if utf else "#-"
        self._shown, self._tenth, self._width = 0.0, -1, 0
        self._last: EpochRecord | None = None

    def __call__(self, epoch: EpochRecord) -> None:
        self._last, now, share = epoch, time.monotonic(), epoch.epoch / epoch.epochs
        since, tenth = now - self._shown, _LINES * epoch.epoch // epoch.epochs
        if self._in_place:
            if since >= _SECONDS_BETWEEN_BARS:
                self._shown = now
                self._draw(epoch, f"ETA {(now - self._started) * (1 - share) / share:.0f} s")
        elif (tenth > self._tenth or since >= _SECONDS_BETWEEN_LINES) and share < 1:
            self._shown, self._tenth = now, tenth
            self.print_line(line(epoch))

    def print_line(self, text: str) -> None:
        """Print a line of its own."""
        self._write(f"{text}\n")
        self._width = 0

    def end(self, how: str) -> None:
        """Print the last epoch; training may have converged before its last one."""
        if self._last is None:
            return
        took = f"{how} {self._last.seconds:.2f} s"
        if self._in_place:
            self._draw(self._last, f"{took}\n")
        else:
            self.print_line(f"{line(self._last)}  {took}")

    def _draw(self, epoch: EpochRecord, rest: str) -> None:
        cells = round(epoch.epoch / epoch.epochs * _CELLS)
        self._write(
            f"epoch {epoch.epoch}/{epoch.epochs} {self._full * cells}"
            f"{self._empty * (_CELLS - cells)} {epoch.neurons} neurons  "
            f"QE {epoch.quantization_error:.4g}  {rest}"
        )

    def _write(self, text: str) -> None:
        if self._in_place:  # over what the line before has left
            text, self._width = f"\r{text.ljust(self._width)}", len(text)
        self._stream.write(text)
        self._stream.flush()
