"""Births of directed growth: frozen bits on random maps, and the rules by hand."""

import hashlib

import numpy as np
import pytest

from dbgsom_core.api import HEXAGONAL, LINE, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth.directed import Directed, share_errors

# How many births of `random_maps`, and the digest of their cells, parents and prototypes.
FROZEN = {
    ("square", False, 0.6): (6822, "32ecb2c24e77f885"),
    ("square", False, None): (5722, "64e258b081ab280c"),
    ("square", True, 0.6): (6163, "13e1ebb043e59b06"),
    ("square", True, None): (4838, "e157cc77307eb99b"),
    ("hexagonal", False, 0.6): (6774, "1046da538428ac39"),
    ("hexagonal", False, None): (5771, "3856d56254ea8553"),
    ("line", False, 0.6): (1694, "5a74401005cfcb8f"),
    ("line", False, None): (1616, "2b5d7a0ec63d18b3"),
}
GRIDS = {grid.name: grid for grid in (SQUARE, HEXAGONAL, LINE)}


def random_maps(grid, count=150):
    """Maps of any shape with arms, notches and holes, and errors with ties."""
    rng = np.random.default_rng(41)
    for _ in range(count):
        births = int(rng.integers(0, 40))
        shape = ((2, 2), (1, 2), (2, 3), (6, 6))[rng.integers(4)]
        shape = (1, shape[1] + 1) if grid.is_line else shape
        n = shape[0] * shape[1]
        som_map = SomMap.rectangle(*shape, rng.integers(-9, 9, (n, 3)) / 8, grid)
        for _ in range(births):
            free = [(cell, row) for row in range(len(som_map)) for cell in som_map.free_cells(row)]
            cell, row = free[rng.integers(len(free))]
            som_map.add([(cell, rng.integers(-9, 9, 3) / 8, row)], 1)
        yield som_map, np.round(rng.exponential(size=len(som_map)), int(rng.integers(0, 3)))


@pytest.mark.parametrize(("grid", "reference", "notches"), FROZEN)
def test_births_have_the_frozen_bits(state_of, grid, reference, notches):
    digest, count = hashlib.sha256(), 0
    for som_map, errors in random_maps(GRIDS[grid]):
        errors.flags.writeable = som_map.prototypes.flags.writeable = False
        for threshold in (0.3, 1.0, 2.0):
            for room in (None, 3):
                births = Directed(reference=reference, notches=notches).grow(
                    som_map, state_of(errors, threshold, room=room)
                )
                assert room is None or len(births) <= room + 1
                for birth in births:
                    count += 1
                    digest.update(repr((birth.position, birth.parent)).encode())
                    digest.update(np.asarray(birth.prototype).tobytes())
    assert (count, digest.hexdigest()[:16]) == FROZEN[grid, reference, notches]


def test_room_cuts_growth_short_and_changes_nothing_before(state_of, grid):
    for som_map, errors in random_maps(grid, 30):
        everything = Directed().grow(som_map, state_of(errors, 0.8))
        few = Directed().grow(som_map, state_of(errors, 0.8, room=2))
        assert len(few) == min(len(everything), 3)  # one too many says that the cap binds
        for birth, other in zip(few, everything, strict=False):
            assert (birth.position, birth.parent) == (other.position, other.parent)
            np.testing.assert_array_equal(birth.prototype, other.prototype)


def test_errors_are_shared_as_neuron_by_neuron(grid):
    for som_map, errors in random_maps(grid, 30):
        boundary = np.flatnonzero(som_map.boundary())
        expected = errors.copy()
        for neuron in np.flatnonzero(~som_map.boundary() & (errors >= 0.7)):
            hops = som_map.hops[neuron, boundary]
            heirs = boundary[hops == hops.min()]
            expected[heirs] += errors[neuron] / 2 / len(heirs)
            expected[neuron] -= errors[neuron] / 2
        np.testing.assert_array_equal(share_errors(som_map, errors, 0.7), expected)
        assert expected.sum() == pytest.approx(errors.sum(), rel=1e-12)  # a peer loses some
