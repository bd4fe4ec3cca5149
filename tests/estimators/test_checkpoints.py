"""A fit that is interrupted and goes on leaves the same bits as one that is not."""

import json
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.errors import CheckpointError
from dbgsom_core.estimators import checkpoints
from dbgsom_core.estimators.checkpoints import Checkpoints
from dbgsom_core.training import state

SMALL = {"name": "directed", "spreading_factor": 0.1}


@dataclass(frozen=True)
class EveryEpoch(Checkpoints):
    """Checkpoints that keep a copy of each in ``copies``."""

    seconds: float = 0.0
    copies: list[Path] = field(default_factory=list, compare=False)

    def write(self, *state):
        super().write(*state)
        copy = self.path.with_name(f"copy-{len(self.copies)}.npz")
        shutil.copy(self.path, copy)
        self.copies.append(copy)


def every_epoch(estimator, folder, *data, method="fit", **given):
    """Fit, and return the checkpoints that were written on the way."""
    checkpoints = EveryEpoch(folder / "fit.npz")
    getattr(estimator.set_params(checkpoint=checkpoints), method)(*data, **given)
    estimator.set_params(checkpoint=None)
    assert not checkpoints.path.exists(), "a fit that has ended leaves its checkpoint"
    return checkpoints.copies


def resumed(estimator, copy, *data, method="fit", **given):
    """Fit from a checkpoint, of which a copy is given."""
    path = copy.with_name("again.npz")
    shutil.copy(copy, path)
    getattr(estimator.set_params(checkpoint=path), method)(*data, **given)
    return estimator.set_params(checkpoint=None)


def written(estimator, folder):
    """Return all that a model file holds of an estimator, but how long it took."""
    path = folder / "model.npz"
    estimator.save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "header"}
        header = json.loads(bytes(file["header"]))
    for record in header["estimator"]["history"]:
        del record["seconds"]
    return header, arrays


def assert_same(one, other, folder):
    """Compare every bit."""
    (header, arrays), (header_2, arrays_2) = written(one, folder), written(other, folder)
    assert header == header_2
    assert arrays.keys() == arrays_2.keys()
    for name, array in arrays.items():
        assert array.dtype == arrays_2[name].dtype
        assert array.tobytes() == arrays_2[name].tobytes(), name


class StoppedError(BaseException):
    """Ends a fit as a signal would."""


def interrupted(estimator, path, after, *data):
    """Fit until so many epochs have run and been written down."""

    class Stop:
        vital = True  # what it raises ends the fit

        def __call__(self, record):
            if record.epoch > after:
                raise StoppedError

    estimator.set_params(checkpoint=Checkpoints(path, seconds=0.0), callbacks=[Stop()])
    with pytest.raises(StoppedError):
        estimator.fit(*data)
    return path


@pytest.fixture
def tables(iris):
    """Samples of which the fast search takes the larger, and what else a fit may be given."""
    X, y = iris
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(40, 16)) * 3
    many = centres[rng.integers(40, size=2100)] + rng.normal(size=(2100, 16))
    # Beside one sample that is far away, float32 does not tell the others apart.
    far = np.vstack([1e-4 * rng.normal(size=(2100, 16)), np.full((1, 16), 1e3)])
    gaps = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    gaps[np.isnan(gaps).all(axis=1)] = 0.0
    labels = (many[:, 0] > 0).astype(int)
    return {
        "iris": (X,),
        "classes": (X, y),
        "many": (many,),
        "many32": (many.astype(np.float32),),
        "labelled": (many, labels),
        "far": (far,),
        "gaps": (gaps,),
        "sparse": (csr_array(np.where(X > 1, X, 0)),),
    }


CASES = [
    (SomVQ, "iris", {"init": "random", "random_state": 1}),
    (SomVQ, "many", {"max_neurons": 70}),
    (SomVQ, "many32", {"spreading_factor": 0.4, "tol": 0.0}),
    (SomVQ, "many32", {"growth": {**SMALL, "when": "every_epoch"}}),
    (SomVQ, "far", {"max_neurons": 20}),
    (SomClassifier, "labelled", {"max_neurons": 30}),
    (SomClassifier, "classes", {"growth": {"name": "directed", "threshold": "entropy"}}),
    (SomVQ, "gaps", {}),
    (SomVQ, "sparse", {"metric": "cosine"}),
    (SomVQ, "iris", {"growth": {"name": "gsom", "max_neurons": 30}}),
    (SomVQ, "iris", {"growth": {**SMALL, "smooth_before_growth": True}}),
    (SomVQ, "iris", {"metric": "manhattan"}),
    (SomRegressor, "classes", {}),
    (SomVQ, "many32", {"growth": {"name": "hierarchical", "base": SMALL}, "epochs": 12}),
    (SomVQ, "many", {"growth": "growing_grid"}),
    (SomVQ, "iris", {"growth": {"name": "directed", "prune": 1, "may_disconnect": True}}),
]


@pytest.mark.parametrize(("cls", "table", "params"), CASES)
def test_a_fit_goes_on_to_the_same_bits_from_every_epoch(cls, table, params, tables, tmp_path):
    params = {"epochs": 24, **params}
    data = tables[table]
    whole = cls(**params).fit(*data)
    copies = every_epoch(cls(**params), tmp_path, *data)
    assert len(copies) >= 5
    for copy in copies[:: 1 + len(copies) // 12]:  # child maps have epochs of their own
        assert_same(resumed(cls(**params), copy, *data), whole, tmp_path)


def test_weights_and_training_that_goes_on(tables, tmp_path):
    (X,) = tables["many"]
    weights = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    whole = SomVQ(epochs=15).fit(X, sample_weight=weights)
    for copy in every_epoch(SomVQ(epochs=15), tmp_path, X, sample_weight=weights)[::3]:
        again = resumed(SomVQ(epochs=15), copy, X, sample_weight=weights)
        assert_same(again, whole, tmp_path)
    whole.partial_fit(2 * X)
    (tmp_path / "more").mkdir()
    before = SomVQ(epochs=15).fit(X, sample_weight=weights)
    for copy in every_epoch(before, tmp_path / "more", 2 * X, method="partial_fit"):
        again = SomVQ(epochs=15).fit(X, sample_weight=weights)
        assert_same(resumed(again, copy, 2 * X, method="partial_fit"), whole, tmp_path)


def test_callbacks_hear_the_epochs_that_are_left_and_time_goes_on(iris, tmp_path):
    path = interrupted(SomVQ(), tmp_path / "fit.npz", 7, iris[0])
    heard = []
    vq = SomVQ(checkpoint=path, callbacks=[heard.append]).fit(iris[0])
    assert [record.epoch for record in heard] == list(range(8, vq.n_iter_ + 1))
    assert [record.epoch for record in vq.history_] == list(range(1, vq.n_iter_ + 1))
    seconds = [record.seconds for record in vq.history_]
    assert seconds == sorted(seconds)
    assert list(tmp_path.iterdir()) == []


def test_a_generator_is_left_as_without_the_interruption(iris, tmp_path):
    whole = np.random.RandomState(4)
    SomVQ(init="random", random_state=whole).fit(iris[0])
    first, again = np.random.RandomState(4), np.random.RandomState(4)
    path = interrupted(SomVQ(init="random", random_state=first), tmp_path / "fit.npz", 5, iris[0])
    SomVQ(init="random", random_state=again, checkpoint=path).fit(iris[0])
    assert again.randint(10**9) == whole.randint(10**9)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"epochs": 90}, "epochs was 100 and is 90"),
        ({"spreading_factor": 0.4}, r"growth.spreading_factor was 0.5 and is 0.4"),
        ({"metric": "cosine"}, "metric was euclidean of dbgsom-core"),
        ({"init": np.zeros((4, 4))}, "init was pca of dbgsom-core .* and is 4 × 4 float64"),
    ],
)
def test_a_checkpoint_of_other_parameters_is_refused(params, told, iris, tmp_path):
    path = interrupted(SomVQ(), tmp_path / "fit.npz", 5, iris[0])
    kept = path.read_bytes()
    with pytest.raises(CheckpointError, match=told + ".*remove it"):
        SomVQ(checkpoint=path, **params).fit(iris[0])
    assert path.read_bytes() == kept


def test_a_checkpoint_of_other_data_or_version_is_refused(iris, tmp_path, monkeypatch):
    X, y = iris
    path = interrupted(SomVQ(), tmp_path / "fit.npz", 5, X)
    changed = X.copy()
    changed[77, 2] += 1e-9
    for other in (changed, X[:-1], X.astype(np.float32)):
        with pytest.raises(CheckpointError, match=r"X was 150 × 4 float64 with digest .* and is"):
            SomVQ(checkpoint=path).fit(other)
    with pytest.raises(CheckpointError, match="sample_weight was none"):
        SomVQ(checkpoint=path).fit(X, sample_weight=np.full(150, 2.0))
    with pytest.raises(CheckpointError, match="y was none"):
        SomClassifier(checkpoint=path).fit(X, y)
    monkeypatch.setattr(checkpoints, "__version__", "9.9")
    with pytest.raises(CheckpointError, match=r"dbgsom-core was .* and is 9\.9"):
        SomVQ(checkpoint=path).fit(X)


def test_a_checkpoint_of_another_format_is_refused(iris, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "FORMAT", checkpoints.FORMAT - 1)
        path = interrupted(SomVQ(), tmp_path / "fit.npz", 5, iris[0])
    with pytest.raises(CheckpointError, match=r"has a format that .* does not read; remove it"):
        SomVQ(checkpoint=path).fit(iris[0])


def test_it_is_written_once_in_so_many_seconds(iris, tmp_path, monkeypatch):
    clock, written = [0.0], []
    monkeypatch.setattr(state.time, "monotonic", lambda: clock[0])

    class Slow(Checkpoints):
        def write(self, facts, states, random_state=None):
            super().write(facts, states, random_state)
            written.append(len(states[()].history))

    def second(record):
        clock[0] += 1.0

    where = Slow(tmp_path / "fit.npz", seconds=5.0)
    SomVQ(epochs=20, tol=0, checkpoint=where, callbacks=[second]).fit(iris[0])
    assert written == [5, 10, 15]  # and not after the last epoch


def test_a_damaged_checkpoint_is_refused(iris, tmp_path):
    path = interrupted(SomVQ(), tmp_path / "fit.npz", 5, iris[0])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match=r"is damaged.*remove it"):
        SomVQ(checkpoint=path).fit(iris[0])


def test_paths_that_are_none_and_a_disk_that_is_full(iris, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="checkpoint must be the path of a file"):
        SomVQ(checkpoint=3).fit(iris[0])
    with pytest.raises(CheckpointError, match="is a folder"):
        SomVQ(checkpoint=tmp_path).fit(iris[0])

    def full(*given, **named):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoints, "write_archive", full)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vq = SomVQ(checkpoint=Checkpoints(tmp_path / "fit.npz", seconds=0.0)).fit(iris[0])
    assert [str(one.message).count("training goes on") for one in caught] == [1]
    assert vq.n_iter_ > 5
