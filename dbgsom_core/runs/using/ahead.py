"""Making what comes next while what came last is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import closing, nullcontext
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from dbgsom_core.engine.workers import alone

_PATIENCE = 1.0  # seconds for what is being made when nobody wants it any more

_WAITING = 2  # items that are made and not yet used, or not yet begun

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(items: Generator[Item, None, None], most: int = 1) -> Generator[Item, None, None]:
    """Yield items, made by a thread of its own while those before are used, so many at ``most``.

    What a generator raises, it raises here. At the end, also an early one, it is closed in its
    thread; whoever ends early waits for it a while and not for ever: it may wait for input that
    never comes.
    """
    wanted: SimpleQueue[bool] = SimpleQueue()
    made: SimpleQueue[tuple[list[Item], BaseException | None]] = SimpleQueue()
    ended = False

    def make() -> None:
        try:
            while wanted.get() and not ended:
                try:
                    item = next(items)
                except StopIteration:
                    made.put(([], None))
                except BaseException as error:
                    made.put(([], error))
                else:
                    made.put(([item], None))
        finally:
            items.close()

    thread = Thread(target=make, name="dbgsom-ahead", daemon=True)
    thread.start()
    try:
        for _ in range(most):
            wanted.put(True)
        while True:
            found, error = made.get()
            if error is not None:
                raise error
            if not found:
                return
            wanted.put(True)
            yield found[0]
    finally:
        ended = True
        wanted.put(False)
        thread.join(_PATIENCE)


def each_ahead(
    make: Callable[[Item], Made], items: Generator[Item, None, None], threads: int
) -> Generator[Made, None, None]:
    """Yield ``make(item)`` of all items in their order, made by so many threads at once.

    Items come from another thread, as `ahead` has them: what is made waits for none that is to
    come. One beside which others are made has one thread: no end of one is waited for to begin the
    next. What the items or ``make`` raise is raised in its turn, and none are begun after that. At
    the end those that are being made are waited for a while and not for ever.
    """
    begun: SimpleQueue[tuple[int, Item, Future[Made]] | None] = SimpleQueue()
    unmade: set[int] = set()
    workers: list[Thread] = []
    ended = False

    def work() -> None:
        while (task := begun.get()) is not None and not ended:
            work_on(*task)
            del task  # it may be large

    def work_on(number: int, item: Item, one: Future[Made]) -> None:
        beside = len(unmade) > 1
        try:
            with alone() if beside else nullcontext():
                one.set_result(make(item))
        except BaseException as error:
            one.set_exception(error)
        finally:
            unmade.discard(number)

    def begin() -> Generator[Future[Made], None, None]:
        with closing(items):
            for number, item in enumerate(items):
                if ended:
                    return
                one: Future[Made] = Future()
                unmade.add(number)
                begun.put((number, item, one))
                if len(workers) < min(len(unmade), threads):
                    # Not of a pool, whose threads hold a process that is to end.
                    worker = Thread(target=work, name="dbgsom-item", daemon=True)
                    worker.start()
                    workers.append(worker)
                yield one

    try:
        with closing(ahead(begin(), threads + _WAITING)) as found:
            try:
                for one in found:
                    yield one.result()
            finally:
                ended = True
    finally:
        until = time.monotonic() + _PATIENCE
        for _ in range(threads):
            begun.put(None)
        for worker in [*workers]:
            worker.join(max(until - time.monotonic(), 0.0))
