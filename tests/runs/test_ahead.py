"""What comes next is made by a thread of its own, which whoever ends early is not held by."""

import threading
from contextlib import closing

import pytest

from dbgsom_core.engine.workers import share
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


def test_several_items_are_made_at_once_and_come_in_order():
    met = threading.Barrier(3, timeout=30)

    def make(item):
        if item < 3:
            met.wait()  # all three are being made
        return item, threading.current_thread()

    found = list(each_ahead(make, range(20), 3))
    assert [item for item, _ in found] == [*range(20)]
    assert threading.current_thread() not in {thread for _, thread in found}


def test_no_more_items_are_begun_than_threads_and_a_few():
    asked = []

    def items():
        for item in range(100):
            asked.append(item)
            yield item

    with closing(each_ahead(lambda item: item, items(), 2)) as found:
        for item in found:
            assert len(asked) <= item + 4


def test_an_item_beside_others_shares_its_work_with_nobody():
    met, workers = threading.Barrier(2, timeout=30), {}

    def make(item):
        if item < 2:
            met.wait()
        mine = set()
        share(4, 50, lambda worker, task: mine.add(worker))
        workers[item] = mine

    list(each_ahead(make, range(2), 2))
    assert workers[1] == {0}


def test_of_items_that_fail_the_first_is_told_and_no_more_are_begun():
    begun = []

    def make(item):
        begun.append(item)
        if item in (3, 4):
            raise ValueError(f"item {item}")
        return item

    seen = []
    with pytest.raises(ValueError, match="item 3"):
        seen.extend(each_ahead(make, range(1000), 2))
    assert seen == [0, 1, 2]
    assert len(begun) <= 8


def test_an_item_that_fails_is_told_after_those_before_it():
    def items():
        yield from (1, 2)
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(each_ahead(lambda item: item, items(), 2))
    assert seen == [1, 2]
