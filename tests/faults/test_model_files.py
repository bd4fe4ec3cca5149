"""Damage model files and forge them: what is loaded answers as before, or it is refused.

*Damage* is what disks and networks do: bits flipped, parts cut. Each such file is refused or
answers as it did. *Forgery* is what somebody does on purpose, checksums made anew: values, dtypes
and shapes that lie, types where they do not belong, members swapped.
Each such file is refused, or loaded and then answers, if not the same, or says as scikit-learn does
why it cannot: whoever writes a file decides what it says. Neither ever raises an error of another
kind, opens a socket or a file for writing, starts a process or unpickles. ``MODEL_FILES=2000``
tries as many of each.
"""

import copy
import io
import json
import os
import random
import sys
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, persistence
from dbgsom_core.errors import DbgsomError
from dbgsom_core.runs.prepare import fit_steps, make_step

pytestmark = pytest.mark.one_version

# ------------------------------------------------------------------------------------- damage


def members(content: bytes) -> dict[str, bytes]:
    """Return what is in a zip, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(parts: list[tuple[str, bytes]]) -> bytes:
    """Return a zip of these members, checksums and all."""
    target = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w") as file:
        warnings.simplefilter("ignore")  # a name may come twice
        for name, part in parts:
            file.writestr(name, part)
    return target.getvalue()


def flipped(content: bytes, chance: random.Random) -> bytes:
    """Flip one bit."""
    damaged = bytearray(content)
    damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def cut(content: bytes, chance: random.Random) -> bytes:
    """Cut the file short, or a piece out of it."""
    start = chance.randrange(len(content))
    return content[:start] + (chance.choice([b"", content[start + chance.randint(1, 500) :]]))


def shuffled(content: bytes, chance: random.Random) -> bytes:
    """Swap, drop, double or rename members, whose checksums stay right."""
    parts = list(members(content).items())
    one, other = chance.sample(range(len(parts)), 2)
    how = chance.randrange(4)
    if how == 0:
        (a, x), (b, y) = parts[one], parts[other]
        parts[one], parts[other] = (a, y), (b, x)
    elif how == 1:
        del parts[one]
    elif how == 2:
        parts.append((parts[one][0], parts[other][1]))
    else:
        parts[one] = (chance.choice(["a99.npy", "../../up.npy", "x"]), parts[one][1])
    return zipped(parts)


# ------------------------------------------------------------------------------------ forgery

_VALUES = (
    None, True, -1, 0, 2, 3, 10**6, 2**63, 10**400, 0.5, -1.5, float("nan"), float("inf"), 1e308,
    "", "x", "a0", "\x1b[31m", "os:system", "x" * 5000, [], {}, [[]],
    {"$array": "a0"}, {"$array": "a1"},
    {"$objects": "a1"}, {"$tuple": [1, 2]}, {"$map": {}}, {"$dtype": "<f8"}, {"$dtype": "O"},
    {"$dtype": "V999999999"}, {"$object": "sklearn.preprocessing:StandardScaler", "state": {}},
    {"$object": "sklearn.pipeline:Pipeline", "state": {"steps": [], "memory": "elsewhere"}},
    {"$object": "builtins:eval", "state": {}}, {"$object": "calibration", "state": {}},
)  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*path, key))


def forged_header(header: dict[str, Any], chance: random.Random) -> None:
    """Change one to three places of the header to something else."""
    for _ in range(chance.randint(1, 3)):
        # Many places are those of the history: a shorter path comes as often as a longer one.
        places = list(_places(header))
        depth = chance.choice(sorted({len(path) for path in places}))
        path = chance.choice([path for path in places if len(path) == depth])
        holder = reduce(getitem, path[:-1], header)
        other = reduce(getitem, chance.choice(places), header)
        if chance.random() < 0.2:
            del holder[path[-1]]
        else:
            holder[path[-1]] = copy.deepcopy(chance.choice([other, *_VALUES]))


def forged_array(array: np.ndarray, chance: random.Random) -> np.ndarray:
    """Return an array of another shape, dtype or with other values."""
    how = chance.randrange(4)
    if how == 0:
        return array[: chance.randint(0, max(len(array) - 1, 0))] if array.ndim else array[None]
    if how == 1:
        return array.T[..., None]
    if how == 2 or array.dtype.kind not in "fiu" or not array.size:
        kind = chance.choice(["<f4", ">f8", "<u2", "|b1", "<U3", "|S2"])
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return _cast(array, kind)
    changed = np.array(array)
    numbers = [-1, 0, 2**31, 1e18] + [np.nan, np.inf, 1e308] * (array.dtype.kind == "f")
    with np.errstate(all="ignore"):
        value = np.array(chance.choice(numbers)).astype(array.dtype)
    changed.flat[chance.randrange(array.size)] = value
    return changed


def _cast(array: np.ndarray, kind: str) -> np.ndarray:
    try:
        return array.astype(kind)
    except (ValueError, TypeError):
        return array.astype(str)


def written(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """Return a file of header and arrays."""
    target = io.BytesIO()
    np.savez(target, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    return target.getvalue()


def read(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays of a file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(bytes(arrays.pop("header"))), arrays


def forged(content: bytes, chance: random.Random) -> bytes:
    """Change header, arrays or members and write checksums that agree."""
    how = chance.choice(["header", "header", "array", "array", "members"])
    if how == "members":
        return shuffled(content, chance)
    header, arrays = read(content)
    if how == "header":
        forged_header(header, chance)
    else:
        name = chance.choice(list(arrays))
        arrays[name] = forged_array(arrays[name], chance)
    return written(header, arrays)


FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
             "pickle.find_class", "ctypes.dlopen", "shutil.", "os.remove", "os.rename")  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A real model file and what it answers."""

    name: str
    content: bytes
    rows: np.ndarray
    answers: list[np.ndarray]


def answers(model: Any, rows: np.ndarray) -> list[np.ndarray]:
    """Ask a loaded model everything that a user may."""
    estimator = getattr(model, "estimator", model)
    told = [model.predict(rows), estimator.weights_]
    prepared = model.prepare(rows) if estimator is not model else rows
    told += [estimator.bmu(prepared), estimator.bmu_path(prepared)]
    told += [estimator.transform(prepared), estimator.score_samples(prepared)]
    if hasattr(estimator, "classes_"):
        told.append(model.predict_proba(rows))
    return told


def samples(folder: Path) -> list[Sample]:
    """Train and save maps of each kind."""
    X, y = load_iris(return_X_y=True)
    rows = X[::7]
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    steps = [
        (name, make_step(name, params))
        for name, params in (
            ("range_scale", {}),
            ("sklearn.preprocessing:PolynomialFeatures", {"include_bias": False}),
            ("sklearn.decomposition:PCA", {"n_components": 3}),
        )
    ]
    prepared = fit_steps(steps, X, y)
    small = {"name": "directed", "spreading_factor": 0.1, "max_neurons": 6}
    tree = {"name": "hierarchical", "base": small, "tau_2": 0.05}
    torus = {"name": "fixed", "rows": 4, "columns": 3, "wrap": True}
    models = {
        "steps": persistence.FittedModel(
            tuple(steps), SomClassifier(max_neurons=9, epochs=9).fit(prepared, names)
        ),
        "tree": SomVQ(growth=tree, metric="mahalanobis", epochs=9).fit(X),
        "torus": SomVQ(grid="hexagonal", growth=torus, epochs=9).fit(X),
        "numbers": SomRegressor(metric="cosine", epochs=9).fit(X.astype(np.float32), X[:, 0]),
    }
    found = []
    for name, model in models.items():
        path = folder / f"{name}.npz"
        model.save(path)
        found.append(Sample(name, path.read_bytes(), rows, answers(model, rows)))
    return found


class Watch:
    """Notes what a model file may never make Python do."""

    def __init__(self) -> None:
        self.on, self.seen = False, []
        self.others: set[int | None] = set()
        sys.addaudithook(self._hear)  # stays until the process ends

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on or threading.get_ident() in self.others:
            return
        writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
        if (writes or event.startswith(FORBIDDEN)) and not _is_numbas():
            self.seen.append((event, str(args)[:200]))

    @contextmanager
    def __call__(self) -> Iterator[None]:
        # What ran before, say a tracker that waits for its server, has nothing to do with the file.
        self.others = {one.ident for one in threading.enumerate()} - {threading.get_ident()}
        self.seen, self.on = [], True
        try:
            yield
        finally:
            self.on = False
        assert not self.seen, f"the file made Python do {self.seen}"


def _is_numbas() -> bool:
    # numba keeps compiled loops in files of its own.
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("numba."):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


# What only trained a map may be called by a name that nobody knows.
_HARMLESS = ("the installed version differs",)


def judged(sample: Sample, content: bytes, path: Path, watch: Watch, forged: bool) -> str:
    """Return what became of a changed file: it was refused, is equal, declines to answer for a
    reason that scikit-learn gives, or answers otherwise; all else raises, for damage the last two,
    too.
    """
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught, watch():
        warnings.simplefilter("always")
        try:
            model = persistence.load(path)
        except DbgsomError as error:
            told = str(error)
            if told.isprintable() and len(told) < 2000 + len(str(path)):
                return "refused"
            raise
        try:
            told = answers(model, sample.rows)
        except ValueError:
            if forged:
                return "declines"
            raise
    texts = [str(one.message) for one in caught]
    strange = [text for text in texts if not any(one in text for one in _HARMLESS)]
    known = len(told) == len(sample.answers) and all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(told, sample.answers, strict=True)
    )
    assert not (known and strange), strange
    assert known or forged, "a damaged file answers otherwise"
    return "equal" if known else "other"


many = settings(
    max_examples=int(os.environ.get("MODEL_FILES", 120)), suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return {one.name: one for one in samples(tmp_path_factory.mktemp("models"))}


@pytest.fixture(scope="module")
def watch():
    return Watch()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("case") / "case.npz"


# One number is drawn and all follows from it: what a file holds decides how much chance is needed.
seeds = st.integers(0, 2**32 - 1)


@many
@given(seed=seeds)
def test_a_damaged_file_is_refused_or_answers_as_before(seed, known, watch, path):
    chance = random.Random(seed)
    sample = known[chance.choice(sorted(known))]
    content = chance.choice([flipped, cut])(sample.content, chance)
    assert judged(sample, content, path, watch, forged=False) in ("refused", "equal")


@many
@given(seed=seeds)
def test_a_forged_file_is_refused_or_answers(seed, known, watch, path):
    chance = random.Random(seed)
    sample = known[chance.choice(sorted(known))]
    content = forged(sample.content, chance)
    judged(sample, content, path, watch, forged=True)


def test_the_watch_sees_what_no_file_may_do(watch, tmp_path):
    with pytest.raises(AssertionError, match="open"), watch():
        (tmp_path / "x").write_text("")
