"""SomVQ and SomClassifier as scikit-learn users meet them."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_plugins.growth.directed import Directed
from dbgsom_plugins.training import Gaussian


@parametrize_with_checks(
    [
        SomVQ(),
        SomClassifier(epochs=30),
        SomRegressor(epochs=30),
        SomVQ(epochs=30, labeller="clusters"),
    ]
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


def test_parts_are_given_by_name_mapping_or_instance_alike(iris):
    X, _ = iris
    by_mapping = SomVQ(growth={"name": "directed", "spreading_factor": 0.3}).fit(X)
    by_instance = SomVQ(growth=Directed(spreading_factor=0.3)).fit(X)
    by_filling = SomVQ(growth="directed", spreading_factor=0.3).fit(X)
    by_access = SomVQ().set_params(growth__spreading_factor=0.3).fit(X)
    for other in (by_instance, by_filling, by_access):
        np.testing.assert_array_equal(other.weights_, by_mapping.weights_)


def test_inner_parameters_are_read_and_set_without_changing_the_part():
    kernel = Gaussian(start=3.0)
    estimator = SomVQ(kernel=kernel)
    assert estimator.get_params()["kernel__start"] == 3.0
    assert estimator.get_params()["growth__spreading_factor"] == 0.5
    estimator.set_params(kernel__end=0.25, growth__spreading_factor=0.2, epochs=7)
    assert (estimator.kernel.start, estimator.kernel.end) == (3.0, 0.25)
    assert estimator.growth == {"name": "directed", "spreading_factor": 0.2}
    assert kernel.end == 0.5
    assert clone(estimator).get_params() == estimator.get_params()
    with pytest.raises(ValueError, match="did you mean 'start'"):
        estimator.set_params(kernel__strat=1.0)
    with pytest.raises(ValueError, match="sprading"):
        estimator.set_params(sprading_factor=1.0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"spreading_factor": 1.5}, r"growth\.spreading_factor must be .*1.*not 1\.5"),
        ({"max_neurons": 3}, "max_neurons must be at least 4"),
        ({"epochs": 0}, r"'epochs' parameter of SomVQ must be an int in the range \[1, inf\)"),
        ({"random_state": "seven"}, "random_state must be None"),
        ({"init": "pcs"}, "initialisation 'pcs'; did you mean 'pca'"),
        ({"init": np.zeros((3, 4))}, r"shape \(4, 4\)"),
        ({"init": np.full((4, 4), np.nan)}, "finite"),
        ({"metric": "euclidian"}, "did you mean 'euclidean'"),
        ({"kernel": {"start": 1.0}}, "a mapping with a 'name'"),
        (
            {"kernel": {"name": "gaussian", "start": "wide"}},
            r"kernel\.start must be a number or 'auto', not 'wide'",
        ),
        ({"kernel": Directed()}, "Directed is no kernel"),
        ({"growth": 7}, "growth must be a name"),
        ({"growth": "fixed", "spreading_factor": 0.5}, "Fixed has no spreading_factor"),
        (
            {"growth": {"name": "directed", "spreading_factor": 0.2}, "spreading_factor": 0.5},
            "contradicts",
        ),
        ({"labeller": "majority"}, "needs class labels"),
        ({"callbacks": 3}, "callbacks must be a list of callables or observers, not 3"),
        ({"callbacks": [3]}, "callbacks must hold callables or observers, not 3"),
    ],
)
def test_a_wrong_parameter_is_told_by_fit_in_one_sentence(params, message, iris):
    with pytest.raises(ValueError, match=message) as caught:
        SomVQ(**params).fit(iris[0])
    assert "\n" not in str(caught.value)


def test_float32_stays_float32_and_gives_nearly_the_same_map(digits):
    X = digits[0].astype(np.float32)
    single, double = SomVQ(epochs=30).fit(X), SomVQ(epochs=30).fit(digits[0])
    assert single.weights_.dtype == single.transform(X[:5], "distances").dtype == np.float32
    assert single.neurons_ == double.neurons_
    np.testing.assert_allclose(single.weights_, double.weights_, rtol=1e-5, atol=1e-4)


def test_bmu_lists_the_nearest_neurons_first(iris):
    X, _ = iris
    vq = SomVQ(epochs=20).fit(X)
    distances = np.linalg.norm(X[:, None] - vq.weights_[None], axis=2)
    np.testing.assert_array_equal(vq.bmu(X, 3), np.argsort(distances, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(vq.transform(X, "distances"), distances)
    assert vq.score(X) == pytest.approx(-distances.min(axis=1).mean())
    with pytest.raises(ValueError, match="algorithm must be 'mixture' or 'distances'"):
        vq.transform(X, "pca")
    with pytest.raises(ValueError, match="between 1 and"):
        vq.bmu(X, 10_000)


@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_a_sparse_transform_holds_the_same_coefficients(container, digits):
    X = digits[0].astype(np.float32)
    vq = SomVQ(max_neurons=40, epochs=10).fit(X)
    samples = container(X[:70])
    sparse = vq.transform(samples, sparse=True)
    assert sparse.dtype == np.float32
    np.testing.assert_array_equal(sparse.toarray(), vq.transform(samples))
    with pytest.raises(ValueError, match="distances are not sparse"):
        vq.transform(samples, "distances", sparse=True)


def test_inverse_transform_goes_back_to_the_space_of_the_samples(digits):
    X = digits[0]
    vq = SomVQ(max_neurons=40, epochs=10).fit(X)
    coefficients = vq.transform(X[:60])
    again = vq.inverse_transform(coefficients)
    np.testing.assert_allclose(again, coefficients @ vq.weights_)
    np.testing.assert_allclose(vq.inverse_transform(csr_array(coefficients)), again)
    table = vq.set_output(transform="pandas").transform(X[:60])
    np.testing.assert_array_equal(vq.inverse_transform(table), again)
    # At least as near as the nearest prototype: a mixture may be that prototype alone.
    nearest = np.linalg.norm(X[:60, None] - vq.weights_, axis=2).min(axis=1)
    assert (np.linalg.norm(again - X[:60], axis=1) <= nearest).all()


def test_inverse_transform_says_why_it_cannot(digits):
    vq = SomVQ(max_neurons=12, epochs=5).fit(digits[0])
    with pytest.raises(ValueError, match="X has 3 coefficients a sample, but transform gives 12"):
        vq.inverse_transform(np.ones((2, 3)))
    vq.set_params(transform_algorithm="distances")
    with pytest.raises(ValueError, match="needs mixture coefficients"):
        vq.inverse_transform(np.ones((2, 12)))
    cosine = SomVQ(metric="cosine", max_neurons=12, epochs=5).fit(digits[0])
    with pytest.raises(ValueError, match="metric Cosine has its own"):
        cosine.inverse_transform(np.ones((2, 12)))


def test_cluster_centers_are_what_predict_numbers(digits):
    X = digits[0]
    vq = SomVQ(growth={"name": "fixed", "rows": 12, "columns": 12}, epochs=10).fit(X[:150])
    assert (vq.hit_counts_ == 0).any()  # neurons that no label stands for
    np.testing.assert_array_equal(vq.cluster_centers_, vq.weights_[vq.hit_counts_ > 0])
    distances = np.linalg.norm(X[:, None] - vq.cluster_centers_, axis=2)
    np.testing.assert_array_equal(vq.predict(X), distances.argmin(axis=1))
    grouped = SomVQ(max_neurons=30, epochs=10, labeller="clusters").fit(X)
    for label, center in enumerate(grouped.cluster_centers_):
        hits = np.where(grouped.neuron_labels_ == label, grouped.hit_counts_, 0)
        np.testing.assert_allclose(center, hits @ grouped.weights_ / hits.sum())


def test_callbacks_hear_every_epoch_and_one_that_raises_stops_nothing(iris):
    epochs, records = [], []

    class Observer:
        def dbgsom_epoch_finished(self, epoch):
            epochs.append(epoch.epoch)

    def broken(record):
        raise RuntimeError("no")

    with pytest.warns(UserWarning, match="training goes on"):
        vq = SomVQ(epochs=6, tol=0.0, callbacks=[broken, records.append, Observer()]).fit(iris[0])
    assert epochs == [1, 2, 3, 4, 5, 6]
    assert tuple(records) == vq.history_
    assert records[-1].quantization_error == pytest.approx(vq.quantization_error_)


def test_a_map_that_collapsed_says_so():
    X = (np.random.default_rng(0).random((200, 12)) < 0.3).astype(float)
    with pytest.warns(UserWarning, match="one of 9 neurons won all 200 samples"):
        SomVQ(metric="hamming", max_neurons=9).fit(X)
