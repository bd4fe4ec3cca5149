"""`compare`: select finished runs of experiments and sweeps, and rank their variants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.compare.criterion import RankingCriterion, find_criterion, is_in_units
from dbgsom_core.runs.compare.export import Comparison
from dbgsom_core.runs.compare.group import group_runs, make_entry, without_repeats
from dbgsom_core.runs.compare.rank import rank, rank_over_data_sets
from dbgsom_core.runs.compare.table import Table
from dbgsom_core.runs.find import find_run, mark_killed_runs
from dbgsom_core.runs.folder import StoredRun, find_experiments, find_runs

_RESUMABLE = ("killed", "failed")


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


# ----------------------------------------------------------------------- which runs to compare


@dataclass(frozen=True)
class Selection:
    """The runs to compare."""

    runs: Sequence[StoredRun]  # the finished ones, oldest first
    decide: DecideSettings = field(default_factory=DecideSettings)  # of the sweep that all are of
    unfinished: Mapping[str, int] = field(default_factory=dict)  # how many, by how they stand
    damaged: Mapping[str, str] = field(default_factory=dict)  # what is wrong, by folder


def select_runs(targets: Sequence[str], root: Path) -> Selection:
    """Return the runs of experiments, of sweeps, and runs by id or folder, each once.

    Without ``targets`` the only experiment is meant. Runs whose process died are closed as killed.
    """
    known = find_experiments(root)
    if not targets and len(known) != 1:
        raise DataError(
            f"there are several experiments in {root}; name one of them: {', '.join(known)}"
            if known
            else f"there are no runs in {root}; start one with 'dbgsom run', or name another folder"
        )
    found: dict[Path, StoredRun] = {}
    for target in targets or known:
        for run in _runs_of(target, root, known):
            found[run.files.folder.absolute()] = run
    sweeps = [run for run in found.values() if run.kind == "sweep" and not run.damage]
    runs = sorted(
        (run for run in found.values() if run.kind == "run" and not run.damage),
        key=lambda run: (run.started is not None and run.started.timestamp(), run.id),
    )
    damaged = {run.files.folder.name: run.damage for run in found.values() if run.damage}
    finished = [run for run in runs if run.status == "finished"]
    unfinished = Counter(str(run.status) for run in runs if run.status != "finished")
    if finished:
        return Selection(finished, _sweep_settings(finished, sweeps), unfinished, damaged)
    states = [f"{name} damaged: {why}" for name, why in damaged.items()]
    states += [f"{run.id} {run.status}" for run in (*sweeps, *runs)]
    text = f"{', '.join(targets or known)} in {root} has no finished run: "
    text += ", ".join(states[-5:]) or "it has none"
    for one in (*runs, *sweeps):
        resumable = one.status in _RESUMABLE and one.files.config.exists()
        if one.parent is None and resumable:
            text += f"; to go on: dbgsom {one.kind} --resume {one.id}"
            break
    raise DataError(text)


def _runs_of(target: str, root: Path, known: Sequence[str]) -> list[StoredRun]:
    name = target.strip("/")
    if name in known:
        mark_killed_runs(root, name)
        return find_runs(root, name)
    run, _ = find_run(target, root, besides=", no sweep")
    if run.kind == "run" or run.damage:
        return [run]
    group = run.experiment.count("/") + 1  # folders between the root and its runs
    above = run.files.folder.parents[group]
    experiment = run.files.folder.parent.relative_to(above).as_posix()
    mark_killed_runs(above, experiment)
    return [one for one in find_runs(above, experiment) if run.id in (one.id, one.parent)]


def _sweep_settings(runs: Sequence[StoredRun], sweeps: Sequence[StoredRun]) -> DecideSettings:
    """Return ``decide`` of the sweep that all runs belong to."""
    parents = {run.parent for run in runs}
    parent = next((one for one in sweeps if {one.id} == parents), None)
    section: Any = None if parent is None else parent.config.get("sweep")
    settings = section.get("decide") if isinstance(section, Mapping) else None
    try:
        return DecideSettings.model_validate(settings or {})
    except ValidationError:  # of another version
        return DecideSettings()
