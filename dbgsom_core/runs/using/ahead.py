"""Making what comes next while what came last is used."""

from __future__ import annotations

from collections.abc import Generator
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

_PATIENCE = 1.0  # seconds for what is being made when nobody wants it any more

Item = TypeVar("Item")


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
