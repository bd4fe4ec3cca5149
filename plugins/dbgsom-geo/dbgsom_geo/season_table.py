"""A table of types by season."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import Run, RunResult, TrackerComponent
from dbgsom_core.tables import write_table
from dbgsom_geo.days import SEASONS, Days, days_of, transition_counts

FILE = "season_table.csv"


class SeasonTable(TrackerComponent):
    """Writes artifacts/season_table.csv: how often each type is, in which season, and how it lasts.

    Columns: days, share of all days, share of the days of each season, mean length of spells in
    days, the most frequent successor other than itself, and how often it comes after a spell. A gap
    in time ends a spell. All days of the data set count, also those for testing.
    """

    by: Literal["unit", "label"] = Field(
        default="unit", description="what a type is: a neuron, or the label of neurons"
    )

    def observer(self) -> _Writer:
        return _Writer(self.by)


class _Writer:
    def __init__(self, by: str) -> None:
        self._by = by

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        if result.view is None or "assignments" not in result.tables:
            return
        batches = [*result.tables["assignments"]()]
        time = {"time": np.concatenate([one["time"] for one in batches if "time" in one] or [[]])}
        found = days_of(time if len(time["time"]) else {}, "season_table")
        types = np.concatenate([np.asarray(one[self._by]) for one in batches])
        with TemporaryDirectory() as folder:
            path = Path(folder, FILE)
            write_table(path, [season_table(types, found, self._by)])
            run.log_artifact(FILE, path)


def season_table(types: NDArray[Any], days: Days, name: str = "unit") -> dict[str, Any]:
    """Return the columns of the table for the type of each day (n,); a row each type.

    Successors are empty where a type is followed by no other one.
    """
    known, codes = np.unique(types, return_inverse=True)
    counts, spells, step = transition_counts(codes, days, len(known))
    np.fill_diagonal(counts, 0)
    by_season = np.zeros((len(known), len(SEASONS)))
    np.add.at(by_season, (codes, days.seasons), 1)
    hits, all_days = by_season.sum(axis=1), np.maximum(1, by_season.sum(axis=0))
    lengths = [np.mean([long for one, long in spells if one == code]) for code in range(len(known))]
    ends, next_one = counts.sum(axis=1), counts.argmax(axis=1)
    return {
        name: known,
        "days": hits.astype(np.int64),
        "share": (hits / hits.sum()).round(4),
        **{one: (by_season[:, i] / all_days[i]).round(4) for i, one in enumerate(SEASONS)},
        "mean_spell_days": (step * np.array(lengths)).round(2),
        "successor": np.where(ends > 0, known[next_one].astype(str), ""),
        "successor_share": (counts.max(axis=1) / np.where(ends > 0, ends, np.nan)).round(4),
    }
