"""Checks of growth strategies."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np

from dbgsom_core.estimators.allow_list import NotPlainError, from_plain, to_plain
from dbgsom_core.interfaces.component import given_fields
from dbgsom_core.interfaces.growth import GrowthAbilities, VerticalState
from dbgsom_core.interfaces.validation import births, most_births
from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.testing import material
from dbgsom_core.testing.fitting import check_fit, twice_in_threads
from dbgsom_core.testing.kit import Subject, check
from dbgsom_core.training.growing import apply_growth, parted

_EPOCHS, _HALF, _ROOM = 12, 5, 3


def _threshold(growth: Any) -> float:
    return GrowthAbilities.of(growth).threshold(material.summary())


def _is_vertical(component: Any, subject: Subject) -> bool:
    return GrowthAbilities.of(component).wants_children is not None


def _wanted(growth: Any, som_map: SomMap, room: int | None = None) -> list[Any]:
    state = material.growth_state(som_map, _threshold(growth), room)
    return births(growth.grow(som_map, state), som_map, state)


def _carried_out(growth: Any, som_map: SomMap, wanted: list[Any], epoch: int) -> SomMap:
    """Return the map that it wants, when it has been told of new rows."""
    growing = GrowthAbilities.of(growth)
    grown = apply_growth(som_map, wanted, epoch, may_disconnect=growing.may_disconnect)
    if growing.renumber is not None and (grown.births or grown.changes):
        growing.renumber(grown.rows)
    return grown.som_map


def _anew(growth: Any, remembered: Any = None) -> Any:
    """Return a strategy as a training begins with it, or goes on after an interruption."""
    fresh = type(growth).model_validate(given_fields(growth))
    remember = GrowthAbilities.of(fresh).remember
    if remember is not None:
        remember(remembered)
    return fresh


def _written_and_read(remembered: Any) -> Any:
    """Return what a checkpoint gives back of what a strategy remembers."""
    arrays: dict[str, Any] = {}
    try:
        plain = to_plain(remembered, arrays, "what it remembers")
    except NotPlainError as error:
        raise AssertionError(f"no checkpoint can hold what it remembers: {error}") from error
    return from_plain(json.loads(json.dumps(plain)), arrays.pop)


def _played(
    growth: Any, som_map: SomMap, first: int, last: int, epochs: int = 50, idle: int = 0
) -> tuple[list[Any], SomMap]:
    """Return what it wants in some epochs, a few births in each, and the map that this makes.

    The first ``idle`` neurons win nothing.
    """
    found = []
    for epoch in range(first, last + 1):
        state = material.growth_state(som_map, _threshold(growth), _ROOM)
        hits = material.frozen(np.where(np.arange(len(som_map)) < idle, 0, state.hits))
        state = replace(state, epoch=epoch, epochs=epochs, hits=hits)
        changes, born = parted(births(growth.grow(som_map, state), som_map, state))
        wanted = [*changes, *born[:_ROOM]]
        som_map = _carried_out(growth, som_map, wanted, epoch)
        found += wanted
    return found, som_map


def _assert_same(first: list[Any], second: list[Any], told: str) -> None:
    (changes, born), (others, again) = parted(first), parted(second)
    assert changes == others, told
    assert [(one.position, one.parent) for one in born] == [
        (one.position, one.parent) for one in again
    ], told
    for one, other in zip(born, again, strict=True):
        assert np.array_equal(one.prototype, other.prototype), f"{told}, in a prototype"


@check("growth")
def check_growing_threshold(component: Any, subject: Subject) -> None:
    """Its threshold is a finite number, its map starts with at least two neurons."""
    threshold = _threshold(component)
    growing = GrowthAbilities.of(component)
    told = growing.growing_threshold is None or math.isfinite(threshold)
    assert told, f"growing_threshold gives {threshold}"
    (rows, columns), fine = growing.shape, growing.fine_tuning
    assert rows >= 1 and columns >= 1 and rows * columns >= 2, f"starts with {rows} × {columns}"
    assert 0 <= fine < 1, f"fine_tuning is {fine}, not in [0, 1)"


@check("growth")
def check_births(component: Any, subject: Subject) -> None:
    """Every birth takes a free linked cell, has a finite prototype and a living parent."""
    _check_births(component, material.ring())


@check("growth")
def check_births_among_hexagons(component: Any, subject: Subject) -> None:
    """So it does on a hexagonal map: it asks for links and free cells, not for four directions."""
    _check_births(component, material.ring(HEXAGONAL))


@check("growth")
def check_births_on_a_line(component: Any, subject: Subject) -> None:
    """So it does on a line, for data of one column, unless its ``grows_in_line`` is False."""
    row = SomMap.rectangle(1, 5, material.generator().standard_normal((5, 4)), LINE)
    if GrowthAbilities.of(component).grows_in_line:
        _check_births(component, row)


def _check_births(component: Any, som_map: SomMap) -> None:
    known, columns = len(som_map), som_map.prototypes.shape[1:]
    component = _anew(component)
    wanted = _wanted(component, som_map)
    changes, born = parted(wanted)
    most = most_births(som_map)
    assert len(born) <= most, f"wants more than {most} births for {known} neurons: it is endless"
    for birth in born:
        assert np.shape(birth.prototype) == columns, "a prototype has the wrong shape"
        assert np.isfinite(birth.prototype).all(), "a prototype is not finite"
        assert 0 <= birth.parent < known, f"parent {birth.parent} is no neuron of the map"
    # Raises for a cell that is taken or not linked.
    grown = _carried_out(component, som_map, wanted, 20)
    assert changes or len(grown) == known + len(born)


@check("growth")
def check_changes(component: Any, subject: Subject) -> None:
    """Neurons without hits or with: what dies, moves or is put between leaves a map that can be."""
    for grid, idle in ((SQUARE, 0), (SQUARE, 9), (HEXAGONAL, 9)):
        start = SomMap.rectangle(4, 5, material.generator().standard_normal((20, 4)), grid)
        grown = _played(_anew(component), start, 1, _EPOCHS, _EPOCHS + 1, idle)[1]
        apart = grown.is_apart and not GrowthAbilities.of(component).may_disconnect
        assert len(grown) and not apart, "its deaths and moves take the map apart"


@check("growth")
def check_room_is_only_advice(component: Any, subject: Subject) -> None:
    """It answers whatever room there is, none at all among them."""
    for room in (0, 1, 100):
        assert isinstance(_wanted(_anew(component), material.ring(), room), list)


@check("growth")
def check_growth_leaves_the_map_alone(component: Any, subject: Subject) -> None:
    """It reads the map and its state, and changes neither."""
    som_map = material.ring()
    before = som_map.prototypes.copy(), som_map.positions
    _wanted(_anew(component), som_map)
    assert np.array_equal(som_map.prototypes, before[0]), "it changes prototypes"
    assert np.array_equal(som_map.positions, before[1]), "it changes the map's neurons"


@check("growth")
def check_growth_determinism(component: Any, subject: Subject) -> None:
    """Asked twice about the same map it wants the same births: a run can be repeated."""
    first, second = (_wanted(_anew(component), material.ring()) for _ in range(2))
    _assert_same(first, second, "two calls differ")


@check("growth")
def check_growth_resumes(component: Any, subject: Subject) -> None:
    """A training that was interrupted goes on to the same births: `remembered` is all it keeps."""
    whole = _played(_anew(component), material.ring(), 1, _EPOCHS)[0]
    again = _played(_anew(component), material.ring(), 1, _EPOCHS)[0]
    _assert_same(whole, again, "a second training differs from the first: it keeps something")
    first = _anew(component)
    wanted, som_map = _played(first, material.ring(), 1, _HALF)
    ability = GrowthAbilities.of(first).remembered
    second = _anew(component, None if ability is None else _written_and_read(ability()))
    wanted += _played(second, som_map, _HALF + 1, _EPOCHS)[0]
    lost = "does not remember all of it" if ability else "has no remembered() that gives it"
    told = f"it keeps something from one epoch to the next and {lost}: births differ after"
    _assert_same(whole, wanted, f"{told} an interruption")


@check("growth", applies=_is_vertical)
def check_children(component: Any, subject: Subject) -> None:
    """Vertical growth answers for every neuron, twice the same, and changes nothing."""
    som_map = material.ring()
    before = som_map.prototypes.copy()
    errors, hits = np.linspace(0.0, 1.0, len(som_map)), np.arange(len(som_map)) * 100
    state = VerticalState(1, material.frozen(errors), material.frozen(hits), 1.0)
    first, second = (
        np.asarray(component.wants_children(som_map, state), dtype=bool) for _ in range(2)
    )
    assert first.shape == (len(som_map),), f"wants_children gives shape {first.shape}"
    assert np.array_equal(first, second), "two calls differ"
    assert np.array_equal(som_map.prototypes, before) and not som_map.children, "it changes the map"


@check("growth")
def check_growth_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map grows with it, the same with any threads, and never past max_neurons."""
    growing = GrowthAbilities.of(component)
    cap, y = growing.max_neurons, material.classes() if growing.needs_classes else None
    estimator = check_fit(material.data(), y, growth=component, epochs=20)
    if isinstance(cap, int):
        assert len(estimator.weights_) <= cap, f"{len(estimator.weights_)} neurons, cap {cap}"
    twice_in_threads(material.data(), y, growth=component, epochs=20)
