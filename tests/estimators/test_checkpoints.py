"""A fit that is interrupted and goes on leaves the same bits as one that is not."""

import json
import shutil
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
    estimator.save(folder / "model.npz")
    with np.load(folder / "model.npz") as file:
        content = {name: (file[name].dtype, file[name].tobytes()) for name in file.files}
    header = json.loads(content.pop("header")[1])
    for record in header["estimator"]["history"]:
        del record["seconds"]
    return header, content


def assert_same(estimator, other, folder):
    """Compare every bit."""
    assert written(estimator, folder) == written(other, folder)


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
    many = many.astype(np.float32)
    # Beside one sample that is far away, float32 does not tell the others apart.
    far = np.vstack([1e-4 * rng.normal(size=(2100, 16)), np.full((1, 16), 1e3)])
    return {
        "iris": (X,),
        "classes": (X, y),
        "many": (many,),
        "labelled": (many, (many[:, 0] > 0).astype(int)),
        "far": (far,),
        "sparse": (csr_array(np.where(X > 1, X, 0)),),
        "gaps": (np.where(rng.random(X.shape) < 0.03, np.nan, X),),
    }


CASES = [
    (SomVQ, "iris", {"init": "random", "random_state": 1}),
    (SomVQ, "many", {"spreading_factor": 0.4, "tol": 0.0}),
    (SomVQ, "far", {"max_neurons": 20}),
    (SomClassifier, "labelled", {"max_neurons": 30}),
    (SomVQ, "gaps", {}),
    (SomVQ, "sparse", {}),
    (SomRegressor, "classes", {}),
    (SomVQ, "many", {"growth": {"name": "hierarchical", "base": SMALL}, "epochs": 12}),
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
    for copy in every_epoch(SomVQ(epochs=15), tmp_path, X, sample_weight=weights)[::5]:
        again = resumed(SomVQ(epochs=15), copy, X, sample_weight=weights)
        assert_same(again, whole, tmp_path)
    before = SomVQ(epochs=15).fit(X, sample_weight=weights)
    whole.partial_fit(2 * X)
    (tmp_path / "more").mkdir()
    for copy in every_epoch(before, tmp_path / "more", 2 * X, method="partial_fit")[::2]:
        again = SomVQ(epochs=15).fit(X, sample_weight=weights)
        assert_same(resumed(again, copy, 2 * X, method="partial_fit"), whole, tmp_path)


def test_callbacks_hear_the_epochs_that_are_left_and_time_goes_on(iris, tmp_path):
    path = interrupted(SomVQ(), tmp_path / "fit.npz", 7, iris[0])
    records = []
    vq = SomVQ(checkpoint=path, callbacks=records.append).fit(iris[0])
    assert tuple(records) == vq.history_[7:]
    assert [record.epoch for record in vq.history_] == [*range(1, vq.n_iter_ + 1)]
    seconds = [record.seconds for record in vq.history_]
    assert seconds == sorted(seconds)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"epochs": 90}, "epochs was 100 and is 90"),
        ({"spreading_factor": 0.4}, r"growth.spreading_factor was 0.5 and is 0.4"),
    ],
)
def test_a_checkpoint_of_other_parameters_is_refused(params, told, iris, tmp_path):
    path = interrupted(SomVQ(), tmp_path / "fit.npz", 5, iris[0])
    kept = path.read_bytes()
    with pytest.raises(CheckpointError, match=told + ".*remove it"):
        SomVQ(checkpoint=path, **params).fit(iris[0])
    assert path.read_bytes() == kept


def test_a_checkpoint_of_other_data_or_version_is_refused(iris, tmp_path, monkeypatch):
    X = iris[0]
    path = interrupted(SomVQ(), tmp_path / "fit.npz", 5, X)
    changed = X.copy()
    changed[77, 2] += 1e-9
    for other in (changed, X.astype(np.float32)):
        with pytest.raises(CheckpointError, match=r"X was 150 × 4 float64 with digest .* and is"):
            SomVQ(checkpoint=path).fit(other)
    with pytest.raises(CheckpointError, match="sample_weight was none"):
        SomVQ(checkpoint=path).fit(X, sample_weight=np.full(150, 2.0))
    monkeypatch.setattr(checkpoints, "__version__", "9.9")
    with pytest.raises(CheckpointError, match=r"dbgsom-core was .* and is 9\.9"):
        SomVQ(checkpoint=path).fit(X)


def test_a_checkpoint_that_cannot_be_read_is_refused(iris, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "FORMAT", checkpoints.FORMAT - 1)
        path = interrupted(SomVQ(), tmp_path / "fit.npz", 5, iris[0])
    with pytest.raises(CheckpointError, match=r"has a format that .* does not read; remove it"):
        SomVQ(checkpoint=path).fit(iris[0])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match=r"is damaged.*remove it"):
        SomVQ(checkpoint=path).fit(iris[0])


def test_it_is_written_once_in_so_many_seconds(iris, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: clock[0])

    def wait_a_second(record):
        clock[0] += 1.0

    checkpoint = EveryEpoch(tmp_path / "fit.npz", seconds=5.0)
    SomVQ(epochs=20, tol=0, checkpoint=checkpoint, callbacks=[wait_a_second]).fit(iris[0])
    assert len(checkpoint.copies) == 3  # after epochs 5, 10 and 15, and not after the last


def test_paths_that_are_none_and_a_disk_that_is_full(iris, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="checkpoint must be the path of a file"):
        SomVQ(checkpoint=3).fit(iris[0])
    with pytest.raises(CheckpointError, match="is a folder"):
        SomVQ(checkpoint=tmp_path).fit(iris[0])

    def full(*given, **named):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoints, "write_archive", full)
    with pytest.warns(UserWarning, match="training goes on") as caught:
        SomVQ(checkpoint=Checkpoints(tmp_path / "fit.npz", seconds=0.0), tol=0).fit(iris[0])
    assert len(caught) == 1


def test_a_generator_is_left_as_without_the_interruption(iris, tmp_path):
    whole = np.random.RandomState(4)
    SomVQ(init="random", random_state=whole).fit(iris[0])
    first, again = np.random.RandomState(4), np.random.RandomState(4)
    path = interrupted(SomVQ(init="random", random_state=first), tmp_path / "fit.npz", 5, iris[0])
    SomVQ(init="random", random_state=again, checkpoint=path).fit(iris[0])
    assert again.randint(10**9) == whole.randint(10**9)
