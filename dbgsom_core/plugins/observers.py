"""Telling observers, each inside a guard: one that raises is reported and stops nothing."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dbgsom_core.hookspecs import LIFECYCLE_HOOKS
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.guard import is_from_a_signal

log = logging.getLogger("dbgsom")

Callback = Callable[[EpochRecord], Any]


class Observers:
    """Observers of a run, told in the given order.

    Parameters
    ----------
    observers : sequence of objects
        Modules or objects with any of the four lifecycle hooks. The run folder comes first, so
        that whoever follows finds it written.
    vital : object, optional
        The one without which a run is worth nothing (the run folder): what it raises ends the run.
    names : mapping of int to str, optional
        What warnings call an observer, by its ``id``; its class or module without it.
    """

    def __init__(
        self, observers: Sequence[Any], vital: Any = None, names: Mapping[int, str] | None = None
    ) -> None:
        self._observers = list(observers)
        self._vital = vital
        self._names = names or {}

    def tell(self, hook: str, **event: Any) -> None:
        """Call a lifecycle hook with the arguments that each observer accepts."""
        if hook not in LIFECYCLE_HOOKS:
            raise ValueError(f"unknown lifecycle hook {hook}")
        for observer in self._observers:
            try:
                listen = getattr(observer, hook, None)
                if listen is not None:
                    listen(**_accepted(listen, event))
            except BaseException as error:
                if observer is self._vital or is_from_a_signal(error):
                    raise
                usual = f"observer {getattr(observer, '__name__', type(observer).__name__)}"
                name = self._names.get(id(observer), usual)
                log.warning(
                    "%s failed in %s (%s: %s); the run goes on",
                    name,
                    hook,
                    type(error).__name__,
                    error,
                )
                log.debug("traceback of %s", name, exc_info=True)


def callback_notifier(callbacks: Any, verbose: int) -> Callback:
    """Return a function that tells an estimator's own callbacks of each epoch."""
    if callable(callbacks) or hasattr(callbacks, "dbgsom_epoch_finished"):
        callbacks = [callbacks]
    try:
        listeners = [] if callbacks is None else list(callbacks)
    except TypeError:
        raise ValueError(
            f"callbacks must be a list of callables or observers, not {callbacks!r}"
        ) from None

    def notify(record: EpochRecord) -> None:
        if verbose:
            print(line(record))
        for listener in listeners:
            try:
                if hasattr(listener, "dbgsom_epoch_finished"):
                    event = {"run": None, "epoch": record}
                    hook = listener.dbgsom_epoch_finished
                    hook(**_accepted(hook, event))
                else:
                    listener(record)
            except BaseException as error:
                if is_from_a_signal(error):
                    raise
                warnings.warn(
                    f"callback {listener!r} failed ({type(error).__name__}: {error}); "
                    "training goes on",
                    stacklevel=4,
                )

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
