"""Child maps: which neurons get one, and everything that follows them."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.persistence import load
from dbgsom_plugins.growth.classical import Hierarchical
from dbgsom_plugins.growth.directed import Directed

pytestmark = pytest.mark.one_version

SMALL = Directed(spreading_factor=0.05, class_growth=False)
DEEP = Hierarchical(base=SMALL, tau_2=0.004, max_depth=3, min_samples=10)


@pytest.fixture(scope="module")
def digits(digits):
    """Return enough digits for maps of maps of maps."""
    X, y = digits
    return X[:600], y[:600]


@pytest.fixture(scope="module")
def deep(digits):
    return SomVQ(growth=DEEP, epochs=20).fit(digits[0])


@pytest.mark.slow
@parametrize_with_checks(
    [SomClassifier(growth=Hierarchical(base=SMALL, tau_2=0.02, min_samples=4), epochs=12)]
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


# ----------------------------------------------------------------- the defects of a peer, by number


@pytest.mark.parametrize("labels", [[-5, 0, 7], ["x", "y", "z"]])
def test_05_vertical_growth_does_not_depend_on_how_classes_are_written(labels, iris):
    X, y = iris
    names = np.asarray(labels)[y]
    params = {"grid": "square", "labeller": "majority", "epochs": 30}
    growth = Hierarchical(base=SMALL, tau_2=0.02, min_samples=8)
    plain, clf = (SomClassifier(growth=growth, **params).fit(X, t) for t in (y, names))
    assert len(plain.leaf_paths_) > len(plain.neurons_)
    np.testing.assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
    flat = SomClassifier(growth=SMALL, **params).fit(X, names)
    assert clf.score(X, names) > flat.score(X, names)


def test_06_the_clusterer_follows_its_child_maps(deep, digits):
    X = digits[0]
    np.testing.assert_array_equal(deep.predict(X), deep.labels_)
    assert np.unique(deep.labels_).tolist() == [*range((deep.leaf_hit_counts_ > 0).sum())]
    # Samples of one neuron of the root end in several clusters, those of two neurons in none.
    roots = deep.bmu(X)
    clusters = [set(deep.labels_[roots == neuron]) for neuron in range(len(deep.neurons_))]
    assert max(map(len, clusters)) > 3
    assert sum(map(len, clusters)) == len(set.union(*clusters))


# ------------------------------------------------------------------------ which neurons get a child


@pytest.mark.parametrize(("metric", "name"), [("euclidean",) * 2, ("manhattan", "cityblock")])
def test_the_children_are_those_of_the_vertical_rule(metric, name, digits):
    X = digits[0]
    growth = Hierarchical(base=SMALL, tau_2=0.01, min_samples=25, max_depth=3)
    vq = SomVQ(growth=growth, metric=metric, epochs=20).fit(X)
    qe_0 = cdist(X, X.mean(axis=0)[None], name).sum()
    depths = []

    def check(som_map, samples, depth):
        depths.append(depth)
        distances = cdist(samples, som_map.prototypes, name)
        bmu = distances.argmin(axis=1)
        for neuron in range(len(som_map)):
            mapped = bmu == neuron
            error = distances[mapped, neuron].sum()
            is_split = error > 0.01 * qe_0 and mapped.sum() >= 25 and depth < 3
            assert (neuron in som_map.children) == is_split
            if is_split:
                check(som_map.children[neuron], samples[mapped], depth + 1)

    check(vq.som_map_, X, 1)
    assert max(depths) > 1


def test_a_child_is_the_map_that_a_user_would_train_on_its_samples(deep, digits):
    neuron, child = next(iter(deep.som_map_.children.items()))
    alone = SomVQ(growth=SMALL, epochs=20).fit(digits[0][deep.bmu(digits[0]) == neuron])
    np.testing.assert_array_equal(child.prototypes, alone.weights_)
    np.testing.assert_array_equal(child.positions, alone.neurons_)


# ---------------------------------------------------------------------------- what estimators offer


def test_every_answer_is_about_the_leaves(digits):
    X, y = digits
    clf = SomClassifier(growth=DEEP, labeller="majority", epochs=20).fit(X, y)
    path = clf.bmu_path(X)
    np.testing.assert_array_equal(path[:, 0], clf.bmu(X))
    ends = (path[:, None] == clf.leaf_paths_[None]).all(axis=2)
    assert (ends.sum(axis=1) == 1).all()
    leaf = ends.argmax(axis=1)
    n_leaves = len(clf.leaf_paths_)
    assert n_leaves > len(clf.weights_)
    np.testing.assert_array_equal(np.bincount(leaf, minlength=n_leaves), clf.leaf_hit_counts_)
    gaps = np.linalg.norm(X - clf.leaf_weights_[leaf], axis=1)
    assert clf.quantization_error_ == pytest.approx(gaps.mean())
    assert clf.calculate_quantization_error(X) == pytest.approx(clf.quantization_error_)
    # A leaf answers with the shares of the classes among the samples that ended in it.
    for number in np.unique(leaf)[::7]:
        shares = np.bincount(y[leaf == number], minlength=10) / (leaf == number).sum()
        np.testing.assert_allclose(clf.predict_proba(X[leaf == number][:1])[0], shares)
    np.testing.assert_array_equal(clf.predict(X), clf.predict_proba(X).argmax(axis=1))


def test_the_estimators_own_parameters_fill_the_base(digits):
    base = SomVQ(growth="hierarchical", spreading_factor=0.2, max_neurons=7).parts().growth.base
    assert (base.spreading_factor, base.max_neurons) == (0.2, 7)
    for base, told in ((SMALL, "=0.2 contradicts"), ("fixed", "Fixed has no spreading_factor")):
        with pytest.raises(ValueError, match=told):
            SomVQ(growth=Hierarchical(base=base), spreading_factor=0.2).fit(digits[0])


def test_parameters_reach_into_the_base():
    vq = SomVQ(growth="hierarchical")
    assert vq.get_params()["growth__base__spreading_factor"] == 0.5
    vq.set_params(growth__base__spreading_factor=0.2, growth__tau_2=0.1)
    assert vq.parts().growth == Hierarchical(base=Directed(spreading_factor=0.2), tau_2=0.1)
    vq.set_params(growth__base__distribution_factor=0.4, growth__base="gsom")
    assert vq.parts().growth.base.distribution_factor == 0.4
    clone(SomVQ(growth=DEEP)).set_params(growth__base__notches=None)
    assert DEEP.base.notches == 0.6
    with pytest.raises(ValueError, match="'spread' for growth Directed"):
        SomVQ(growth=DEEP).set_params(growth__base__spread=1)


def test_a_saved_tree_answers_the_same(tmp_path, digits):
    X, y = digits
    growth = {"name": "hierarchical", "tau_2": 0.005}
    clf = SomClassifier(growth=growth, max_neurons=20, epochs=20).fit(X, y)
    clf.save(tmp_path / "tree.npz")
    again = load(tmp_path / "tree.npz")
    assert set(vars(again)) == set(vars(clf)) - {"_ended_in"}  # leaves of training samples
    assert len(again.leaf_paths_) > len(again.weights_)
    for method in ("predict_proba", "bmu_path", "transform"):
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(clf, method)(X))
    for name in ("leaf_labels_", "leaf_hit_counts_", "leaf_paths_", "leaf_weights_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clf, name))
    again.set_params(max_neurons=9).fit(X, y)  # what the estimator fills in stays free
