"""What a sweep ranks together."""

from types import SimpleNamespace

import pytest

from dbgsom_core.config import load_sweep
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.sweeps.standings import Standings

SWEEP = """\
experiment: e
dataset: iris
sweep:
  grid: {model.metric: [euclidean, {name: minkowski, p: 3}], model.kernel: [gaussian, bubble]}
"""
RANKED = {
    "combined_error": {
        "iris, metric=euclidean": ["bubble", "gaussian"],
        "iris, metric=minkowski": ["bubble", "gaussian"],
    },
    "topographic_error": {"iris": ["bubble", "gaussian", "bubble", "gaussian"]},
}


@pytest.mark.parametrize("measure", RANKED)
def test_metrics_are_not_ranked_by_a_measure_in_their_units(tmp_path, measure):
    registry = Registry.discover(own_only=True)
    (tmp_path / "sweep.yaml").write_text(SWEEP + f"  decide: {{measure: {measure}}}\n")
    sweep = load_sweep(tmp_path / "sweep.yaml", registry=registry)
    standings = Standings(sweep.decide, registry)
    for number, child in enumerate(sweep.children):
        run = SimpleNamespace(id=f"{number}", data={"name": "iris", "digest": "d"})
        standings.add(child, run, {f"train/{measure}": 9.0 - number})
        assert "best so far" in standings.best_so_far(run)
    found = {
        one.data: ["bubble" if "bubble" in each.name else "gaussian" for each in one.variants]
        for one in standings.rankings()
    }
    assert found == RANKED[measure]
