"""Tables of clusters by file: counts, shares, medians and coefficients of variation."""

from __future__ import annotations

import tempfile
import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import DataError, MapView, Run, RunResult, TrackerComponent
from dbgsom_core.tables import write_table


class ClusterTables(TrackerComponent):
    """Writes CSV tables into the run folder, for statistics: ``artifacts/cluster_tables``.

    ``counts.csv`` and ``percentages.csv`` have a row for each file and a column for each cluster;
    ``medians.csv`` and ``cv.csv`` a row for each cluster and a column for each marker, in the
    data's own units; ``medians_by_file.csv`` and ``cv_by_file.csv`` a row for each file and
    cluster. The coefficient of variation is the standard deviation over the mean, empty where the
    mean is not above 0. What is the same for all events of a file, as its condition, stands beside.
    """

    by: str = Field(default="file", description="column beside the samples that divides them")

    def observer(self) -> Any:
        return SimpleNamespace(dbgsom_run_finished=self._write)

    def how_to_open(self) -> str:
        return "the tables in artifacts/cluster_tables of the run folder"

    def _write(self, run: Run, result: RunResult) -> None:
        if result.view is None or result.view.estimator == "regressor":
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, table in tables_of(result.view, self.by).items():
                path = Path(folder) / f"{name}.csv"
                write_table(path, [table])
                run.log_artifact(f"cluster_tables/{name}.csv", path)


def tables_of(view: MapView, by: str = "file") -> dict[str, dict[str, Any]]:
    """Return the columns of each table by their names; raise `DataError` for sparse samples."""
    X, drawn_from, answers = view.evaluation.X, view.evaluation.drawn_from, view.neuron_labels
    unit = view.evaluation.bmu
    if view.leaf_labels is not None:  # of child maps
        answers, unit = view.leaf_labels, view.evaluation.leaf
    if not isinstance(X, np.ndarray):
        raise DataError("cluster_tables takes dense samples: leave it out of tracking")
    if by != "file" and by not in view.annotations:
        known = ", ".join(view.annotations) or "none"
        raise DataError(f"cluster_tables: no column '{by}' is kept beside the samples ({known})")
    if drawn_from:
        counted = f"cluster_tables counts {len(unit)} samples that were drawn of {drawn_from}"
        warnings.warn(f"{counted}: data read in blocks is measured by a part", stacklevel=2)
    labels, cluster = np.unique(answers, return_inverse=True)
    present, cluster = np.unique(cluster[unit], return_inverse=True)
    names = [str(view.label_names.get(one, one)) for one in labels[present].tolist()]
    # Objects, as these are texts that thousands of samples share.
    beside = view.annotations.get(by, np.full(len(unit), "all", dtype=object))
    files, first, of_file = np.unique(beside, return_index=True, return_inverse=True)
    k, f = len(names), len(files)
    counts = np.bincount(of_file * k + cluster, minlength=f * k).reshape(f, k)
    rows = {by: files} | {
        name: cells[first]
        for name, cells in view.annotations.items()
        if name != by and bool((cells == cells[first][of_file]).all())
    }
    totals = counts.sum(axis=1)
    titles = [f"cluster {name}" if name.isdecimal() else name for name in names]
    shares = 100 * counts / totals[:, None]
    found = {
        name: {**rows, "events": totals, **dict(zip(titles, cells.T, strict=True))}
        for name, cells in (("counts", counts), ("percentages", shares))
    }
    values = np.asfortranarray(view.in_own_units(X))  # as columns are read one by one
    features = [*map(str, view.feature_names)]
    if len(features) != values.shape[1]:
        features = [f"feature {i}" for i in range(values.shape[1])]
    every = {"cluster": names, "events": counts.sum(axis=0)}
    each = {name: np.repeat(cells, k) for name, cells in rows.items()}
    each |= {"cluster": np.tile(names, f), "events": counts.ravel()}
    for columns, groups, end in ((every, cluster, ""), (each, of_file * k + cluster, "_by_file")):
        taken = {name: f"{name} (marker)" for name in columns}
        markers = [taken.get(name, name) for name in features]
        for name, part in statistics(values, groups, len(columns["events"])).items():
            found[name + end] = columns | dict(zip(markers, part.T, strict=True))
    return found


def statistics(
    values: NDArray[np.floating[Any]], groups: NDArray[np.int64], n_groups: int
) -> dict[str, NDArray[np.float64]]:
    """Return medians and coefficients of variation (G, D) of samples (n, D) by group (n,).

    Missing values are left out; what cannot be said is nan.
    """
    order = np.argsort(groups, kind="stable")
    ends = [0, *np.cumsum(np.bincount(groups, minlength=n_groups)).tolist()]
    medians, cv = (np.full((n_groups, values.shape[1]), np.nan) for _ in range(2))
    for place in range(values.shape[1]):
        column = values[:, place][order]
        for group, (start, end) in enumerate(pairwise(ends)):
            part = column[start:end]
            part = part[~np.isnan(part)].astype(np.float64)
            if len(part):
                medians[group, place] = np.median(part)
                mean = part.mean()
                cv[group, place] = part.std() / mean if mean > 0 else np.nan
    return {"medians": medians, "cv": cv}
