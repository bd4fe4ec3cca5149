"""``spreading_factor="auto"``: the size of a map chosen by samples that are held out."""

import pickle

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.estimators.sizing import TRIED

FEW = {"epochs": 24, "tol": 0}


def strip(n=240):
    """Return points on a wave: the more neurons, the better."""
    t = np.linspace(0, 6, n)
    return np.column_stack([t, np.sin(2 * t)])[np.random.default_rng(0).permutation(n)]


def groups(n=240):
    """Return sixteen tight groups, which a map of fewer neurons cannot tell apart."""
    places = np.stack(np.divmod(np.arange(n) % 16, 4), axis=1)
    return places + 0.02 * np.random.default_rng(0).normal(size=(n, 2))


def noise(n=240):
    """Return points that many neurons overfit."""
    return np.random.default_rng(0).normal(size=(n, 12))


def test_the_map_is_that_of_the_factor_which_was_chosen():
    X = strip()
    auto = SomVQ(spreading_factor="auto", **FEW).fit(X)
    again = SomVQ(spreading_factor=auto.spreading_factor_, **FEW).fit(X)
    np.testing.assert_array_equal(auto.weights_, again.weights_)
    assert again.sizes_tried_ == ()
    lines = repr(auto.sizes_tried_).splitlines()
    assert lines[0].split() == ["spreading_factor", "neurons", "loss", "excess", "error"]
    (chosen,) = (line for line in lines if line.endswith("<- chosen"))
    assert chosen.split()[0] == str(auto.spreading_factor_)
    assert pickle.loads(pickle.dumps(auto)).sizes_tried_ == auto.sizes_tried_


def test_what_needs_more_neurons_gets_them():
    # Two sizes fall short of the groups, and those after the first of noise, by three standard
    # errors and more: the choice must not hang on how exactly maps are trained.
    many = SomVQ(spreading_factor="auto", max_neurons=78, **FEW).fit(groups())
    few = SomVQ(spreading_factor="auto", **FEW).fit(noise())
    assert few.spreading_factor_ < many.spreading_factor_
    for found in (many, few):
        tried = found.sizes_tried_
        assert [one.spreading_factor for one in tried] == list(TRIED[: len(tried)])
        assert np.all(np.diff([one.neurons for one in tried]) >= 0)  # one map that grows on
        assert min(one.excess for one in tried) == 0
        within = [one.spreading_factor for one in tried if one.excess <= one.error]
        assert found.spreading_factor_ == within[0]


def test_classes_some_of_them_unknown_and_targets_with_gaps():
    X = strip()
    y = (X[:, 1] > 0).astype(int)
    some = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    clf = SomClassifier(spreading_factor="auto", unlabelled=-1, **FEW).fit(X, some)
    assert clf.score(X, y) > 0.9
    assert 0 <= clf.sizes_tried_[0].loss < 0.5
    gaps = np.where(np.arange(len(X)) % 4, X[:, 1], np.nan)
    regressor = SomRegressor(spreading_factor="auto", **FEW).fit(X, gaps)
    assert regressor.sizes_tried_[0].loss < 0.5  # in variances


def test_what_goes_on_keeps_its_factor(tmp_path):
    X = strip()
    vq = SomVQ(spreading_factor="auto", **FEW).fit(X)
    assert np.all(vq.stability(X, n=2).sizes < 2 * len(vq.neurons_))
    vq.save(tmp_path / "map.npz")
    again = SomVQ.load(tmp_path / "map.npz")
    assert again.spreading_factor == "auto"
    assert again.partial_fit(X[:30]).spreading_factor_ == vq.spreading_factor_


@pytest.mark.parametrize(
    ("growth", "told"),
    [
        ("fixed", "has no spreading_factor; leave spreading_factor='auto' out"),
        ({"name": "directed", "spreading_factor": 0.3}, "'auto' contradicts growth's"),
        ({"name": "directed", "threshold": "entropy"}, "no effect with threshold 'entropy'"),
    ],
)
def test_growth_without_a_free_factor_is_refused(growth, told):
    with pytest.raises(ValueError, match=told):
        SomVQ(spreading_factor="auto", growth=growth).fit(strip())


def test_few_samples_keep_the_default():
    vq = SomVQ(spreading_factor="auto", **FEW).fit(strip(19))
    assert (vq.spreading_factor_, vq.sizes_tried_) == (0.5, ())
