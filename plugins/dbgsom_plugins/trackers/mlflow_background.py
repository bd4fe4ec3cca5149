"""One thread that logs fits to MLflow beside the program that makes them.

MLflow's own asynchronous logging takes metrics, parameters and tags and neither figures nor models,
ends runs before all of it is there, and says nothing of what it lost.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass

from dbgsom_plugins.trackers.mlflow_quiet import calm

_MOST_LEFT = 8  # pieces, two a fit, whose data is kept until it is logged
_SECONDS_BETWEEN_LOOKS = 0.5  # in which Windows would not hear of Ctrl-C
_SECONDS_BEFORE_A_FORK = 10.0


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some work, and the runs that are not whole without it."""

    work: Callable[[], None]
    runs: frozenset[str]
    context: Context


class Background:
    """Does work in order, in a thread of its own, and waits for it where somebody asks for that.

    When the program ends what is left is done first. A process that is forked has none of it, and
    is not forked in the middle of a piece: locks of MLflow would stay locked in it.
    """

    def __init__(self) -> None:
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._hold, after_in_parent=self._let_go, after_in_child=self._begin
            )
        # As concurrent.futures does, and before it: later nothing can be given to its threads,
        # which MLflow sends files with.
        getattr(threading, "_register_atexit", atexit.register)(self.wait)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._at_work = threading.RLock()
        self._left: deque[_Piece] = deque()  # the first one is being done
        self._thread: threading.Thread | None = None
        self._refused: deque[BaseException] = deque()  # warnings that are to be errors
        self._held = False

    def do(self, work: Callable[[], None], *runs: str | None) -> None:
        """Have something done after all that was asked for before.

        Parameters
        ----------
        work : callable
            It warns of what fails.
        *runs : str
            Ids of the runs that are not whole without it.
        """
        piece = _Piece(work, frozenset(filter(None, runs)), copy_context())
        with self._changed:
            self._left.append(piece)
            self._changed.notify_all()
            try:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._follow, daemon=True, name="mlflow")
                    self._thread.start()
            except RuntimeError:  # the program has ended, and makes no thread any more
                self._thread = None
        while self._thread is None and self._left:
            self._do_first()

    def wait(self, run: str | None = None) -> None:
        """Wait until a run is whole; None: until nothing is left."""
        if threading.current_thread() is self._thread:
            return
        with self._changed:
            wanted = [one for one in self._left if run is None or run in one.runs]
        self._until(lambda: not any(one in self._left for one in wanted))
        if self._refused:
            raise self._refused.popleft()

    def wait_for_room(self) -> None:
        """Wait while too much is left, so that memory has an end."""
        self._until(lambda: len(self._left) < _MOST_LEFT)

    def _until(self, reached: Callable[[], bool]) -> None:
        with self._changed:
            while not self._changed.wait_for(reached, _SECONDS_BETWEEN_LOOKS):
                pass

    def _follow(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._left)
            self._do_first()

    def _do_first(self) -> None:
        piece = self._left[0]
        try:
            with self._at_work:
                piece.context.run(calm, piece.work)
        except BaseException as error:
            self._refused.append(error)
        finally:
            with self._changed:
                self._left.popleft()
                self._changed.notify_all()

    def _hold(self) -> None:
        self._held = self._at_work.acquire(timeout=_SECONDS_BEFORE_A_FORK)

    def _let_go(self) -> None:
        if self._held:
            self._at_work.release()


background = Background()
