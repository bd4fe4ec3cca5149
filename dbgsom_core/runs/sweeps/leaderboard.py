"""The finished runs of a sweep, ranked as `compare` ranks them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from dbgsom_core.config import Child, Sweep
from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.trackers import Ranking, Run
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare.criterion import RankingCriterion, find_criterion, is_in_units
from dbgsom_core.runs.compare.rank import rank, ranking_of
from dbgsom_core.runs.compare.text import adjusted_for, leader_text, verdict
from dbgsom_core.runs.compare.variants import Entry, Group, group_runs, make_entry
from dbgsom_core.runs.folder import StoredRun, read_run


class Leaderboard:
    """Ranks the variants of a sweep while it goes on, and at its end.

    What a run adds is read and described once, when it has finished.
    """

    def __init__(self, sweep: Sweep, registry: Registry) -> None:
        self._sweep, self._registry = sweep, registry
        self._runs: dict[str, StoredRun] = {}
        self._entries: dict[tuple[str, bool], Entry] = {}
        self._criterion: RankingCriterion | None = None

    def add(self, child: Child, run: Run, measures: Mapping[str, float]) -> None:
        """Add a finished run."""
        known = {"id": run.id, "name": run.name, "data": run.data, "varies": run.varies}
        known |= {"config": child.experiment.resolved, "measures": measures}
        self._runs[child.name] = read_run(run.folder).model_copy(update=known)
        if self._criterion is None or self._criterion.name not in measures:
            try:
                self._criterion = self.criterion()
            except DataError:  # the measure may have failed here, and not in the next run
                self._criterion = None

    def criterion(self) -> RankingCriterion | None:
        """Return what ranks, None where the runs have none of the default measures.

        Raises `DataError` where no run has the measure that the sweep names.
        """
        names = dict.fromkeys(name for run in self._runs.values() for name in run.measures)
        kinds = {run.config["model"]["estimator"] for run in self._runs.values()}
        return find_criterion(self._sweep.decide, kinds, names, self._registry)

    @property
    def greater_is_better(self) -> bool:
        """Whether more of what ranks is better; known once a run has it."""
        return self._criterion is None or self._criterion.greater_is_better

    def value(self, measures: Mapping[str, float]) -> float:
        """Return what ranks of a run's measures; NaN where they lack it."""
        return math.nan if self._criterion is None else self._criterion.value(measures)

    def leader(self, child: Child) -> str:
        """Return a sentence on the best variant until now, on the data set of a run."""
        criterion = self._criterion
        if criterion is None:
            return ""
        groups, id = self._groups(criterion, self._runs), self._runs[child.name].id
        group = next(one for one in groups if any(entry.run.id == id for entry in one.entries))
        table = rank(group, criterion, self._registry, interim=True)
        if not table.ranked:
            return ""
        where = f" on {group.name}" if len(groups) > 1 else ""
        return f"best so far{where}: {leader_text(table)}"

    def rankings(self, order: Iterable[str]) -> list[Ranking]:
        """Return the variants on each data set, best first; nothing where nothing ranks.

        ``order`` has the names of the runs as the sweep has them and not as they happened to end.
        Errors are those of `criterion`.
        """
        criterion = self.criterion()
        if criterion is None:
            return []
        found = []
        for group in self._groups(criterion, order):
            table = rank(group, criterion, self._registry)
            sentences = [verdict(table)] if table.test or table.is_adjusted else []
            sentences += [adjusted_for(table)] if table.is_adjusted else []
            found.append(ranking_of(table, group, " ".join(sentences)))
        return found

    def _groups(self, criterion: RankingCriterion, names: Iterable[str]) -> list[Group]:
        in_units = is_in_units(criterion, self._registry)
        for name in names:
            if (name, in_units) not in self._entries:
                entry = make_entry(self._runs[name], in_units, self._registry)
                self._entries[name, in_units] = entry
        return group_runs(self._entries[name, in_units] for name in names)
