"""What comes next is made by a thread of its own, which whoever ends early is not held by."""

import threading
from contextlib import closing

import pytest

from dbgsom_core.runs.using import ahead as made
from dbgsom_core.runs.using.ahead import ahead


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Have a busy machine finish what it makes."""
    monkeypatch.setattr(made, "_PATIENCE", 60.0)


def test_items_come_in_order_each_made_while_the_one_before_is_used():
    begun = [threading.Event() for _ in range(4)]
    threads = set()

    def items():
        for number, event in enumerate(begun):
            threads.add(threading.current_thread())
            event.set()
            yield number

    seen = []
    for item in ahead(items()):
        assert all(one.wait(10) for one in begun[: item + 2])  # the next one is being made
        seen.append(item)
    assert seen == [0, 1, 2, 3]
    (thread,) = threads
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_a_fault_comes_after_what_was_made_before_it():
    def items():
        yield 1
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(ahead(items()))
    assert seen == [1]


def test_who_ends_early_closes_what_makes_the_items_also_one_behind_another():
    closed = []

    def items():
        try:
            yield from range(1000)
        finally:
            closed.append("items")

    def more():
        try:
            with closing(ahead(items())) as found:
                yield from found
        finally:
            closed.append("more")

    with closing(ahead(more())) as found:
        assert next(found) == 0
    assert closed == ["items", "more"]


def test_input_that_never_comes_holds_nobody(monkeypatch):
    monkeypatch.setattr(made, "_PATIENCE", 0.0)
    comes = threading.Event()

    def items():
        yield 1
        comes.wait()

    try:
        with closing(ahead(items())) as found:
            assert next(found) == 1
        assert not comes.is_set()  # and yet we are here
    finally:
        comes.set()
