"""Compiled growth has the births, bit for bit, of the same rules neuron by neuron in Python."""

import subprocess
import sys
from functools import reduce
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core.api import Birth, GrowthState
from dbgsom_core.som_map.grid import SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth import reference
from dbgsom_plugins.growth.directed import Directed
from dbgsom_plugins.growth.snapshot import Placement, Snapshot


def slowly_grown(som_map, errors, threshold, notches, most):
    """At most ``most`` births: beside boundary neurons, then in notches."""
    shared = share_errors(som_map, errors, threshold)
    births = [
        Birth(place.position, place.prototype, candidate)
        for candidate, place in serve(som_map, shared, threshold, most)
        if place.position is not None
    ]
    if notches is not None and len(births) < most:
        taken = [birth.position for birth in births]
        births += fill(som_map, shared, notches * threshold, taken, most - len(births))
    return births


def serve(som_map, shared, threshold, most):
    """Serve every boundary neuron whose shared error reaches the threshold, once."""
    candidates = np.flatnonzero((som_map.degrees() < 4) & (shared >= threshold))
    candidates = candidates[np.argsort(-shared[candidates], kind="stable")]
    snapshot, served, born = Snapshot(som_map, shared), [], 0
    for candidate in candidates.tolist():
        if born >= most:
            break
        placed = place(candidate, snapshot)
        if placed.position is not None:
            snapshot.take(placed.position)
            born += 1
        served.append((candidate, placed))
    return served


def share_errors(som_map, errors, threshold):
    """An interior neuron passes half of its error on to the nearest of the boundary."""
    degrees = som_map.degrees()
    boundary = np.flatnonzero(degrees < 4)
    shared = np.array(errors, dtype=np.float64)
    givers = np.flatnonzero((degrees == 4) & (shared >= threshold))
    if len(givers):
        hops = som_map.hops[np.ix_(givers, boundary)]
        is_heir = hops == hops.min(axis=1, keepdims=True)
        halves = shared[givers] / 2
        giver, heir = np.nonzero(is_heir)
        np.add.at(shared, boundary[heir], (halves / is_heir.sum(axis=1))[giver])
        shared[givers] -= halves
    return shared


def place(candidate, snapshot):
    """A candidate whose preferred cell a newborn took uses its next free one."""
    neighbours = snapshot.neighbours(candidate)
    free = snapshot.free_cells(candidate)
    if not free:
        return Placement(0)
    second = snapshot.second_touching(candidate, free)
    if len(neighbours) == 1:
        return reference.at_end(candidate, neighbours[0], free, second, snapshot)
    if len(neighbours) == 2:
        larger, smaller = neighbours
        cell = snapshot.nearest_cell(free, larger)
        # The neighbour on the other side of the cell; on a straight line there is none.
        away = next((o for o in neighbours if snapshot.opposite(candidate, o) == cell), smaller)
        meets = second is not None and snapshot.touches(second, cell)
        return reference.at_corner(candidate, cell, (larger, away), second, meets, snapshot)
    return reference.in_gap(candidate, neighbours, free[0], second, second, snapshot)


def open_cells(som_map):
    """The free cells beside a map, sorted, and the rows at their four sides, -1 for none."""
    cells = sorted({cell for row in range(len(som_map)) for cell in som_map.free_cells(row)})
    at_sides = [[som_map.neuron_at(side) for side in SQUARE.beside(cell)] for cell in cells]
    rows = [[-1 if at is None else at for at in sides] for sides in at_sides]
    return np.array(cells), np.array(rows)


def fill(som_map, errors, threshold, taken, most):
    """Return a birth for each free cell whose neurons' errors add up to the threshold."""
    cells, touching = open_cells(som_map)
    known = np.append(np.asarray(errors, dtype=np.float64), 0.0)  # row -1: nobody, without error
    north, south, east, west = known[touching].T
    claims = north + south + east + west
    enough = np.flatnonzero((np.sum(touching >= 0, axis=1) >= 2) & (claims >= threshold))
    enough = enough[np.argsort(-claims[enough], kind="stable")]
    births = []
    taken = set(taken)
    for (x, y), around in zip(cells[enough].tolist(), touching[enough].tolist(), strict=True):
        if len(births) >= most:
            break
        if (x, y) not in taken:
            near = [neuron for neuron in around if neuron >= 0]
            parent = max(near, key=known.__getitem__)
            births.append(Birth((x, y), between((x, y), around, som_map), parent))
    return births


def between(cell, around, som_map):
    """The mean over the corners of a cell or, where there is none, of the neurons at its sides."""
    prototypes, (x, y) = som_map.prototypes, cell
    near = [(n, dx, dy) for n, (dx, dy) in zip(around, SQUARE.offsets, strict=True) if n >= 0]
    corners = []
    for (a, ax, ay), (b, bx, by) in combinations(near, 2):
        diagonal = som_map.neuron_at((x + ax + bx, y + ay + by))
        if diagonal is not None:
            corners.append(prototypes[a] + prototypes[b] - prototypes[diagonal])
    summands = corners or [prototypes[n] for n, _, _ in near]
    return np.asarray(reduce(np.add, summands) / len(summands))


def random_map(rng, births, compactness):
    """A map of any shape: compact ones have holes and notches, others arms and channels."""
    rows, columns = ((2, 2), (1, 2), (2, 3), (6, 6))[rng.integers(4)]
    som_map = SomMap.rectangle(rows, columns, np.zeros((rows * columns, 3)))
    som_map.prototypes = rng.normal(size=(len(som_map), 3)).round(1)  # with zeros of both signs
    for _ in range(births):
        cells, touching = open_cells(som_map)
        crowded = np.sum(touching >= 0, axis=1) > 1
        likely = np.where(crowded, compactness, 1 - compactness)
        cell = rng.choice(len(cells), p=likely / likely.sum())
        som_map.add([(cells[cell], rng.normal(size=3), int(touching[cell].max()))], 1)
    return som_map


def state_of(errors, threshold, room):
    return GrowthState(
        epoch=2,
        epochs=50,
        threshold=threshold,
        errors=errors,
        hits=np.ones(len(errors), int),
        class_counts=None,
        movement=0.0,
        room=room,
    )


def assert_same_births(found, expected):
    assert [(b.position, b.parent) for b in found] == [(b.position, b.parent) for b in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.prototype.tobytes() == other.prototype.tobytes()


@given(
    seed=st.integers(0, 2**31),
    births=st.integers(0, 60),
    compactness=st.sampled_from([0.1, 0.5, 0.9]),
    decimals=st.sampled_from([0, 1, 12]),
    threshold=st.sampled_from([1e-3, 0.5, 1.0, 2.5, 1e9]),
    notches=st.sampled_from([None, 0.3, 0.6, 2.0]),
    room=st.one_of(st.none(), st.integers(0, 8)),
)
def test_births_are_those_of_the_rules(
    seed, births, compactness, decimals, threshold, notches, room
):
    rng = np.random.default_rng(seed)
    som_map = random_map(rng, births, compactness)
    errors = rng.exponential(size=len(som_map)).round(decimals)
    errors.flags.writeable = False
    before = [som_map.positions, som_map.prototypes.copy(), som_map.links, som_map.hops.copy()]
    found = Directed(notches=notches).grow(som_map, state_of(errors, threshold, room))
    most = 4 * len(som_map) if room is None else room + 1
    assert_same_births(found, slowly_grown(som_map, errors, threshold, notches, most))
    after = [som_map.positions, som_map.prototypes, som_map.links, som_map.hops]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_maps_and_errors_of_other_kinds_grow_alike():
    """Parts that no path links and lie far apart, read-only prototypes, whole numbers."""
    far = 10**8
    cells = [(0, 0), (1, 0), (-far, far), (-far, far + 1), (1 - far, far)]
    som_map = SomMap(cells, np.arange(10.0).reshape(5, 2))
    som_map.prototypes.flags.writeable = False
    errors = np.array([3, 1, 2, 3, 0])
    found = Directed().grow(som_map, state_of(errors, 1.0, None))
    assert [b.parent for b in found] == [0, 3, 2, 1]
    assert_same_births(found, slowly_grown(som_map, errors, 1.0, 0.6, 20))


def test_the_last_is_what_is_no_number():
    som_map = SomMap.rectangle(2, 2, np.arange(4.0)[:, None])
    errors = np.array([np.nan, 2.0, 1.0, 2.0])
    found = Directed().grow(som_map, state_of(errors, 1.0, None))
    assert [b.parent for b in found[:3]] == [1, 3, 2]
    assert_same_births(found, slowly_grown(som_map, errors, 1.0, 0.6, 16))


def test_a_neuron_on_its_own_has_nothing_to_grow_away_from():
    som_map = SomMap([(0, 0)], [[1.0]])
    assert Directed().grow(som_map, state_of(np.array([9.0]), 1.0, None)) == []


def test_the_programs_rules_can_have_their_notches_filled():
    som_map = random_map(np.random.default_rng(5), 30, 0.3)
    errors = np.random.default_rng(6).exponential(size=len(som_map))
    state = state_of(errors, 0.8, None)
    alone = Directed(reference=True).grow(som_map, state)
    both = Directed(reference=True, notches=0.6).grow(som_map, state)
    shared, taken = reference.share_errors(som_map, errors, 0.8), [b.position for b in alone]
    notches = fill(som_map, shared, 0.6 * 0.8, taken, 1000)
    assert len(notches) > 0
    assert_same_births(both, alone + notches)


def test_the_strategy_is_imported_without_numba():
    code = "import sys, dbgsom_plugins.growth.directed; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
