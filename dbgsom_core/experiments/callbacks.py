"""Callbacks of runs: one that raises is reported and stops nothing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dbgsom_core.interfaces.component import RAISED, is_own
from dbgsom_core.interfaces.context import EpochRecord
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
        self._required = required
        self._others: list[tuple[str, Any]] = []  # with their names
        self._trackers: list[tuple[str, Any]] = []
        for callback in callbacks:
            if callback is not required:
                name = getattr(callback, "__name__", type(callback).__name__)
                self._others.append((f"observer {name}", callback))
        self.notes: list[str] = []
        self._failures = Counter[tuple[str, str]]()

    def add_tracker(self, name: str, observer: Any) -> None:
        self._trackers.append((name, observer))

    def notify(self, hook: str, **event: Any) -> list[tuple[str, Any]]:
        """Call a lifecycle hook with the arguments that each callback accepts."""
        self.notify_required(hook, **event)
        return self.notify_others(hook, **event)

    def notify_required(self, hook: str, **event: Any) -> None:
        """Call the required callback alone; what it raises is raised."""
        call(self._required, hook, event)

    def notify_others(self, hook: str, **event: Any) -> list[tuple[str, Any]]:
        """Call the others, also where one of them raises; return the name and answer of each."""
        return self._call_each([*self._others, *self._trackers], hook, event)

    def on_epoch(self, run: Any, epoch: EpochRecord) -> str:
        """Call all with an epoch; return the name of the first that answered `STOP`, or nothing."""
        answers = self.notify("dbgsom_epoch_finished", run=run, epoch=epoch)
        return next((name for name, answer in answers if answer is STOP), "")

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Call ``prepare()`` of trackers before the ``with`` block and ``close()`` after it."""
        self._call_each(self._trackers, "prepare", {})
        try:
            yield
        finally:
            self._call_each(self._trackers, "close", {})

    def report(self, name: str, method: str, error: BaseException) -> None:
        """Note that a callback failed, once for each of its methods, and log it."""
        note = f"{name} failed in {method} ({type(error).__name__}: {error})"
        if self._failures[name, method] == 0:  # it may fail in every epoch
            self.notes.append(note)
        self._failures[name, method] += 1
        log.warning("%s; the run goes on", note)
        log.debug("traceback of %s", name, exc_info=error)

    def _call_each(
        self, callbacks: Sequence[tuple[str, Any]], method: str, event: dict[str, Any]
    ) -> list[tuple[str, Any]]:
        answers = []
        for name, callback in callbacks:
            try:
                answers.append((name, call(callback, method, _lend(event, callback))))
            except RAISED as error:
                self.report(name, method, error)
        return answers


def _lend(event: dict[str, Any], callback: Any) -> dict[str, Any]:
    """Return an event with a copy of the result, which changes of third parties do not reach."""
    if "result" not in event or is_own(callback):
        return event
    from dbgsom_core.interfaces.validation import read_only  # numpy is slow to import

    return event | {"result": read_only(event["result"])}
