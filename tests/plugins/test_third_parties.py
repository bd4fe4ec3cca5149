"""What third parties write in under sixty lines passes the kit, runs, is saved and loaded."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.base import clone

from dbgsom_core import SomClassifier, SomVQ, persistence
from dbgsom_core.api import SQUARE, Component, Grid
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import DbgsomError
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.testing import checks_for

FOLDER = Path(__file__).parent / "third_parties"
# A module, and parameters that use what it offers.
USES = {
    "party_starts": {"init": {"name": "plus_plus", "power": 1.5}},
    "party_grids": {"grid": "moore", "kernel": {"name": "leaning", "stretch": 3.0}},
    "party_hexagons": {"grid": "honeycomb", "kernel": "hat"},
    "party_lines": {"growth": {"name": "lines", "max_neurons": 24}},
    "party_prudent": {"growth": "prudent"},
    "party_stops": {
        "schedule": "sqrt",
        "stopping": [
            {"name": "worse", "measure": "accuracy"},
            {"name": "epoch_limit", "epochs": 11},
        ],
    },
}


@pytest.fixture
def installed(monkeypatch):
    """Return what installs a module of the folder for the time of a test."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def install(name):
        module = import_module(name)
        get_registry().register(module, name, "dbgsom-party", "1.0")
        return module

    yield install
    get_registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("party_")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", [*USES, "party_quantiles"])
def test_it_is_short_and_passes_the_kit(name, installed):
    assert len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 60
    installed(name)
    offers = [one for kind in KINDS for one in get_registry().offered(kind) if one.plugin == name]
    assert offers
    for one in offers:
        for check in checks_for(one.load()(), one.kind, name=one.name):
            check(one.load()())


@pytest.mark.parametrize("name", USES)
def test_it_runs_from_yaml_and_python_to_the_same_map_which_is_kept(
    name, installed, tmp_path, monkeypatch
):
    installed(name)
    monkeypatch.chdir(tmp_path)
    written = {
        "experiment": "party",
        "dataset": "iris",
        "model": {"estimator": "classifier", "epochs": 12, "growth": "fixed", **USES[name]},
        "measures": [],
        "figures": [],
        "tracking": None,
    }
    Path("run.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    experiment = load_experiment("run.yaml")
    registry = get_registry()
    run_experiment(experiment, make_callbacks(experiment.tracking, registry), registry)
    (model,) = Path("runs").rglob("model.npz")
    report = model.with_name("report.md").read_text(encoding="utf-8")
    assert ("ended the training after" in report) == ("stopping" in USES[name])
    kept = persistence.load(model)
    data = experiment.dataset.load()
    X, y = data.X, data.y
    params = {"epochs": 12, "growth": "fixed", **USES[name]}
    fitted = SomClassifier(**params, random_state=experiment.seed).fit(X, y)
    assert np.array_equal(kept.weights_, fitted.weights_)
    usual = SomClassifier(epochs=12, growth="fixed", random_state=experiment.seed).fit(X, y)
    assert not np.array_equal(kept.weights_, usual.weights_)
    again = clone(kept).fit(X, y)  # its parameters came back, too
    assert np.array_equal(again.weights_, fitted.weights_)
    answers = kept.answers(X)
    get_registry.cache_clear()  # the plugin is gone
    with pytest.raises(DbgsomError, match=r"dbgsom-party' is not installed|cannot be had here"):
        persistence.load(model)
    installed(name)
    assert np.array_equal(persistence.load(model).answers(X).label, answers.label)


def test_a_start_that_does_not_hang_together_is_refused(iris):
    class Chain(Component):
        """Cells in a row."""

        def lattice(self, rows, columns):
            """Return the grid."""
            return Grid(((1, 0), (-1, 0)), (), SQUARE.axes, SQUARE.corners, "chain")

    with pytest.raises(ValueError, match="a chain has one row, and the map starts with 3 × 2 neu"):
        SomVQ(grid=Chain(), growth={"name": "fixed", "rows": 3, "columns": 2}).fit(iris[0])
    row = {"name": "fixed", "rows": 1, "columns": 5}
    chain, square = (SomVQ(grid=grid, growth=row).fit(iris[0]) for grid in (Chain(), "square"))
    assert np.array_equal(chain.weights_, square.weights_)


def test_whole_lines_come_and_what_wins_little_goes(installed, iris):
    installed("party_lines")
    cells = np.array(SomVQ(epochs=20, growth="lines").fit(iris[0]).neurons_)
    assert len(cells) == np.prod(np.ptp(cells, axis=0) + 1) > 12
    installed("party_prudent")
    greedy = {"name": "prudent", "least": 9}
    fitted = SomVQ(epochs=40, growth=greedy, random_state=0).fit(iris[0])
    assert len(fitted.neurons_) < 4 + len(fitted.growth_events_)
