"""Being asked to end by a signal, remembered until every stage has read it.

A handler that only raises is not enough: the exception may be swallowed by whatever happens to run,
such as a callback of somebody else's. So the handler also remembers, and epochs and stages ask.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGBREAK")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_REPEATED_BY_THE_SYSTEM = getattr(signal, "SIGXCPU", None)  # every second, until it kills


class Interrupted(KeyboardInterrupt):
    """The process was asked to end."""


class Asked:
    """Whether this process was asked to end, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._passed_on: tuple[signal.Signals, str] | None = None
        self._why = ""
        self._shields = 0
        self._closers: list[Callable[[BaseException], None]] = []

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Hear the signals in here; those that the caller's shell has us ignore stay ignored."""
        self.signal, self._why = None, ""
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def pass_on(self, number: int, why: str = "") -> None:
        """Be asked, by any thread, as if a signal came; ``why`` tells more than its name.

        It comes to the main thread as TERM, which must be heeded there.
        """
        self._passed_on = signal.Signals(number), why
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        else:
            signal.raise_signal(signal.SIGTERM)

    def check(self) -> None:
        """Raise `Interrupted` when the process was asked to end."""
        if self.signal is not None:
            raise self._interrupted()

    def reason(self, error: BaseException) -> BaseException:
        """Return what truly ended a stage that raised ``error``: the signal, when there was one."""
        if self.signal is None or isinstance(error, Interrupted):
            return error
        return self._interrupted()

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Let signals be remembered only: what is done in here is short, and is done whole."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1

    @contextmanager
    def closing(self, close: Callable[[BaseException], None]) -> Iterator[None]:
        """Call ``close`` at once when a second signal comes in here, wherever the first one got."""
        self._closers.append(close)
        try:
            yield
        finally:
            self._closers.pop()

    def _hear(self, number: int, frame: Any) -> None:
        again = self.signal is not None
        if not again:
            passed_on = self._passed_on if number == signal.SIGTERM else None
            self.signal, self._why = passed_on or (signal.Signals(number), "")
        if self._shields or (again and number == _REPEATED_BY_THE_SYSTEM):
            return
        if again:
            for close in reversed(self._closers):
                close(self._interrupted())
        raise self._interrupted()

    def _interrupted(self) -> Interrupted:
        name = "an unknown signal" if self.signal is None else self.signal.name
        return Interrupted(self._why or f"asked to end by {name}")


asked = Asked()  # signals belong to the process, and so does what remembers them
