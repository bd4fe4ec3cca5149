"""Prepare steps that ask for names of columns, and figures of maps whose steps change columns."""

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from dbgsom_core.config import load_experiment
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.runs.prepare import fit_steps, make_step
from dbgsom_core.runs.session import make_callbacks


class Named(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Keeps the names that it was told."""

    def set_feature_names(self, names):
        self.names_ = names

    def fit(self, X, y=None):
        self.width_ = X.shape[1] if hasattr(self, "names_") else 0
        return self

    def transform(self, X):
        return X


def test_a_step_is_told_the_names_before_its_fit():
    X, step = np.random.default_rng(0).normal(size=(20, 3)), Named()
    fit_steps([("pca", PCA(2)), ("named", step)], X, None, ["a", "b", "c"])
    assert (step.names_, step.width_) == (["pca0", "pca1"], 2)


def test_a_list_of_yaml_is_a_tuple_where_a_step_takes_one():
    step = make_step("sklearn.preprocessing:RobustScaler", {"quantile_range": [10, 90]})
    assert step.quantile_range == (10, 90)


CONFIG = {
    "experiment": "pca",
    "prepare": [{"name": "sklearn.decomposition:PCA"}],
    "model": {"epochs": 20},
    "figures": [],
}


def test_figures_get_prototypes_back_through_a_pca(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registry = get_registry()
    experiment = load_experiment({**CONFIG, "dataset": "iris", "tracking": []})
    outcome = run_experiment(experiment, make_callbacks((), registry), registry)
    view, iris = outcome.view, load_iris()
    assert view.undo is None
    assert list(view.raw_names) == list(iris.feature_names)
    back = view.restore(view.evaluation.som_map.prototypes)
    np.testing.assert_allclose(back.mean(axis=0), iris.data.mean(axis=0), rtol=0.2)
