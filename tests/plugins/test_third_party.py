"""Small packages as others write them: checked by the kit, used from YAML and Python, saved."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from dbgsom_core import SomDisplay, SomRegressor, SomVQ
from dbgsom_core.api import hookimpl
from dbgsom_core.cli.plugins import describe, find_components, list_components
from dbgsom_core.config.json_schema import experiment_schema
from dbgsom_core.errors import ComponentError, ConfigError
from dbgsom_core.persistence import load
from dbgsom_core.plugins.doctor import diagnose
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.api import run
from dbgsom_core.testing import checks_for
from dbgsom_core.testing.isolated import work

PACKAGES = Path(__file__).parent / "third_party"
RUN = """
experiment: e
dataset: iris
seed: 3
model: {epochs: 20, tol: 0}
measures: [quantization_error]
figures: []
tracking: run_folder
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package as an installer would, for this test alone."""

    def install(name):
        text = (PACKAGES / f"{name}.py").read_text(encoding="utf-8")
        assert len(text.splitlines()) < 60
        site = tmp_path / "site"
        info = site / f"dbgsom_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(text, encoding="utf-8")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: dbgsom-{name}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[dbgsom.plugins]\n{name} = {name}\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, name, raising=False)
        get_registry.cache_clear()
        return get_registry()

    monkeypatch.chdir(tmp_path)
    yield install
    monkeypatch.undo()
    get_registry.cache_clear()


def ran(**changed):
    """Run a configuration from its file, and return the run."""
    config = yaml.safe_load(RUN) | changed
    Path("run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return run("run.yaml")


def keeps_its_promises(registry, kind, name):
    cls = registry.find(kind, name)
    for check in checks_for(cls(), kind, name=name):
        check(cls())


@pytest.mark.filterwarnings("ignore:the map has not converged")
def test_growth_that_also_takes_away(installed, iris):
    keeps_its_promises(installed("restless"), "growth", "restless")
    finished = ran(model={"growth": "restless", "epochs": 20, "tol": 0})
    own = SomVQ(growth="restless", epochs=20, tol=0, random_state=3).fit(iris[0])
    again = finished.model.estimator
    np.testing.assert_array_equal(own.weights_, again.weights_)
    assert {type(one).__name__ for r in again.history_ for one in r.changes} > {"Death", "Insert"}
    own.save("own.npz")
    other = load("own.npz")
    assert other.history_ == own.history_
    np.testing.assert_array_equal(other.som_map_.hops, own.som_map_.hops)
    np.testing.assert_array_equal(other.predict(iris[0]), own.labels_)


@pytest.mark.filterwarnings("ignore:the map has not converged")
def test_what_asks_the_run_and_answers_several_targets(installed, rng):
    registry = installed("asking")
    for kind, name in (("metric", "scaled"), ("growth", "split"), ("labeller", "medians")):
        keeps_its_promises(registry, kind, name)
    parts = {"metric": "scaled", "growth": "split", "labeller": "medians"}
    X = rng.normal(size=(200, 3)) * [1.0, 100.0, 0.01]
    y = np.column_stack([X[:, 0], X[:, 1] / 100])
    y[::9, 1] = np.nan
    own = SomRegressor(**parts, epochs=24, tol=0, random_state=3).fit(X, y)
    other = SomRegressor(**parts, epochs=24, tol=0, random_state=3).fit(X, y)
    np.testing.assert_array_equal(own.weights_, other.weights_)
    assert len(own.weights_) > 8
    other.set_params(random_state=4).fit(X, y)
    assert not np.array_equal(own.weights_, other.weights_)
    step = np.median(np.abs(X - np.median(X, axis=0)), axis=0)
    units = (np.abs(X[:, None] - own.weights_) / step).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(own.bmu(X), units)
    expected = [np.nanmedian(y[units == unit], axis=0) for unit in units]
    np.testing.assert_allclose(own.predict(X), expected)
    own.save("own.npz")
    np.testing.assert_array_equal(load("own.npz").predict(X), own.predict(X))
    model = parts | {"epochs": 24, "tol": 0, "estimator": "regressor"}
    finished = ran(dataset="diabetes", model=model, measures=["r2"])
    assert finished.measures["train/r2"] > 0.1


@pytest.mark.filterwarnings("ignore:the map has not converged")
def test_a_figure_of_several_images(installed, iris, monkeypatch):
    registry = installed("ages")
    keeps_its_promises(registry, "figure", "ages")
    finished = ran(figures=["ages"])
    names = sorted(path.name for path in (finished.folder / "figures").iterdir())
    assert names == ["ages_first.png", "ages_last.png", "ages_told.html"]
    report = (finished.folder / "report.md").read_text(encoding="utf-8")
    assert "figures/ages_last.png" in report
    assert "figures/ages_told.html" in report
    own = SomVQ(epochs=20, tol=0).fit(iris[0])
    shown = SomDisplay.from_estimator(own, kind="ages")
    assert list(shown.figures_) == ["ages_first", "ages_last", "ages_told"]
    assert shown.figure_ is shown.figures_["ages_first"]
    cls = registry.find("figure", "ages")
    for wrong, told in (({"a/b": shown.figure_}, "part 'a/b'"), ({}, "matplotlib figure or Html")):
        monkeypatch.setattr(cls, "draw", lambda self, view, wrong=wrong: wrong)
        with pytest.raises(ComponentError, match=told):
            SomDisplay.from_estimator(own, kind="ages")


@pytest.mark.filterwarnings("ignore:the map has not converged")
def test_a_prepare_step_by_name(installed, iris):
    registry = installed("halves")
    values = []
    work("dbgsom-halves", 0, values.append)
    (checked,) = [one["component"] for one in values if "component" in one]
    assert checked["failed"] == checked["skipped"] == {}
    assert {"step_table", "step_rows_independent", "step_saving"} <= set(checked["passed"])
    finished = ran(prepare=[{"name": "halves", "clip": True}])
    model = load(finished.folder / "model.npz")
    assert [name for name, _ in model.steps] == ["halves"]
    np.testing.assert_array_equal(model.prepare(iris[0]).max(axis=0), 2.0)
    config = (finished.folder / "config.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(config)["prepare"] == [{"name": "halves", "clip": True}]
    with pytest.raises(ConfigError, match="unknown step 'halvs'; did you mean 'halves'"):
        ran(prepare="halvs")
    listed = {one["name"]: one for one in list_components(registry)}["halves"]
    assert (listed["kind"], listed["status"]) == ("prepare step", "ok")
    assert listed["sentence"].startswith("Columns over half of their range")
    (told,) = (describe(one) for one in find_components("dbgsom-halves:halves", registry))
    assert told["fields"]["clip"]["default"] is False
    step = hookimpl(lambda: {"halves": "other:Halves"}, specname="dbgsom_prepare_steps")
    other = SimpleNamespace(DBGSOM_API_VERSION=1, dbgsom_prepare_steps=step)
    registry.register(other, "other", "dbgsom-other", "1")
    with pytest.raises(ConfigError, match=r"prepare.*: 'halves' may be .* or other:Halves; write"):
        ran(prepare="halves")
    assert {one["status"] for one in list_components(registry) if one["name"] == "halves"} == {
        "clash"
    }
    gone = [(one.name, one.distribution) for one in diagnose(registry) if one.problem == "stale"]
    assert ("halves", "dbgsom-other") in gone
    assert ("halves", "dbgsom-halves") not in gone
    steps = experiment_schema(registry)["$defs"]["step"]["anyOf"]
    assert {"enum": ["range_scale", "standardize", "halves"]} in steps
