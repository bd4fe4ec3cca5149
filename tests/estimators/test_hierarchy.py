"""Child maps: which neurons get one, and everything that follows them."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from dbgsom_core import SomClassifier, SomVQ, presets
from dbgsom_core.persistence import load
from dbgsom_plugins.growth.directed import Directed
from dbgsom_plugins.growth.fixed import Hierarchical

pytestmark = pytest.mark.one_version

SMALL = Directed(spreading_factor=0.05, class_growth=False)
DEEP = Hierarchical(base=SMALL, tau_2=0.004, max_depth=3, min_samples=10)
LABELS = [[0, 1, 2], [10, 20, 30], [-5, 0, 7], ["x", "y", "z"], [2.0, 4.0, 6.0]]


@pytest.fixture(scope="module")
def digits(digits):
    """Return enough digits for maps of maps of maps."""
    X, y = digits
    return X[:600], y[:600]


@parametrize_with_checks(
    [
        SomVQ(growth="hierarchical", epochs=12),
        SomClassifier(
            **presets.square(),
            growth=Hierarchical(base=SMALL, tau_2=0.02, min_samples=4),
            epochs=12,
        ),
    ]
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


# ----------------------------------------------------------------- the defects of a peer, by number


@pytest.mark.parametrize("labels", LABELS)
def test_05_vertical_growth_does_not_depend_on_how_classes_are_written(labels, iris):
    X, y = iris
    growth = Hierarchical(base=SMALL, tau_2=0.02, min_samples=8)
    names = np.asarray(labels)
    majority = {**presets.square(), "labeller": "majority"}
    plain, clf = (SomClassifier(growth=growth, **majority).fit(X, t) for t in (y, names[y]))
    assert len(plain.leaf_paths_) > len(plain.neurons_)
    np.testing.assert_array_equal(clf.predict(X), names[plain.predict(X)])
    np.testing.assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(clf.leaf_weights_, plain.leaf_weights_)
    flat = SomClassifier(growth=SMALL, **majority).fit(X, names[y])
    assert clf.score(X, names[y]) > flat.score(X, names[y])


def test_06_the_clusterer_follows_its_child_maps(digits):
    X = digits[0]
    vq = SomVQ(growth=DEEP).fit(X)
    assert vq.leaf_paths_.shape[1] == 3
    np.testing.assert_array_equal(vq.predict(X), vq.labels_)
    np.testing.assert_array_equal(np.unique(vq.labels_), np.arange((vq.leaf_hit_counts_ > 0).sum()))
    # Samples of one neuron of the root end in several clusters, those of two neurons in none.
    roots = vq.bmu(X)
    clusters = [set(vq.labels_[roots == neuron]) for neuron in range(len(vq.neurons_))]
    assert max(map(len, clusters)) > 3
    assert sum(map(len, clusters)) == len(set.union(*clusters))
    half = vq.predict(X[::2])
    np.testing.assert_array_equal(half, vq.labels_[::2])


# ------------------------------------------------------------------------ which neurons get a child


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_the_children_are_those_of_the_vertical_rule(metric, digits):
    X = digits[0]
    tau_2, least, deepest = 0.01, 25, 3
    growth = Hierarchical(base=SMALL, tau_2=tau_2, min_samples=least, max_depth=deepest)
    vq = SomVQ(growth=growth, metric=metric).fit(X)
    name = {"euclidean": "euclidean", "manhattan": "cityblock"}[metric]
    qe_0 = cdist(X, X.mean(axis=0)[None], name).sum()
    seen = 0

    def check(som_map, samples, depth):
        nonlocal seen
        distances = cdist(samples, som_map.prototypes, name)
        bmu = distances.argmin(axis=1)
        for neuron in range(len(som_map)):
            own = bmu == neuron
            error = distances[own, neuron].sum()
            wanted = error > tau_2 * qe_0 and own.sum() >= least and depth < deepest
            assert (neuron in som_map.children) == wanted
            if wanted:
                seen += 1
                check(som_map.children[neuron], samples[own], depth + 1)

    check(vq.som_map_, X, 1)
    assert seen > 5


def test_a_child_is_the_map_that_a_user_would_train_on_its_samples(digits):
    X = digits[0]
    vq = SomVQ(growth=DEEP).fit(X)
    bmu = vq.bmu(X)
    for neuron, child in list(vq.som_map_.children.items())[:3]:
        alone = SomVQ(growth=SMALL).fit(X[bmu == neuron])
        np.testing.assert_array_equal(child.prototypes, alone.weights_)
        np.testing.assert_array_equal(child.positions, alone.neurons_)


# ---------------------------------------------------------------------------- what estimators offer


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_answer_is_about_the_leaves(dtype, digits):
    X, y = digits[0].astype(dtype), digits[1]
    clf = SomClassifier(growth=DEEP, labeller="majority").fit(X, y)
    n_leaves = len(clf.leaf_paths_)
    assert n_leaves > len(clf.weights_)
    path = clf.bmu_path(X)
    assert path.dtype == np.int64
    assert path.shape == (len(X), 3)
    np.testing.assert_array_equal(path[:, 0], clf.bmu(X))
    ends = (path[:, None] == clf.leaf_paths_[None]).all(axis=2)
    assert (ends.sum(axis=1) == 1).all()
    leaf = ends.argmax(axis=1)
    np.testing.assert_array_equal(np.bincount(leaf, minlength=n_leaves), clf.leaf_hit_counts_)
    assert clf.leaf_weights_.dtype == dtype
    gaps = np.linalg.norm(X.astype(np.float64) - clf.leaf_weights_[leaf].astype(np.float64), axis=1)
    assert clf.quantization_error_ == pytest.approx(gaps.mean(), rel=1e-6)
    assert clf.calculate_quantization_error(X) == pytest.approx(clf.quantization_error_)
    # A leaf answers with the shares of the classes among the samples that ended in it.
    for one in np.unique(leaf)[::7]:
        shares = np.bincount(y[leaf == one], minlength=10) / (leaf == one).sum()
        np.testing.assert_allclose(clf.predict_proba(X[leaf == one][:1])[0], shares)
    np.testing.assert_array_equal(clf.predict(X), clf.labels_)
    np.testing.assert_array_equal(clf.predict(X), clf.predict_proba(X).argmax(axis=1))


def test_observers_hear_of_the_first_map_alone(digits, capsys):
    heard = []
    vq = SomVQ(growth=DEEP, callbacks=[heard.append], verbose=2).fit(digits[0])
    assert vq.som_map_.children
    assert tuple(heard) == vq.history_
    assert len(capsys.readouterr().out.splitlines()) == len(heard)
    assert vq.growing_threshold_ == SomVQ(growth=SMALL).fit(digits[0]).growing_threshold_


def test_the_cap_of_a_child_map_is_kept_and_not_told(digits):
    base = Directed(spreading_factor=0.999, when="every_epoch", max_neurons=9)
    vq = SomVQ(growth=Hierarchical(base=base, tau_2=0.01)).fit(digits[0])
    assert {len(som_map) for som_map in vq._tree.maps} == {9}
    automatic = base.model_copy(update={"max_neurons": "auto"})
    with pytest.warns(UserWarning, match="max_neurons='auto', 36 neurons") as told:
        SomVQ(growth=Hierarchical(base=automatic, tau_2=0.01, min_samples=4)).fit(digits[0][:50])
    assert len(told) == 1


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
        given = {**presets.square(), "spreading_factor": filled.get("growth")}
        clf = SomClassifier(growth=growth, **given).fit(X, y)
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
