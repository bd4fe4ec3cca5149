"""Telling observers, each inside a guard: one that raises is reported and stops nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dbgsom_core.errors import callers_level
from dbgsom_core.hookspecs import LIFECYCLE_HOOKS
from dbgsom_core.interfaces.epochs import EpochRecord, nobody
from dbgsom_core.interfaces.guard import is_from_a_signal
from dbgsom_core.interfaces.privacy import masked, private_logger
from dbgsom_core.interfaces.stopping import STOP, Stop

log = private_logger("dbgsom")

Callback = Callable[[EpochRecord], Any]


class Observers:
    """Observers of a run, told in the given order.

    Parameters
    ----------
    observers : sequence of objects
        Modules or objects with any of the four lifecycle hooks.
    vital : object, optional
        The one without which a run is worth nothing (the run folder): it is told first, and what
        it raises ends the run. It may have a method ``keep(run, result)``, which is called when
        the map is trained and measured and nothing is drawn yet.
    names : mapping of int to str, optional
        What warnings call an observer, by its ``id``; its class or module without it.

    Attributes
    ----------
    others : list of objects
        All but the vital one.
    notes : list of str
        What a reader of the report should know of observers that failed.
    """

    def __init__(
        self, observers: Sequence[Any], vital: Any = None, names: Mapping[int, str] | None = None
    ) -> None:
        self._names = names or {}
        self.others = [one for one in observers if one is not vital]
        self._vital = vital
        self.notes: list[str] = []
        self._noted: set[tuple[str, str]] = set()

    def tell(self, hook: str, **event: Any) -> None:
        """Call a lifecycle hook with the arguments that each observer accepts."""
        self.record(hook, **event)
        self.spread(hook, **event)

    def stopper(self, run: Any, epoch: EpochRecord) -> str:
        """Tell of an epoch; return who answered `STOP`, the first of them, or nothing."""
        self.record("dbgsom_epoch_finished", run=run, epoch=epoch)
        answers = self.spread("dbgsom_epoch_finished", run=run, epoch=epoch)
        return next((who for who, answer in answers if answer is STOP), "")

    def record(self, hook: str, **event: Any) -> None:
        """Tell the vital observer alone; what it raises is raised."""
        if hook not in LIFECYCLE_HOOKS:
            raise ValueError(f"unknown lifecycle hook {hook}")
        call(self._vital, hook, event)

    def keep(self, run: Any, result: Any) -> None:
        """Have the vital observer keep what there is to lose."""
        call(self._vital, "keep", {"run": run, "result": result})

    def spread(self, hook: str, **event: Any) -> list[tuple[str, Any]]:
        """Tell the others, and return who answered what; one that raises, or is interrupted, keeps
        no other from being told.
        """
        interrupted, answers = None, []
        for observer in self.others:
            try:
                answers.append((self._name(observer), call(observer, hook, event)))
            except BaseException as error:
                if not is_from_a_signal(error):
                    self._report(observer, hook, error)
                elif interrupted is None:
                    interrupted = error
                else:
                    raise
        if interrupted is not None:
            raise interrupted
        return answers

    def _name(self, observer: Any) -> str:
        usual = f"observer {getattr(observer, '__name__', type(observer).__name__)}"
        return self._names.get(id(observer), usual)

    def _report(self, observer: Any, hook: str, error: BaseException) -> None:
        name = self._name(observer)
        told = masked(f"{name} failed in {hook} ({type(error).__name__}: {error})")
        if (name, hook) not in self._noted:  # it may fail in every epoch
            self._noted.add((name, hook))
            self.notes.append(told)
        log.warning("%s; the run goes on", told)
        log.debug("traceback of %s", name, exc_info=True)


def call(observer: Any, method: str, event: dict[str, Any]) -> Any:
    """Call a method with the arguments that it accepts, where the observer has it."""
    listen = getattr(observer, method, None)
    return None if listen is None else listen(**_accepted(listen, event))


def callback_notifier(callbacks: Any, show: Callback | None = None) -> Callback:
    """Return a function that tells ``show`` and an estimator's own callbacks of each epoch.

    A callback that raises is reported, unless it says ``vital = True``: then training ends. The
    function returns `STOP` where one of them did.
    """
    if callable(callbacks) or hasattr(callbacks, "dbgsom_epoch_finished"):
        callbacks = [callbacks]
    try:
        listeners = [] if callbacks is None else list(callbacks)
    except TypeError:
        raise ValueError(
            f"callbacks must be a list of callables or observers, not {callbacks!r}"
        ) from None

    if show is None and not listeners:
        return nobody
    failed: set[int] = set()

    def notify(record: EpochRecord) -> Stop | None:
        answers = []
        if show is not None:
            show(record)
        for listener in listeners:
            try:
                if hasattr(listener, "dbgsom_epoch_finished"):
                    event = {"run": None, "epoch": record}
                    answers.append(call(listener, "dbgsom_epoch_finished", event))
                else:
                    answers.append(listener(record))
            except BaseException as error:
                if getattr(listener, "vital", False) or is_from_a_signal(error):
                    raise
                if id(listener) in failed:  # it may fail in every epoch
                    continue
                failed.add(id(listener))
                warnings.warn(
                    f"callback {listener!r} failed ({type(error).__name__}: {error}); "
                    "training goes on",
                    stacklevel=callers_level(),
                )
        return STOP if any(one is STOP for one in answers) else None

    return notify


def line(record: EpochRecord) -> str:
    """Return one epoch as a line of text."""
    return (
        f"epoch {record.epoch}/{record.epochs}  {record.phase}  neurons {record.neurons}  "
        f"QE {record.quantization_error:.6g}  width {record.width:.3g}"
    )


def _accepted(listen: Any, event: dict[str, Any]) -> dict[str, Any]:
    # As pluggy does: a hook names the arguments that it wants.
    code = getattr(getattr(listen, "__func__", listen), "__code__", None)
    if code is None or code.co_flags & 0x08:  # no Python function, or **kwargs
        return event
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return {name: value for name, value in event.items() if name in names}
