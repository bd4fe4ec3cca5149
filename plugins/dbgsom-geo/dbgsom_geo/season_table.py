"""A table of types by season."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
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

    Columns: days, share of all days and of those of each season, mean length of spells in days, the
    most frequent successor, and its share of the successors. A gap in time ends a spell. All days
    of the data set count, also those for testing.
    """

    by: Literal["unit", "label"] = Field(
        default="unit", description="what a type is: a neuron, or the label of neurons"
    )

    def observer(self) -> Any:
        return SimpleNamespace(dbgsom_run_finished=self._write)

    def _write(self, run: Run, result: RunResult) -> None:
        batches = [*result.tables["assignments"]()] if "assignments" in result.tables else []
        if not batches:
            return
        joined = {
            name: np.concatenate([np.asarray(one[name]) for one in batches])
            for name in {self.by, "time"}.intersection(batches[0])
        }
        table = season_table(joined[self.by], days_of(joined, "season_table"), self.by)
        with TemporaryDirectory() as folder:
            write_table(Path(folder, FILE), [table])
            run.log_artifact(FILE, Path(folder, FILE))


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
        "days": hits.astype(np.int64),
        "share": (hits / hits.sum()).round(4),
        **{one: (by_season[:, i] / all_days[i]).round(4) for i, one in enumerate(SEASONS)},
        "mean_spell_days": (step * np.bincount(of_type, lengths) / np.bincount(of_type)).round(2),
        "successor": np.where(ends > 0, known[counts.argmax(axis=1)].astype(str), ""),
        "successor_share": (counts.max(axis=1) / np.where(ends > 0, ends, np.nan)).round(4),
    }
