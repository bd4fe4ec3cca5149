"""Fitted models in one file: a zip of .npy arrays and a JSON header, without pickle.

The header holds the format's version, the estimator's class and parameters, and for each part its
name, distribution, version and fields. Reading it imports installed plugins that it names, listed
transformers, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin

from dbgsom_core.engine.tables import BlockTable
from dbgsom_core.errors import DataError, DbgsomError, ModelFileError, PluginError
from dbgsom_core.estimators.answers import Answers, Explanation, as_row, explained
from dbgsom_core.estimators.archive import UnfitError, one_line, opened_archive, write_archive
from dbgsom_core.estimators.exploring import explored as explored_page
from dbgsom_core.estimators.function_metric import CURE, FunctionMetric
from dbgsom_core.estimators.map_reading import GRID_SHAPE, MAP_ARRAYS, check_room
from dbgsom_core.estimators.model_reading import (
    FITTED,
    check_widths,
    read_columns,
    read_estimator,
    read_steps,
)
from dbgsom_core.estimators.part_params import build_parts, written_spec
from dbgsom_core.estimators.plain_values import NotPlainError, Take, to_plain
from dbgsom_core.estimators.scaling import names_after, prepared
from dbgsom_core.estimators.stored_classes import ESTIMATORS, stored_types
from dbgsom_core.interfaces.component import Component, nested_fields
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.som_map.grid import GRIDS
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.tables import Columns
from dbgsom_core.tables._files import exists
from dbgsom_core.training.parts import LOOP, NOT_ASKED, PARTS, Absent

FORMAT = 2  # format 1, of 0.1.0, named some classes by their modules
_NO_MODELS = {
    **dict.fromkeys((".csv", ".tsv", ".parquet", ".pq"), "table"),
    **dict.fromkeys((".yaml", ".yml"), "configuration"),
}
_NOT_FILLED = {"spreading_factor": None, "max_neurons": None}


def save(model: Any, path: str | PathLike[str]) -> None:
    """Write a fitted estimator or `FittedModel` to ``path``; an older file stays until it is whole.

    Raises
    ------
    PluginError
        A part's class is offered by no plugin, so that nobody could load it.
    ModelFileError
        The folder does not exist, or what would be written could not be loaded again: a prepare
        step or the estimator is of a class that is not on the list (a subclass, too), or holds
        something that it may not.
    """
    if not isinstance(model, FittedModel):
        model = FittedModel((), model)
    arrays: dict[str, NDArray[Any]] = {}
    types = stored_types()
    try:
        header = {
            "format": FORMAT,
            "version": __version__,
            "columns": to_plain(model.columns, arrays, "columns", types),
            "steps": [[name, to_plain(step, arrays, name, types)] for name, step in model.steps],
            "estimator": _written(model.estimator, arrays),
        }
        header = json.loads(json.dumps(header))
    except (NotPlainError, RecursionError) as error:
        raise ModelFileError(f"the model cannot be saved without pickle: {error}") from error
    refused = "the model cannot be saved, for nobody could load it again: it"
    with _told(refused):
        _read(header, dict(arrays).pop)
    target = Path(path)
    if not target.parent.is_dir():
        raise ModelFileError(f"there is no folder {target.parent} to save {target.name} in")
    maps = model.estimator._tree.maps
    with _told(refused):
        write_archive(target, header, arrays, lambda size: check_room(maps, size))


def load(path: str | PathLike[str]) -> Any:
    """Read what `save` wrote: a `FittedModel`, or the estimator that was saved on its own.

    No code of the file is run, and no class is built that is not on the list of those that files
    may hold. Who wrote the file decides all the same what the model answers.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, from a newer version, or no model.
    PluginError
        A part's plugin is not installed here; the message says what the file claims of it.
    """
    source = Path(path)
    if exists(source / "model.npz"):
        raise ModelFileError(f"{path} is a folder; its model is {source / 'model.npz'}")
    if (kind := _NO_MODELS.get(source.suffix.lower())) and exists(source):
        raise ModelFileError(f"{path} is a {kind}, no model: where both are given, MODEL is first")
    try:
        with _told(str(path)), opened_archive(Path(path)) as archive:
            return _read(archive.header, archive.take, archive.size)
    except FileNotFoundError:
        raise ModelFileError(f"there is no model file {path}") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error


def load_estimator(path: str | PathLike[str], cls: type[Any]) -> Any:
    """Read an estimator of class ``cls``; raises as `load`, and when the file holds another."""
    loaded = load(path)
    if isinstance(loaded, FittedModel) and not loaded.steps:
        loaded = loaded.estimator
    if not isinstance(loaded, cls):
        raise ModelFileError(
            f"{path} holds a {type(loaded).__name__}, not a {cls.__name__}; "
            "dbgsom_core.persistence.load reads either"
        )
    return loaded


@contextmanager
def _told(subject: str) -> Iterator[None]:
    # A file can be wrong in more ways than anyone has thought of: whatever is raised is told.
    try:
        yield
    except (DbgsomError, OSError, Warning):
        raise
    except UnfitError as error:
        raise ModelFileError(f"{subject} {one_line(error)}") from error
    except Exception as error:
        raise ModelFileError(
            f"{subject} is no model that this version can read: {one_line(error)}"
        ) from error


def _read(header: Mapping[str, Any], take: Take, size: int | None = None) -> Any:
    if header["format"] > FORMAT:
        raise UnfitError(
            f"was written by dbgsom-core {str(header.get('version'))[:40]}, which is newer than "
            f"this one ({__version__}); upgrade dbgsom-core to read it"
        )
    types = stored_types()
    columns = read_columns(header.get("columns"), take, types)
    steps = read_steps(header["steps"], take, types)
    estimator = read_estimator(header["estimator"], take, types, size)
    check_widths(columns, steps, estimator)
    return FittedModel(steps, estimator, columns) if steps or columns else estimator


def _written(estimator: Any, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    cls, types = type(estimator), stored_types()
    if ESTIMATORS.get(cls.__name__) is not cls:
        raise ModelFileError(
            f"a {cls.__module__}.{cls.__qualname__} cannot be saved, as no file could name it; "
            f"save one of {', '.join(sorted(ESTIMATORS))} itself"
        )
    params = {
        name: to_plain(_short(estimator, name, value), arrays, name)
        for name, value in estimator.get_params(deep=False).items()
        if name not in (*PARTS, "callbacks", "random_state", "checkpoint")
    }
    seed = estimator.random_state
    params["random_state"] = int(seed) if isinstance(seed, (int, np.integer)) else None
    known = {name: getattr(estimator._parts, name) for name in NOT_ASKED}
    absent = {name: part for name, part in known.items() if isinstance(part, Absent)}
    given = build_parts({**estimator.get_params(deep=False), **_NOT_FILLED}, absent)
    parts = {
        kind: _part(kind, getattr(estimator._parts, kind), getattr(given, kind)) for kind in PARTS
    }
    fitted = {
        name: to_plain(getattr(estimator, name), arrays, name, types)
        for name in FITTED
        if name in vars(estimator)  # labels_ of what was read in blocks are made when asked for
    }
    state, answering = estimator._metric.state, estimator._answering
    learnt = None if answering is None else dict(answering.state)
    return {
        "class": cls.__name__,
        "params": params,
        "metric_state": None if state is None else to_plain(dict(state), arrays, "metric"),
        "labeller_state": None if learnt is None else to_plain(learnt, arrays, "labeller"),
        "parts": parts,
        "fitted": fitted,
        "map": _map_written(estimator.som_map_, arrays),
        "history": [asdict(record) for record in estimator.history_],
    }


def _short(estimator: Any, name: str, value: Any) -> Any:
    if isinstance(getattr(estimator._parts, name, None), Absent):
        return value
    if name == "stopping" and isinstance(value, (list, tuple)):
        return [written_spec(LOOP[name], one) for one in value]
    built = name in LOOP and isinstance(value, (str, Mapping, Component))
    return written_spec(LOOP[name], value) if built else value


def _map_written(som_map: SomMap, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    grid = som_map.grid
    written: dict[str, Any] = {
        name: to_plain(getattr(som_map, name), arrays, name) for name in MAP_ARRAYS
    }
    written |= {"grid": grid.name, "torus": grid.torus}
    if som_map.is_apart:
        written["apart"] = True
    if grid.flat != GRIDS.get(grid.name):  # whoever reads it needs no plugin
        shape = {name: getattr(grid, name) for name in GRID_SHAPE}
        written["lattice"] = json.loads(json.dumps(shape))
    written["children"] = [
        [neuron, _map_written(child, arrays)] for neuron, child in sorted(som_map.children.items())
    ]
    return written


def _part(kind: str, part: Component | Absent, given: Component) -> dict[str, Any]:
    if isinstance(part, Absent):
        return dict(part.stored)
    if isinstance(part, FunctionMetric):
        raise PluginError(f"metric={part!r} cannot be saved: no file can name it; {CURE}")
    identity = get_registry().identify(kind, part)
    nested = nested_fields(type(part))
    for field, inner_kind in nested.items():  # says so when nobody could build it again
        get_registry().identify(inner_kind, getattr(part, field))
    local = set(part.of_this_machine)
    params = part.model_dump(mode="json", exclude_unset=True, exclude=local)
    return {
        "name": identity.name,
        "distribution": identity.distribution,
        "version": identity.version,
        "params": params,
        # What the estimator's own parameters filled in, a reader lets them fill again.
        "filled": _filled(part, given),
        "fields": part.model_dump(mode="json", exclude=local),
    }


def _filled(part: Component, given: Component) -> list[str]:
    filled = sorted(part.model_fields_set - given.model_fields_set)
    for field in nested_fields(type(part)):
        if field not in filled:
            inner = _filled(getattr(part, field), getattr(given, field))
            filled += [f"{field}.{name}" for name in inner]
    return filled


@dataclass(frozen=True)
class FittedModel:
    """What a run leaves behind to be used: raw samples in, answers out.

    Raw samples X are an array of features (n, D), or a table, a pandas DataFrame, where the model
    knows the ``columns`` that it was trained on: they are found by name, see `Columns.samples`.

    Attributes
    ----------
    steps : sequence of (name, fitted transformer)
    estimator : SomVQ, SomClassifier or SomRegressor
        Fitted on prepared samples.
    columns : Columns or None
        Those of the table that the raw samples come from.
    """

    steps: Sequence[tuple[str, Any]]
    estimator: Any
    columns: Columns | None = None

    def prepare(self, X: Any) -> Any:
        """Return raw samples X (n, D) as the map takes them, an array (n, D').

        Of a table that is read in blocks it is a table.

        Raises
        ------
        DataError
            X is a table that lacks columns, or holds cells that cannot be read or are missing
            where the metric takes no missing values.
        """
        if self.columns is not None and hasattr(X, "iloc"):
            X = self.columns.samples(X)
            if not self.fills_gaps and "missing" not in self.estimator._metric.abilities.handles:
                self.columns.check_complete(X, "the table", "the model's metric takes none")
        elif self.columns is not None and getattr(getattr(X, "dtype", None), "kind", "") == "O":
            try:
                X = np.asarray(X, dtype=np.float64)
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"X holds what is no number ({error}): pass a DataFrame with the columns "
                    f"{', '.join(self.columns.names[:5])}{', …' * (len(self.columns.names) > 5)}"
                ) from error
        X = prepared(self.steps, X)
        return X if isinstance(X, BlockTable) else np.asarray(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the answer for each raw sample of X (n, D), shape (n,)."""
        return np.asarray(self.estimator.predict(self.prepare(X)))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities (n, C) for raw samples X (n, D)."""
        return np.asarray(self.estimator.predict_proba(self.prepare(X)))

    def transform(self, X: Any) -> NDArray[Any]:
        """Return raw samples X (n, D) by the prototypes (n, L), see `SomVQ.transform`."""
        return np.asarray(self.estimator.transform(self.prepare(X)))

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return how normal raw samples X (n, D) are, (n,), see `SomVQ.score_samples`."""
        return np.asarray(self.estimator.score_samples(self.prepare(X)))

    def answers(self, X: Any) -> Answers:
        """Return all that the map says of raw samples X (n, D), see `SomVQ.answers`."""
        return self.estimator.answers(self.prepare(X))  # type: ignore[no-any-return]

    def explain(self, x: Any, names: Sequence[str] | None = None) -> Explanation:
        """Return why the map answers to one raw sample (D,) as it does, see `SomVQ.explain`.

        A row of a table will do where the model knows its ``columns``; else ``names`` (D,) say what
        the features are called. Values are raw ones where the steps can be undone, else those that
        the map sees.
        """
        undo = self.undo if self.can_be_undone else None
        called = self.names_prepared(names)
        return explained(self.estimator, self.prepare(as_row(x)), called, undo)

    @property
    def fills_gaps(self) -> bool:
        """Whether a step fills in missing values."""
        return any(type(step).__name__.endswith("Imputer") for _, step in self.steps)

    @property
    def can_be_undone(self) -> bool:
        """Whether what `prepare` does to features can be undone, one by one."""
        return all(
            isinstance(step, OneToOneFeatureMixin) and hasattr(step, "inverse_transform")
            for _, step in self.steps
        )

    def names_prepared(self, names: Sequence[str] | None = None) -> list[str] | None:
        """Return what the columns of prepared samples are called; None where nobody knows.

        ``names`` are those of the raw features where the model has no ``columns`` that say it.
        """
        raw = names if self.columns is None else self.columns.feature_names
        found = names_after(self.steps, raw)
        known = found is not None and len(found) == self.estimator.n_features_in_
        return found if known else None

    def undo(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return prepared samples X (n, D) as raw ones; see ``can_be_undone``."""
        for _, step in reversed(self.steps):
            X = step.inverse_transform(X)
        return np.asarray(X)

    @property
    def undone(self) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
        """`undo` where prototypes are raw samples then: the metric has no space of its own."""
        own_space = self.estimator._metric.abilities.prepare is not None
        return self.undo if self.can_be_undone and not own_space else None

    def explore(
        self, X: Any, y: Any = None, names: Any = None, path: Any = None, **options: Any
    ) -> Html:
        """Return the map with raw samples X (n, D) as an interactive page, see `SomVQ.explore`.

        Values are raw ones where the steps can be undone, else those that the map sees.
        """
        names = self.names_prepared() if names is None else names
        return explored_page(self, X, y, names, path, **options)

    def bmu(self, X: Any, k: int = 1) -> NDArray[np.int64]:
        """Return the best-matching units of raw samples X (n, D), see `SomVQ.bmu`."""
        return np.asarray(self.estimator.bmu(self.prepare(X), k))

    def bmu_path(self, X: Any) -> NDArray[np.int64]:
        """Return the way of raw samples X (n, D) down the maps, see `SomVQ.bmu_path`."""
        return np.asarray(self.estimator.bmu_path(self.prepare(X)))

    def save(self, path: str | PathLike[str]) -> None:
        """Write columns, steps and map to one file, without pickle; `persistence.load` reads it."""
        save(self, path)
