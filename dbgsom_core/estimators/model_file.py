"""Fitted models in one file: a zip of .npy arrays and a JSON header, without pickle.

The header holds the format's version, the estimator's class and parameters, and for each part its
name, distribution, version and fields. Reading it imports installed plugins that it names, listed
transformers, and nothing else.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin

from dbgsom_core.engine.tables import BlockTable
from dbgsom_core.errors import DataError, DbgsomError, ModelFileError
from dbgsom_core.estimators.answers import Answers, Explanation, as_row, explained
from dbgsom_core.estimators.archive import UnfitError, one_line, opened_archive, write_archive
from dbgsom_core.estimators.display import explored as explored_page
from dbgsom_core.estimators.plain_values import (
    NotPlainError,
    Take,
    from_plain,
    stored_types,
    to_plain,
)
from dbgsom_core.estimators.scaling import names_after, prepared
from dbgsom_core.estimators.stored_estimator import (
    MOST_COLUMNS,
    checked_name,
    read_estimator,
    write_estimator,
)
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.interfaces.stored_types import mismatch, shown
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.tables import Columns
from dbgsom_core.tables._files import exists

FORMAT = 2  # format 1, of 0.1.0, named some classes by their modules
_NO_MODELS = {
    **dict.fromkeys((".csv", ".tsv", ".parquet", ".pq"), "table"),
    **dict.fromkeys((".yaml", ".yml"), "configuration"),
}


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
            "estimator": write_estimator(model.estimator, arrays, types),
        }
        header = json.loads(json.dumps(header))
    except (NotPlainError, RecursionError) as error:
        raise ModelFileError(f"the model cannot be saved without pickle: {error}") from error
    target = Path(path)
    with _errors_about("the model cannot be saved, for nobody could load it again: it"):
        _read(header, dict(arrays).pop)
        if not target.parent.is_dir():
            raise ModelFileError(f"there is no folder {target.parent} to save {target.name} in")
        write_archive(target, header, arrays)


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
        with _errors_about(str(path)), opened_archive(source) as archive:
            return _read(archive.header, archive.take)
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
def _errors_about(subject: str) -> Iterator[None]:
    # A file can be wrong in more ways than anyone has thought of: every error becomes a sentence.
    try:
        yield
    except (DbgsomError, OSError, Warning):
        raise
    except Exception as error:
        other = "" if isinstance(error, UnfitError) else "is no model that this version can read: "
        raise ModelFileError(f"{subject} {other}{one_line(error)}") from error


def _read(header: Mapping[str, Any], take: Take) -> Any:
    if header["format"] > FORMAT:
        raise UnfitError(
            f"was written by dbgsom-core {str(header.get('version'))[:40]}, which is newer than "
            f"this one ({__version__}); upgrade dbgsom-core to read it"
        )
    types = stored_types()
    columns = from_plain(header.get("columns"), take, types, "columns")
    if problem := mismatch(columns, "columns | none", {}, types):
        raise UnfitError(f"names columns that cannot be: columns{problem}")
    steps = []
    row = None if columns is None else np.ones((1, len(columns.feature_names)))
    for name, plain in header["steps"]:
        step = from_plain(plain, take, types, checked_name(name))
        row = _transformed(row, name, step)
        steps.append((name, step))
    estimator = read_estimator(header["estimator"], take, types)
    takes = estimator.n_features_in_
    if row is not None and row.shape[1] != takes:
        raise UnfitError(f"holds a map of {takes} columns and steps that make {row.shape[1]}")
    return FittedModel(tuple(steps), estimator, columns) if steps or columns else estimator


def _transformed(row: NDArray[Any] | None, name: str, step: Any) -> NDArray[Any] | None:
    """Return what a step makes of a row of ones, so wide as the one before it made; None: unknown.

    An encoder gets categories that it knows, an imputer what it fills in.
    """
    width = getattr(step, "n_features_in_", 0) if row is None else row.shape[1]
    if width > MOST_COLUMNS:
        raise UnfitError(f"claims to be of samples of {width} columns")
    known = width or not type(step).__module__.startswith(("sklearn.", "dbgsom_core."))
    if not (known and hasattr(step, "transform")):
        raise UnfitError(f"has a prepare step '{name}' that is no fitted transformer")
    if not width:
        return None
    row = np.ones((1, width))
    if hasattr(step, "categories_"):
        row = np.array([[categories[0] for categories in step.categories_]])
    elif type(step).__name__.endswith("Imputer"):
        row = np.full((1, width), step.missing_values, dtype=np.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = prepared([(name, step)], row)
    except Exception as error:
        raise UnfitError(f"has a prepare step '{name}' that cannot be used: {error}") from error
    if row.ndim != 2 or len(row) != 1 or row.dtype.kind not in "biuf":
        raise UnfitError(f"has a prepare step '{name}' that makes of a sample {shown(row)}")
    return row


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
        """Return raw samples X (n, D) as the map takes them, an array or a table in blocks (n, D').

        Raises
        ------
        DataError
            X is a table that lacks columns, or holds cells that cannot be read, or are missing.
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

        ``names`` (D,) are those of features where the model has no ``columns``. Values are raw ones
        where the steps can be undone, else those that the map sees.
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
