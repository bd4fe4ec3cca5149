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
    standings = Standings(sweep, registry)
    for number, child in enumerate(sweep.children):
        run = SimpleNamespace(id=f"{number}", data={"name": "iris", "digest": "d"})
        standings.add(child, run, {f"train/{measure}": 9.0 - number})
        assert "best so far" in standings.best_so_far(run)
    found = {
        one.data: ["bubble" if "bubble" in each.name else "gaussian" for each in one.variants]
        for one in standings.rankings()
    }
    assert found == RANKED[measure]


def test_a_seed_that_varies_is_no_part_of_a_variant(tmp_path):
    registry = Registry.discover(own_only=True)
    (tmp_path / "sweep.yaml").write_text(
        "experiment: e\ndataset: iris\n"
        "sweep: {grid: {seed: [1, 2], model.kernel: [gaussian, bubble]}}\n"
    )
    sweep = load_sweep(tmp_path / "sweep.yaml", registry=registry)
    assert [child.name for child in sweep.children] == [
        f"kernel={kernel}, seed={seed}" for seed in (1, 2) for kernel in ("gaussian", "bubble")
    ]
    standings = Standings(sweep, registry)
    for child, error in zip(sweep.children, (0.1, 0.3, 0.6, 0.2), strict=True):
        run = SimpleNamespace(id=child.name, data={"name": "iris", "digest": "d"})
        standings.add(child, run, {"train/combined_error": error})
    told = "best so far: kernel=bubble (train/combined_error 0.250 ± 0.071, 2 runs)"
    assert standings.best_so_far(run) == told
    (ranking,) = standings.rankings()
    assert [one.name for one in ranking.variants] == ["kernel=bubble", "kernel=gaussian"]
    assert [len(one.runs) for one in ranking.variants] == [2, 2]
    assert ranking.best.varies == {"kernel": "bubble"}


def test_a_sweep_of_nothing_but_seeds_is_one_variant(tmp_path):
    registry = Registry.discover(own_only=True)
    (tmp_path / "sweep.yaml").write_text(
        "experiment: e\ndataset: iris\nsweep: {grid: {seed: [1, 2]}}\n"
    )
    sweep = load_sweep(tmp_path / "sweep.yaml", registry=registry)
    assert [child.variant for child in sweep.children] == ["as it is"] * 2
    assert [child.name for child in sweep.children] == ["seed=1", "seed=2"]
    assert sweep.title == "2 runs: seed"
