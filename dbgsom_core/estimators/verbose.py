"""What ``verbose`` shows of a fit: a bar in place on a terminal, some lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dbgsom_core.engine.compiling import compile_clock
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.plugins.callbacks import line

_CELLS = 24
_SECONDS_BETWEEN_LOOKS = 0.1
_LINES = 10  # of the epochs, evenly; a slow fit also tells every few seconds
_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress_shown(verbose: int) -> Iterator[Callable[[EpochRecord], object] | None]:
    """Yield what shows an epoch; None where nothing is to be shown.

    Parameters
    ----------
    verbose : int
        0: nothing. 1: a bar, where standard output is a terminal or a notebook; elsewhere a line
        each tenth of the epochs, and every five seconds. 2: a line an epoch.
    """
    if not verbose:
        with compile_clock():
            yield None
    elif verbose == 1:
        show = _Bar(sys.stdout) if _rewrites(sys.stdout) else _Lines()
        with compile_clock(show.tell):
            try:
                yield show
            except BaseException:
                show.end("stopped after")
                raise
            show.end("done in")
    else:
        with compile_clock(print):
            yield lambda epoch: print(line(epoch))


def _rewrites(stream: Any) -> bool:
    return bool(stream.isatty()) or type(stream).__module__.startswith("ipykernel")


class _Lines:
    tell = staticmethod(print)

    def __init__(self) -> None:
        self._told = -1, 0.0  # which share of the lines, when
        self._last: EpochRecord | None = None

    def __call__(self, epoch: EpochRecord) -> None:
        self._last = epoch
        if epoch.epoch >= epoch.epochs:
            return  # told at the end
        share, now = _LINES * epoch.epoch // epoch.epochs, time.monotonic()
        if share > self._told[0] or now - self._told[1] >= _SECONDS_BETWEEN_LINES:
            self._told = share, now
            print(line(epoch), flush=True)

    def end(self, how: str) -> None:
        """Tell the last epoch."""
        if self._last is not None:
            print(f"{line(self._last)}  {how} {self._last.seconds:.2f} s", flush=True)


class _Bar:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._looked = -_SECONDS_BETWEEN_LOOKS
        self._last: EpochRecord | None = None
        self._width = 0

    def __call__(self, epoch: EpochRecord) -> None:
        self._last = epoch
        now = time.monotonic()
        if now - self._looked >= _SECONDS_BETWEEN_LOOKS:
            self._looked = now
            share = epoch.epoch / epoch.epochs
            left = (now - self._started) * (1 - share) / share
            self._write(epoch, share, f"ETA {left:.0f} s")

    def tell(self, text: str) -> None:
        """Print a line of its own."""
        self._put(text)
        self._stream.write("\n")
        self._width = 0

    def end(self, how: str) -> None:
        """Leave the last epoch standing; training may have converged before the last one."""
        if self._last is not None:
            share = 1.0 if how.startswith("done") else self._last.epoch / self._last.epochs
            self._write(self._last, share, f"{how} {self._last.seconds:.2f} s")
            self._stream.write("\n")
            self._stream.flush()

    def _write(self, epoch: EpochRecord, share: float, rest: str) -> None:
        full = round(share * _CELLS)
        bar = "━" * full + "╌" * (_CELLS - full)
        if (getattr(self._stream, "encoding", None) or "ascii").lower() not in ("utf-8", "utf8"):
            bar = "#" * full + "-" * (_CELLS - full)
        self._put(
            f"epoch {epoch.epoch}/{epoch.epochs} {bar} {epoch.neurons} neurons  "
            f"QE {epoch.quantization_error:.4g}  {rest}"
        )

    def _put(self, text: str) -> None:
        self._stream.write(f"\r{text.ljust(self._width)}")
        self._stream.flush()
        self._width = len(text)
