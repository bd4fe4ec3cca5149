"""The transformers that model files hold: what each holds, and those that plugins list."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin

from dbgsom_core import SomVQ, persistence
from dbgsom_core.api import StoredType, hookimpl
from dbgsom_core.errors import ModelFileError
from dbgsom_core.estimators import archive
from dbgsom_core.estimators.archive import SCIKIT_LEARN
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.prepare import make_step

# Whose attributes hang on parameters.
PARAMS = {
    "preprocessing:QuantileTransformer": [{"n_quantiles": 20}],
    "preprocessing:PolynomialFeatures": [{"degree": (2, 3), "include_bias": False}],
    "preprocessing:OneHotEncoder": [{"sparse_output": False}],
    "preprocessing:OrdinalEncoder": [
        {"handle_unknown": "use_encoded_value", "unknown_value": -1, "dtype": np.float32}
    ],
    "preprocessing:Binarizer": [{"threshold": 2.0}],
    "impute:SimpleImputer": [{"strategy": "median", "add_indicator": True}],
    "impute:MissingIndicator": [{"features": "all"}],
    "impute:KNNImputer": [{"weights": "distance", "add_indicator": True}],
    "decomposition:PCA": [{"n_components": 0.9}],
    "decomposition:FactorAnalysis": [{"n_components": 2, "rotation": "varimax"}],
    "decomposition:FastICA": [{"n_components": 2, "random_state": 0}],
    "random_projection:GaussianRandomProjection": [{"n_components": 3, "random_state": 0}],
    "kernel_approximation:RBFSampler": [{"gamma": "scale", "random_state": 1}],
}
CASES = [
    (name, params)
    for name in SCIKIT_LEARN
    for params in PARAMS.get(name.removeprefix("sklearn."), [{}])
]


@pytest.fixture(scope="module")
def vq(iris):
    return SomVQ(max_neurons=6, epochs=3).fit(iris[0])


CASES.append(("standardize", {"categories": "joint"}))


@pytest.mark.parametrize(("name", "params"), CASES, ids=str)
@pytest.mark.filterwarnings("ignore")  # few samples for so much
def test_a_listed_transformer_is_the_same_after_a_file(name, params, tmp_path, iris):
    X = iris[0].copy()
    if "impute" in name:
        X[::9, 1] = np.nan
    step = make_step(name, params).fit(X)
    features = np.asarray(step.transform(X), dtype=float)
    model = FittedModel((("step", step),), SomVQ(max_neurons=4, epochs=1).fit(features))
    model.save(tmp_path / "m.npz")
    again = persistence.load(tmp_path / "m.npz").steps[0][1]
    assert type(again) is type(step)
    assert vars(again).keys() == vars(step).keys()
    # Components that were no array in one piece are now, and products of them round otherwise.
    np.testing.assert_allclose(again.transform(X), step.transform(X), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "params", "change"),
    [
        ("preprocessing:OneHotEncoder", {}, {"_n_features_outs": [9, 9, 9, 9]}),
        ("preprocessing:OneHotEncoder", {}, {"_infrequent_enabled": True}),
        (
            "preprocessing:OneHotEncoder",
            {"categories": [[1.0, 2.0]] * 4, "handle_unknown": "ignore"},
            {"categories_": [np.array([2.0, 1.0])] * 4},
        ),
        ("preprocessing:PolynomialFeatures", {}, {"_n_out_full": 10**9}),
        ("decomposition:FactorAnalysis", {}, {"components_": np.zeros((10**5, 4))}),
        ("impute:MissingIndicator", {}, {"features_": np.array([0, 99])}),
        ("decomposition:PCA", {}, {"random_state": np.random.RandomState(0)}),
        ("impute:KNNImputer", {}, {"metric": max}),
    ],
)
def test_attributes_that_do_not_fit_each_other_are_refused(
    name, params, change, iris, vq, tmp_path
):
    step = make_step(f"sklearn.{name}", params).fit(iris[0])
    vars(step).update(change)
    with pytest.raises(ModelFileError, match=r"do not fit|be used|other columns than|is not on"):
        FittedModel((("step", step),), vq).save(tmp_path / "m.npz")


# --------------------------------------------------------------------------------- of plugins


class Halves(TransformerMixin, BaseEstimator):
    """A third party's transformer."""

    def fit(self, X, y=None):
        self.n_features_in_, self.half_ = X.shape[1], np.abs(X).max(axis=0) / 2
        return self

    def transform(self, X):
        return X / self.half_


HALVES = StoredType(f"{__name__}:Halves", {"n_features_in_": "size[D]", "half_": "finite[D]"})


def plugin(listed):
    class Plugin:
        DBGSOM_API_VERSION = 1

        @staticmethod
        @hookimpl
        def dbgsom_transformers():
            return listed

    return Plugin()


@pytest.fixture
def registry(monkeypatch):
    found = Registry.discover(own_only=True)
    monkeypatch.setattr(archive, "get_registry", lambda: found)
    monkeypatch.setattr(
        StoredType, "load", lambda self: Halves if "Halves" in self.where else LOAD(self)
    )
    return found


LOAD = StoredType.load


def test_a_plugin_lists_its_transformer(registry, tmp_path, iris, vq):
    step = Halves().fit(iris[0])
    model = FittedModel((("halves", step),), vq)
    with pytest.raises(ModelFileError, match=r"Halves, which is not on the list.*dbgsom_transform"):
        model.save(tmp_path / "m.npz")
    registry.register(plugin({"halves": HALVES}), "acme", "acme-som", "1.0")
    model.save(tmp_path / "m.npz")
    assert b"acme-som:halves" in np.load(tmp_path / "m.npz")["header"].tobytes()
    again = persistence.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.prepare(iris[0]), step.transform(iris[0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"half_": np.array([1.0, np.nan, 1.0, 1.0])}, r"half_ must be finite\[D\] where D is 4"),
        ({"more": 1}, "more is an attribute that model files do not hold"),
    ],
)
def test_a_listed_transformer_holds_what_its_plugin_says(
    change, message, registry, tmp_path, iris, vq
):
    registry.register(plugin({"halves": HALVES}), "acme", "acme-som", "1.0")
    step = Halves().fit(iris[0])
    vars(step).update(change)
    with pytest.raises(ModelFileError, match=message):
        FittedModel((("halves", step),), vq).save(tmp_path / "m.npz")
