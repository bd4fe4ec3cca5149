"""Prepare steps: transformers that run before the map, by name or as ``module:Class``.

A configuration is its owner's code; what stands in a model file or run folder is not. So the folder
of the owner's classes comes from the command line or from where the configuration lies, never from
what was stored.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from dbgsom_core.config import Experiment
from dbgsom_core.config.load import Problems
from dbgsom_core.engine.moments import extremes
from dbgsom_core.engine.partitions import Partitions, range_rows
from dbgsom_core.engine.samples import has_missing
from dbgsom_core.errors import ConfigError, DataError, Remark, did_you_mean
from dbgsom_core.experiments.models import (
    OWN_STEPS,
    JointScaler,
    RangeScaler,
    looks_back,
    names_after,
    prepared,
)
from dbgsom_core.interfaces.component import RAISED, error_line
from dbgsom_core.plugins.registry import stdout_to_stderr

STEPS = {
    "range_scale": "dbgsom_core.experiments.models:RangeScaler",
    "standardize": "sklearn.preprocessing:StandardScaler",
    "lags": "dbgsom_core.experiments.series:Lags",
    "rolling": "dbgsom_core.experiments.series:Rolling",
    "cyclic": "dbgsom_core.experiments.series:Cyclic",
}
_STANDARD = (StandardScaler, JointScaler)
_WAYS = ("joint", "separate")  # of standardize, for the one-hot columns of a category

# Rows of a sample of data that do not fit in memory: as many as have these bytes, in these bounds.
_SAMPLE_BYTES = 1 << 26
_LEAST_SAMPLES, _MOST_SAMPLES = 1 << 14, 1 << 18


class StepError(ConfigError):
    """A prepare step that cannot be built; ``parameter`` names the cause, if known."""

    def __init__(self, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


def make_steps(experiment: Experiment) -> list[tuple[str, Any]]:
    """Return the names and unfitted transformers of an experiment; reports all errors at once."""
    steps, problems = [], Problems()
    for number, step in enumerate(experiment.prepare):
        name = step.where or step.name
        try:
            steps.append((step.name, make_step(name, step.params, experiment.steps_folder)))
        except StepError as error:
            keys = ("prepare", str(number), *filter(None, [error.parameter]))
            mark = experiment.document.mark(*keys)
            place = mark.key if error.parameter else mark.value
            problems.add(place, ".".join(keys), str(error))
    after = [getattr(step, "of_series", False) for _, step in steps]
    for number, (name, step) in enumerate(steps):
        if looks_back([(name, step)]) and not all(after[:number]):
            text = f"'{name}' looks at the rows before: only such steps and cyclic may come first"
            problems.add(experiment.document.mark("prepare", str(number)).value, "prepare", text)
    problems.raise_any()
    return steps


def first_in_order(steps: Sequence[tuple[str, Any]]) -> int:
    """Return how many steps, up to the last that looks back, all rows pass in their order."""
    return max((n for n, step in enumerate(steps, start=1) if looks_back([step])), default=0)


def make_step(name: str, params: Mapping[str, Any], folder: Path | None = None) -> Any:
    """Return an unfitted transformer: ``range_scale``, ``standardize``, or ``module:Class``.

    ``params`` are its constructor's arguments; a list stands for a tuple where the default is one.
    ``folder`` is that of its owner's classes, beside what is installed. `StepError` says what is
    wrong with it.
    """
    cls: Any = resolve_name(STEPS[name]) if name in STEPS else imported_step(name, folder)
    arguments = dict(params)
    if name == "standardize":
        way = arguments.pop("categories", _WAYS[1])
        if way not in _WAYS:
            text = f"'categories' must be {' or '.join(_WAYS)}, not {way!r}"
            raise StepError(f"prepare step '{name}': {text}", "categories")
        if way == "joint":
            cls = JointScaler
    try:
        parameters = signature(cls).parameters
        for key, value in arguments.items():
            if key not in parameters:
                names = ", ".join(parameters) or "none"
                cure = did_you_mean(key, parameters) or f"; it has {names}"
                raise StepError(f"prepare step '{name}' has no parameter '{key}'{cure}", key)
            if isinstance(value, list) and isinstance(parameters[key].default, tuple):
                arguments[key] = tuple(value)
        step = cls(**arguments)
        if hasattr(cls, "_parameter_constraints"):  # of scikit-learn, which it calls in fit
            step._validate_params()
        return step
    except StepError:
        raise
    except RAISED as error:
        text = f"prepare step '{name}' cannot be made ({error_line(error)})"
        raise StepError(text) from error


def fit_steps(
    steps: list[tuple[str, Any]],
    X: NDArray[Any],
    y: NDArray[Any] | None,
    names: Sequence[str] | None = None,
    categories: Iterable[Sequence[str]] = (),
    seed: int = 0,
) -> NDArray[Any]:
    """Fit each step on what the steps before it return; return the prepared X (n, D').

    ``categories`` are the names of the one-hot columns of each category. ``seed`` draws the rows of
    partitions from which steps learn that need all of them at once.
    """
    for number, (name, step) in enumerate(steps):
        try:
            if type(step) is JointScaler:
                _set_categories(step, names_after(steps[:number], names) or (), categories)
            if hasattr(step, "set_feature_names"):
                before = names_after(steps[:number], names)
                if before is not None:
                    step.set_feature_names(before)
            X = _fit_step(name, step, X, y, seed)
        except RAISED as error:
            why = error if isinstance(error, (ValueError, TypeError)) else error_line(error)
            raise DataError(f"prepare step '{name}' cannot use the data: {why}") from error
        if X.dtype.kind not in "fiub" or X.ndim != 2:
            raise DataError(f"prepare step '{name}' returned no table of numbers")
    return X


def _set_categories(
    step: JointScaler, names: Sequence[str], categories: Iterable[Sequence[str]]
) -> None:
    """Tell a scaler where the one-hot columns of categories are: steps before may drop some."""
    places = {name: place for place, name in enumerate(names)}
    groups = []
    for columns in categories:
        group = [places[column] for column in columns if column in places]
        if group:
            groups.append(group)
    step.set_params(categories=groups)


def _fit_step(name: str, step: Any, X: Any, y: NDArray[Any] | None, seed: int) -> Any:
    """Fit a step, also on data that do not fit in memory, and return the prepared samples."""
    is_outside = isinstance(X, Partitions)
    if is_outside and type(step) is RangeScaler:
        step.fit(np.stack(extremes(X)))  # it learns no more of all of them
    elif is_outside and hasattr(step, "partial_fit"):
        learnt = X.fold(_learn_ranges, step, X.beside())
        vars(step).update(vars(learnt))
    elif is_outside:
        rows = sample_rows(X, seed)
        step.fit(X[rows], None if y is None else y[rows])
        if len(rows) < len(X):
            text = f"prepare step '{name}' learnt from {len(rows)} of {len(X)} rows, drawn by the"
            warnings.warn(f"{text} seed", Remark, stacklevel=3)
    elif type(step) in _STANDARD and len(X) > range_rows(X.shape[1]) and not has_missing(X):
        _learn_ranges(X, step)  # moments have the same bits wherever the rows are
    else:
        step.fit(X, y)
    return prepared([(name, step)], X)


def _learn_ranges(X: NDArray[Any], step: Any) -> Any:
    # Returns the step; a worker of a cluster has a copy of it.
    rows = range_rows(X.shape[1])
    for start in range(0, len(X), rows):
        step.partial_fit(X[start : start + rows])
    return step


def sample_rows(X: Partitions, seed: int) -> NDArray[np.int64]:
    """Return rows that stand for all: one of each of equal ranges, or all where they are few."""
    n = len(X)
    count = int(np.clip(_SAMPLE_BYTES // (X.nbytes // max(n, 1)), _LEAST_SAMPLES, _MOST_SAMPLES))
    if n <= count:
        return np.arange(n)
    ends = np.arange(count + 1) * n // count
    chances = np.random.default_rng(seed).random(count)
    return ends[:-1] + (chances * np.diff(ends)).astype(np.int64)


def imported_step(name: str, folder: Path | None = None) -> type[Any]:
    """Return the class of a step ``module:Class``; `StepError` says why there is none."""
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise StepError(f"unknown prepare step '{name}'" + did_you_mean(name, STEPS))
    try:
        with stdout_to_stderr():
            cls = import_class(name, folder)
    except RAISED as error:
        why = f" ({error_line(error)})" + did_you_mean(attribute, dir(sys.modules.get(module)))
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            where = folder or "the folder of a configuration or '--steps'"
            why = f": there is no module '{error.name}' installed or in {where}"
            root = module.partition(".")[0]
            why += did_you_mean(module, [key for key in sys.modules if key.startswith(root)])
        raise StepError(f"prepare step '{name}' cannot be imported{why}") from error
    if not (isinstance(cls, type) and hasattr(cls, "fit") and hasattr(cls, "transform")):
        raise StepError(f"prepare step '{name}' is no scikit-learn transformer")
    return cls


# ------------------------------------------------------------- classes of a configuration's owner


def import_class(name: str, folder: Path | None) -> type[Any]:
    """Return the class ``module:Class`` of an installed package, or else of a folder.

    Without a folder a module that is not installed has to be imported already. Raises whatever the
    module does.
    """
    root = name.partition(":")[0].partition(".")[0]
    with _search_path(None):
        if any(finder.find_spec(root, None) for finder in sys.meta_path):
            return resolve_name(name)  # type: ignore[no-any-return]
    spec = None if folder is None else PathFinder.find_spec(root, [str(folder)])
    replaced = {}  # modules of this name that were imported from elsewhere
    loaded = sys.modules.get(root)
    if spec and loaded and _origin(spec) != _origin(getattr(loaded, "__spec__", None)):
        for module in list(sys.modules):
            if module.partition(".")[0] == root:
                replaced[module] = sys.modules.pop(module)
    try:
        with _search_path(folder):
            cls: type[Any] = resolve_name(name)
    except BaseException:
        sys.modules.update(replaced)
        raise
    OWN_STEPS[f"{cls.__module__}:{cls.__qualname__}"] = cls
    return cls


def _origin(spec: ModuleSpec | None) -> Any:
    return spec and (spec.origin or [*(spec.submodule_search_locations or ())])


@contextmanager
def _search_path(folder: Path | None) -> Iterator[None]:
    """Search modules where packages are installed and in a folder, but in no other near by.

    The working directory and the folder of the program, which Python may search first, are left
    out: whoever can write a file there is not the configuration's owner.
    """
    before = list(sys.path)
    near_by = {os.path.realpath(os.curdir)}
    if sys.path and not sys.flags.safe_path:
        near_by.add(os.path.realpath(sys.path[0] or os.curdir))
    sys.path[:] = [path for path in before if os.path.realpath(path or os.curdir) not in near_by]
    if folder is not None:
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
