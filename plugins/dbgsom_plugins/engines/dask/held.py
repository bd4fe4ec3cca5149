"""Objects that workers keep beside their rows, and how they are asked in few milliseconds.

The usual way of Dask, a task for each question, goes through the scheduler twice and costs four
times as much as asking the workers at once. So all are asked at once, each for what it is known to
hold; what nobody has, because a worker died or is new, is asked by tasks, for which Dask makes it
anew.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from dbgsom_core.api import share
from dbgsom_plugins.engines.dask.cluster import Workers
from dbgsom_plugins.engines.dask.tasks import Task, gathered, submitted

_Add = Callable[[Any, Any], Any]


class DaskHeld:
    """See `dbgsom_core.api.Held`: objects that workers keep, and change in place."""

    def __init__(self, workers: Workers, make: Callable[[Any], Any], parts: Sequence[Task]) -> None:
        self._workers = workers
        names = (uuid.uuid4().hex for _ in parts)
        self._objects = {
            name: submitted(workers, _kept, name, make, part)
            for name, part in zip(names, parts, strict=True)
        }
        # Which worker is asked about an object; None: nobody has made one yet.
        self._at: dict[str, str] | None = None
        self._moves: dict[str, Task | None] = {}  # of objects to other workers; each goes once

    def ask(
        self,
        question: str,
        *given: Any,
        own: dict[str, Any],
        among: Sequence[int] | None = None,
        add: _Add | None = None,
    ) -> list[Any]:
        """See `dbgsom_core.api.Held`."""
        names = list(self._objects)
        which = range(len(names)) if among is None else among
        wanted = [
            _Wanted(names[i], {field: spread[i].name for field, spread in own.items()})
            for i in which
        ]
        told, left = ([], wanted) if add is None else self._at_once(wanted, question, given, add)
        if add is not None and left:
            self._at = {}  # to be looked for once they are there
        asked = [
            submitted(
                self._workers, _answer, self._objects[one.name], question, given, one.beside,
                **{field: spread[names.index(one.name)] for field, spread in own.items()},
            )
            for one in left
        ]  # fmt: skip
        return told + gathered(self._workers, asked)

    def _at_once(
        self, wanted: Sequence[_Wanted], question: str, given: tuple[Any, ...], add: _Add
    ) -> tuple[list[Any], list[_Wanted]]:
        # What workers told, added up by each, and of which objects none of them did.
        if self._at is None:
            return [], list(wanted)
        self._at = self._at or self._found()
        of: dict[str, list[_Wanted]] = {}
        for one in wanted:
            if one.name in self._at:
                of.setdefault(self._at[one.name], []).append(one)
        if not of:
            return [], list(wanted)
        said = self._workers.run(_answers, of, question, given, add)
        self._workers.check_newcomers(said)
        said = {address: one for address, one in said.items() if not isinstance(one, Exception)}
        found = [one for one in said.values() if one[0]]
        answered = {name for names, _ in found for name in names}
        self._even_out(list(said))
        return [one for _, one in found], [one for one in wanted if one.name not in answered]

    def _found(self) -> dict[str, str]:
        # Where objects are: of several places, that with the fewest of them.
        futures = {name: task.future for name, task in self._objects.items()}
        has = self._workers.who_has(list(futures.values()))
        places = {name: has.get(future.key, ()) for name, future in futures.items()}
        loads: Counter[str] = Counter()
        at = {}
        for name in sorted(places, key=lambda name: len(places[name])):
            if places[name]:
                at[name] = min(places[name], key=lambda address: (loads[address], address))
                loads[at[name]] += 1
        return at

    def _even_out(self, there: Sequence[str]) -> None:
        # A worker that is new, or was born again, gets an object of the one that has most.
        for name, move in self._moves.items():
            if move is not None and move.future.done():
                self._moves[name], self._at = None, {}
        if not self._at or len(there) < 2:
            return
        loads = Counter(dict.fromkeys(there, 0))
        loads.update(self._at.values())
        least, (busy, most) = min(there, key=lambda one: loads[one]), loads.most_common(1)[0]
        stays = [one for one, at in self._at.items() if at == busy and one not in self._moves]
        if most - loads[least] > 1 and stays and not any(self._moves.values()):
            # What a task needs is brought to it, and stays there.
            move = submitted(self._workers, _arrived, self._objects[stays[0]], to=least)
            self._moves[stays[0]] = move


class _Wanted(NamedTuple):
    name: str
    beside: dict[str, str]  # names of what is its own


# ------------------------------------------------------------------------------ on the workers

_HERE: WeakValueDictionary[str, Kept] = WeakValueDictionary()


class Kept:
    """An object that can be found by its name on the worker that has it, with what is its own."""

    def __init__(self, name: str, holder: Any) -> None:
        self.name, self.holder = name, holder
        self.beside: dict[str, tuple[str, Any]] = {}
        _HERE[name] = self

    def __reduce__(self) -> Any:
        return Kept, (self.name, self.holder)

    def __sizeof__(self) -> int:
        return sys.getsizeof(self.holder)

    def answer(self, question: str, given: tuple[Any, ...]) -> Any:
        """Return what the object says, of what is its own as well."""
        own = {field: value for field, (_, value) in self.beside.items()}
        return self.holder.answer(question, *given, **own)


def _kept(name: str, make: Callable[[Any], Any], rows: Any) -> Kept:
    return Kept(name, make(rows))


def _arrived(kept: Kept) -> None:
    pass


def _answer(
    kept: Kept, question: str, given: tuple[Any, ...], names: dict[str, str], **own: Any
) -> Any:
    kept.beside, _HERE[kept.name] = {field: (names[field], own[field]) for field in own}, kept
    return kept.answer(question, given)


async def _answers(
    of: dict[str, list[_Wanted]],
    question: str,
    given: tuple[Any, ...],
    add: _Add,
    dask_worker: Any = None,
) -> tuple[list[str], Any]:
    # The names of what is here, and what it says, added up.
    here = [
        kept
        for one in of.get(dask_worker.address, ())
        if (kept := _HERE.get(one.name)) is not None
        and one.beside == {field: name for field, (name, _) in kept.beside.items()}
    ]
    if not here:
        return [], None
    told: list[Any] = [None] * len(here)

    def work(worker: int, task: int) -> None:
        told[task] = here[task].answer(question, given)

    loop, threads = asyncio.get_running_loop(), dask_worker.state.nthreads
    await loop.run_in_executor(None, share, min(threads, len(here)), len(here), work)
    return [kept.name for kept in here], reduce(add, told)
