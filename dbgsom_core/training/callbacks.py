"""Callbacks of a fit: one that raises is reported and stops nothing."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from dbgsom_core.errors import callers_level
from dbgsom_core.interfaces.epochs import EpochRecord, ignore_epoch
from dbgsom_core.interfaces.guard import RAISED
from dbgsom_core.interfaces.stopping import STOP, Stop

Callback = Callable[[EpochRecord], Any]


def call(observer: Any, method: str, event: dict[str, Any]) -> Any:
    """Call a method with the arguments that it accepts, where the observer has it."""
    found = getattr(observer, method, None)
    if found is None:
        return None
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):  # a function without a signature
        return found(**event)
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return found(**event)
    return found(**{name: value for name, value in event.items() if name in parameters})


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


def line(record: EpochRecord) -> str:
    return (
        f"epoch {record.epoch}/{record.epochs}  {record.phase}  neurons {record.neurons}  "
        f"QE {record.quantization_error:.6g}  width {record.width:.3g}"
    )
