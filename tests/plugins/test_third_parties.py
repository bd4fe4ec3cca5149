"""What third parties write in a few lines passes the kit, runs, is saved and loaded."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from sklearn.base import clone

from dbgsom_core import SomClassifier, SomDisplay, SomRegressor, SomVQ, persistence
from dbgsom_core.api import SQUARE, Grid, GridComponent, hookimpl
from dbgsom_core.cli.plugins import describe, find_components, list_components
from dbgsom_core.config.json_schema import experiment_schema
from dbgsom_core.errors import ComponentError, ConfigError, PluginError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.api import run
from dbgsom_core.testing.kit import check_offer

CODE = Path(__file__).with_name("party.py")
# Parameters that use what it offers, with the names of what a model can answer without.
USES = {
    "plus_plus": {"init": {"name": "plus_plus", "power": 1.5}},
    "moore leaning": {"grid": "moore", "kernel": {"name": "leaning", "stretch": 3.0}},
    "hat": {"kernel": "hat"},
    "restless": {"growth": {"name": "restless", "max_neurons": 24}},
    "sqrt worse": {
        "schedule": "sqrt",
        "stopping": [
            {"name": "worse", "measure": "accuracy"},
            {"name": "epoch_limit", "epochs": 11},
        ],
    },
}
RUN = {
    "experiment": "e",
    "dataset": "iris",
    "seed": 3,
    "model": {"epochs": 20, "tol": 0},
    "measures": ["quantization_error"],
    "figures": [],
    "tracking": "run_folder",
}

pytestmark = pytest.mark.filterwarnings("ignore:the map has not converged")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the plugin as an installer would; return what does so again."""

    def install():
        get_registry.cache_clear()
        monkeypatch.syspath_prepend(str(site))
        return get_registry()

    site = tmp_path / "site"
    info = site / "dbgsom_party-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "party.py").write_text(CODE.read_text(encoding="utf-8"), encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dbgsom-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dbgsom.plugins]\nparty = party\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "party", raising=False)
    install()
    yield install
    monkeypatch.undo()
    get_registry.cache_clear()
    sys.modules.pop("party", None)


def ran(**changed):
    """Run a configuration from its file, and return the run."""
    Path("run.yaml").write_text(yaml.safe_dump(RUN | changed), encoding="utf-8")
    return run("run.yaml")


def test_all_of_it_passes_the_kit(installed, tmp_path):
    offers = [one for one in get_registry().components() if one.distribution == "dbgsom-party"]
    assert len(offers) == 13
    for one in offers:
        checked = check_offer(one)
        assert checked["failed"] == checked["skipped"] == {}


@pytest.mark.parametrize("names", USES)
def test_it_runs_from_yaml_and_python_to_the_same_map_which_is_kept(names, installed):
    parts = {"growth": "fixed", **USES[names]}
    finished = ran(model={"estimator": "classifier", "epochs": 12, **parts}, measures=[])
    report = (finished.folder / "report.md").read_text(encoding="utf-8")
    assert ("ended the training after" in report) == ("stopping" in parts)
    model = finished.folder / "model.npz"
    kept, data = persistence.load(model), get_registry().build("dataset", "iris").load()
    X, y = data.X, data.y
    fitted = SomClassifier(epochs=12, **parts, random_state=3).fit(X, y)
    assert np.array_equal(kept.weights_, fitted.weights_)
    usual = SomClassifier(epochs=12, growth="fixed", random_state=3).fit(X, y)
    assert not np.array_equal(kept.weights_, usual.weights_)
    assert np.array_equal(clone(kept).fit(X, y).weights_, fitted.weights_)
    answers = kept.answers(X)
    sys.path.remove(str(Path("site").resolve()))  # the plugin is gone
    get_registry.cache_clear()
    with pytest.raises(PluginError, match=r"no plugin of dbgsom-party is loaded|is not available"):
        persistence.load(model)
    installed()
    assert np.array_equal(persistence.load(model).answers(X).label, answers.label)


def test_growth_that_does_everything_to_a_map(installed, iris):
    fitted = SomVQ(growth="restless", grid="square", epochs=20, tol=0, random_state=3).fit(iris[0])
    changes = {type(one).__name__ for r in fitted.history_ for one in r.changes}
    assert changes == {"Death", "Insert"}
    fitted.save("own.npz")
    other = persistence.load("own.npz")
    assert other.history_ == fitted.history_
    np.testing.assert_array_equal(other.som_map_.hops, fitted.som_map_.hops)
    np.testing.assert_array_equal(other.predict(iris[0]), fitted.labels_)


def test_what_asks_the_run_and_answers_with_numbers(installed, rng):
    parts = {"metric": "scaled", "growth": "split", "labeller": "medians"}
    X = rng.normal(size=(200, 3)) * [1.0, 100.0, 0.01]
    y = X[:, 1] / 100
    y[::9] = np.nan
    own, other = (
        SomRegressor(**parts, epochs=24, tol=0, random_state=3).fit(X, y) for _ in range(2)
    )
    np.testing.assert_array_equal(own.weights_, other.weights_)
    assert len(own.weights_) > 8
    assert not np.array_equal(own.weights_, other.set_params(random_state=4).fit(X, y).weights_)
    step = np.median(np.abs(X - np.median(X, axis=0)), axis=0)
    units = (np.abs(X[:, None] - own.weights_) / step).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(own.bmu(X), units)
    expected = [np.nanmedian(y[units == unit]) for unit in units]
    np.testing.assert_allclose(own.predict(X), expected)
    own.save("own.npz")
    np.testing.assert_array_equal(persistence.load("own.npz").predict(X), own.predict(X))


def test_a_figure_of_several_images(installed, iris, monkeypatch):
    finished = ran(figures=["ages"])
    names = sorted(path.name for path in (finished.folder / "figures").iterdir())
    assert names == ["ages_count.html", "ages_first.png", "ages_last.png"]
    assert "figures/ages_last.png" in (finished.folder / "report.md").read_text(encoding="utf-8")
    own = SomVQ(epochs=20, tol=0).fit(iris[0])
    shown = SomDisplay.from_estimator(own, kind="ages")
    assert list(shown.figures_) == ["ages_first", "ages_last", "ages_count"]
    assert shown.figure_ is shown.figures_["ages_first"]
    cls = get_registry().find("figure", "ages")
    for wrong, words in (({"a/b": shown.figure_}, "part 'a/b'"), ({}, "matplotlib figure, Html")):
        monkeypatch.setattr(cls, "draw", lambda self, view, wrong=wrong: wrong)
        with pytest.raises(ComponentError, match=words):
            SomDisplay.from_estimator(own, kind="ages")


def test_a_prepare_step_by_name(installed, iris):
    registry = get_registry()
    finished = ran(prepare=[{"name": "halves", "clip": True}])
    model = persistence.load(finished.folder / "model.npz")
    assert [name for name, _ in model.steps] == ["halves"]
    np.testing.assert_array_equal(model.prepare(iris[0]).max(axis=0), 2.0)
    config = (finished.folder / "config.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(config)["prepare"] == [{"name": "halves", "clip": True}]
    with pytest.raises(ConfigError, match="unknown step 'halvs'; did you mean 'halves'"):
        ran(prepare="halvs")
    listed = {one["name"]: one for one in list_components(registry)}["halves"]
    assert (listed["kind"], listed["status"]) == ("prepare step", "ok")
    assert listed["sentence"].startswith("Columns over half of their range")
    (shown,) = (describe(one) for one in find_components("dbgsom-party:halves", registry))
    assert shown["schema"]["properties"]["clip"]["default"] is False
    assert {"enum": ["range_scale", "standardize", "halves"]} in (
        experiment_schema(registry)["$defs"]["step"]["anyOf"]
    )
    step = hookimpl(lambda: {"halves": "other:Halves"}, specname="dbgsom_prepare_steps")
    other = SimpleNamespace(DBGSOM_API_VERSION=1, dbgsom_prepare_steps=step)
    registry.register(other, "other", "dbgsom-other", "1")
    with pytest.raises(PluginError, match=r"'halves' is offered by .* write 'dbgsom-other:halves'"):
        ran(prepare="halves")
    found = [one for one in list_components(registry) if one["name"] == "halves"]
    states = {one["distribution"]: (one["status"], one["error"]) for one in found}
    gone = "prepare step 'halves' of dbgsom-other 1 cannot be imported from other:Halves: "
    assert states["dbgsom-party"] == ("clash", "")
    assert states["dbgsom-other"][0] == "broken"
    assert states["dbgsom-other"][1].startswith(gone)


def test_a_start_that_does_not_hang_together_is_refused(iris):
    class Chain(GridComponent):
        """Cells in a row."""

        def lattice(self, rows, columns):
            return Grid(((1, 0), (-1, 0)), (), SQUARE.axes, SQUARE.corners, "chain")

    with pytest.raises(ValueError, match="a chain has one row, and the map starts with 3 × 2 neu"):
        SomVQ(grid=Chain(), growth={"name": "fixed", "rows": 3, "columns": 2}).fit(iris[0])
    row = {"name": "fixed", "rows": 1, "columns": 5}
    chain, square = (SomVQ(grid=grid, growth=row).fit(iris[0]) for grid in (Chain(), "square"))
    assert np.array_equal(chain.weights_, square.weights_)
