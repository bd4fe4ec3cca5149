"""Checks of growth strategies."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from dbgsom_core.estimators.archive import NotPlainError, from_plain, to_plain
from dbgsom_core.interfaces.component import given_fields
from dbgsom_core.interfaces.growth import GrowthAbilities, VerticalState
from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.testing import material
from dbgsom_core.testing.kit import Subject, ask, check
from dbgsom_core.training.train import apply_growth, parted

_EPOCHS, _HALF, _ROOM = 12, 5, 3


def _wanted(growth: Any, som_map: SomMap, room: int | None = None, **changed: Any) -> list[Any]:
    threshold = GrowthAbilities.of(growth).threshold(material.summary())
    state = replace(material.growth_state(som_map, threshold, room), **changed)
    found: list[Any] = ask("growth", growth, "grow", som_map, state)
    return found


def _grown(growth: Any, som_map: SomMap, wanted: list[Any], epoch: int = 20) -> SomMap:
    # The map that it wants, of whose new rows it has heard; raises for a birth that cannot be.
    growing = GrowthAbilities.of(growth)
    grown = apply_growth(som_map, wanted, epoch, may_disconnect=growing.may_disconnect)
    if growing.renumber is not None and (grown.births or grown.changes):
        growing.renumber(grown.rows)
    return grown.som_map


def _anew(growth: Any, remembered: Any = None) -> Any:
    # A strategy as a training begins with it, or goes on after an interruption.
    fresh = type(growth).model_validate(given_fields(growth))
    remember = GrowthAbilities.of(fresh).remember
    if remember is not None:
        remember(remembered)
    return fresh


def _from_checkpoint(growth: Any) -> Any:
    # What a checkpoint gives back of what a strategy remembers.
    remembered, arrays = GrowthAbilities.of(growth).remembered, dict[str, Any]()
    if remembered is None:
        return None
    try:
        plain = to_plain(remembered(), arrays, "what it remembers")
    except NotPlainError as error:
        raise AssertionError(f"no checkpoint can hold what it remembers: {error}") from error
    return from_plain(json.loads(json.dumps(plain)), arrays.pop)


def _trained(
    growth: Any, som_map: SomMap, first: int, last: int, epochs: int = 50, idle: int = 0
) -> tuple[list[Any], SomMap]:
    # What it wants in some epochs, a few births in each, and the map that this makes. The first
    # ``idle`` neurons win nothing.
    found = []
    for epoch in range(first, last + 1):
        hits = material.growth_state(som_map, 1.0).hits
        hits = np.where(np.arange(len(som_map)) < idle, 0, hits)
        changes, born = parted(
            _wanted(growth, som_map, _ROOM, epoch=epoch, epochs=epochs, hits=hits)
        )
        wanted = [*changes, *born[:_ROOM]]
        som_map = _grown(growth, som_map, wanted, epoch)
        found += wanted
    return found, som_map


def _assert_same(first: list[Any], second: list[Any], message: str) -> None:
    (changes, born), (others, again) = parted(first), parted(second)
    assert changes == others and len(born) == len(again), message
    for one, other in zip(born, again, strict=True):
        same = (one.position, one.parent) == (other.position, other.parent)
        assert same and np.array_equal(one.prototype, other.prototype), message


@check("growth")
def check_growing_threshold(component: Any, subject: Subject) -> None:
    """Its threshold is a finite number, its map starts with at least two neurons."""
    growing = GrowthAbilities.of(component)
    for method, given in (("growing_threshold", (material.summary(),)), ("start_shape", ())):
        if getattr(growing, method) is not None:
            ask("growth", component, method, *given)
    rows, columns = growing.shape
    assert rows * columns >= 2, f"starts with {rows} × {columns} neurons"


@check("growth")
def check_births(component: Any, subject: Subject) -> None:
    """Every birth takes a free linked cell, has a finite prototype and a living parent: among
    squares, hexagons and, unless its ``grows_in_line`` is False, on a line; it answers the same
    when asked again, whatever room there is.
    """
    row = SomMap.rectangle(1, 5, material.generator().standard_normal((5, 4)), LINE)
    in_line = GrowthAbilities.of(component).grows_in_line
    for som_map in (material.ring(), material.ring(HEXAGONAL), *([row] if in_line else ())):
        growth = _anew(component)
        _grown(growth, som_map, _wanted(growth, som_map))
    for room in (0, 1, 100):
        _wanted(_anew(component), material.ring(), room)
    first, second = (_wanted(_anew(component), material.ring()) for _ in range(2))
    _assert_same(first, second, "two calls differ")


@check("growth")
def check_changes(component: Any, subject: Subject) -> None:
    """Neurons without hits or with: what dies, moves or is put between leaves a map that can be."""
    for grid, idle in ((SQUARE, 0), (SQUARE, 9), (HEXAGONAL, 9)):
        start = SomMap.rectangle(4, 5, material.generator().standard_normal((20, 4)), grid)
        grown = _trained(_anew(component), start, 1, _EPOCHS, _EPOCHS + 1, idle)[1]
        split = grown.is_apart and not GrowthAbilities.of(component).may_disconnect
        assert len(grown) and not split, "its deaths and moves take the map apart"


@check("growth")
def check_growth_resumes(component: Any, subject: Subject) -> None:
    """A training that was interrupted goes on to the same births: `remembered` is all it keeps."""
    whole = _trained(_anew(component), material.ring(), 1, _EPOCHS)[0]
    again = _trained(_anew(component), material.ring(), 1, _EPOCHS)[0]
    _assert_same(whole, again, "a second training differs from the first: it keeps something")
    first = _anew(component)
    wanted, som_map = _trained(first, material.ring(), 1, _HALF)
    second = _anew(component, _from_checkpoint(first))
    wanted += _trained(second, som_map, _HALF + 1, _EPOCHS)[0]
    lacks = GrowthAbilities.of(first).remembered is None
    lost = "has no remembered() that gives it" if lacks else "does not remember all of it"
    _assert_same(
        whole, wanted, f"births differ after an interruption: it keeps something and {lost}"
    )


@check("growth", lambda component: GrowthAbilities.of(component).wants_children is not None)
def check_children(component: Any, subject: Subject) -> None:
    """Vertical growth answers for every neuron, twice the same."""
    som_map = material.ring()
    n = len(som_map)
    state = VerticalState(1, np.linspace(0.0, 1.0, n), np.arange(n) * 100, 1.0)
    first, second = (ask("growth", component, "wants_children", som_map, state) for _ in range(2))
    assert np.array_equal(first, second), "two calls differ"
