"""`compare`: a ranking of the finished runs of experiments and sweeps, in all its forms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbgsom_core.config import DecideSettings, fill_text
from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.compare.criterion import RankingCriterion, find_criterion, is_in_units
from dbgsom_core.runs.compare.export import as_html, save, to_frame
from dbgsom_core.runs.compare.group import group_runs, lacks_folds, make_entry, without_repeats
from dbgsom_core.runs.compare.rank import rank, rank_over_data_sets
from dbgsom_core.runs.compare.select import Selection, select_runs
from dbgsom_core.runs.compare.table import MeanRanks, Table
from dbgsom_core.runs.folder import StoredRun

if TYPE_CHECKING:
    import pandas as pd

log = private_logger("dbgsom")

_MOST_NAMED = 8  # runs in an address; more make it longer than a screen is wide


@dataclass(frozen=True, repr=False)
class Comparison:
    """A ranking of runs; a notebook shows it as tables.

    Attributes
    ----------
    decision : RankingCriterion
        The measure that ranks.
    tables : sequence of Table
        One for each data set; different data sets, or divisions, are not ranked together.
    rankings : sequence of MeanRanks
        Where the same variants ran on several data sets.
    notes : sequence of str
        What else a reader should know: runs that are not finished, that repeat others, ….
    damaged : mapping of str to str
        What is wrong with the folders that cannot be read, by their names.
    runs : sequence of StoredRun
        All that were compared.
    """

    decision: RankingCriterion
    tables: Sequence[Table]
    rankings: Sequence[MeanRanks]
    notes: Sequence[str]
    damaged: Mapping[str, str]
    runs: Sequence[StoredRun]

    @property
    def sentence(self) -> str:
        """Which variant won: a line each data set, and one over all of them."""
        several = len(self.tables) > 1
        lines = [
            f"{table.name}: {table.sentence}" if several else table.sentence
            for table in self.tables
        ]
        return "\n".join([*lines, *(ranking.sentence for ranking in self.rankings)])

    def __repr__(self) -> str:
        return f"<{len(self.runs)} runs compared by {self.decision.name}: {self.sentence}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each variant on each data set; see `Row` for the columns.

        ``best`` says which values of the measure that ranks are best: ``greater``, ``less`` or
        ``0``. Of the measures beside it ``attrs["best"]`` says so, by column; nothing where no
        plugin does.
        """
        return to_frame(self.tables)

    def save(self, path: str | Path) -> None:
        """Write the tables to a file: .csv, .html or .md by its ending.

        Raises
        ------
        DataError
            The file has another ending, or cannot be written.
        """
        save(self, Path(path))

    def links(self, registry: Registry | None = None) -> list[str]:
        """Return the commands or addresses that show the runs beside each other, by tracker.

        One run of each variant comes first.
        """
        registry = registry or get_registry()
        by_id = {run.id: run for run in self.runs}
        rows = [row for table in self.tables for row in table.ranked]
        seeds = zip_longest(*(row.runs for row in rows))  # one of each variant, then the next
        runs = [by_id[id] for several in seeds for id in several if id is not None]
        trackers: dict[str, list[StoredRun]] = {}
        for run in runs:
            listed = run.config.get("tracking")
            for section in listed if isinstance(listed, list) else [listed]:
                if section:
                    key = json.dumps(section, sort_keys=True, default=str)
                    trackers.setdefault(key, []).append(run)
        found = []
        for key, several in trackers.items():
            try:
                tracker = registry.build("tracker", _filled(json.loads(key)))
                how = TrackerAbilities.of(tracker).how_to_compare
                link = None if how is None else how(_identities(several))
            except Exception as error:  # runs of long ago, or of another machine
                log.debug("no link: %s", error)
            else:
                found += [link] if link else []
        return list(dict.fromkeys(found))


def _identities(runs: Sequence[StoredRun]) -> list[tuple[str, str]]:
    # Of many the sweep that they all are of, which trackers know as one.
    sweeps = {run.parent for run in runs}
    if len(runs) > _MOST_NAMED and len(sweeps) == 1 and None not in sweeps:
        return [(runs[0].experiment, str(sweeps.pop()))]
    return [(run.experiment, run.id) for run in runs]


def _filled(section: Any) -> Any:
    if isinstance(section, Mapping):
        return {key: _filled(value) for key, value in section.items()}
    return fill_text(section) if isinstance(section, str) else section


def compare(
    *targets: str | Path,
    by: str | None = None,
    direction: str | None = None,
    split: str | None = None,
    runs: str | Path = "runs",
    registry: Registry | None = None,
) -> Comparison:
    """Compare the finished runs of experiments, of sweeps, or runs by name.

    Runs that differ in nothing but their seed are one variant. Runs whose process died without a
    word are closed as killed on the way.

    Parameters
    ----------
    *targets : str or Path
        Experiments, ids of sweeps or runs, or run folders; none: the only experiment there is.
    by : str, optional
        The measure that ranks, ``accuracy`` or ``test/accuracy``. Without it the ``decide`` section
        of the sweep says which, else the estimator: accuracy for a classifier, r2 for a regressor,
        combined_error for vq.
    direction : {"maximize", "minimize"}, optional
        Which end of it is best; as the measure says without it.
    split : {"test", "train"}, optional
        On which part; the test part where there is one without it.
    runs : path
        The folder that holds all experiments.
    registry : Registry, optional
        Knows the measures; the installed plugins without it.

    Raises
    ------
    DataError
        A target or the measure is unknown, or no run has finished.
    PluginError
        The measure's plugin is broken.
    """
    registry = registry or get_registry()
    selection = select_runs([str(target) for target in targets], Path(runs))
    criterion = _criterion(selection, by, direction, split, registry)
    in_units = is_in_units(criterion, registry)
    entries = [make_entry(run, in_units, registry) for run in selection.runs]
    entries, repeats = without_repeats(entries)
    tables = [rank(group, criterion, registry) for group in group_runs(entries)]
    tables.sort(key=lambda table: table.name)
    return Comparison(
        decision=criterion,
        tables=tables,
        rankings=rank_over_data_sets(tables),
        notes=_notes(selection, repeats, tables, in_units),
        damaged=selection.damaged,
        runs=selection.runs,
    )


def _criterion(
    selection: Selection,
    by: str | None,
    direction: str | None,
    split: str | None,
    registry: Registry,
) -> RankingCriterion:
    # A measure by name replaces all that the sweep says.
    of_sweep = selection.decide if by is None else DecideSettings()
    settings = DecideSettings(
        measure=by or of_sweep.measure,
        direction=direction or of_sweep.direction,  # type: ignore[arg-type]
        split=split or of_sweep.split,  # type: ignore[arg-type]
    )
    runs = selection.runs
    kinds = {str((run.config.get("model") or {}).get("estimator", "vq")) for run in runs}
    names = list(dict.fromkeys(name for run in runs for name in run.measures))
    found = find_criterion(settings, kinds, names, registry)
    if found is None:
        listed = ", ".join(sorted(names)) or "none"
        raise DataError(f"nothing says what is best; name a measure by --by, of: {listed}")
    return found


def _notes(
    selection: Selection, repeats: int, tables: Sequence[Table], in_units: bool
) -> list[str]:
    notes, runs, criterion = [], selection.runs, tables[0].decision
    if selection.unfinished:
        states = ", ".join(f"{count} {state}" for state, count in selection.unfinished.items())
        notes.append(f"not finished, and left out: {states}")
    if repeats:
        notes.append(
            f"{repeats} older run(s) repeat another with the same configuration and seed, and are "
            "left out"
        )
    if unknown := sum(map(lacks_folds, runs)):
        notes.append(
            f"{unknown} run(s) of an earlier version hold no values of their folds, so that "
            "nothing can be tested by them; run them anew"
        )
    if lacking := sum(row.mean != row.mean for table in tables for row in table.rows):
        notes.append(f"{lacking} variant(s) have no {criterion.name}")
    versions = dict.fromkeys(
        str((run.environment.get("versions") or {}).get("dbgsom-core")) for run in runs
    )
    if len(versions) > 1:
        notes.append(f"the runs are of different versions of dbgsom-core: {', '.join(versions)}")
    units = (repr((t.facts.get("metric"), t.facts.get("prepare"))) for t in tables)
    if in_units and len(set(units)) > 1:
        notes.append(
            f"{criterion.measure} is in the units of the metric, so runs of other metrics or "
            "'prepare' steps are not ranked together; topographic_error has no units"
        )
    return notes
