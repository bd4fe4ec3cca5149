"""What comes next is made by a thread of its own, which whoever ends early is not held by."""

import threading
import time
from contextlib import closing

import pytest

from dbgsom_core.runs.using import ahead as made
from dbgsom_core.runs.using.ahead import ahead, each_ahead


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


def test_each_is_made_beside_others_and_comes_in_order():
    both = threading.Barrier(2, timeout=10)

    def make(item):
        if item < 4:
            both.wait()  # two are being made
        time.sleep(0.01 * (item % 2))
        return 10 * item

    assert list(each_ahead(make, (one for one in range(9)), 2)) == [10 * one for one in range(9)]
    assert list(each_ahead(make, (one for one in ()), 2)) == []


def test_what_is_made_waits_for_nothing_that_is_to_come():
    comes = threading.Event()

    def items():
        yield 1
        assert comes.wait(10)
        yield 2

    with closing(each_ahead(str, items(), 2)) as found:
        assert next(found) == "1"
        comes.set()
        assert list(found) == ["2"]


def test_a_fault_of_the_items_comes_after_what_was_made_of_those_before():
    def items():
        yield from range(3)
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(each_ahead(str, items(), 2))
    assert seen == ["0", "1", "2"]


def test_of_several_faults_the_first_is_heard_and_all_are_closed():
    closed, late = [], threading.Event()

    def items():
        try:
            yield from range(1000)
        finally:
            closed.append("items")

    def make(item):
        if item == 1:
            assert late.wait(10)
        elif item == 2:
            late.set()
        if item:
            raise ValueError(f"fault {item}")

    with pytest.raises(ValueError, match="fault 1"):
        list(each_ahead(make, items(), 2))
    assert closed == ["items"]
    assert not [one for one in threading.enumerate() if one.name == "dbgsom-item"]


def test_who_ends_early_is_not_held_by_what_is_being_made(monkeypatch):
    monkeypatch.setattr(made, "_PATIENCE", 0.0)
    begun, go = threading.Event(), threading.Event()

    def make(item):
        if item:
            begun.set()
            assert go.wait(10)
        return item

    try:
        with closing(each_ahead(make, (one for one in range(3)), 2)) as found:
            assert next(found) == 0
            assert begun.wait(10)  # the next one is being made
        makers = [one for one in threading.enumerate() if one.name == "dbgsom-item"]
        assert makers
        assert all(one.daemon for one in makers)  # nor is the end of the process
    finally:
        go.set()
