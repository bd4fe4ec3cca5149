"""Single growth steps on random grids, as the authors' program took them."""

from pathlib import Path

import numpy as np
import pytest

from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth.directed import GrowthStep

UNIT = np.load(Path(__file__).parent / "data" / "growth_unit.npz")
NOT_SERVED = (0, 9)  # no cell was free, or one was taken


@pytest.mark.parametrize("case", range(int(UNIT["count"])))
def test_one_growth_step_serves_the_same_candidates_with_the_same_newborns(case):
    def stored(name):
        return UNIT[f"g{case:03d}_{name}"]

    som_map = SomMap(stored("grid"), stored("W"))
    # The vectors hold errors after sharing.
    step = GrowthStep(som_map, stored("err"), reference=True)
    births = step.grow_boundary(float(stored("threshold")), 10**6)
    served = ~np.isin(stored("cand_code"), NOT_SERVED)
    assert [birth.parent for birth in births] == stored("cand")[served].tolist()
    assert [list(birth.position) for birth in births] == stored("new_grid").tolist()
    if births:
        np.testing.assert_allclose(
            [birth.prototype for birth in births], stored("new_W"), rtol=0, atol=1e-12
        )
