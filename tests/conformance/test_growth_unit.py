"""Single growth steps on random grids, as the authors' program took them."""

from pathlib import Path

import numpy as np
import pytest

from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth import reference
from dbgsom_plugins.growth.snapshot import Snapshot

UNIT = np.load(Path(__file__).parent / "data" / "growth_unit.npz")


@pytest.mark.parametrize("case", range(int(UNIT["count"])))
def test_one_growth_step_serves_the_same_candidates_with_the_same_newborns(case):
    def stored(name):
        return UNIT[f"g{case:03d}_{name}"]

    som_map = SomMap(stored("grid"), stored("W"))
    # The vectors hold errors after sharing.
    served = reference.serve(som_map, stored("err"), float(stored("threshold")))
    places = [place for _, place in served]
    assert [candidate for candidate, _ in served] == stored("cand").tolist()
    assert [place.code for place in places] == stored("cand_code").tolist()
    aux = [[place.beside, place.away, place.second] for place in places]
    assert aux == stored("cand_aux").tolist()
    born = [place for place in places if place.position is not None]
    assert [list(place.position) for place in born] == stored("new_grid").tolist()
    if born:
        np.testing.assert_allclose(
            [place.prototype for place in born], stored("new_W"), rtol=0, atol=1e-12
        )


def test_a_snapshot_does_not_see_newborns_as_neighbours():
    som_map = SomMap.rectangle(2, 2, np.zeros((4, 1)))
    snapshot = Snapshot(som_map, np.ones(4))
    before = snapshot.neighbours(0)
    snapshot.take((-1, 0))
    assert snapshot.neighbours(0) == before
    assert snapshot.free_cells(0) == [(0, -1)]
