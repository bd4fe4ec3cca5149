"""Requests by signals to end the process, remembered until every stage has checked for them.

A handler that only raises is not enough: the exception may be swallowed by whatever happens to run,
such as a callback of somebody else's. So the handler also sets a flag, which epochs and stages
check.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGBREAK")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_REPEATED_BY_THE_SYSTEM = getattr(signal, "SIGXCPU", None)  # every second, until it kills


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end."""


class ShutdownFlag:
    """The signal by which the process was asked to end, or None."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._deferrals = 0

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Handle the signals in here; those that the caller's shell ignores stay ignored."""
        self.signal = None
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Interrupted` when the process was asked to end."""
        if self.signal is not None:
            raise self._interrupted()

    def cause(self, error: BaseException) -> BaseException:
        """Return what truly ended a stage that raised ``error``: the signal, if there was one."""
        if self.signal is None or isinstance(error, Interrupted):
            return error
        return self._interrupted()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let signals only set the flag: what is done in here is short, and is done whole."""
        self._deferrals += 1
        try:
            yield
        finally:
            self._deferrals -= 1

    def _handle(self, number: int, frame: Any) -> None:
        again = self.signal is not None
        if not again:
            self.signal = signal.Signals(number)
        if not self._deferrals and not (again and number == _REPEATED_BY_THE_SYSTEM):
            raise self._interrupted()

    def _interrupted(self) -> Interrupted:
        name = "an unknown signal" if self.signal is None else self.signal.name
        return Interrupted(f"asked to end by {name}")


shutdown = ShutdownFlag()  # signals belong to the process, and so does its flag
