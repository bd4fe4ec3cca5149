"""Making what comes next while what came last is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from dbgsom_core.engine.workers import alone

_PATIENCE = 1.0  # seconds for what is being made when nobody wants it any more

_WAITING = 2  # items that are made and not yet used, or not yet begun

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Yield items, each made by a thread of its own while the one before is used.

    What a generator raises, it raises here. At the end, also an early one, it is closed in its
    thread; whoever ends early waits for it a while and not for ever: it may wait for input that
    never comes.
    """
    wanted: SimpleQueue[bool] = SimpleQueue()
    made: SimpleQueue[tuple[list[Item], BaseException | None]] = SimpleQueue()

    def make() -> None:
        try:
            while wanted.get():
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
        wanted.put(False)
        thread.join(_PATIENCE)


def each_ahead(
    make: Callable[[Item], Made], items: Iterable[Item], threads: int
) -> Generator[Made, None, None]:
    """Yield ``make(item)`` of all items in their order, made by so many threads at once.

    An item beside which others are made has one thread: no end of one is waited for to begin the
    next. What raises, an item or its making, is heard after what came before it.
    """

    def make_alone(item: Item) -> Made:
        with alone():
            return make(item)

    pool = ThreadPoolExecutor(threads, thread_name_prefix="dbgsom-item")
    begun: deque[Future[Made]] = deque()
    error: Exception | None = None
    left = iter(items)
    try:
        while True:
            try:
                item = next(left)
            except StopIteration:
                break
            except Exception as told:
                error = told
                break
            beside = not all(one.done() for one in begun)
            begun.append(pool.submit(make_alone if beside else make, item))
            if len(begun) == threads + _WAITING:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
        if error is not None:
            raise error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
