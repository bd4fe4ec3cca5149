"""Maps of the globe: in Python, in YAML, and by the promises of every kind."""

import json
from pathlib import Path

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomVQ, run
from dbgsom_core.testing import parametrize_with_checks
from dbgsom_geo.haversine import Haversine
from dbgsom_geo.propagated import Propagated
from dbgsom_geo.ricker import Ricker
from dbgsom_geo.sphere import to_degrees, to_sphere
from dbgsom_geo.validated import Validated

PLACES = ((60.0, 10.0), (-30.0, 150.0), (5.0, -70.0))


@pytest.fixture
def globe():
    """Places around three towns, with the town's number."""
    generator = np.random.default_rng(5)
    towns = np.array([[59.9, 10.8], [-33.9, 151.2], [4.7, -74.1]])
    y = np.arange(240) % 3
    return towns[y] + generator.normal(0, 2, (240, 2)), y


@parametrize_with_checks([Haversine(), Ricker(), Validated(places=PLACES), Propagated()])
def test_each_component_keeps_its_promises(component, check):
    check(component)


def test_known_distances():
    paris, new_york, antipode = (48.8566, 2.3522), (40.7128, -74.0060), (-48.8566, -177.6478)
    points = to_sphere(np.array([paris, new_york, antipode]))
    distances = Haversine().pairwise(points, points)
    assert distances[0, 1] == pytest.approx(5837, abs=2)
    assert distances[0, 2] == pytest.approx(np.pi * 6371.0088)
    np.testing.assert_allclose(to_degrees(points)[1], new_york)


def test_the_date_line_is_no_border():
    places = np.column_stack([np.linspace(-5, 5, 40), np.where(np.arange(40) % 2, 179.5, -179.5)])
    som = SomVQ(metric="haversine", growth={"name": "fixed", "rows": 1, "columns": 2}).fit(places)
    assert (np.abs(to_degrees(som.weights_)[:, 1]) > 179).all()
    assert som.quantization_error_ < 600  # kilometres


def test_wrong_columns_are_told():
    with pytest.raises(ValueError, match="two columns, latitude and longitude"):
        SomVQ(metric="haversine").fit(np.random.default_rng(0).normal(size=(20, 3)))
    with pytest.raises(ValueError, match="beyond the pole"):
        SomVQ(metric="haversine").fit(np.full((20, 2), 100.0) + np.eye(20, 2))


def test_growth_stops_when_validation_does_not_improve(globe):
    X, _ = globe
    few, many = (
        SomVQ(
            metric="haversine",
            growth=Validated(places=tuple(map(tuple, X[:30])), least_gain=gain),
            epochs=60,
            random_state=0,
        ).fit(X[30:])
        for gain in (0.9, 0.0)
    )
    assert len(few.weights_) < len(many.weights_)
    assert many.quantization_error_ < few.quantization_error_


def test_a_few_labels_are_spread_over_the_map(globe):
    X, y = globe
    names = np.array(["oslo", "sydney", "bogota"])[y].astype(object)
    told = names.copy()
    told[9:] = "?"
    params = {"metric": "haversine", "labeller": {"name": "propagated", "unknown": "?"}}
    som = SomClassifier(growth={"name": "fixed", "rows": 4, "columns": 4}, **params).fit(X, told)
    assert np.mean(som.predict(X) == names) > 0.95


def test_a_saved_model_names_this_distribution(globe, tmp_path):
    X, _ = globe
    som = SomVQ(metric="haversine", growth=Validated(places=PLACES), epochs=20).fit(X)
    som.save(tmp_path / "map.npz")
    again = SomVQ.load(tmp_path / "map.npz")
    np.testing.assert_array_equal(again.predict(X), som.predict(X))
    assert again.growth == Validated(places=PLACES)


def test_it_runs_from_yaml(globe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = globe
    table = np.column_stack([X, y])
    np.savetxt("towns.csv", table, delimiter=",", header="latitude,longitude,town", comments="")
    Path("run.yaml").write_text(
        "experiment: towns\n"
        "dataset: {name: csv, path: towns.csv, target: town}\n"
        "model:\n"
        "  metric: haversine\n"
        "  kernel: {name: ricker, start: 2}\n"
        "  growth: {name: validated, places: [[60, 10], [-33, 151], [4, -74]]}\n"
        "  epochs: 30\n"
        "measures: [quantization_error]\n"
        "figures: []\n"
        "tracking: [run_folder]\n"
    )
    done = run("run.yaml")
    assert done.measures["train/quantization_error"] < 1000
    record = json.loads((done.folder / "run.json").read_text("utf-8"))
    plugins = {one["distribution"] for one in record["environment"]["plugins"]}
    assert "dbgsom-geo" in plugins
