"""Check this machine: versions, threads, compiled loops, plugins, trackers, runs, disks.

What imports numba is imported where it is needed: it may be what is broken.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any, Literal

from dbgsom_core.config import Experiment
from dbgsom_core.engine.compile_clock import compile_clock
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.plugins.doctor import diagnose_isolated
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.runs.callbacks import default_tracking
from dbgsom_core.runs.folder import find_experiments, find_folders, read_run
from dbgsom_core.runs.stored_runs import has_died

_LITTLE, _TOO_LITTLE = 1 << 30, 100 << 20  # free bytes on a disk


@dataclass(frozen=True)
class Check:
    """The result of one check, and what to do about it."""

    state: Literal["ok", "warning", "broken"]
    name: str
    message: str
    hint: str = ""


def examine(
    experiment: Experiment | None, registry: Registry, root: Path, limit: float
) -> Iterator[Check]:
    """Yield every check; nothing is written."""
    import scipy.linalg  # noqa: F401 - it brings along a library for matrix products
    from threadpoolctl import threadpool_info

    from dbgsom_core.engine.workers import available_threads

    yield Check("ok", "python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    needed = [name for name in requires(OWN_DISTRIBUTION) or () if ";" not in name]  # no extra's
    names = [OWN_DISTRIBUTION, *(re.split(r"[^\w.-]", name)[0] for name in needed)]
    yield Check("ok", "packages", ", ".join(f"{name} {version(name)}" for name in names))
    known = (library for library in threadpool_info() if library["user_api"] == "blas")
    blas = ", ".join(dict.fromkeys(f"{one['internal_api']} {one['version']}" for one in known))
    found = f"a fit takes {available_threads()} of {os.cpu_count()} processors"
    yield Check("ok", "threads", f"{found}, BLAS is {blas or 'not known'}")
    yield check_loops()
    findings, loaded = diagnose_isolated(limit)
    for finding in findings:
        state: Literal["warning", "broken"] = "warning" if finding.harmless else "broken"
        found = f"{finding.problem}: {finding.message}"
        yield Check(state, f"plugin {finding.name}", found, "dbgsom plugins doctor --details")
    if all(finding.harmless for finding in findings):
        yield Check("ok", "plugins", f"{loaded} loaded")
    for name, tracker in default_tracking(registry) if experiment is None else experiment.tracking:
        yield check_tracker(name, tracker)
    yield from check_runs(root)
    yield from check_disks(root)


def check_loops() -> Check:
    """Return whether compiled loops are kept, and whether there are any."""
    try:
        folder = _loops_folder()
    except ImportError as error:
        return Check("broken", "loops", str(error), "unset NUMBA_DISABLE_JIT")
    if folder is None:
        found = "there is no cache folder that can be written: each process compiles for 15 s"
        return Check("warning", "loops", found, "let NUMBA_CACHE_DIR name a folder of yours")
    if not (count := compiled_loops()):
        found = f"none is compiled yet in {folder}: the first run takes 15 s longer"
        return Check("warning", "loops", found, "dbgsom doctor --warm")
    return Check("ok", "loops", f"{count} are compiled, in {folder}")


def _loops_folder() -> Path | None:
    from dbgsom_core.engine import compile as compiling

    return compiling.loops_folder()


def compiled_loops() -> int:
    folder = _loops_folder()
    return 0 if folder is None else sum(1 for _ in folder.glob("*.nbi"))


def check_tracker(name: str, tracker: Component) -> Check:
    """Return whether a tracker can be reached."""
    reachable = TrackerAbilities.of(tracker).reachable
    try:
        found = "does not say whether it can be reached" if reachable is None else reachable()
        return Check("ok", name, found)
    except DbgsomError as error:
        hint = "runs go on without it, and 'dbgsom sync' sends what it misses"
        return Check("broken", name, str(error), hint)


def check_runs(root: Path) -> Iterator[Check]:
    """Yield whether runs were left open by processes that died, and whether any is damaged."""
    folders = (one for name in find_experiments(root) for one in find_folders(root, name))
    runs = [read_run(folder) for folder in folders]
    died, damaged = sum(map(has_died, runs)), sum(bool(run.damage) for run in runs)
    more = "" if str(root) == "runs" else f" --runs {root}"
    if died:
        found = f"{died} of {len(runs)} in {root} left open by processes that died"
        yield Check("warning", "runs", found, f"dbgsom sync{more}")
    if damaged:
        found = f"{damaged} of {len(runs)} in {root} cannot be read in part"
        yield Check("warning", "runs", found, "dbgsom plugins doctor tells which" + more)
    if not died and not damaged:
        yield Check("ok", "runs", f"{len(runs)} in {root}")


def check_disks(root: Path) -> Iterator[Check]:
    """Yield the free space of the disks that runs write to, and whether they may."""
    runs = root.absolute()
    while not runs.exists() and runs != runs.parent:
        runs = runs.parent
    places = {"runs": runs, "temporary files": Path(tempfile.gettempdir())}
    with suppress(ImportError):
        if (loops := _loops_folder()) is not None:
            places["compiled loops"] = loops
    for what, folder in places.items():
        name = f"disk for {what}"
        free = shutil.disk_usage(folder).free
        found = f"{free / (1 << 30):.1f} GiB free in {folder}"
        if not os.access(folder, os.W_OK):
            hint = "choose a place with 'tracking: {name: run_folder, path: …}'"
            yield Check("broken", name, f"{folder} cannot be written", hint)
        elif free < _LITTLE:
            yield Check("broken" if free < _TOO_LITTLE else "warning", name, found, "make room")
        else:
            yield Check("ok", name, found)


# ------------------------------------------------------------------------------- compiled loops


def warm(registry: Registry, show: Callable[[str], object]) -> tuple[float, list[str]]:
    """Fit small maps that between them call each loop with every type, so that it is kept."""
    failed = []
    with compile_clock() as clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, fit in _fits(registry):
            show(name)
            try:
                fit()
            except Exception as error:
                failed.append(f"{name}: {type(error).__name__}: {error}")
    return clock.seconds, failed


def _fits(registry: Registry) -> Iterator[tuple[str, Callable[[], object]]]:
    import numpy as np
    from scipy.sparse import csr_array

    from dbgsom_core.estimators.classifier import SomClassifier
    from dbgsom_core.estimators.clustering import SomVQ
    from dbgsom_core.estimators.regressor import SomRegressor

    rng = np.random.default_rng(0)
    small: dict[str, Any] = {"epochs": 6, "max_neurons": 12}  # compared without being packed
    large: dict[str, Any] = {"epochs": 25, "max_neurons": 80}
    use = partial(_use, registry)
    for settings, shape in ((small, (400, 5)), (large, (5000, 16))):
        X = np.abs(rng.normal(size=shape))
        size, y, weights = f"{len(X)} rows", rng.integers(0, 3, len(X)), rng.random(len(X)) + 0.5
        gaps = np.where(rng.random(X.shape) < 0.2, np.nan, X)
        gaps[:, 0] = X[:, 0]
        vq, classifier = SomVQ(**settings), SomClassifier(**settings)
        for dtype in (np.float64, np.float32):
            name, Xt, with_gaps = f"{size}, {dtype.__name__}", X.astype(dtype), gaps.astype(dtype)
            yield name, partial(use, vq, Xt)
            yield f"{name}, classes", partial(use, classifier, Xt, y)
            yield f"{name}, missing values", partial(_predict, vq, with_gaps, method="impute")
            yield f"{name}, sparse", partial(_predict, vq, csr_array(Xt))
        yield f"{size}, numbers as targets", partial(_predict, SomRegressor(**settings), X, X[:, 0])
        yield f"{size}, weights", partial(vq.fit, X, sample_weight=weights)
        yield f"{size}, robust", partial(_predict, SomVQ(robust="auto", **settings), X)
        for offered in registry.offered("metric"):
            metric = {"name": f"{offered.distribution}:{offered.name}"}
            codes = np.round(X) if offered.name == "hamming" else X
            yield (
                f"{size}, {offered.name}",
                partial(_predict, SomVQ(metric=metric, **settings), codes),
            )
    for d in (20, 40):  # more than measures look at, and packed to look for units once
        X, y = rng.normal(size=(12000, d)), rng.integers(0, 3, 12000)
        for dtype in (np.float64, np.float32):
            classifier = SomClassifier(**large)
            yield f"12000 × {d}, {dtype.__name__}", partial(use, classifier, X.astype(dtype), y)
    X = rng.normal(size=(2000, 4))
    for growth in (
        {"name": "directed", "smooth_before_growth": True, "max_neurons": 60},
        {"name": "hierarchical", "base": {"name": "directed", "max_neurons": 12}},
        {"name": "fixed", "rows": 18, "columns": 18},
        {"name": "gsom"},
    ):
        yield f"growth {growth['name']}", partial(_predict, SomVQ(growth=growth, epochs=8), X)
    cosine = SomVQ(metric="cosine", **small)
    yield "sparse, cosine", partial(_predict, cosine, csr_array(np.abs(X)))


def _predict(estimator: Any, X: Any, y: Any = None, method: str = "predict") -> None:
    getattr(estimator.fit(X, y), method)(X)


def _use(registry: Registry, estimator: Any, X: Any, y: Any = None) -> None:
    from dbgsom_core.estimators.measuring import default_measures, table_of

    estimator.fit(X, y)
    found = estimator.evaluate(X, y, predictions=estimator.predict(X))
    table_of(default_measures(registry, estimator._kind, y is not None), found)
    estimator.bmu(X, k=2)
    estimator.score_samples(X)
    estimator.transform(X[:50])
    estimator.partial_fit(X[:200], *(() if y is None else (y[:200],)))
