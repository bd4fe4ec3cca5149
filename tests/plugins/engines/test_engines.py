"""Engines as plugins: what training asks of samples is the contract, and the kit checks it."""

import json
from typing import ClassVar

import numpy as np
import pytest
from pydantic import Field
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, api
from dbgsom_core.api import Assignment, EngineComponent, hookimpl, samples_in_memory
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError, PluginError
from dbgsom_core.estimators import model_file, parameters
from dbgsom_core.measures import evaluate
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.testing import checks_for, run_checks
from dbgsom_plugins.engines.local import LocalEngine

DBGSOM_API_VERSION = 1


class FarSamples(api.Samples):
    """Samples that find units themselves, 50 at a time; all else is as it is by default."""

    def assign(self, prototypes):
        parts = [self.subset(slice(a, a + 50)) for a in range(0, self.n, 50)]
        found = [part.assign_plainly(prototypes) for part in parts]
        units = np.concatenate([one.bmu for one in found])
        return Assignment(units, np.concatenate([one.distance for one in found]))


class Far(EngineComponent):
    """A third party's engine: its samples are of a class of its own."""

    rows: int = Field(default=50, ge=1, description="rows that are compared at a time")

    def over(self, X, metric, weights=None):
        return FarSamples.of(X, metric, weights, chunk_rows=self.rows)


class Remote(Far):
    """Goes where it is told."""

    of_this_machine: ClassVar[tuple[str, ...]] = ("address",)

    address: str = Field(default="here", description="the host that does the work")


class RestlessSamples(api.Samples):
    calls = 0

    def assign(self, prototypes):
        type(self).calls += 1
        found = super().assign(prototypes)
        return Assignment(found.bmu, found.distance * (1 + 1e-15 * self.calls))


class Restless(EngineComponent):
    """Gives other bits each time."""

    def over(self, X, metric, weights=None):
        return RestlessSamples.of(X, metric, weights)


class Cut(EngineComponent):
    """Never sees the last rows."""

    def over(self, X, metric, weights=None):
        return samples_in_memory(X[: max(len(X) - 3, 1)], metric, weights)


class Unweighted(EngineComponent):
    """Forgets the weights of large data."""

    def over(self, X, metric, weights=None):
        return samples_in_memory(X, metric, None if X.size > 32768 else weights)


class Filling(EngineComponent):
    """Takes what is missing in large data for 0."""

    def over(self, X, metric, weights=None):
        return samples_in_memory(np.nan_to_num(X) if X.size > 32768 else X, metric, weights)


class Offers:
    """A plugin."""

    DBGSOM_API_VERSION = 1

    @hookimpl
    def dbgsom_engines(self):
        return {"far": Far, "remote": Remote}


@pytest.fixture
def registry(monkeypatch):
    found = Registry.discover(own_only=True)
    found.register(Offers(), "far", "dbgsom-far", "2.0")
    for module in (parameters, model_file):
        monkeypatch.setattr(module, "get_registry", lambda: found)
    return found


@pytest.mark.parametrize("check", checks_for(Far()), ids=repr)
def test_an_engine_that_writes_the_pass_alone_passes_every_check(check):
    check(Far())


@pytest.mark.parametrize("wrong", [Cut, Unweighted, Filling, Restless])
def test_the_kit_finds_what_is_wrong(wrong):
    failed = {outcome.check for outcome in run_checks(wrong()) if outcome.status == "failed"}
    assert "same_maps" in failed


@pytest.mark.parametrize("metric", ["cosine", "hamming", "mahalanobis"])
@pytest.mark.parametrize("estimator", [SomVQ, SomClassifier, SomRegressor])
def test_every_way_to_train_and_to_measure_keeps_to_the_contract(rng, metric, estimator):
    X = np.abs(rng.normal(size=(150, 4))) + 0.1
    X = np.rint(3 * X) if metric == "hamming" else X
    y = rng.integers(0, 3, 150)
    params = {"metric": metric, "max_neurons": 9, "epochs": 8, "random_state": 1}
    mine = estimator(engine=Far(), **params).fit(X, y, sample_weight=1.0 + y)
    usual = estimator(**params).fit(X, y, sample_weight=1.0 + y)
    np.testing.assert_array_equal(mine.weights_, usual.weights_)
    np.testing.assert_array_equal(mine.predict(X), usual.predict(X))
    assert evaluate(mine, X) == evaluate(usual, X)


def test_sparse_samples_too(rng):
    from scipy.sparse import csr_array

    X = csr_array(rng.normal(size=(120, 6)) * (rng.random((120, 6)) < 0.4))
    params = {"max_neurons": 9, "epochs": 8}
    mine, usual = (SomVQ(engine=e, **params).fit(X) for e in (Far(), "local"))
    np.testing.assert_array_equal(mine.weights_, usual.weights_)
    np.testing.assert_array_equal(mine.transform(X), usual.transform(X))
    for part in (X[:60], X[60:]):
        mine, usual = mine.partial_fit(part), usual.partial_fit(part)
    np.testing.assert_array_equal(mine.weights_, usual.weights_)


def test_its_fields_are_parameters_of_the_estimator(iris):
    vq = SomVQ(engine="local")
    assert vq.get_params()["engine__threads"] is None
    assert clone(vq).set_params(engine__threads=2).parts().engine == LocalEngine(threads=2)
    assert SomVQ(engine={"threads": 2}).parts().engine == LocalEngine(threads=2)
    with pytest.raises(ValueError, match=r"invalid parameter 'thread' for engine LocalEngine.*thr"):
        vq.set_params(engine__thread=1)
    model = SomClassifier(max_neurons=9, epochs=5)
    search = GridSearchCV(model, {"engine__chunk_rows": [10, 40]}, cv=2).fit(*iris)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] == scores[1]


def test_what_is_of_one_machine_is_in_no_model(registry, tmp_path, iris):
    engine = {"name": "remote", "rows": 9, "address": "host.example"}
    fitted = SomVQ(engine=engine, max_neurons=9, epochs=5).fit(iris[0])
    fitted.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as file:
        header, arrays = json.loads(bytes(file["header"])), dict(file)
    assert "host.example" not in json.dumps(header)
    loaded = SomVQ.load(tmp_path / "m.npz")
    assert loaded.engine == Remote(rows=9)
    np.testing.assert_array_equal(loaded.predict(iris[0]), fitted.predict(iris[0]))
    header["estimator"]["parts"]["engine"]["params"]["address"] = "evil.example"
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(tmp_path / "m.npz", **arrays)
    assert SomVQ.load(tmp_path / "m.npz").engine.address == "here"


def test_a_model_whose_engine_is_not_installed_names_its_distribution(
    registry, tmp_path, iris, monkeypatch
):
    SomVQ(engine="far", max_neurons=9, epochs=5).fit(iris[0]).save(tmp_path / "m.npz")
    monkeypatch.setattr(model_file, "get_registry", lambda: Registry.discover(own_only=True))
    with pytest.raises(PluginError, match=r"engine 'far', .*claims .* dbgsom-far 2\.0"):
        SomVQ.load(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("section", "words"),
    [("fat", "unknown engine 'fat'; did you mean 'far'"), ({"name": "far", "rows": 0}, "rows: mu")],
)
def test_a_configuration_names_any_engine(registry, section, words):
    config = {"experiment": "x", "dataset": "iris"}
    far = load_experiment(config | {"engine": {"name": "far", "rows": 3}}, registry=registry)
    assert far.engine == Far(rows=3)
    with pytest.raises(ConfigError, match=words):
        load_experiment(config | {"engine": section}, registry=registry)
