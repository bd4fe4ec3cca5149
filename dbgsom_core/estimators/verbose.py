"""What ``verbose`` shows of a fit: a bar in place on a terminal, some lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dbgsom_core.engine.compile_clock import compile_clock
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.plugins.callbacks import line

_CELLS = 24
_SECONDS_BETWEEN_LOOKS = 0.1
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
    stream: Any = sys.stdout
    in_place = stream.isatty() or type(stream).__module__.startswith("ipykernel")
    shown = _Bar(stream) if in_place else _Lines()
    with compile_clock(shown.print_line):
        try:
            yield shown
        except BaseException:
            shown.end("stopped after", whole=False)
            raise
        shown.end("done in", whole=True)


class _Lines:
    print_line = staticmethod(print)

    def __init__(self) -> None:
        self._printed = -1, 0.0  # which share of the lines, when
        self._last: EpochRecord | None = None

    def __call__(self, epoch: EpochRecord) -> None:
        self._last = epoch
        share, now = _LINES * epoch.epoch // epoch.epochs, time.monotonic()
        due = share > self._printed[0] or now - self._printed[1] >= _SECONDS_BETWEEN_LINES
        if due and epoch.epoch < epoch.epochs:  # the last one is printed at the end
            self._printed = share, now
            print(line(epoch), flush=True)

    def end(self, how: str, *, whole: bool) -> None:
        """Print the last epoch."""
        if self._last is not None:
            print(f"{line(self._last)}  {how} {self._last.seconds:.2f} s", flush=True)


class _Bar:
    def __init__(self, stream: Any) -> None:
        self._stream, self._started = stream, time.monotonic()
        self._looked, self._width = -_SECONDS_BETWEEN_LOOKS, 0
        self._last: EpochRecord | None = None

    def __call__(self, epoch: EpochRecord) -> None:
        self._last, now = epoch, time.monotonic()
        if now - self._looked >= _SECONDS_BETWEEN_LOOKS:
            self._looked, share = now, epoch.epoch / epoch.epochs
            self._draw(epoch, share, f"ETA {(now - self._started) * (1 - share) / share:.0f} s")

    def print_line(self, text: str) -> None:
        """Print a line of its own."""
        self._put(text)
        self._stream.write("\n")
        self._width = 0

    def end(self, how: str, *, whole: bool) -> None:
        """Leave the last epoch standing; training may have converged before the last one."""
        if self._last is not None:
            share = 1.0 if whole else self._last.epoch / self._last.epochs
            self._draw(self._last, share, f"{how} {self._last.seconds:.2f} s")
            self._stream.write("\n")
            self._stream.flush()

    def _draw(self, epoch: EpochRecord, share: float, rest: str) -> None:
        full, empty = "━╌" if "utf" in str(getattr(self._stream, "encoding", "")).lower() else "#-"
        cells = round(share * _CELLS)
        self._put(
            f"epoch {epoch.epoch}/{epoch.epochs} {full * cells}{empty * (_CELLS - cells)} "
            f"{epoch.neurons} neurons  QE {epoch.quantization_error:.4g}  {rest}"
        )

    def _put(self, text: str) -> None:
        self._stream.write(f"\r{text.ljust(self._width)}")
        self._stream.flush()
        self._width = len(text)
