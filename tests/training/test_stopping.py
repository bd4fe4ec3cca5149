"""What ends a training before its last epoch, and what a schedule does to the width."""

from typing import ClassVar

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.api import STOP, StoppingComponent
from dbgsom_core.errors import CheckpointError
from dbgsom_core.estimators.checkpoints import Checkpoints
from dbgsom_plugins.training import Constant, Cyclic

FIXED = {"name": "fixed", "rows": 4, "columns": 5}


def test_the_schedule_comes_before_the_kernels_decay(iris):
    kernel = {"name": "gaussian", "start": 3.0, "end": 0.5, "decay": "linear"}
    fit = SomVQ(growth=FIXED, kernel=kernel, epochs=9, tol=0, schedule="exponential").fit(iris[0])
    widths = [record.width for record in fit.history_]
    np.testing.assert_allclose(widths, 3.0 * (0.5 / 3.0) ** np.linspace(0, 1, 9))
    schedule = Cyclic(cycles=2, damping=0.5)
    widths = [schedule.width(8.0, 0.5, remaining) for remaining in (1.0, 0.75, 0.5, 0.25, 0.0)]
    np.testing.assert_allclose(widths, [8.0, 2.0, 2.0, 1.0, 0.5])
    assert Constant().width(3.0, 0.5, 0.1) == 3.0


def test_a_rule_that_never_stops_changes_no_bit_and_limits_stop(iris):
    usual = SomVQ(epochs=30).fit(iris[0])
    never = {"name": "patience", "validation": 0.0, "epochs": 1000}
    rules = [never, {"name": "converged", "change": 1e-9}]
    ruled = SomVQ(epochs=30, stopping=rules).fit(iris[0])
    assert np.array_equal(ruled.weights_, usual.weights_)
    assert ruled.stopped_by_ == ""
    for rule, epochs in (
        ({"name": "time_limit", "seconds": 1e-9}, 1),
        ({"name": "epoch_limit", "epochs": 6}, 6),
    ):
        assert SomVQ(stopping=[never, rule]).fit(iris[0]).n_iter_ == epochs


def interrupted(estimator, epoch, *data):
    """Fit until an epoch has run and been written down."""

    def interrupt(record):
        if record.epoch == epoch:
            raise KeyboardInterrupt

    interrupt.vital = True
    with pytest.raises(KeyboardInterrupt):
        estimator.set_params(callbacks=[interrupt]).fit(*data)


def test_a_callback_stops_and_reads_the_map(iris):
    seen = []

    def callback(record):
        seen.append(record)
        record.som_map.prototypes[:] = 0  # a copy
        return STOP if len(record.som_map) > 4 else None

    fit = SomVQ(growth="hierarchical", epochs=30, callbacks=[callback]).fit(iris[0])
    assert fit.stopped_by_ == "a callback"
    assert fit.n_iter_ == len(seen) < 30
    assert fit.weights_.any()
    assert not fit.som_map_.children
    with pytest.raises(AttributeError, match="while its callbacks run"):
        _ = seen[-1].som_map


SEEN = []  # by Watch: estimators build rules anew


class Watch(StoppingComponent):
    """Keep what the last epoch's measures see, and the epoch that is named."""

    needs_target: ClassVar[bool] = True
    validation: float = 0.2
    last: int = 6
    best: int = 0

    def watch(self, state):
        held = state.validation
        SEEN.append((held.X.copy(), held.y, held.predictions, held.probabilities))
        return 0.0

    def is_best(self, state):
        return len(state.history) == self.best

    def stop(self, state):
        return len(state.history) == self.last


def test_rules_see_what_the_estimator_would_answer(iris):
    X, y = iris
    names = np.array(["a", "b", "c"])[y].astype(object)
    names[:40:2] = None  # without a class
    SEEN.clear()
    fit = SomClassifier(epochs=20, stopping=Watch(), calibration=0.1).fit(X, names)
    assert (fit.n_iter_, len(fit.labels_), fit.hit_counts_.sum()) == (6, 150, 108)
    samples, truth, answers, probabilities = SEEN[-1]
    assert len(truth) == len(samples) < 30  # a fifth of them, some without a class
    assert set(truth) <= set("abc")
    assert np.array_equal(answers, fit.predict(samples))
    np.testing.assert_allclose(probabilities, fit.predict_proba(samples), rtol=0, atol=1e-12)


def test_rules_see_numbers_of_a_regressor(iris):
    X = iris[0]
    SEEN.clear()
    gaps = np.where(np.arange(150) % 7, X[:, 0], np.nan)
    fit = SomRegressor(epochs=20, stopping=Watch()).fit(X, gaps)
    samples, truth, answers, probabilities = SEEN[-1]
    assert np.array_equal(truth, samples[:, 0])
    assert probabilities is None
    np.testing.assert_allclose(answers, fit.predict(samples))


PURITY = {"name": "patience", "measure": "purity", "epochs": 2}


@pytest.mark.parametrize(
    ("estimator", "y", "told"),
    [
        (SomVQ(stopping=PURITY), None, "stopping Patience needs class labels: give y to fit"),
        (
            SomRegressor(stopping={"name": "patience", "measure": "accuracy"}),
            np.arange(150.0),
            "stopping patience: measure 'accuracy' is for estimator",
        ),
        (
            SomClassifier(stopping=PURITY, unlabelled=0),
            np.r_[[1, 2], np.zeros(148, int)],
            "none of the samples that a stopping rule measures",
        ),
    ],
)
def test_what_a_rule_cannot_measure_is_refused(estimator, y, told, iris):
    with pytest.raises(ValueError, match=told):
        estimator.fit(iris[0], y)


def test_patience_on_accuracy_keeps_the_best_map(iris):
    rule = {"name": "patience", "measure": "accuracy", "epochs": 6, "keep_best": True}
    params = {"growth": FIXED, "epochs": 60, "tol": 0}
    fit = SomClassifier(**params, stopping=rule).fit(*iris)
    assert fit.stopped_by_ == "patience"
    assert fit.n_iter_ == fit.kept_epoch_ + 6 == len(fit.history_)
    # The same splits, trained to that epoch and no further, are the same map.
    shorter = [{**rule, "keep_best": False}, {"name": "epoch_limit", "epochs": fit.kept_epoch_}]
    brief = SomClassifier(**params, stopping=shorter).fit(*iris)
    assert np.array_equal(brief.weights_, fit.weights_)
    assert brief.quantization_error_ == fit.quantization_error_


def test_a_kept_map_is_saved_and_resumed_with_its_births(iris, tmp_path):
    X, y = iris
    params = {"epochs": 30, "stopping": Watch(best=6, last=12)}
    whole = SomClassifier(**params).fit(X, y)
    assert whole.kept_epoch_ == 6
    assert max(event.epoch for event in whole.growth_events_) <= 6
    assert len(whole.som_map_) == 4 + len(whole.growth_events_) < whole.history_[-1].neurons
    params["checkpoint"] = Checkpoints(tmp_path / "fit.npz", seconds=0)
    interrupted(SomClassifier(**params), 9, X, y)
    with pytest.raises(CheckpointError, match="validation targets"):
        SomClassifier(**params).fit(X, 2 - y)
    again = SomClassifier(**params).fit(X, y)
    assert np.array_equal(again.weights_, whole.weights_)
    assert again.growth_events_ == whole.growth_events_
    again.set_params(stopping=None).save(tmp_path / "map.npz")
    loaded = SomClassifier.load(tmp_path / "map.npz")
    assert (loaded.kept_epoch_, loaded.growth_events_) == (6, whole.growth_events_)
