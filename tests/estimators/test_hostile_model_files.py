"""Files that somebody wrote to be loaded by somebody else: nothing runs, nothing is unpacked."""

import copy
import json
import os
import shutil
import tracemalloc
import zipfile

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomRegressor, persistence
from dbgsom_core.errors import ModelFileError, PluginError
from dbgsom_core.persistence import FittedModel
from dbgsom_core.runs.prepare import fit_steps, make_step

SCALER = "sklearn.preprocessing:StandardScaler"


@pytest.fixture(scope="module")
def honest(tmp_path_factory, iris):
    """Path, header and arrays of a saved classifier behind a scaler."""
    path = tmp_path_factory.mktemp("honest") / "m.npz"
    X, y = iris
    steps = [("standardize", make_step("standardize", {}))]
    clf = SomClassifier(max_neurons=9, epochs=5).fit(fit_steps(steps, X, y), y)
    FittedModel(tuple(steps), clf).save(path)
    with np.load(path) as file:
        return path, json.loads(bytes(file["header"])), {name: file[name] for name in file.files}


@pytest.fixture
def forged(honest, tmp_path, rewrite):
    """Write a file with another header or other arrays; return its path."""

    def write(change=lambda header: None, **others):
        path = shutil.copy(honest[0], tmp_path / "forged.npz")
        return rewrite(path, lambda header, arrays: (change(header), arrays.update(others)))

    return write


def step(plain):
    return lambda header: header.update(steps=[["x", plain]])


def obj(name, **state):
    return {"$object": name, "state": state}


# Some of these once connected and unpickled, wrote and unpickled, closed file descriptors.
HOSTILE = {
    "a pipeline with memory": obj("sklearn.pipeline:Pipeline", steps=[], memory="elsewhere"),
    "a connection": obj("sklearn.externals._x:Connection", _handle=2, _readable=True),
    "a function": obj("sklearn.preprocessing:FunctionTransformer", func="os:system"),
    "a tag that nobody knows": {"$state": SCALER, "state": {}},
}


@pytest.mark.parametrize("plain", HOSTILE.values(), ids=HOSTILE)
def test_no_class_is_built_that_is_not_listed(plain, forged, monkeypatch):
    def imported(name, *_):
        raise AssertionError(f"{name} is imported")

    path = forged(step(plain))
    monkeypatch.setattr("dbgsom_core.interfaces.stored_types.resolve_name", imported)
    with pytest.raises(ModelFileError, match="not on the list"):
        persistence.load(path)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("transform", "os:system", "cannot be used"),
        ("mean_", obj(SCALER, with_mean=True), "n_features_in_ is missing"),
        ("scale_", {"$array": "a0"}, "refers to it twice"),
        ("mean_", {"$array": "x" * 5000}, "has no array 'xxx"),
        ("n_features_in_", 10**9, r"n_features_in_ must be size\[D\] .*not 1000000000"),
    ],
)
def test_a_transformer_transforms_a_row_or_is_refused(attribute, value, message, forged):
    def change(header):
        header["steps"][0][1]["state"][attribute] = value

    with pytest.raises(ModelFileError, match=message) as caught:
        persistence.load(forged(change))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("params.epochs", -1, "must be an int in the range"),
        ("class", "Popen", "unknown estimator: 'Popen'"),
        ("fitted._novelty", obj(SCALER, n_features_in_=4), "_novelty must be Calib.*not Standard"),
        ("metric_state", {"$map": {"mean": 1}}, "is damaged.*'int' object"),
        ("fitted.n_features_in_", 5, "prototypes of other columns"),
        ("parts.engine.params.threads", 10**9, "threads"),
        ("parts.kernel.name", "\x1b[31mred", r"kernel '.*31mred', which is not available"),
    ],
)
def test_a_header_holds_what_is_expected_and_nothing_else(place, value, message, forged):
    def change(header):
        *way, last = place.split(".")
        inner = header["estimator"]
        for key in way:
            inner = inner[key]
        inner[last] = value

    with pytest.raises((ModelFileError, PluginError), match=message) as caught:
        persistence.load(forged(change))
    assert str(caught.value).isprintable()


def test_a_file_gives_no_callback_checkpoint_or_tracker(forged, tmp_path):
    def change(header):
        estimator = header["estimator"]
        estimator["params"] |= {
            "callbacks": ["x"],
            "checkpoint": "elsewhere",
            "metric": "manhattan",
        }
        estimator["parts"]["tracker"] = {"name": "mlflow"}

    estimator = persistence.load(forged(change)).estimator
    assert estimator.callbacks is estimator.checkpoint is None
    assert type(estimator.metric).__name__ == "Euclidean"


def test_a_name_from_a_file_is_nothing_to_install(forged):
    path = forged(step(obj("sklearn.preprocessing:StandardScalr")))
    with pytest.raises(ModelFileError, match=f"did you mean '{SCALER}'"):
        persistence.load(path)

    def change(header):
        header["estimator"]["parts"]["metric"] |= {"name": "euclidan", "distribution": "evil-som"}

    with pytest.raises(PluginError) as caught:
        persistence.load(forged(change))
    message = str(caught.value)
    assert "did you mean 'euclidean'" in message
    assert "the file claims that it is from evil-som" in message
    assert "install evil-som" not in message


# ------------------------------------------------------------------------------ arrays and sizes


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("prototypes", lambda a: a[:-1], r"prototypes must be finite\[K, D\] where K is"),
        ("positions", lambda a: a * 1000, "not linked"),
        ("positions", lambda a: a * 0, "share the cell"),
        ("parents", lambda a: a + 10**6, "births out of order"),
        ("leaf_hit_counts_", lambda a: a * 0, "without a neuron that has samples"),
        ("_probabilities", lambda a: a[:, :1], "_probabilities must be"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(name, change, message, forged, honest):
    estimator = honest[1]["estimator"]
    key = ({**estimator["map"], **estimator["fitted"]})[name]["$array"]
    path = forged(**{key: change(honest[2][key])})
    with pytest.raises(ModelFileError, match=message):
        persistence.load(path)


def npy(descr="<f8", shape="(4,)", content=b"\0" * 32):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy(shape="(1000000000000,)"), "unlike its bytes"),
        (npy(descr="|O"), "unlike its bytes"),
        (npy(descr="<U1", content=b"\xff" * 16), "cannot be used"),
        (b"", "is damaged"),
    ],
)
def test_what_an_array_says_of_itself_is_checked_before_it_is_made(member, message, forged):
    path = replaced(forged(), "a0.npy", member)
    assert peak_of_refusal(path, message) < 2**21


def replaced(path, name, content, packed=zipfile.ZIP_STORED):
    """Let a member have other content."""
    with zipfile.ZipFile(path) as file:
        parts = [(member, file.read(member)) for member in file.namelist() if member != name]
    with zipfile.ZipFile(path, "w", packed) as file:
        for member, part in [*parts, (name, content)]:
            file.writestr(member, part)
    return path


def peak_of_refusal(path, message):
    """Return the bytes that Python took to refuse a file."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=message):
            persistence.load(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_is_not_unpacked(forged):
    member = npy(shape=f"({1 << 22},)", content=b"\0" * (1 << 25))
    path = replaced(forged(), "a0.npy", member, packed=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 18
    assert peak_of_refusal(path, "is compressed or") < 2**21


def test_members_that_stand_on_the_same_bytes_are_not_read(forged):
    """Each says that it is as long as the file is: together they would be many times as long."""
    path = replaced(forged(), "a0.npy", npy(shape="(131072,)", content=b"\0" * (1 << 20)))
    with zipfile.ZipFile(path) as file:
        parts = {name: file.getinfo(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "a") as file:
        for number in range(50):
            again = copy.copy(parts["a0.npy"])
            again.filename = again.orig_filename = f"more{number}.npy"
            file.filelist.append(again)
        file._didModify = True
    assert peak_of_refusal(path, "more bytes than it has") < 2**21


@pytest.mark.parametrize("levels", [900, 200_000])
def test_a_header_that_nests_too_deep_is_refused(levels, forged):
    deep = b'{"format": 4, "steps": ' + b"[" * levels + b"]" * levels + b"}"
    member = npy(descr="|u1", shape=f"({len(deep)},)", content=deep)
    with pytest.raises(ModelFileError, match="damaged"):
        persistence.load(replaced(forged(), "header.npy", member))


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, "/dev/zero", "x" * 5000):
        with pytest.raises(ModelFileError, match="cannot be read"):
            persistence.load(path)


# ----------------------------------------------------- what metrics and labellers have learned
# Compiled loops read and write beside an array that is too short.


@pytest.fixture(scope="module")
def fitted(iris):
    X, y = iris
    few = {"max_neurons": 6, "epochs": 3}
    regressor = SomRegressor(metric="mahalanobis", **few).fit(X, X[:, 3])
    return {"classifier": SomClassifier(**few).fit(X, y), "regressor": regressor}


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("regressor", "whitening", lambda a: a[:2]),
        ("regressor", "slopes", lambda a: a[:-1]),
        ("classifier", "kernel", lambda a: a * np.nan),
        ("classifier", "columns_slopes", lambda a: a[:, :-1]),
        ("classifier", "labels", lambda a: a + 7),
        ("classifier", "classes_", lambda a: a[::-1]),
    ],
)
def test_what_does_not_fit_the_map_or_its_classes_is_refused(
    kind, name, change, tmp_path, fitted, rewrite
):
    fitted[kind].save(tmp_path / "m.npz")

    def changed(header, arrays):
        estimator = header["estimator"]
        states = estimator["labeller_state"]["$map"] | estimator["fitted"]["_memory"]["state"]
        states |= (estimator["metric_state"] or {"$map": {}})["$map"] | estimator["fitted"]
        key = states[name]["$array"]
        arrays[key] = change(arrays[key])

    rewrite(tmp_path / "m.npz", changed)
    with pytest.raises(ModelFileError):
        persistence.load(tmp_path / "m.npz")
