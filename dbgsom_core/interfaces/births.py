"""What a growth strategy wants of an epoch, judged: changes of the map that can be, and births."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from dbgsom_core.errors import UnfitError
from dbgsom_core.interfaces.judging import described, numbers
from dbgsom_core.som_map.changes import CHANGES, Move, changed_map

MOST_NEURONS = 1 << 16  # hops are counted in two bytes
_ENDLESS = 16  # births for each neuron and link from which on a generator counts as endless


def most_births(som_map: Any) -> int:
    """Return the births of one epoch from which on a strategy counts as endless."""
    return _ENDLESS * len(som_map) * int(som_map.grid.degree)


def births(answer: Any, som_map: Any, state: Any) -> list[Any]:
    """Return the changes and births of an epoch, one birth more than there is room for at most.

    Where nothing limits the map the room is that of `most_births`.
    """
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        raise UnfitError(f"must return a sequence of births, not {described(answer)}")
    room = most_births(som_map) if state.room is None else min(state.room, MOST_NEURONS)
    changes: list[Any] = []
    found: list[Any] = []
    for one in answer:
        (changes if isinstance(one, CHANGES) else found).append(one)
        if len(found) > room + len(changes) or len(changes) > _ENDLESS * len(som_map):
            break
    room += len(changes)
    parents: Any = None
    if changes:
        som_map, parents = _changed(changes, som_map)
    born: set[tuple[int, int]] = set()
    return [
        *changes,
        *(_birth(one, som_map, born, parents) for one in found[:room]),
        *found[room:],
    ]


def _changed(changes: list[Any], som_map: Any) -> tuple[Any, dict[int, int]]:
    # The map that changes make, and the rows that its neurons had before.
    try:
        for one in changes:
            whole = [*one[:1], *(one.position if isinstance(one, Move) else one[1:])]
            if not all(isinstance(part, Integral) for part in whole):
                raise UnfitError(f"returned {one!r}: cells and rows are integers")
        changed, rows, _ = changed_map(som_map, changes)
    except (TypeError, ValueError) as error:
        raise UnfitError(f"returned what cannot be: {error}") from error
    return changed, {row: new for new, row in enumerate(rows.tolist())}


def _birth(
    one: Any, som_map: Any, born: set[tuple[int, int]], rows: Mapping[int, int] | None
) -> tuple[Any, Any, int]:
    # ``rows`` are those of the map by what they were before, where they are other ones.
    try:
        (x, y), prototype, parent = one
    except (TypeError, ValueError):
        raise UnfitError(
            f"returned {one!r}, which is no birth (position, prototype, parent)"
        ) from None
    whole = type(x) is type(y) is type(parent) is int  # an abstract class is slow to ask
    if not (whole or all(isinstance(part, Integral) for part in (x, y, parent))):
        raise UnfitError(
            f"returned a birth at {(x, y)!r} by {parent!r}: cells and rows are integers"
        )
    cell = (int(x), int(y))
    if not 0 <= int(parent) < len(som_map) if rows is None else int(parent) not in rows:
        raise UnfitError(f"names parent {parent} for {cell}, and the map has {len(som_map)}")
    if cell in born or som_map.neuron_at(cell) is not None:
        raise UnfitError(f"wants a birth in {cell}, which is taken")
    for other in som_map.grid.beside(cell):
        if other in born or som_map.neuron_at(other) is not None:
            break
    else:
        raise UnfitError(f"wants a birth in {cell}, beside which no neuron is")
    born.add(cell)
    shape = som_map.prototypes.shape[1:]
    return cell, numbers(prototype, shape, "prototypes at", cell), int(parent)
