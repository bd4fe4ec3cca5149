"""What third parties write in a few lines passes the kit, runs, is saved and loaded."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.base import clone

from dbgsom_core import SomClassifier, SomDisplay, SomRegressor, SomVQ, persistence, run
from dbgsom_core.api import SQUARE, Grid, GridComponent
from dbgsom_core.cli.plugins import describe, find_components
from dbgsom_core.config.json_schema import experiment_schema
from dbgsom_core.errors import ComponentError, ConfigError, PluginError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.testing.kit import check_offer

CODE = Path(__file__).with_name("party.py")
USES = {
    "plus_plus": {"init": {"name": "plus_plus", "power": 1.5}},
    "moore leaning": {"grid": "moore", "kernel": {"name": "leaning", "stretch": 3.0}},
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
    "model": {"epochs": 12},
    "measures": [],
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


def test_all_of_it_passes_the_kit(installed):
    offers = [one for one in get_registry().components() if one.distribution == "dbgsom-party"]
    assert len(offers) == 12
    for offer in offers:
        checked = check_offer(offer)
        assert checked["failed"] == checked["skipped"] == {}


@pytest.mark.parametrize("names", USES)
def test_it_runs_from_yaml_and_python_to_the_same_map_which_is_kept(names, installed, iris):
    X, y = iris
    parts = {"growth": "fixed", **USES[names]}
    model = {"estimator": "classifier", "epochs": 12, **parts}
    Path("run.yaml").write_text(yaml.safe_dump(RUN | {"model": model}), encoding="utf-8")
    finished = run("run.yaml")
    report = (finished.folder / "report.md").read_text(encoding="utf-8")
    assert ("ended the training after" in report) == ("stopping" in parts)
    file = finished.folder / "model.npz"
    kept = persistence.load(file)
    fitted = SomClassifier(epochs=12, **parts, random_state=3).fit(X, y)
    usual = SomClassifier(epochs=12, growth="fixed", random_state=3).fit(X, y)
    assert np.array_equal(kept.weights_, fitted.weights_)
    assert not np.array_equal(kept.weights_, usual.weights_)
    assert np.array_equal(clone(kept).fit(X, y).weights_, fitted.weights_)
    answers = kept.answers(X)
    sys.path.remove(str(Path("site").resolve()))  # the plugin is gone
    get_registry.cache_clear()
    with pytest.raises(PluginError, match=r"no plugin of dbgsom-party is loaded|is not available"):
        persistence.load(file)
    installed()
    assert np.array_equal(persistence.load(file).answers(X).label, answers.label)


def test_a_metric_learns_growth_asks_the_samples_and_a_labeller_answers_with_medians(
    installed, rng
):
    params = {"metric": "scaled", "growth": "split", "labeller": "medians", "epochs": 24, "tol": 0}
    X = rng.normal(size=(200, 3)) * [1.0, 100.0, 0.01]
    y = X[:, 1] / 100
    y[::9] = np.nan
    first, second = (SomRegressor(**params, random_state=3).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.weights_, second.weights_)
    other = SomRegressor(**params, random_state=4).fit(X, y)
    assert not np.array_equal(first.weights_, other.weights_)
    assert len(first.weights_) > 8
    step = np.median(np.abs(X - np.median(X, axis=0)), axis=0)
    units = (np.abs(X[:, None] - first.weights_) / step).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(first.bmu(X), units)
    medians = [np.nanmedian(y[units == unit]) for unit in units]
    np.testing.assert_allclose(first.predict(X), medians)
    first.save("own.npz")
    np.testing.assert_array_equal(persistence.load("own.npz").predict(X), first.predict(X))


def test_a_figure_of_several_images(installed, iris, monkeypatch):
    folder = run(RUN | {"figures": ["ages"]}).folder
    names = sorted(path.name for path in (folder / "figures").iterdir())
    assert names == ["ages_count.html", "ages_first.png", "ages_last.png"]
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert "](figures/ages_last.png)" in report
    assert "](figures/ages_count.html)" in report
    fitted = SomVQ(epochs=12).fit(iris[0])
    shown = SomDisplay.from_estimator(fitted, kind="ages")
    assert list(shown.figures_) == ["ages_first", "ages_last", "ages_count"]
    cls = get_registry().find("figure", "ages")
    for wrong, words in (({"a/b": shown.figure_}, "part 'a/b'"), ({}, "matplotlib figure, Html")):
        monkeypatch.setattr(cls, "draw", lambda self, view, wrong=wrong: wrong)
        with pytest.raises(ComponentError, match=words):
            SomDisplay.from_estimator(fitted, kind="ages")


def test_a_prepare_step_by_name(installed, iris):
    registry = get_registry()
    finished = run(RUN | {"prepare": [{"name": "halves", "clip": True}]})
    model = persistence.load(finished.folder / "model.npz")
    assert [name for name, _ in model.steps] == ["halves"]
    np.testing.assert_array_equal(model.prepare(iris[0]).max(axis=0), 2.0)
    with pytest.raises(ConfigError, match="unknown step 'halvs'; did you mean 'halves'"):
        run(RUN | {"prepare": "halvs"})
    (shown,) = (describe(one) for one in find_components("dbgsom-party:halves", registry))
    assert shown["schema"]["properties"]["clip"]["default"] is False
    schema = experiment_schema(registry)["$defs"]["step"]["anyOf"]
    built_in = ["range_scale", "standardize", "lags", "rolling", "cyclic"]
    assert {"enum": [*built_in, "halves"]} in schema


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
