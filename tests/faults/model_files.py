"""Damage model files and forge them: what is loaded answers as before, or it is refused.

    python tests/faults/model_files.py [--cases 2000] [--seed 0] [--only flipped cut]

Two kinds of case, on real files of several kinds. *Damage* is what disks and networks do, and edits
by hand: bits flipped, parts cut, members swapped, the header changed. Each such file is refused or
answers as it did. *Forgery* is what somebody does on purpose, digests made anew: values, dtypes and
shapes that lie, types in places where they do not belong. Each such file is refused, or loaded and
then answers, if not the same, or says as scikit-learn does why it cannot: whoever writes a file
decides what it says. Neither ever raises an error of another kind, opens a socket or a file for
writing, starts a process, unpickles, hangs, or takes more memory than a file of its size may.
The changes themselves are in `model_file_changes`.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import resource
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from model_file_changes import CHANGES, members

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, persistence
from dbgsom_core.errors import DbgsomError
from dbgsom_core.runs.prepare import fit_steps, make_step

FIRST_FORMAT = Path(__file__).parents[1] / "estimators" / "data" / "model-format-1.npz"
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
             "pickle.find_class", "ctypes.dlopen", "shutil.", "os.remove", "os.rename")  # fmt: skip
MEMORY = 1 << 30  # bytes that no case may take


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
    told = [model.predict(rows), model.bmu(rows), model.bmu_path(rows), estimator.weights_]
    prepared = model.prepare(rows) if estimator is not model else rows
    told += [estimator.transform(prepared), estimator.score_samples(prepared)]
    if hasattr(estimator, "classes_"):
        told.append(model.predict_proba(rows))
    return told


def samples(folder: Path) -> list[Sample]:
    """Train and save maps of each kind."""
    from sklearn.datasets import load_iris

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # growth has other defaults now, as it says
        first = answers(persistence.load(FIRST_FORMAT), rows)
    return [*found, Sample("first format", FIRST_FORMAT.read_bytes(), rows, first)]


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


def is_forgery(sample: Sample, what: str) -> bool:
    """Say whether a change is one that nobody can tell: the first format has no digests."""
    return what == "forged" or (
        what in ("shuffled", "edited") and "digest.npy" not in members(sample.content)
    )


def main() -> int:
    """Run the cases; the answer is 1 where one of them did what no file may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=20, help="after which a case hangs")
    parser.add_argument("--only", nargs="+", choices=[one.__name__ for one in CHANGES])
    options = parser.parse_args()
    wanted = [one for one in CHANGES if one.__name__ in (options.only or one.__name__)]
    counts: Counter[tuple[str, str]] = Counter()
    failures, watch, began = [], Watch(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        known = samples(Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(options.cases):
            chance = random.Random(f"{options.seed} {number}")
            sample, change = chance.choice(known), chance.choice(wanted)
            what, content = change.__name__, change(sample.content, chance)
            faulthandler.dump_traceback_later(options.seconds, exit=True)
            try:
                forgery = is_forgery(sample, what)
                outcome = judged(sample, content, Path(folder) / "case.npz", watch, forgery)
            except Exception as error:
                outcome = "FAILED"
                failures.append(f"case {number}: {sample.name}, {what}: {error!r}"[:500])
            finally:
                faulthandler.cancel_dump_traceback_later()
            counts[what, outcome] += 1
        taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    for (what, outcome), count in sorted(counts.items()):
        print(f"{what:10} {outcome:8} {count:6}")
    print(f"{taken / 2**20:.0f} MiB more at most, {time.process_time() - began:.0f} s of CPU")
    failures += [f"{taken} bytes were taken"] * (taken > MEMORY)
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
