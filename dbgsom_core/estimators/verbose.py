"""What ``verbose`` shows of a fit: a bar in place on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dbgsom_core.engine.compiling import compile_clock
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.plugins.observers import line

_CELLS = 24
_SECONDS_BETWEEN_LOOKS = 0.1


@contextmanager
def shown(verbose: int) -> Iterator[Callable[[EpochRecord], object] | None]:
    """Yield what shows an epoch; None where nothing is to be shown.

    Parameters
    ----------
    verbose : int
        0: nothing. 1: a bar, where standard output is a terminal or a notebook. 2, and 1 elsewhere:
        a line an epoch.
    """
    if not verbose:
        with compile_clock():
            yield None
    elif verbose == 1 and _rewrites(sys.stdout):
        bar = _Bar(sys.stdout)
        with compile_clock(bar.tell):
            try:
                yield bar
            finally:
                bar.end()
    else:
        with compile_clock(print):
            yield lambda epoch: print(line(epoch))


def _rewrites(stream: Any) -> bool:
    return bool(stream.isatty()) or type(stream).__module__.startswith("ipykernel")


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

    def end(self) -> None:
        """Leave the last epoch standing."""
        if self._last is not None:
            self._write(self._last, 1.0, f"done in {self._last.seconds:.2f} s")
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
