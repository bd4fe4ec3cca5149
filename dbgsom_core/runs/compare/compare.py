"""`compare`: select finished runs of experiments and sweeps, and rank their variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.compare.criterion import RankingCriterion, find_criterion, is_in_units
from dbgsom_core.runs.compare.export import Comparison
from dbgsom_core.runs.compare.group import group_runs, make_entry, without_repeats
from dbgsom_core.runs.compare.rank import rank, rank_over_data_sets
from dbgsom_core.runs.compare.table import Table
from dbgsom_core.runs.find import find_folder, folders_ending_with, mark_killed_runs
from dbgsom_core.runs.folder import StoredRun, find_experiments, find_runs, read_run

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
    if not targets:
        if len(known) != 1:
            raise DataError(_which(known, root))
        targets = known
    found: dict[Path, StoredRun] = {}
    closed: set[Path] = set()
    for target in targets:
        for run in _runs_of(target, root, known, closed):
            found[run.files.folder.absolute()] = run
    sweeps = [run for run in found.values() if run.kind == "sweep" and not run.damage]
    runs = sorted(
        (run for run in found.values() if run.kind == "run" and not run.damage),
        key=lambda run: (run.started is not None and run.started.timestamp(), run.id),
    )
    damaged = {run.files.folder.name: run.damage for run in found.values() if run.damage}
    finished = [run for run in runs if run.status == "finished"]
    unfinished: dict[str, int] = {}
    for run in runs:
        if run.status != "finished":
            unfinished[run.status] = unfinished.get(run.status, 0) + 1
    if not finished:
        raise DataError(_none_finished(", ".join(targets), root, runs, sweeps, damaged))
    return Selection(finished, _sweep_settings(finished, sweeps), unfinished, damaged)


def _none_finished(
    targets: str,
    root: Path,
    runs: Sequence[StoredRun],
    sweeps: Sequence[StoredRun],
    damaged: Mapping[str, str],
) -> str:
    states = [f"{name} damaged: {why}" for name, why in damaged.items()]
    begun = {run.parent for run in runs}
    states += [
        f"{one.id} {one.status} before any of its runs began"
        for one in sweeps
        if one.id not in begun and one.status != "running"
    ]
    states += [f"{one.id} is going on" for one in sweeps if one.status == "running"]
    states += [f"{run.id} {run.status}" for run in runs]
    text = f"'{targets}' in {root} has no finished run: {', '.join(states[-5:]) or 'it has none'}"
    left = [
        one
        for one in (*runs, *sweeps)
        if one.parent is None and one.status in _RESUMABLE and one.files.config.exists()
    ]
    if left:
        command = "sweep" if left[-1].kind == "sweep" else "run"
        text += f"; to go on: dbgsom {command} --resume {left[-1].id}"
    return text


def _runs_of(
    target: str, root: Path, known: Sequence[str], closed: set[Path]
) -> Iterable[StoredRun]:
    name = target.strip("/")
    if name in known:
        return _all_of(root, name, closed)
    found = find_folder(target, root)
    if found is None:
        raise DataError(_unknown(target, root, known))
    folder = found.absolute()
    run = read_run(folder)
    if run.kind == "run" or run.damage:
        return [run]
    group = run.experiment.count("/") + 1  # folders between the root and its runs
    above = folder.parents[group]
    siblings = _all_of(above, folder.parent.relative_to(above).as_posix(), closed)
    return [one for one in siblings if run.id in (one.id, one.parent)]


def _all_of(root: Path, experiment: str, closed: set[Path]) -> list[StoredRun]:
    place = root / experiment
    if place not in closed:
        mark_killed_runs(root, experiment)
        closed.add(place)
    return find_runs(root, experiment)


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


def _which(known: Sequence[str], root: Path) -> str:
    if not known:
        return f"there are no runs in {root}; start one with 'dbgsom run', or name another folder"
    return f"there are several experiments in {root}; name one of them: {', '.join(known)}"


def _unknown(target: str, root: Path, known: Sequence[str]) -> str:
    if not known:
        return _which(known, root)
    if several := folders_ending_with(target, root, known):
        return f"'{target}' may be any of {', '.join(map(str, several[:5]))}: name its folder"
    ids = [run.name for name in known for run in (root / name).iterdir()]
    return (
        f"'{target}' is no experiment, sweep or run in {root}{did_you_mean(target, [*known, *ids])}"
        f"; known experiments: {', '.join(known)}"
    )
