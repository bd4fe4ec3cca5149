"""The four measures on 59 random maps, against the values of the authors' program."""

from pathlib import Path

import numpy as np
import pytest

from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.measures.maps import (
    QuantizationError,
    TopographicError,
    davies_bouldin,
    distortion,
)
from dbgsom_plugins.metrics.norms import Euclidean

UNIT = np.load(Path(__file__).parent / "data" / "metrics_unit.npz", allow_pickle=False)


@pytest.mark.parametrize("case", range(int(UNIT["count"])))
def test_the_four_measures_equal_the_stored_values(case):
    def stored(name):
        return UNIT[f"m{case:03d}_{name}"]

    som_map = SomMap(stored("grid"), stored("W"))
    evaluation = Evaluation(som_map, LocalEngine().over(stored("X_scaled"), Euclidean()))
    assert evaluation.bmu.tolist() == stored("winlist").tolist()
    counts = stored("hitcount")
    index = davies_bouldin(
        evaluation.errors, evaluation.hits, evaluation.prototype_distances, counts
    )
    measure = distortion(evaluation.chunks(), evaluation.bmu, som_map.hops, counts)
    assert QuantizationError().compute(evaluation) == pytest.approx(stored("QE"), rel=1e-9)
    assert TopographicError().compute(evaluation) == pytest.approx(stored("TE"), rel=1e-9)
    assert index == pytest.approx(stored("DB"), rel=1e-9)
    assert measure == pytest.approx(stored("DM"), rel=1e-9)
