"""Whole trainings, epoch by epoch, against the authors' program."""

from pathlib import Path

import numpy as np
import pytest

from dbgsom_core import presets
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.fit import summarize
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.train import batch_update
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.growth.directed import Directed, GrowthStep, share_errors
from dbgsom_plugins.measures.maps import DaviesBouldin, Distortion
from dbgsom_plugins.metrics.norms import Euclidean
from dbgsom_plugins.training import Triangular


def fine(growth):
    return guarded(growth)


DATA = Path(__file__).parent / "data"
CASES = ("iris_sf07", "ring_sf03", "wine_sf05")
REAL = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    with np.load(DATA / f"{request.param}.npz") as stored:
        return dict(stored)


class Recorder:
    """Hears every epoch and keeps its events."""

    def __init__(self):
        self.records = []

    def __call__(self, record):
        self.records.append(record)


@pytest.fixture(scope="module")
def fitted(case):
    recorder = Recorder()
    estimator = presets.paper(
        float(case["spread_factor"]), int(case["n_epochs"]), init=case["W0"]
    ).set_params(callbacks=[recorder])
    return estimator.fit(case["X_scaled"]), recorder


def test_free_run_every_epoch_is_the_programs(case):
    """The loop's own steps, free-running from W0: each epoch feeds the next."""
    epochs = int(case["n_epochs"])
    growth = Directed(reference=True, spreading_factor=float(case["spread_factor"]))
    kernel = Triangular()
    data = LocalEngine().over(case["X_scaled"], Euclidean())
    schedule = Schedule.from_parts(kernel, fine(growth), epochs)
    threshold = growth.growing_threshold(summarize(data, data.moments(), None))
    np.testing.assert_allclose(threshold, case["growth_threshold"], **REAL)
    som_map = SomMap.rectangle(2, 2, case["W0"])
    assert som_map.positions.tolist() == case["grid0"].tolist()
    found = data.assign(som_map.prototypes)
    for epoch in range(1, epochs + 1):

        def stored(name, at=epoch):
            return case[f"epoch_{at:03d}_{name}"]

        np.testing.assert_array_equal(som_map.positions, stored("grid"))
        np.testing.assert_allclose(som_map.prototypes, stored("W_in"), **REAL)
        width = schedule.width(epoch, som_map)
        np.testing.assert_allclose(width, stored("width"), **REAL)
        np.testing.assert_array_equal(found.bmu, stored("winners"))
        weights = kernel.weight(som_map.hops.astype(float), width)
        den = weights @ np.bincount(found.bmu, minlength=len(som_map)) * stored("lr")
        np.testing.assert_allclose(den, stored("den"), **REAL)
        som_map.prototypes = batch_update(
            som_map, kernel, data.metric, data.found(som_map.prototypes, found), width
        )
        np.testing.assert_allclose(som_map.prototypes, stored("W"), **REAL)
        found = data.assign(som_map.prototypes)
        assert schedule.may_grow(epoch) == (1 < epoch < epochs)
        if not schedule.may_grow(epoch):
            continue
        np.testing.assert_array_equal(found.bmu, stored("err_winners"))
        errors = np.bincount(found.bmu, weights=found.distance, minlength=len(som_map))
        np.testing.assert_allclose(errors, stored("err_before"), **REAL)
        shared = share_errors(som_map, errors, threshold, reference=True)
        np.testing.assert_allclose(shared, stored("err_after"), **REAL)
        degrees = som_map.degrees()
        np.testing.assert_array_equal(np.flatnonzero(degrees < 4), stored("boundary"))
        np.testing.assert_array_equal(np.flatnonzero(degrees == 4), stored("interior"))
        births = GrowthStep(som_map, shared, reference=True).grow_boundary(threshold, 10**6)
        assert [birth.parent for birth in births] == stored("new_parent").tolist()
        assert [list(birth.position) for birth in births] == stored("new_grid").tolist()
        known = len(som_map)
        som_map.add(births, epoch)
        np.testing.assert_allclose(som_map.prototypes[known:], stored("new_W"), **REAL)
        found = data.assign(som_map.prototypes)
    np.testing.assert_array_equal(som_map.positions, case["final_grid"])
    np.testing.assert_allclose(som_map.prototypes, case["final_W"], **REAL)
    np.testing.assert_array_equal(found.bmu, case["final_winlist"])


def test_the_paper_preset_ends_with_the_programs_map(case, fitted):
    estimator, _ = fitted
    assert estimator.n_iter_ == int(case["n_epochs"])
    assert estimator.neurons_ == [tuple(cell) for cell in case["final_grid"].tolist()]
    np.testing.assert_allclose(estimator.weights_, case["final_W"], **REAL)
    np.testing.assert_array_equal(estimator.bmu(case["X_scaled"]), case["final_winlist"])
    np.testing.assert_array_equal(estimator.hit_counts_, case["final_hits_true"])
    np.testing.assert_allclose(estimator.growing_threshold_, case["growth_threshold"], **REAL)


def test_the_paper_preset_grows_in_the_programs_epochs_beside_the_programs_parents(case, fitted):
    estimator, recorder = fitted
    expected = []
    for epoch in range(2, int(case["n_epochs"])):
        parents = case[f"epoch_{epoch:03d}_new_parent"].tolist()
        cells = case[f"epoch_{epoch:03d}_new_grid"].tolist()
        expected += [
            (epoch, parent, tuple(cell)) for parent, cell in zip(parents, cells, strict=True)
        ]
    assert [tuple(event) for event in estimator.growth_events_] == expected
    heard = [event for record in recorder.records for event in record.births]
    assert heard == estimator.growth_events_
    widths = [case[f"epoch_{r.epoch:03d}_width"] for r in recorder.records]
    np.testing.assert_allclose([r.width for r in recorder.records], widths, **REAL)


def test_the_measures_of_the_finished_map_are_the_programs(case, fitted):
    estimator, _ = fitted
    np.testing.assert_allclose(estimator.quantization_error_, case["metric_QE"], **REAL)
    np.testing.assert_allclose(estimator.topographic_error_, case["metric_TE"], **REAL)
    if np.array_equal(case["final_hitcount"], case["final_hits_true"]):
        evaluation = estimator.evaluate(case["X_scaled"])
        db, dm = DaviesBouldin().compute(evaluation), Distortion().compute(evaluation)
        np.testing.assert_allclose(db, case["metric_DB"], **REAL)
        np.testing.assert_allclose(dm, case["metric_DM"], **REAL)
