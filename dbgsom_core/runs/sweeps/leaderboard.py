"""The finished runs of a sweep, ranked as `compare` ranks them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from dbgsom_core.config import Child, Sweep
from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.trackers import Ranking, Run
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare.criterion import RankingCriterion, find_criterion, is_in_units
from dbgsom_core.runs.compare.group import (
    Entry,
    Group,
    diff_configs,
    group_runs,
    make_entry,
    variant_settings,
    without_units,
)
from dbgsom_core.runs.compare.rank import rank, ranking_of
from dbgsom_core.runs.compare.text import adjusted_for, best_so_far
from dbgsom_core.runs.folder import StoredRun, read_run

Names = dict[str, tuple[Mapping[str, Any], str]]


class Leaderboard:
    """Ranks the variants of a sweep while it goes on, and at its end.

    What a run adds is read and described once, when it has finished.
    """

    def __init__(self, sweep: Sweep, registry: Registry) -> None:
        self._sweep, self._registry = sweep, registry
        self._runs: dict[str, tuple[Child, StoredRun]] = {}
        self._entries: dict[tuple[str, bool], Entry] = {}
        self._names: dict[tuple[bool, int], Names] = {}
        self._estimators: set[str] = set()
        self._criterion: RankingCriterion | None = None

    def add(self, child: Child, run: Run, measures: Mapping[str, float]) -> None:
        """Add a finished run."""
        stored = read_run(run.folder).model_copy(
            update={
                "id": run.id,
                "name": run.name,
                "data": run.data,
                "config": child.experiment.resolved,
                "measures": measures,
            }
        )
        self._runs[child.name] = child, stored
        self._estimators.add(child.experiment.model.estimator)
        if self._criterion is None or self._criterion.name not in measures:
            try:
                self._criterion = self.criterion()
            except DataError:  # the measure may have failed here, and not in the next run
                self._criterion = None

    def criterion(self) -> RankingCriterion | None:
        """Return what ranks, None where the runs have none of the default measures.

        Raises
        ------
        DataError
            No run has the measure that the sweep names.
        """
        names = dict.fromkeys(name for _, run in self._runs.values() for name in run.measures)
        return find_criterion(self._sweep.decide, self._estimators, names, self._registry)

    @property
    def greater_is_better(self) -> bool:
        """Whether more of what ranks is better; known once a run has it."""
        return self._criterion is None or self._criterion.greater_is_better

    def value(self, measures: Mapping[str, float]) -> float:
        """Return what ranks of a run's measures; NaN where they lack it."""
        return math.nan if self._criterion is None else self._criterion.value(measures)

    def best_so_far(self, child: Child) -> str:
        """Return a sentence on the best variant until now, on the data set of a run."""
        criterion = self._criterion
        if criterion is None:
            return ""
        groups = self._groups(criterion, self._runs)
        id = self._runs[child.name][1].id
        group = next(one for one in groups if any(entry.run.id == id for entry in one.entries))
        table = rank(group, criterion, self._registry, interim=True)
        if not table.ranked:
            return ""
        where = f" on {group.name}" if len(groups) > 1 else ""
        return f"best so far{where}: {best_so_far(table)}"

    def rankings(self, order: Iterable[str]) -> list[Ranking]:
        """Return the variants on each data set, best first; nothing where nothing ranks.

        Parameters
        ----------
        order : iterable of str
            Names of the runs, in the order of the sweep and not as they happened to end.

        Raises
        ------
        DataError
            No run has the measure that the sweep names.
        """
        criterion = self.criterion()
        if criterion is None:
            return []
        found = []
        for group in self._groups(criterion, order):
            table = rank(group, criterion, self._registry)
            sentences = [table.sentence] if table.test or table.is_adjusted else []
            sentences += [adjusted_for(table)] if table.is_adjusted else []
            found.append(ranking_of(table, group, " ".join(sentences)))
        return found

    def _groups(self, criterion: RankingCriterion, names: Iterable[str]) -> list[Group]:
        in_units = is_in_units(criterion, self._registry)
        entries = [self._entry(name, in_units) for name in names]
        return group_runs(entries, self._variant_names(in_units))

    def _entry(self, name: str, in_units: bool) -> Entry:
        key = name, in_units
        if key not in self._entries:
            child, run = self._runs[name]
            self._entries[key] = make_entry(
                run, in_units, self._registry, child.variant, child.experiment.seed
            )
        return self._entries[key]

    def _variant_names(self, in_units: bool) -> Names:
        """Return what tells each variant of the sweep apart, as `compare` names it.

        Of a search these are the variants so far, each named by the number of its trial, too.
        """
        search = self._sweep.optimization is not None
        finished = (child for child, _ in self._runs.values())
        first: dict[str, Child] = {}
        for child in finished if search else self._sweep.children:
            first.setdefault(child.variant, child)
        key = in_units, len(first)
        if key not in self._names:
            trees = [
                variant_settings(child.experiment.resolved, variant, self._registry)
                for variant, child in first.items()
            ]
            trees = [without_units(tree) for tree in trees] if in_units else trees
            varied = (name for child in first.values() for name in child.varies_beside_seed)
            fields = diff_configs(
                trees, list(dict.fromkeys(name.removesuffix(".name") for name in varied))
            )
            self._names[key] = {
                variant: (values, _variant_name(variant, text, search))
                for variant, (values, text) in zip(first, fields, strict=True)
            }
        return self._names[key]


def _variant_name(variant: str, text: str, search: bool) -> str:
    number = variant.partition(": ")[0]
    return f"{number}: {text}" if search and text else text or variant


def best_measures(rankings: list[Ranking]) -> dict[str, float]:
    """Return what ranks, and a few measures beside it, of each winner, as ``best/…``."""
    return {
        f"best/{ranking.data}/{name}" if len(rankings) > 1 else f"best/{name}": value
        for ranking in rankings
        for name in ranking.measures
        if (value := ranking.best.measures.get(name)) is not None
    }
