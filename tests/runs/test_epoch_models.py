"""Models of the map as it was after every so many epochs of a run."""

import numpy as np
import pytest
from sklearn.base import clone

import dbgsom_core
from dbgsom_core import persistence
from dbgsom_core.interfaces.stopping import STOP, StoppingComponent
from dbgsom_core.runs.folder import RunFiles
from dbgsom_core.runs.pipeline import Checkpoint

CONFIG = {
    "experiment": "flowers",
    "dataset": "iris",
    "split": {"test_size": 0.2},
    "prepare": ["standardize"],
    "measures": [],
    "figures": [],
}


def ran(place, **model):
    tracking = {"name": "run_folder", "path": str(place), "checkpoint_models": 2}
    model = {"estimator": "classifier", "epochs": 7, "tol": 0, **model}
    return dbgsom_core.run({**CONFIG, "model": model, "tracking": tracking})


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"spreading_factor": "auto"},
        {"growth": {"name": "hierarchical", "base": "directed", "tau_2": 0.1}},
        {"growth": "gsom", "metric": "manhattan"},
    ],
)
def test_they_are_those_of_a_training_that_a_callback_ends_there(tmp_path, model):
    found = ran(tmp_path, **model)
    kept = RunFiles(found.folder).epoch_models()
    assert list(kept) == [2, 4, 6]
    trained = found.model.estimator
    labels = found.model.predict(np.array([[5.0, 3.4, 1.5, 0.2]]))
    for epoch, path in kept.items():
        again = persistence.load(path)
        assert again.estimator.n_iter_ == epoch
        assert len(again.estimator.weights_) == trained.history_[epoch - 1].neurons
        assert again.predict(np.array([[5.0, 3.4, 1.5, 0.2]])) == labels
    assert not (found.folder / "checkpoints").exists()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_the_bit_and_what_was_trained_stays(tmp_path, iris, dtype):
    X, y = iris[0].astype(dtype), iris[1]
    models = Checkpoint(RunFiles(tmp_path), every=3)
    trained = dbgsom_core.SomClassifier(
        epochs=10, tol=0, random_state=1, callbacks=[models.keep_epoch]
    )
    trained.fit(X, y).set_params(callbacks=None)
    before = trained.weights_.copy()
    made = models.epoch_models(trained, X, y)
    assert list(made) == [3, 6, 9]
    for epoch, model in made.items():
        stopping = [lambda record, end=epoch: STOP if record.epoch == end else None]
        twin = clone(trained).set_params(callbacks=stopping).fit(X, y)
        np.testing.assert_array_equal(model.weights_, twin.weights_)
        np.testing.assert_array_equal(model.predict_proba(X), twin.predict_proba(X))
        np.testing.assert_array_equal(model.score_samples(X), twin.score_samples(X))
        assert model.history_ == trained.history_[:epoch]
    np.testing.assert_array_equal(trained.weights_, before)


class SecondIsBest(StoppingComponent):
    def is_best(self, state):
        return state.history[-1].epoch == 2

    def stop(self, state):
        return False


def test_the_last_epoch_has_one_where_the_model_is_of_another(tmp_path, iris):
    models = Checkpoint(RunFiles(tmp_path), every=2)
    som = dbgsom_core.SomVQ(epochs=6, tol=0, random_state=1, stopping=SecondIsBest())
    trained = (
        clone(som).set_params(callbacks=[models.keep_epoch]).fit(iris[0]).set_params(callbacks=None)
    )
    made = models.epoch_models(trained, iris[0], None)
    assert list(made) == [4, 6]
    last = clone(som).set_params(stopping=None).fit(iris[0])
    np.testing.assert_array_equal(made[6].weights_, last.weights_)
    assert made[6].n_iter_ == made[6].kept_epoch_ == 6


def test_one_that_cannot_be_made_is_told_and_loses_no_run(tmp_path, iris):
    models = Checkpoint(RunFiles(tmp_path), every=2)
    som = dbgsom_core.SomVQ(epochs=6, tol=0, random_state=1, callbacks=[models.keep_epoch])
    trained = som.fit(iris[0]).set_params(callbacks=None)
    (tmp_path / "checkpoints" / "epochs" / "epoch-2.npz").write_bytes(b"torn")
    with pytest.warns(UserWarning, match=r"no model of epoch 2 can be made \(CheckpointError"):
        assert list(models.epoch_models(trained, iris[0], None)) == [4]


def test_a_run_that_goes_on_has_those_from_before(tmp_path, iris):
    class BrokenOffError(Exception):
        pass

    def interrupt(record):
        if record.epoch == 5:
            raise BrokenOffError

    interrupt.vital = True
    noted = tmp_path / "fit.npz"
    checkpoint = dbgsom_core.estimators.checkpoints.Checkpoints(noted, seconds=0)
    som = dbgsom_core.SomVQ(epochs=8, tol=0, random_state=1, checkpoint=checkpoint)
    with pytest.raises(BrokenOffError):
        clone(som).set_params(
            callbacks=[Checkpoint(RunFiles(tmp_path), every=2).keep_epoch, interrupt]
        ).fit(iris[0])
    models = Checkpoint(RunFiles(tmp_path), every=2)
    trained = clone(som).set_params(callbacks=[models.keep_epoch]).fit(iris[0])
    trained.set_params(callbacks=None, checkpoint=None)
    made = models.epoch_models(trained, iris[0], None)
    assert list(made) == [2, 4, 6]
    whole = dbgsom_core.SomVQ(epochs=8, tol=0, random_state=1)
    twin = whole.set_params(callbacks=[lambda one: STOP if one.epoch == 2 else None]).fit(iris[0])
    np.testing.assert_array_equal(made[2].weights_, twin.weights_)
