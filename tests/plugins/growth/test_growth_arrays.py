"""Growth in arrays does what its rules say cell by cell and neuron by neuron."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core.api import GrowthState
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth import births
from dbgsom_plugins.growth.directed import Directed
from dbgsom_plugins.growth.growth_loops import share_errors
from dbgsom_plugins.growth.snapshot import Snapshot


def free_cells(som_map):
    """Every free cell beside the map with a neuron that it touches."""
    return [(cell, row) for row in range(len(som_map)) for cell in som_map.free_cells(row)]


@st.composite
def maps_and_errors(draw, grid):
    """Maps with arms, rings and holes; errors with ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    rows, columns = draw(st.sampled_from([(2, 2), (5, 5), (1, 4)]))
    som_map = SomMap.rectangle(rows, columns, rng.normal(size=(rows * columns, 2)), grid)
    for _ in range(draw(st.integers(0, 40))):
        free = free_cells(som_map)
        cell, parent = free[rng.integers(len(free))]
        som_map.add([(cell, rng.normal(size=2), parent)], 1)
    return som_map, rng.exponential(size=len(som_map)).round(1)


def filled(som_map, errors, threshold, taken):
    """The rule, cell by cell: (position, prototype, parent), largest sum first."""
    where = {tuple(cell): neuron for neuron, cell in enumerate(som_map.positions.tolist())}
    W, claims = som_map.prototypes, []
    free = (
        {cell for known in where for cell in som_map.grid.beside(known)} - where.keys() - set(taken)
    )
    for cell in sorted(free):
        near = [where[c] for c in som_map.grid.beside(cell) if c in where]
        total = 0.0
        for neuron in near:
            total += errors[neuron]
        if len(near) < {4: 2, 6: 3}[som_map.grid.degree] or total < threshold:
            continue
        corners = []
        for a, b in combinations(near, 2):
            (ax, ay), (bx, by) = som_map.positions[[a, b]].tolist()
            diagonal = where.get((ax + bx - cell[0], ay + by - cell[1]))
            if diagonal is not None:
                corners.append(W[a] + W[b] - W[diagonal])
        prototype = np.mean(corners if corners else W[near], axis=0)
        parent = next(j for j in near if errors[j] == max(errors[near]))
        claims.append((total, cell, prototype, parent))
    return [claim[1:] for claim in sorted(claims, key=lambda claim: -claim[0])]


@given(st.data(), st.sampled_from([0.5, 1.0, 2.0]))
def test_notches_are_filled_as_cell_by_cell(grid, data, threshold):
    som_map, errors = data.draw(maps_and_errors(grid))
    taken = [min(free_cells(som_map))[0]]
    found = births.filled(som_map, errors, threshold, taken, 1000)
    expected = filled(som_map, errors, threshold, taken)
    assert [(b.position, b.parent) for b in found] == [(cell, p) for cell, _, p in expected]
    for birth, (_, prototype, _) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(birth.prototype, prototype)
    few = births.filled(som_map, errors, threshold, taken, 2)
    assert [b.position for b in few] == [b.position for b in found[:2]]


@given(st.data())
def test_errors_are_shared_as_neuron_by_neuron(grid, data):
    som_map, errors = data.draw(maps_and_errors(grid))
    boundary = np.flatnonzero(som_map.degrees() < grid.degree)
    expected = errors.copy()
    for neuron in np.flatnonzero((som_map.degrees() == grid.degree) & (errors >= 0.7)):
        hops = som_map.hops[neuron, boundary]
        heirs = boundary[hops == hops.min()]
        expected[heirs] += errors[neuron] / 2 / len(heirs)
        expected[neuron] -= errors[neuron] / 2
    share_errors(errors, som_map.links, som_map.hops, 0.7)
    np.testing.assert_array_equal(errors, expected)


@given(st.data())
def test_a_snapshot_knows_the_rings_and_free_cells_of_the_map(grid, data):
    som_map, errors = data.draw(maps_and_errors(grid))
    snapshot = Snapshot(som_map, errors)
    for neuron in range(len(som_map)):
        for hops, found in ((1, snapshot.neighbours), (2, snapshot.second_ring)):
            ring = np.flatnonzero(som_map.hops[neuron] == hops)
            assert found(neuron) == sorted(ring, key=lambda k: (-errors[k], k))
        assert snapshot.free_cells(neuron) == som_map.free_cells(neuron)


@given(st.data(), st.integers(0, 6))
def test_room_cuts_growth_short_and_changes_nothing_before(grid, data, room):
    som_map, errors = data.draw(maps_and_errors(grid))

    def grown(room, **fields):
        state = GrowthState(
            epoch=2,
            epochs=50,
            threshold=0.8,
            errors=errors,
            hits=np.ones(len(errors), int),
            class_counts=None,
            movement=0.0,
            room=room,
        )
        return Directed(**fields).grow(som_map, state)

    everything, few = grown(None), grown(room)
    assert len(few) == min(len(everything), room + 1)  # one too many says that the cap binds
    for one, other in zip(few, everything, strict=False):
        assert (one.position, one.parent) == (other.position, other.parent)
        np.testing.assert_array_equal(one.prototype, other.prototype)
    served = [b.position for b in grown(None, notches=None)]
    assert [b.position for b in everything][: len(served)] == served


@given(st.data())
def test_a_snapshot_finds_the_second_neuron_that_touches_a_free_cell(grid, data):
    som_map, errors = data.draw(maps_and_errors(grid))
    snapshot = Snapshot(som_map, errors)
    cells = [tuple(cell) for cell in som_map.positions.tolist()]
    for neuron in range(len(som_map)):
        free = som_map.free_cells(neuron)
        touching = [
            other
            for other in np.flatnonzero(som_map.hops[neuron] == 2).tolist()
            if set(grid.beside(cells[other])) & set(free)
        ]
        expected = min(touching, key=lambda other: (-errors[other], other), default=None)
        assert snapshot.second_touching(neuron, free) == expected
