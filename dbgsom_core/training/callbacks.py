"""Callbacks of a fit, of which one that raises is reported and stops nothing, and its progress."""

from __future__ import annotations

import inspect
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dbgsom_core.engine.runtime import compile_clock
from dbgsom_core.errors import callers_level
from dbgsom_core.interfaces.component import RAISED
from dbgsom_core.interfaces.context import EpochRecord, ignore_epoch
from dbgsom_core.interfaces.stopping import STOP, Stop

Callback = Callable[[EpochRecord], Any]


def call(observer: Any, method: str, event: dict[str, Any]) -> Any:
    """Call a method with the arguments that it accepts, where the observer has it."""
    hook = getattr(observer, method, None)
    if hook is None:
        return None
    try:
        parameters = inspect.signature(hook).parameters
    except (TypeError, ValueError):  # a function without a signature
        return hook(**event)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return hook(**event)
    return hook(**{name: value for name, value in event.items() if name in parameters})


def callback_notifier(callbacks: Any, show: Callback | None = None) -> Callback:
    """Return a function that calls ``show`` and an estimator's own callbacks with each epoch.

    A callback that raises is reported, unless it says ``vital = True``: then training ends.
    """
    if callable(callbacks) or hasattr(callbacks, "dbgsom_epoch_finished"):
        callbacks = [callbacks]
    try:
        listeners = [] if callbacks is None else list(callbacks)
    except TypeError:
        raise ValueError(
            f"callbacks must be a list of callables or observers, not {callbacks!r}"
        ) from None
    for listener in listeners:
        if not (callable(listener) or hasattr(listener, "dbgsom_epoch_finished")):
            raise ValueError(f"callbacks must hold callables or observers, not {listener!r}")
    if show is None and not listeners:
        return ignore_epoch
    failed: set[int] = set()

    def notify(record: EpochRecord) -> Stop | None:
        answers = []
        if show is not None:
            show(record)
        event = {"run": None, "epoch": record}
        for listener in listeners:
            try:
                if hasattr(listener, "dbgsom_epoch_finished"):
                    answers.append(call(listener, "dbgsom_epoch_finished", event))
                else:
                    answers.append(listener(record))
            except RAISED as error:
                if getattr(listener, "vital", False):
                    raise
                if id(listener) not in failed:  # it may fail in every epoch
                    failed.add(id(listener))
                    warnings.warn(
                        f"callback {listener!r} failed ({type(error).__name__}: {error}); "
                        "training goes on",
                        stacklevel=callers_level(),
                    )
        return STOP if any(answer is STOP for answer in answers) else None

    return notify


# ---------------------------------------------------------------------------- progress of a fit

_CELLS = 8  # of the bar: a terminal of 80 columns holds it and a line
_SECONDS_BETWEEN_BARS = 0.1
_LINES = 10  # of the epochs, evenly; a slow fit also prints every few seconds
_SECONDS_BETWEEN_LINES = 5.0


def line(record: EpochRecord) -> str:
    return (
        f"epoch {record.epoch}/{record.epochs}  {record.phase}  neurons {record.neurons}  "
        f"QE {record.quantization_error:.6g}  width {record.width:.3g}"
    )


@contextmanager
def progress_shown(verbose: int) -> Iterator[Callable[[EpochRecord], object] | None]:
    """Yield a function that prints the progress after an epoch, or None for ``verbose`` 0.

    ``verbose`` 1: a progress bar in a terminal or a notebook; elsewhere a line each tenth of the
    epochs, and every five seconds. 2: a line for each epoch.
    """
    if not verbose:
        with compile_clock():
            yield None
    elif verbose == 1:
        progress = _Progress()
        with compile_clock(progress.print_line):
            try:
                yield progress
            finally:
                progress.end()
    else:
        with compile_clock(print):
            yield lambda epoch: print(line(epoch))


class _Progress:
    def __init__(self) -> None:
        stream = sys.stdout
        self._in_place = stream.isatty() or type(stream).__module__.startswith("ipykernel")
        self._last: EpochRecord | None = None
        self._shown_at = 0.0
        self._tenth = -1

    def __call__(self, epoch: EpochRecord) -> None:
        self._last = epoch
        since = time.monotonic() - self._shown_at
        tenth = _LINES * epoch.epoch // epoch.epochs
        if self._in_place:
            is_due = since >= _SECONDS_BETWEEN_BARS
        else:
            is_due = tenth > self._tenth or since >= _SECONDS_BETWEEN_LINES
        if is_due and epoch.epoch < epoch.epochs:
            self._shown_at = time.monotonic()
            self._tenth = tenth
            self._show(epoch, "")

    def end(self) -> None:
        if self._last is not None:
            self._show(self._last, f"  {self._last.seconds:.2f} s")
            if self._in_place:
                print()

    def print_line(self, text: str) -> None:
        print(f"\r{text}" if self._in_place else text)

    def _show(self, epoch: EpochRecord, rest: str) -> None:
        text = f"{line(epoch)}{rest}"
        if not self._in_place:
            print(text)
            return
        cells = round(epoch.epoch / epoch.epochs * _CELLS)
        # Spaces overwrite what is left of a longer line.
        print(f"\r[{'#' * cells:-<{_CELLS}}] {text:<66}", end="", flush=True)
