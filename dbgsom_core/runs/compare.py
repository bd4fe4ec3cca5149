"""Comparing the finished runs of an experiment, read back from their folders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.interfaces.component import flat
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.dead import close_dead_runs
from dbgsom_core.runs.store import StoredRun, find_experiments, find_runs

PARTS = ("test", "train")
# Where results go and what is drawn does not tell runs apart.
_BESIDE_THE_POINT = (
    "experiment", "name", "tracking", "figures", "measures", "sweep", "extends", "patience",
)  # fmt: skip


class ComparedRun(NamedTuple):
    """One finished run, a row: its id, what of it varies (None: it has no such key), all measures.

    ``varying`` has every column in `Comparison.varying`.
    """

    id: str
    varying: Mapping[str, Any]
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """The finished runs of an experiment, best first.

    Attributes
    ----------
    experiment : str
    by : str
        Full name of the measure that orders the runs.
    greater_is_better : bool
    varying : sequence of str
        Parameters, and dotted configuration keys that no parameter repeats, that differ.
    measures : sequence of str
        Full names of all measures that any run has: ``by`` first, then those of its part.
    runs : sequence of ComparedRun
        Runs without the measure, or with NaN, come last.
    damaged : mapping of str to str
        What is wrong with the folders that cannot be read, by their names.
    """

    experiment: str
    by: str
    greater_is_better: bool
    varying: Sequence[str]
    measures: Sequence[str]
    runs: Sequence[ComparedRun]
    damaged: Mapping[str, str] = field(default_factory=dict)


def compare_runs(root: Path, experiment: str, by: str, registry: Registry) -> Comparison:
    """Compare the finished runs of an experiment by one measure.

    Runs whose process died without a word are closed as killed on the way.

    Parameters
    ----------
    root : Path
        The folder that holds all experiments.
    experiment : str
    by : str
        A measure's full name (``test/accuracy``), or its bare name: then the test part is taken
        where there is one, else the training part.
    registry : Registry
        Knows of each measure whether greater is better.

    Raises
    ------
    DataError
        The experiment or the measure is unknown, or no run has finished.
    PluginError
        The measure's plugin is broken.
    """
    close_dead_runs(root, experiment)
    stored = find_runs(root, experiment)
    if not stored:
        raise DataError(_unknown_experiment(root, experiment))
    whole = [run for run in stored if not run.damage]
    damaged = {run.files.folder.name: run.damage for run in stored if run.damage}
    finished = [run for run in whole if run.kind == "run" and run.status == "finished"]
    if not finished:
        states = ", ".join(
            f"{run.files.folder.name} damaged: {run.damage}"
            if run.damage
            else f"{run.id} {run.status}"
            for run in stored[-5:]
        )
        raise DataError(f"experiment '{experiment}' in {root} has no finished run: {states}")
    names = list(dict.fromkeys(name for run in finished for name in run.measures))
    measure = _resolve(by, names)
    greater = _greater_is_better(measure, registry)
    columns, part = _varying(finished), _part(measure)
    rows = [
        ComparedRun(run.id, {name: them[at] for name, them in columns.items()}, run.measures)
        for at, run in enumerate(finished)
    ]
    return Comparison(
        experiment=experiment,
        by=measure,
        greater_is_better=greater,
        varying=list(columns),
        measures=sorted(names, key=lambda name: (name != measure, _part(name) != part, name)),
        runs=sorted(rows, key=lambda row: _rank(row, measure, greater)),
        damaged=damaged,
    )


def _unknown_experiment(root: Path, experiment: str) -> str:
    known = find_experiments(root)
    if not known:
        return f"there are no runs in {root}; start one with 'dbgsom run', or name another folder"
    return (
        f"unknown experiment '{experiment}' in {root}{did_you_mean(experiment, known)}; "
        f"known: {', '.join(known)}"
    )


def _resolve(by: str, names: Sequence[str]) -> str:
    for name in (by, *(f"{part}/{by}" for part in PARTS)):
        if name in names:
            return name
    bare = [name.partition("/")[2] for name in names]
    raise DataError(
        f"no finished run has the measure '{by}'{did_you_mean(by, [*names, *bare])}; "
        f"available: {', '.join(sorted(names)) or 'none'}"
    )


def _greater_is_better(measure: str, registry: Registry) -> bool:
    """Ask the measure's class; what follows its registered name in ``measure`` are options."""
    part, _, rest = measure.partition("/")
    if part == "test_std":  # the spread over folds, of whatever it is
        return False
    bare = (rest if part in PARTS else measure).rpartition(":")[2]
    known = [
        name
        for name in registry.names("measure")
        if bare == name or (bare.startswith(name) and not bare[len(name)].isalnum())
    ]
    if not known:
        raise DataError(
            f"no installed plugin offers the measure '{bare}', so nobody knows whether more of it "
            f"is better{did_you_mean(bare, registry.names('measure'))}; compare by another measure"
        )
    found: Any = registry.find("measure", max(known, key=len))
    return bool(found.greater_is_better)


def _varying(runs: Sequence[StoredRun]) -> dict[str, list[Any]]:
    """Return the columns that differ; a configuration key that repeats a parameter is left out."""
    relevant = ({k: v for k, v in run.config.items() if k not in _BESIDE_THE_POINT} for run in runs)
    configs = [flat(config) for config in relevant]
    params = {key for run in runs for key in run.params}
    columns: dict[str, list[Any]] = {}
    for rows in ([run.params for run in runs], configs):
        for name in dict.fromkeys(key for row in rows for key in row):
            if rows is configs and name.removeprefix("model.").removesuffix(".name") in params:
                continue
            values = [row.get(name) for row in rows]
            differs = any(value != values[0] for value in values)
            if differs and values not in columns.values():
                columns[name] = values
    return columns


def _part(name: str) -> str:
    return name.partition("/")[0]


def _rank(row: ComparedRun, by: str, greater: bool) -> tuple[bool, float, str]:
    value = row.measures.get(by, math.nan)
    if math.isnan(value):
        return True, 0.0, row.id
    return False, -value if greater else value, row.id
