"""Hierarchical growth as a parameter: its base, what reaches inside, and saved trees."""

import numpy as np
import pytest
from sklearn.base import clone

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.persistence import load
from dbgsom_plugins.growth.directed import Directed
from dbgsom_plugins.growth.fixed import Hierarchical

SMALL = Directed(spreading_factor=0.05)
DEEP = Hierarchical(base=SMALL, tau_2=0.004, max_depth=3, min_samples=10)


def test_the_base_is_any_growth_strategy(iris):
    X = iris[0]
    for base in ("gsom", {"name": "gsom"}):
        by_name = SomVQ(growth={"name": "hierarchical", "base": base}).parts().growth.base
        assert type(by_name).__name__ == "Gsom"
    fixed = {"name": "hierarchical", "base": {"name": "fixed", "rows": 2, "columns": 2}}
    vq = SomVQ(growth={**fixed, "tau_2": 0.01, "min_samples": 4}).fit(X)
    assert {len(som_map) for som_map in vq._tree.maps} == {4}


def test_the_estimators_own_parameters_fill_the_base(digits):
    vq = SomVQ(growth="hierarchical", spreading_factor=0.2, max_neurons=7)
    base = vq.parts().growth.base
    assert (base.spreading_factor, base.max_neurons) == (0.2, 7)
    with pytest.raises(ValueError, match=r"spreading_factor=0\.2 contradicts"):
        SomVQ(growth=Hierarchical(base=SMALL), spreading_factor=0.2).fit(digits[0])
    with pytest.raises(ValueError, match="Fixed has no spreading_factor"):
        SomVQ(growth=Hierarchical(base="fixed"), spreading_factor=0.2).fit(digits[0])


def test_parameters_reach_into_the_base():
    vq = SomVQ(growth="hierarchical")
    assert vq.get_params()["growth__base"] == "directed"
    assert vq.get_params()["growth__base__spreading_factor"] == 0.5
    vq.set_params(growth__base__spreading_factor=0.2, growth__tau_2=0.1)
    assert vq.parts().growth == Hierarchical(base=Directed(spreading_factor=0.2), tau_2=0.1)
    vq.set_params(growth__base__distribution_factor=0.4, growth__base="gsom")
    assert vq.parts().growth.base.distribution_factor == 0.4
    again = clone(SomVQ(growth=DEEP)).set_params(growth__base__notches=None)
    assert again.parts().growth.base.notches is None
    assert DEEP.base.notches == 0.6
    with pytest.raises(ValueError, match="'spread' for growth Directed"):
        SomVQ(growth=DEEP).set_params(growth__base__spread=1)


def test_a_saved_tree_answers_the_same(tmp_path, digits):
    X, y = digits
    for growth, filled in (
        (DEEP, {}),
        ({"name": "hierarchical", "tau_2": 0.005}, {"growth": 0.05}),
    ):
        clf = SomClassifier(growth=growth, spreading_factor=filled.get("growth")).fit(X, y)
        clf.save(tmp_path / "tree.npz")
        again = load(tmp_path / "tree.npz")
        assert set(vars(again)) == set(vars(clf))
        assert len(again.leaf_paths_) > len(again.weights_)
        for ask in ("predict", "predict_proba", "bmu_path", "transform"):
            np.testing.assert_array_equal(getattr(again, ask)(X), getattr(clf, ask)(X))
        for name in ("leaf_labels_", "leaf_hit_counts_", "leaf_paths_", "leaf_weights_"):
            np.testing.assert_array_equal(getattr(again, name), getattr(clf, name))
        for one, other in zip(again._tree.maps, clf._tree.maps, strict=True):
            np.testing.assert_array_equal(one.hops, other.hops)
            np.testing.assert_array_equal(one.parents, other.parents)
        assert again._parts.growth == clf._parts.growth
        if filled:  # what the estimator fills in it can fill in anew
            again.set_params(spreading_factor=0.1).fit(X, y)
