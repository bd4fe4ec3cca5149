"""A table of types by season."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError, MapView, Run, RunResult, TrackerComponent
from dbgsom_core.tables import write_table
from dbgsom_geo.composites import By, mean_fields, types_of
from dbgsom_geo.days import SEASONS, Days, days_of, transition_counts
from dbgsom_geo.netcdf import import_xarray

FILE, FIELDS = "season_table.csv", "composites.nc"


class SeasonTable(TrackerComponent):
    """Writes artifacts/season_table.csv: how often each type is, in which season, and how it lasts.

    Columns: samples, their share of all and of each season's, mean length of spells in days, the
    most frequent successor and its share. A gap in time ends a spell. Samples held out for testing
    count, too; those of ``split: {test: DATASET}`` are another data set and do not.
    artifacts/composites.nc has the mean fields of neurons and of labels, as the figure
    ``composites`` shows them, in its units; it is left out where features name no places.
    """

    by: By = "unit"

    def observer(self) -> Any:
        return SimpleNamespace(dbgsom_run_finished=self._write)

    def _write(self, run: Run, result: RunResult) -> None:
        batches = [*result.tables["assignments"]()] if "assignments" in result.tables else []
        if not batches or result.view is None:
            return
        joined = {
            name: np.concatenate([np.asarray(one[name]) for one in batches])
            for name in {self.by, "time"}.intersection(batches[0])
        }
        table = season_table(joined[self.by], days_of(joined, "season_table"), self.by)
        with TemporaryDirectory() as folder:
            write_table(Path(folder, FILE), [table])
            run.log_artifact(FILE, Path(folder, FILE))
            try:
                _fields(result.view).to_netcdf(Path(folder, FIELDS), engine="scipy")
                run.log_artifact(FIELDS, Path(folder, FIELDS))
            except DataError as error:
                warnings.warn(f"{FIELDS} is left out: {error}", stacklevel=2)


def _fields(view: MapView) -> Any:
    xr, found = import_xarray(), dict[str, Any]()
    for by in ("unit", "label"):
        types, names = types_of(view, by)
        fields, hits, grid, is_geographic = mean_fields(view, types)
        if not is_geographic:
            raise DataError("features name no places such as 50.0N 10.0W")
        found[f"mean_of_{by}"] = ((by, "latitude", "longitude"), fields)
        found[f"hits_of_{by}"] = (by, hits)
    found["label_of_unit"] = ("unit", np.array(names)[types])
    found["latitude"] = ("latitude", grid.latitudes, {"units": "degrees_north"})
    found["longitude"] = ("longitude", grid.longitudes, {"units": "degrees_east"})
    return xr.Dataset(found, {"unit": np.arange(len(types)), "label": names})


def season_table(types: NDArray[Any], days: Days, name: str = "unit") -> dict[str, Any]:
    """Return the columns of the table for the type of each day (n,); a row each type."""
    known, codes = np.unique(types, return_inverse=True)
    counts, spells, step = transition_counts(codes, days, len(known))
    np.fill_diagonal(counts, 0)
    by_season = np.zeros((len(known), len(SEASONS)))
    np.add.at(by_season, (codes, days.months % 12 // 3), 1)
    hits, all_days = by_season.sum(axis=1), np.maximum(1, by_season.sum(axis=0))
    of_type, lengths = np.transpose(spells)
    ends = counts.sum(axis=1)
    return {
        name: known,
        "samples": hits.astype(np.int64),
        "share": (hits / hits.sum()).round(4),
        **{one: (by_season[:, i] / all_days[i]).round(4) for i, one in enumerate(SEASONS)},
        "mean_spell_days": (step * np.bincount(of_type, lengths) / np.bincount(of_type)).round(2),
        "successor": np.where(ends > 0, known[counts.argmax(axis=1)].astype(str), ""),
        "successor_share": (counts.max(axis=1) / np.where(ends > 0, ends, np.nan)).round(4),
    }
