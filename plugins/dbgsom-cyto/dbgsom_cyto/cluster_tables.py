"""Tables of clusters by file: counts, shares, medians and coefficients of variation."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import DataError, MapView, Run, RunResult, TrackerComponent
from dbgsom_core.tables import write_table

_ROWS = 1 << 17  # that go back to the data's units at a time


class ClusterTables(TrackerComponent):
    """Writes CSV tables into the run folder, for statistics: ``artifacts/cluster_tables``.

    ``counts.csv`` and ``percentages.csv`` have a row for each file and a column for each cluster;
    ``medians.csv`` and ``cv.csv`` a row for each cluster and a column for each marker, in the
    data's own units; ``medians_by_file.csv`` and ``cv_by_file.csv`` a row for each file and
    cluster. The coefficient of variation is the standard deviation over the mean, empty where the
    mean is not above 0. What is the same for all events of a file, as its condition, stands beside.
    """

    by: str = Field(default="file", description="column beside the samples that divides them")

    def observer(self) -> _Observer:
        return _Observer(self.by)

    def how_to_open(self) -> str:
        return "CSV files in artifacts/cluster_tables of a run folder"


class _Observer:
    def __init__(self, by: str) -> None:
        self._by = by

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        if result.view is None or result.view.estimator == "regressor":
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, table in tables_of(result.view, self._by).items():
                path = Path(folder) / f"{name}.csv"
                write_table(path, [table])
                run.log_artifact(f"cluster_tables/{name}.csv", path)


class _Groups(NamedTuple):
    """The samples (n,) sorted by group: their order, and where each of G groups begins."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]  # (G + 1,)


def tables_of(view: MapView, by: str = "file") -> dict[str, dict[str, Any]]:
    """Return columns by names for each table: counts, percentages, medians, cv, and by file.

    Raises
    ------
    DataError
        Samples are sparse.
    """
    evaluation = view.evaluation
    bmu, X = evaluation.bmu, evaluation.X
    if not isinstance(X, np.ndarray):
        raise DataError("cluster_tables takes dense samples: leave it out of tracking")
    if evaluation.drawn_from:
        warnings.warn(
            f"cluster_tables counts {len(bmu)} samples that were drawn of {evaluation.drawn_from}: "
            "data that is read in blocks is measured by a part",
            stacklevel=2,
        )
    labels, of_neuron = np.unique(view.neuron_labels, return_inverse=True)
    cluster = of_neuron[bmu]
    present = np.flatnonzero(np.bincount(cluster, minlength=len(labels)))
    cluster = np.searchsorted(present, cluster)
    names = [str(view.label_names.get(one, one)) for one in labels[present].tolist()]
    beside = view.annotations.get(by)
    files, of_file = (
        (np.array(["all"], dtype=object), np.zeros(len(bmu), dtype=np.int64))
        if beside is None
        else np.unique(np.asarray(beside, dtype=object).astype(str), return_inverse=True)
    )
    k, f = len(names), len(files)
    counts = np.bincount(of_file * k + cluster, minlength=f * k).reshape(f, k)
    rows = {by: files, **_of_files(view, by, of_file, f)}
    totals = counts.sum(axis=1, keepdims=True)
    titles = [f"cluster {name}" if name.isdecimal() else name for name in names]
    count_columns = dict(zip(titles, counts.T, strict=True))
    shares = dict(zip(titles, (100 * counts / totals).T, strict=True))
    found = {
        "counts": {**rows, "events": totals[:, 0], **count_columns},
        "percentages": {**rows, "events": totals[:, 0], **shares},
    }
    values = _in_own_units(view, X)
    features = [*map(str, view.feature_names)]
    if len(features) != values.shape[1]:
        features = [f"feature {i}" for i in range(values.shape[1])]
    features = [
        f"{one} (marker)" if one in ("cluster", "events", *rows) else one for one in features
    ]
    total = counts.sum(axis=0)
    every: dict[str, Any] = {"cluster": names, "events": total}
    for name, part in _statistics(values, _grouped(cluster, k)).items():
        found[name] = every | dict(zip(features, part.T, strict=True))
    if beside is None:
        return found
    each = {one: np.repeat(np.asarray(cells, dtype=object), k) for one, cells in rows.items()}
    each |= {"cluster": np.tile(names, f), "events": counts.ravel()}
    for name, part in _statistics(values, _grouped(of_file * k + cluster, f * k)).items():
        found[f"{name}_by_file"] = each | dict(zip(features, part.T, strict=True))
    return found


def _of_files(
    view: MapView, by: str, of_file: NDArray[np.int64], f: int
) -> Mapping[str, NDArray[Any]]:
    """Return the columns beside the samples that have one value in each file."""
    first = np.zeros(f, dtype=np.int64)
    first[of_file[::-1]] = np.arange(len(of_file))[::-1]
    found = {}
    for name, cells in view.annotations.items():
        if name != by and len(cells) == len(of_file) and (cells == cells[first][of_file]).all():
            found[name] = cells[first]
    return found


def _in_own_units(view: MapView, X: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples (n, D) as the data has them, one column after the other in memory."""
    values = np.empty(X.shape, dtype=X.dtype, order="F")
    for start in range(0, len(X), _ROWS):
        part = view.in_own_units(X[start : start + _ROWS])
        if part.shape[1] != values.shape[1]:  # steps that make other columns
            values = np.empty((len(X), part.shape[1]), dtype=part.dtype, order="F")
        values[start : start + _ROWS] = part
    return values


def _grouped(group: NDArray[np.int64], n_groups: int) -> _Groups:
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=n_groups))
    return _Groups(order, np.concatenate([[0], ends]))


def _statistics(values: NDArray[Any], groups: _Groups) -> dict[str, NDArray[np.float64]]:
    """Return medians and coefficients of variation (G, D) of samples (n, D); nan for none."""
    n = len(groups.starts) - 1
    medians, variation = (np.full((n, values.shape[1]), np.nan) for _ in range(2))
    for place in range(values.shape[1]):
        column = values[:, place][groups.order]
        for group, (start, end) in enumerate(
            zip(groups.starts[:-1], groups.starts[1:], strict=True)
        ):
            part = column[start:end]
            part = part[~np.isnan(part)]
            if len(part):
                medians[group, place] = np.median(part)
                mean = part.mean(dtype=np.float64)
                if mean > 0:
                    variation[group, place] = part.std(dtype=np.float64) / mean
    return {"medians": medians, "cv": variation}
