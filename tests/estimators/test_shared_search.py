"""Labels and novelty that one search finds are those that a search each finds, to the bit."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_wine
from sklearn.preprocessing import scale

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.estimators.answer_columns import answer_table
from dbgsom_core.training import asking, places

FEW = {"max_neurons": 25, "epochs": 5}


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    return scale(X), y


def _of_gaps(X, y):
    gone = np.random.default_rng(0).random(X.shape) < 0.1
    return SomClassifier(**FEW), np.where(gone, np.nan, X), y


MODELS = {
    "euclidean": lambda X, y: (SomClassifier(**FEW), X, y),
    "float32": lambda X, y: (SomClassifier(**FEW), X.astype(np.float32), y),
    "no geometry": lambda X, y: (SomClassifier(metric="manhattan", **FEW), X, y),
    "a space of its own": lambda X, y: (SomClassifier(metric="cosine", **FEW), X, y),
    "sparse": lambda X, y: (SomClassifier(**FEW), csr_array(np.where(X > 1, X, 0)), y),
    "gaps": _of_gaps,
    "numbers": lambda X, y: (SomRegressor(**FEW), X[:, 1:], X[:, 0]),
}
PAIR = {"name": "fixed", "rows": 1, "columns": 2}
APART = {
    "rows without a class": lambda X, y: (
        SomClassifier(unlabelled=-1, **FEW), X, np.where(y == 1, -1, y),
    ),
    "several targets": lambda X, y: (SomRegressor(**FEW), X[:, 2:], X[:, :2]),
    "two groups": lambda X, y: (SomRegressor(growth=PAIR, epochs=5), X[:, 1:], X[:, 0]),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*MODELS, *APART])
def test_they_are_those_of_two_searches(wine, kind, monkeypatch):
    model, X, y = (MODELS | APART)[kind](*wine)
    model.fit(X, y)
    monkeypatch.setattr(places, "_ROWS", 50)  # several blocks
    together, search = [], asking._shared

    def counted(*given):
        together.append(given)
        return search(*given)

    monkeypatch.setattr(asking, "_shared", counted)
    table = answer_table(model, X, ("label", "novelty", "pvalue"))
    assert len(together) == (kind in MODELS)
    apart = model.answers(X)  # each by itself
    labels = np.column_stack([table[name] for name in table if name.startswith("label")])
    np.testing.assert_array_equal(labels, np.reshape(apart.label, labels.shape))
    np.testing.assert_array_equal(table["novelty"], apart.novelty)
    np.testing.assert_array_equal(table["pvalue"], apart.pvalue)
    assert len(together) == (kind in MODELS)


def test_who_asks_for_one_pays_for_one(wine, monkeypatch):
    X, y = wine
    monkeypatch.setattr(asking, "answers_and_scores", None)  # calling it fails
    model = SomClassifier(**FEW).fit(X, y)
    assert list(answer_table(model, X, ("label", "distance"))) == ["label", "distance"]
    assert list(answer_table(model, X, ("novelty", "unit"))) == ["novelty", "unit"]
    assert "novelty" in answer_table(SomVQ(**FEW).fit(X), X)  # answers neuron by neuron
