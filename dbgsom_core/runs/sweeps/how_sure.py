"""How sure it is which variant of a sweep is best: what a comparison of its runs says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dbgsom_core.interfaces.trackers import Ranking
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.comparing.compare import tables_of
from dbgsom_core.runs.comparing.deciding import Decision
from dbgsom_core.runs.comparing.sentences import adjusted_for
from dbgsom_core.runs.folder import read_run


def with_verdicts(
    rankings: Sequence[Ranking], folders: Sequence[Path], decision: Decision, registry: Registry
) -> list[Ranking]:
    """Return rankings with the sentence of `compare` on each, where there is something to say.

    Parameters
    ----------
    rankings : sequence of Ranking
    folders : sequence of Path
        Of the finished runs, oldest first.
    decision : Decision
        What decides.
    registry : Registry
        Knows the measures.
    """
    runs = [read_run(folder) for folder in folders]
    repeated = any(len(variant.runs) > 1 for one in rankings for variant in one.variants)
    if not repeated and not any(run.folds for run in runs):
        return [*rankings]
    tables = [one for one in tables_of(runs, decision, registry)[0] if one.test or one.is_adjusted]
    found = []
    for ranking in rankings:
        own = {run for variant in ranking.variants for run in variant.runs}
        tables_here = [one for one in tables if any(own & {*row.runs} for row in one.rows)]
        told = [one.sentence for one in tables_here]
        told += [adjusted_for(one) for one in tables_here if one.is_adjusted]
        found.append(replace(ranking, verdict=" ".join(told)))
    return found
