"""Callbacks of runs and fits: one that raises is reported and stops nothing."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dbgsom_core.errors import callers_level
from dbgsom_core.interfaces.epochs import EpochRecord, ignore_epoch
from dbgsom_core.interfaces.guard import RAISED, is_own
from dbgsom_core.interfaces.stopping import STOP, Stop

log = logging.getLogger("dbgsom")

Callback = Callable[[EpochRecord], Any]


class Callbacks:
    """The callbacks of a run, modules or objects with lifecycle hooks, called in the given order.

    The ``required`` one, without which a run is worth nothing (the run folder), is called first,
    and what it raises ends the run. It may have ``write_results(run, result)``, called before
    figures are drawn. ``trackers`` has the names of those that trackers made, by their ``id``: they
    may have ``prepare()`` and ``close()``. ``notes`` tell the reader of the report which callbacks
    failed.
    """

    def __init__(
        self,
        callbacks: Sequence[Any],
        required: Any = None,
        trackers: Mapping[int, str] | None = None,
    ) -> None:
        self._trackers = trackers or {}
        self._others = [callback for callback in callbacks if callback is not required]
        self._required = required
        self.notes: list[str] = []
        self._failures: set[tuple[str, str]] = set()

    def notify(self, hook: str, **event: Any) -> None:
        """Call a lifecycle hook with the arguments that each callback accepts."""
        self.notify_required(hook, **event)
        self.notify_others(hook, **event)

    def notify_required(self, hook: str, **event: Any) -> None:
        """Call the required callback alone; what it raises is raised."""
        call(self._required, hook, event)

    def notify_others(self, hook: str, **event: Any) -> list[tuple[str, Any]]:
        """Call the others, also where one of them raises; return the name and answer of each."""
        return self._call_each(self._others, hook, event)

    def on_epoch(self, run: Any, epoch: EpochRecord) -> str:
        """Call all with an epoch; return the name of the first that answered `STOP`, or nothing."""
        self.notify_required("dbgsom_epoch_finished", run=run, epoch=epoch)
        answers = self.notify_others("dbgsom_epoch_finished", run=run, epoch=epoch)
        return next((name for name, answer in answers if answer is STOP), "")

    def write_results(self, run: Any, result: Any) -> None:
        """Let the required callback write measures and models, before figures are drawn."""
        call(self._required, "write_results", {"run": run, "result": result})

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Call ``prepare()`` of trackers before the ``with`` block and ``close()`` after it."""
        trackers = [one for one in self._others if id(one) in self._trackers]
        self._call_each(trackers, "prepare", {})
        try:
            yield
        finally:
            self._call_each(trackers, "close", {})

    def report(self, name: str, method: str, error: BaseException) -> None:
        """Note that a callback failed, once for each of its methods, and log it."""
        note = f"{name} failed in {method} ({type(error).__name__}: {error})"
        if (name, method) not in self._failures:  # it may fail in every epoch
            self._failures.add((name, method))
            self.notes.append(note)
        log.warning("%s; the run goes on", note)
        log.debug("traceback of %s", name, exc_info=error)

    def _call_each(
        self, callbacks: Sequence[Any], method: str, event: dict[str, Any]
    ) -> list[tuple[str, Any]]:
        answers, interrupt = [], None
        for callback in callbacks:
            usual = f"observer {getattr(callback, '__name__', type(callback).__name__)}"
            name = self._trackers.get(id(callback), usual)
            try:
                answers.append((name, _call_with_copy(callback, method, event)))
            except RAISED as error:
                self.report(name, method, error)
            except KeyboardInterrupt as error:
                if interrupt is not None:
                    raise
                interrupt = error  # the others are called first
        if interrupt is not None:
            raise interrupt
        return answers


def _call_with_copy(callback: Any, method: str, event: dict[str, Any]) -> Any:
    # Third parties get copies of results, so that their changes do not reach other callbacks.
    if "result" not in event or is_own(callback):
        return call(callback, method, event)
    from dbgsom_core.interfaces.validation import read_only  # numpy is slow to import

    return call(callback, method, {**event, "result": read_only(event["result"])})


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
