"""Callbacks of runs: one that raises is reported and stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.guard import RAISED, is_own
from dbgsom_core.interfaces.stopping import STOP
from dbgsom_core.training.callbacks import call

log = logging.getLogger("dbgsom")


class Callbacks:
    """The callbacks of a run, modules or objects with lifecycle hooks, called in the given order.

    The ``required`` one, without which a run is worth nothing (the run folder), is called first,
    and what it raises ends the run. It may have ``write_results(run, result)``, called before
    figures are drawn. Observers of trackers may have ``prepare()`` and ``close()``. ``notes`` tell
    the reader of the report which callbacks failed.
    """

    def __init__(self, callbacks: Sequence[Any], required: Any = None) -> None:
        self._others = [callback for callback in callbacks if callback is not required]
        self._required = required
        self._trackers: dict[int, str] = {}  # names, by the id of the observer
        self.notes: list[str] = []
        self._failures: set[tuple[str, str]] = set()

    def add_tracker(self, name: str, observer: Any) -> None:
        self._trackers[id(observer)] = name
        self._others.append(observer)

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
        answers = []
        for callback in callbacks:
            name = f"observer {getattr(callback, '__name__', type(callback).__name__)}"
            name = self._trackers.get(id(callback), name)
            try:
                answers.append((name, _call_with_copy(callback, method, event)))
            except RAISED as error:
                self.report(name, method, error)
        return answers


def _call_with_copy(callback: Any, method: str, event: dict[str, Any]) -> Any:
    # Third parties get copies of results, so that their changes do not reach other callbacks.
    if "result" not in event or is_own(callback):
        return call(callback, method, event)
    from dbgsom_core.interfaces.validation import read_only  # numpy is slow to import

    return call(callback, method, {**event, "result": read_only(event["result"])})
