"""`compare`: select finished runs of experiments and sweeps, rank their variants, write tables."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dbgsom_core.config import DecideSettings, fill_text
from dbgsom_core.errors import DataError, as_text
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.compare import text
from dbgsom_core.runs.compare.criterion import RankingCriterion, find_criterion, is_in_units
from dbgsom_core.runs.compare.rank import MeanRanks, Table, rank, rank_over_data_sets
from dbgsom_core.runs.compare.variants import group_runs, make_entry, without_repeats
from dbgsom_core.runs.find import find_run, mark_killed_runs
from dbgsom_core.runs.folder import StoredRun, find_experiments, find_runs, write_text

if TYPE_CHECKING:
    import pandas as pd

log = private_logger("dbgsom")

ENDINGS = (".csv", ".html", ".md")
_MOST_NAMED = 8  # runs in an address; more make it longer than a screen is wide
_MARKS = re.compile(r"([\\`*\[\]|~$<>&]|(?<!\w)_|_(?!\w))")
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would compute
_STYLE = (
    ".dbgsom{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    ".dbgsom th,.dbgsom td{padding:.2em .8em;text-align:right;border-bottom:1px solid #8884}"
    ".dbgsom :is(th,td):first-child{text-align:left}"
)


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
    of_sweep = selection.decide if by is None else DecideSettings()  # a name replaces all of it
    settings = DecideSettings(
        measure=by or of_sweep.measure,
        direction=direction or of_sweep.direction,  # type: ignore[arg-type]
        split=split or of_sweep.split,  # type: ignore[arg-type]
    )
    kinds = {str((run.config.get("model") or {}).get("estimator", "vq")) for run in selection.runs}
    names = list(dict.fromkeys(name for run in selection.runs for name in run.measures))
    criterion = find_criterion(settings, kinds, names, registry)
    if criterion is None:
        listed = ", ".join(sorted(names)) or "none"
        raise DataError(f"nothing says what is best; name a measure by --by, of: {listed}")
    in_units = is_in_units(criterion, registry)
    entries = [make_entry(run, in_units, registry) for run in selection.runs]
    newest = without_repeats(entries)
    tables = [rank(group, criterion, registry) for group in group_runs(newest)]
    tables.sort(key=lambda table: table.name)
    return Comparison(
        criterion=criterion,
        tables=tables,
        rankings=rank_over_data_sets(tables),
        notes=_notes(selection, len(entries) - len(newest), tables, in_units),
        damaged=selection.damaged,
        runs=selection.runs,
    )


def _notes(
    selection: Selection, repeats: int, tables: Sequence[Table], in_units: bool
) -> list[str]:
    notes, runs, criterion = [], selection.runs, tables[0].criterion
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
    units = {repr((t.facts.get("metric"), t.facts.get("prepare"))) for t in tables}
    if in_units and len(units) > 1:
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
    decide: DecideSettings  # of the sweep that all are of
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
    found = {
        run.files.folder.absolute(): run
        for target in targets or known
        for run in _runs_of(target, root, known)
    }
    damaged = {run.files.folder.name: run.damage for run in found.values() if run.damage}
    whole = [run for run in found.values() if not run.damage]
    sweeps = [run for run in whole if run.kind == "sweep"]
    runs = sorted(
        (run for run in whole if run.kind == "run"),
        key=lambda run: (run.started is not None and run.started.timestamp(), run.id),
    )
    finished = [run for run in runs if run.status == "finished"]
    unfinished = Counter(str(run.status) for run in runs if run.status != "finished")
    if finished:
        return Selection(finished, _sweep_settings(finished, sweeps), unfinished, damaged)
    states = [f"{name} damaged: {why}" for name, why in damaged.items()]
    states += [f"{run.id} {run.status}" for run in (*sweeps, *runs)]
    message = f"{', '.join(targets or known)} in {root} has no finished run: "
    message += ", ".join(states[-5:]) or "it has none"
    for one in (*runs, *sweeps):
        resumable = one.status in ("killed", "failed") and one.files.config.exists()
        if one.parent is None and resumable:
            message += f"; to go on: dbgsom {one.kind} --resume {one.id}"
            break
    raise DataError(message)


def _runs_of(target: str, root: Path, known: Sequence[str]) -> list[StoredRun]:
    name = target.strip("/")
    if name in known:
        mark_killed_runs(root, name)
        return find_runs(root, name)
    run, _ = find_run(target, root, besides=", no sweep")
    if run.kind == "run" or run.damage:
        return [run]
    group = run.files.folder.parent
    mark_killed_runs(group.parent, group.name)
    return [one for one in find_runs(group.parent, group.name) if run.id in (one.id, one.parent)]


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


# ------------------------------------------------------------------------------- the result


@dataclass(frozen=True, repr=False)
class Comparison:
    """A ranking of runs; a notebook shows it as tables."""

    criterion: RankingCriterion  # the measure that ranks
    tables: Sequence[Table]  # of each data set, and way to divide it: these are not ranked together
    rankings: Sequence[MeanRanks]  # where the same variants ran on several data sets
    notes: Sequence[str]  # what else a reader should know: runs that are not finished, repeats, …
    damaged: Mapping[str, str]  # what is wrong with folders that cannot be read, by their names
    runs: Sequence[StoredRun]  # all that were compared

    @property
    def sentence(self) -> str:
        """Which variant won: a line each data set, and one over all of them."""
        several = len(self.tables) > 1
        lines = [
            f"{t.name}: {text.verdict(t)}" if several else text.verdict(t) for t in self.tables
        ]
        return "\n".join([*lines, *map(text.rank_verdict, self.rankings)])

    def __repr__(self) -> str:
        return f"<{len(self.runs)} runs compared by {self.criterion.name}: {self.sentence}>"

    def _repr_html_(self) -> str:
        return _as_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each variant on each data set; see `Row` for the columns.

        What tells variants apart has columns of its own where all variants have it. ``best`` says
        which values of the measure that ranks are best: ``greater``, ``less`` or ``0``. Of the
        measures beside it ``attrs["best"]`` says so, by column; nothing where no plugin does.
        """
        import pandas as pd

        rows = [
            (table, place, row) for table in self.tables for place, row in enumerate(table.rows)
        ]
        keys = dict.fromkeys(key for _, _, row in rows for key in row.fields)
        shared = [key for key in keys if all(key in row.fields for _, _, row in rows)]
        measures = dict.fromkeys(name for _, _, row in rows for name in row.measures)
        names = ("adjusted", "difference", "low", "high", "p", "holm", "pairs")
        records = [
            {"data": table.name, "rank": place + 1, "variant": row.variant}
            | {key.removeprefix("model."): row.fields[key] for key in shared}
            | {"measure": table.criterion.name, "best": table.criterion.end}
            | {"seeds": row.seeds, "folds": row.folds, "baseline": table.baseline}
            | {"mean": row.mean, "std": row.deviation}
            | {name: getattr(row, name) for name in names}
            | {"runs": " ".join(row.runs)}
            | {name: row.measures.get(name, (None,))[0] for name in measures}
            for table, place, row in rows
        ]
        frame = pd.DataFrame.from_records(records)
        frame.attrs["best"] = {k: v for table in self.tables for k, v in table.ends.items()}
        return frame

    def save(self, path: str | Path) -> None:
        """Write the tables to a file: .csv, .html or .md by its ending.

        Raises `DataError` where it has another ending, or cannot be written.
        """
        path = Path(path)
        check_ending(path)
        write = {".csv": _as_csv, ".html": _as_page, ".md": _as_markdown}[path.suffix.lower()]
        try:
            write_text(path, write(self))
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error

    def links(self, registry: Registry | None = None) -> list[str]:
        """Return the commands or addresses that show the runs beside each other, by tracker.

        One run of each variant comes first.
        """
        registry = registry or get_registry()
        by_id = {run.id: run for run in self.runs}
        rows = [row for table in self.tables for row in table.ranked]
        seeds = zip_longest(*(row.runs for row in rows))  # one of each variant, then the next
        trackers: dict[str, list[StoredRun]] = {}
        for run in (by_id[id] for several in seeds for id in several if id is not None):
            listed = run.config.get("tracking")
            for section in listed if isinstance(listed, list) else [listed]:
                if section:
                    key = json.dumps(section, sort_keys=True, default=str)
                    trackers.setdefault(key, []).append(run)
        found = []
        for key, runs in trackers.items():
            folders, sweeps = [run.files.folder for run in runs], {run.parent for run in runs}
            if len(runs) > _MOST_NAMED and len(sweeps) == 1 and None not in sweeps:
                folders = [folders[0].with_name(str(sweeps.pop()))]  # known to trackers as one run
            try:
                tracker = registry.build("tracker", json.loads(key, object_hook=_filled))
                how = TrackerAbilities.of(tracker).how_to_compare
                link = None if how is None else how(folders)
            except Exception as error:  # runs of long ago, or of another machine
                log.debug("no link: %s", error)
            else:
                found += [link] if link else []
        return list(dict.fromkeys(found))


def _filled(section: dict[str, Any]) -> dict[str, Any]:
    return {k: fill_text(v) if isinstance(v, str) else v for k, v in section.items()}


def check_ending(path: Path) -> None:
    """Raise DataError where no form of a comparison has this ending."""
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"'{path.name}' ends in none of .csv, .html and .md")


def _as_csv(comparison: Comparison) -> str:
    """Return the data frame as CSV; texts that a spreadsheet would compute are quoted as text."""

    def cell(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        shown = as_text(value)
        return f"'{shown}" if shown.startswith(_FORMULA) else shown

    frame = comparison.to_pandas().astype(object).map(cell).rename(columns=as_text)
    content: str = frame.to_csv(index=False, lineterminator="\n")
    return content


def _as_markdown(comparison: Comparison) -> str:
    def escaped(content: str) -> str:
        return _MARKS.sub(
            lambda found: html.escape(found[0]) if found[0] in "<>&" else f"\\{found[0]}",
            as_text(content).replace("\n", " "),
        )

    blocks = []
    for kind, content in _blocks(comparison):
        if kind == "table":
            header, rows = content
            lines = [[escaped(cell) for cell in header], ["---"] * len(header)]
            lines += [[escaped(cell or "") for cell in row] for row in rows]
            blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        else:
            mark = {"h3": "## ", "li": "* "}.get(kind, "")
            blocks.append(f"{mark}{escaped(content)}")
    return "\n\n".join(blocks) + "\n"


def _as_html(comparison: Comparison) -> str:
    import pandas as pd

    blocks = [f"<style>{_STYLE}</style>"]
    for kind, content in _blocks(comparison):
        if kind == "table":
            cells = [[as_text(cell or "") for cell in row] for row in content[1]]
            frame = pd.DataFrame(cells, columns=[as_text(name) for name in content[0]])
            with pd.option_context("display.max_colwidth", None):
                blocks.append(frame.to_html(index=False, border=0, classes="dbgsom"))
        else:
            blocks.append(f"<{kind}>{html.escape(as_text(content))}</{kind}>")
    return "\n".join(blocks)


def _as_page(comparison: Comparison) -> str:
    names = html.escape(as_text(", ".join(dict.fromkeys(r.experiment for r in comparison.runs))))
    head = f'<meta charset="utf-8"><title>{names}</title>'
    body = f"<body>\n{_as_html(comparison)}\n</body>"
    return f"<!doctype html>\n<html><head>{head}</head>{body}</html>\n"


def _blocks(comparison: Comparison) -> Iterator[tuple[str, Any]]:
    """Yield what a page shows: an element of HTML with its text, or a table."""
    for table in comparison.tables:
        yield "h3", text.title_of(table)
        yield "b", text.verdict(table)
        yield "table", text.columns_of(table, text.beside(table))
        for more in filter(None, (text.baseline_text(table), text.method(table))):
            yield "p", more
    for ranking in comparison.rankings:
        yield "h3", "Ranks over data sets"
        yield "b", text.rank_verdict(ranking)
        yield "table", text.rank_columns(ranking)
    for note in comparison.notes:
        yield "li", note
    for name, why in comparison.damaged.items():
        yield "li", f"{name}: damaged: {why}"
