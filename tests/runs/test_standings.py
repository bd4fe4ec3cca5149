"""What a sweep ranks together."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import t

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
    told = "best so far: kernel=bubble (train/combined_error 0.250 ± 0.071, 2 seeds), "
    told += "0.1 better than kernel=gaussian, p = 0.8: nobody can tell yet"
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


def stood(tmp_path, found, extra=""):
    """Return what is told after each of some runs: (kernel, seed) → accuracy, in this order."""
    return standing(tmp_path, found, extra)[1]


def ranked(tmp_path, found):
    """Return the names of the variants, best first."""
    (ranking,) = standing(tmp_path, found, "")[0].rankings()
    return [one.name for one in ranking.variants]


def standing(tmp_path, found, extra):
    registry = Registry.discover(own_only=True)
    (tmp_path / "sweep.yaml").write_text(
        "experiment: e\ndataset: iris\nmodel: {estimator: classifier}\n"
        f"split: {{test_size: 0.25}}\n{extra}"
        "sweep: {grid: {model.kernel: [gaussian, bubble, triangular]}, repeats: {seeds: 3}}\n"
    )
    sweep = load_sweep(tmp_path / "sweep.yaml", registry=registry)
    children = {child.name: child for child in sweep.children}
    standings, told = Standings(sweep, registry), []
    for (kernel, seed), value in found.items():
        child = children[f"kernel={kernel}, seed={seed}"]
        run = SimpleNamespace(id=child.name, data={"name": "iris", "digest": "d", "samples": 150})
        standings.add(child, run, {"test/accuracy": value})
        told.append(standings.best_so_far(run).removeprefix("best so far: "))
    return standings, told


def test_variants_are_held_against_each_other_as_if_all_had_the_same_seeds(tmp_path):
    found = {
        ("gaussian", 42): 0.95,
        ("gaussian", 43): 0.75,
        ("bubble", 42): 0.90,  # above the mean of gaussian, below gaussian with the same seed
        ("bubble", 43): 0.76,
    }
    assert stood(tmp_path, found) == [
        "kernel=gaussian (test/accuracy 0.95)",
        "kernel=gaussian (test/accuracy 0.85 ± 0.14, 2 seeds)",
        "kernel=gaussian (test/accuracy 0.85 ± 0.14, 2 seeds)",
        "kernel=gaussian (test/accuracy 0.85 ± 0.14, 2 seeds), 0.02 better than kernel=bubble, "
        "p = 0.7: nobody can tell yet",
    ]


def test_the_end_of_a_sweep_knows_that_a_seed_was_hard(tmp_path):
    found = {("gaussian", 42): 0.95, ("gaussian", 43): 0.75, ("bubble", 42): 0.90}
    assert ranked(tmp_path, found) == ["kernel=gaussian", "kernel=bubble"]


def test_a_leader_without_a_seed_of_the_next_is_told_from_nobody(tmp_path):
    found = {("gaussian", 42): 0.7, ("gaussian", 44): 0.7, ("bubble", 43): 0.9}
    assert stood(tmp_path, found)[-1] == (
        "kernel=bubble (test/accuracy 0.9, 1 seed), kernel=gaussian has none of its seeds: "
        "nobody can tell yet"
    )


def test_a_leader_that_had_the_hard_seeds_only_is_told_what_it_would_have_with_all(tmp_path):
    """By hand: seed 43 costs 0.2, so that bubble, which had it alone, would have 0.82."""
    found = {("gaussian", 42): 0.9, ("gaussian", 43): 0.7, ("bubble", 43): 0.72}
    assert stood(tmp_path, found)[-1] == (
        "kernel=bubble (test/accuracy 0.72, 1 seed, 0.82 adjusted to all seeds)"
    )


def test_the_best_so_far_is_the_best_of_the_end_whichever_runs_are_missing(tmp_path):
    rng = np.random.default_rng(0)
    pairs = [(kernel, 42 + i) for kernel in ("gaussian", "bubble", "triangular") for i in range(3)]
    changed = 0
    for _ in range(6):
        some = [pairs[i] for i in rng.permutation(9)[:5]]
        found = {(k, seed): 0.3 * (seed - 42) + 0.1 * float(rng.random()) for k, seed in some}
        standings, told = standing(tmp_path, found, "")
        best = standings.rankings()[0].best.name
        assert told[-1].startswith(f"{best} (")
        means = {name: np.mean([v for (k, _), v in found.items() if name.endswith(k)])
                 for name in {f"kernel={k}" for k, _ in found}}  # fmt: skip
        changed += max(means, key=means.__getitem__) != best
    assert changed  # of which plain means would have said otherwise


def test_the_doubt_of_a_sweep_that_goes_on_is_that_of_compare(tmp_path):
    """By hand: t of 3 paired differences, variance times 1/3 + 38/112, Holm over the 3 pairs."""
    values = {
        "gaussian": [0.90, 0.91, 0.92],
        "bubble": [0.80, 0.83, 0.81],
        "triangular": [0.60, 0.62, 0.66],
    }
    found = {(k, 42 + i): v for k, row in values.items() for i, v in enumerate(row)}
    told = stood(tmp_path, found)[-1]

    def p(one, other):
        d = np.subtract(values[one], values[other])
        return 2 * t.sf(abs(d.mean()) / np.sqrt(d.var(ddof=1) * (1 / 3 + 38 / 112)), 2)

    pairs = [("gaussian", "bubble"), ("gaussian", "triangular"), ("bubble", "triangular")]
    ordered = sorted(pairs, key=lambda pair: p(*pair))
    stepped = [p(*pair) * (3 - at) for at, pair in enumerate(ordered)]
    corrected = max(stepped[: ordered.index(pairs[0]) + 1])
    wanted = f"0.0967 better than kernel=bubble, p = {corrected:.2g} (corrected)"
    assert told.split(", ", 2)[2].removesuffix(": nobody can tell yet") == wanted
    assert told.endswith("nobody can tell yet") == (corrected >= 0.05)


def test_folds_are_tested_by_compare_and_not_by_their_means(tmp_path):
    registry = Registry.discover(own_only=True)
    (tmp_path / "sweep.yaml").write_text(
        "experiment: e\ndataset: iris\nmodel: {estimator: classifier}\nsplit: {folds: 3}\n"
        "sweep: {grid: {model.kernel: [gaussian, bubble]}, repeats: {seeds: 2}}\n"
    )
    sweep = load_sweep(tmp_path / "sweep.yaml", registry=registry)
    standings = Standings(sweep, registry)
    for child, value in zip(sweep.children, (0.9, 0.92, 0.5, 0.51), strict=True):
        run = SimpleNamespace(id=child.name, data={"name": "iris", "digest": "d", "samples": 150})
        standings.add(child, run, {"test/accuracy": value, "test_std/accuracy": 0.01})
    told = "best so far: kernel=gaussian (test/accuracy 0.910 ± 0.014, 2 seeds)"
    assert standings.best_so_far(run) == told
