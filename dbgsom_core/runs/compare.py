"""`compare`: select finished runs, rank their variants, test differences, write tables."""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError, as_text
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.folder import StoredRun, find_experiments, find_runs, write_text
from dbgsom_core.runs.ranking import (
    PARTS,
    SECONDARY,
    MeanRanks,
    RankingCriterion,
    Row,
    Table,
    find_criterion,
    group_runs,
    is_in_units,
    largest_class,
    make_entry,
    rank,
    rank_over_data_sets,
    with_arrow,
    without_repeats,
)
from dbgsom_core.runs.stats import LEVEL
from dbgsom_core.runs.stored_runs import find_run
from dbgsom_core.runs.text import number, p_value, plural, value_of

if TYPE_CHECKING:
    import pandas as pd

_MORE = "several seeds (sweep: {repeats: {seeds: 5}}) or folds (split: {folds: 5})"
_MARKS = re.compile(r"([\\`*\[\]|~$]|(?<!\w)_|_(?!\w))")

Cells = tuple[list[str], list[list[str | None]]]  # a header, and rows


def compare(
    *targets: str | Path,
    by: str | None = None,
    direction: str | None = None,
    split: str | None = None,
    runs: str | Path = "runs",
    registry: Registry | None = None,
) -> Comparison:
    """Compare the finished runs of experiments, of sweeps, or runs by name.

    Runs that differ only in their seed are one variant. Runs whose process died are marked as
    killed.

    Parameters
    ----------
    *targets : str or Path
        Experiments, ids of sweeps or runs, or run folders; none: the only experiment there is.
    by : str, optional
        The measure to rank by, ``accuracy`` or ``test/accuracy``. Default: that of the sweep's
        ``decide`` section, or accuracy for a classifier, balanced_accuracy where one class has more
        than two thirds of the samples to train on, r2 for a regressor, combined_error for vq.
    direction : {"maximize", "minimize"}, optional
        Which values are best; default: as defined by the measure.
    split : {"test", "train"}, optional
        The part of the data; default: the test part where there is one.
    runs : path
        The folder of all experiments.
    registry : Registry, optional
        The plugins with measures; default: those installed.

    Raises
    ------
    DataError
        A target or the measure is unknown, or no run has finished.
    PluginError
        The measure's plugin is broken.
    """
    registry = registry or get_registry()
    finished, sweeps, notes, damaged = _select_runs(list(map(str, targets)), Path(runs))
    parent = next((one for one in sweeps if {one.id} == {run.parent for run in finished}), None)
    section: Any = None if parent is None else parent.config.get("sweep")
    of_sweep = DecideSettings()
    if by is None and isinstance(section, Mapping):  # a name replaces all of it
        with suppress(ValidationError):  # of another version
            of_sweep = DecideSettings.model_validate(section.get("decide") or {})
    settings = DecideSettings(
        measure=by or of_sweep.measure,
        direction=direction or of_sweep.direction,  # type: ignore[arg-type]
        split=split or of_sweep.split,  # type: ignore[arg-type]
    )
    kinds = {str((run.config.get("model") or {}).get("estimator", "vq")) for run in finished}
    names = list(dict.fromkeys(name for run in finished for name in run.measures))
    criterion = find_criterion(settings, kinds, names, registry, largest_class(finished))
    if criterion is None:
        listed = ", ".join(sorted(names)) or "none"
        raise DataError(f"no measure to rank by; name one with --by, of: {listed}")
    if criterion.reason:
        notes.insert(0, criterion.reason)
    in_units = is_in_units(criterion, registry)
    entries = [make_entry(run, in_units) for run in finished]
    newest = without_repeats(entries)
    tables = [rank(group, criterion, registry) for group in group_runs(newest)]
    tables.sort(key=lambda table: table.name)
    if repeats := len(entries) - len(newest):
        notes.append(
            f"{repeats} older run(s) repeat another with the same configuration and seed, and are "
            "left out"
        )
    units = {repr((t.comparable_by.get("metric"), t.comparable_by.get("prepare"))) for t in tables}
    if in_units and len(units) > 1:
        notes.append(
            f"{criterion.measure} is in the units of the metric, so runs of other metrics or "
            "'prepare' steps are not ranked together; topographic_error has no units"
        )
    return Comparison(criterion, tables, rank_over_data_sets(tables), notes, damaged, finished)


def _select_runs(
    targets: Sequence[str], root: Path
) -> tuple[list[StoredRun], list[StoredRun], list[str], dict[str, str]]:
    """Return finished runs, oldest first, sweeps, notes, and what is damaged by folder."""
    known = find_experiments(root)
    if not targets and len(known) != 1:
        raise DataError(
            f"there are several experiments in {root}; name one of them: {', '.join(known)}"
            if known
            else f"there are no runs in {root}; start one with 'dbgsom run', or name another folder"
        )
    listed = [run for target in targets or known for run in _runs_of(target, root, known)]
    found = {run.files.folder.absolute(): run for run in listed}.values()
    damaged = {run.files.folder.name: run.damage for run in found if run.damage}
    whole = [run for run in found if not run.damage]
    sweeps = [run for run in whole if run.kind == "sweep"]
    runs = sorted(
        (run for run in whole if run.kind == "run"),
        key=lambda run: (run.started is not None and run.started.timestamp(), run.id),
    )
    finished = [run for run in runs if run.status == "finished"]
    unfinished = Counter(str(run.status) for run in runs if run.status != "finished")
    states = ", ".join(f"{count} {state}" for state, count in unfinished.items())
    if finished:
        notes = [f"not finished, and left out: {states}"] if unfinished else []
        return finished, sweeps, notes, damaged
    each = [f"{name} damaged: {why}" for name, why in damaged.items()]
    each += [f"{run.id} {run.status}" for run in (*sweeps, *runs)]
    message = f"{', '.join(targets or known)} in {root} has no finished run: "
    message += ", ".join(each[-5:]) or "it has none"
    for one in (*runs, *sweeps):
        resumable = one.status in ("killed", "failed") and one.files.config.exists()
        if one.parent is None and resumable:
            message += f"; to go on: dbgsom {one.kind} --resume {one.id}"
            break
    raise DataError(message)


def _runs_of(target: str, root: Path, known: Sequence[str]) -> list[StoredRun]:
    name = target.strip("/")
    if name in known:
        return find_runs(root, name)
    run, _ = find_run(target, root, besides=", no sweep")
    if run.kind == "run" or run.damage:
        return [run]
    group = run.files.folder.parent
    return [one for one in find_runs(group.parent, group.name) if run.id in (one.id, one.parent)]


# ------------------------------------------------------------------------------- the result


@dataclass(frozen=True, repr=False)
class Comparison:
    """A ranking of runs; a notebook shows it as tables."""

    criterion: RankingCriterion  # the measure that ranks
    tables: Sequence[Table]  # by data set and split, which are not ranked together
    rankings: Sequence[MeanRanks]  # of variants that ran on several data sets
    notes: Sequence[str]  # remarks: unfinished runs, repeats, …
    damaged: Mapping[str, str]  # errors of unreadable folders, by name
    runs: Sequence[StoredRun]  # the compared runs

    @property
    def sentence(self) -> str:
        """The winner: a line for each data set, and one over all data sets."""
        several = len(self.tables) > 1
        lines = [
            f"{t.name}: {winner_sentence(t)}" if several else winner_sentence(t)
            for t in self.tables
        ]
        return "\n".join([*lines, *map(rank_sentence, self.rankings)])

    def __repr__(self) -> str:
        return f"<{len(self.runs)} runs compared by {self.criterion.name}: {self.sentence}>"

    def _repr_html_(self) -> str:
        return _as_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each variant on each data set; see `Row` for the columns.

        Parameters that differ between variants are columns where all variants have them. ``best``
        is which values of the ranking measure are best: ``greater``, ``less`` or ``0``. For other
        measures ``attrs["best"]`` has it by column, empty where it is unknown.
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
        """Write the tables to a .csv, .html or .md file.

        Raises `DataError` for another suffix, or where the file cannot be written.
        """
        path = Path(path)
        check_ending(path)
        write = {".csv": _as_csv, ".html": _as_page, ".md": _as_markdown}[path.suffix.lower()]
        try:
            write_text(path, write(self))
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error


def check_ending(path: Path) -> None:
    if path.suffix.lower() not in (".csv", ".html", ".md"):
        raise DataError(f"'{path.name}' ends in none of .csv, .html and .md")


def _as_csv(comparison: Comparison) -> str:
    frame = comparison.to_pandas().astype(object).rename(columns=as_text)
    frame = frame.map(lambda value: as_text(value) if isinstance(value, str) else value)
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _as_markdown(comparison: Comparison) -> str:
    def line(cells: Sequence[str | None]) -> str:
        return f"| {' | '.join(_markdown_text(cell) for cell in cells)} |"

    found = []
    for kind, content in blocks(comparison):
        if kind == "table":
            header, rows = content
            rule = f"| {' | '.join(['---'] * len(header))} |"
            found.append("\n".join([line(header), rule, *map(line, rows)]))
        else:
            mark = {"h3": "## ", "li": "* "}.get(kind, "")
            found.append(f"{mark}{_markdown_text(content)}")
    return "\n\n".join(found) + "\n"


def _markdown_text(content: str | None) -> str:
    text = as_text(content or "").replace("\n", " ")
    return _MARKS.sub(r"\\\1", html.escape(text, quote=False))


def _as_page(comparison: Comparison) -> str:
    names = ", ".join(dict.fromkeys(run.experiment for run in comparison.runs))
    return _as_html(comparison, f"{names}: {len(comparison.runs)} runs compared")


def _as_html(comparison: Comparison, title: str = "") -> str:
    """Return the comparison as a page, without a title as a part of a page."""
    from jinja2 import Environment  # is slow to import

    environment = Environment(autoescape=True, trim_blocks=True)
    environment.filters["text"] = lambda cell: as_text(cell or "")
    template = files(__package__).joinpath("compare.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(title=title, blocks=[*blocks(comparison)])


def blocks(comparison: Comparison) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a comparison, each with its kind: h3, b, p, li, or table."""
    for table in comparison.tables:
        yield "h3", table_title(table)
        yield "b", winner_sentence(table)
        yield "table", columns_of(table, extra_measures(table))
        for more in filter(None, (baseline_text(table), method_sentence(table))):
            yield "p", more
    for ranking in comparison.rankings:
        yield "h3", "Ranks over data sets"
        yield "b", rank_sentence(ranking)
        yield "table", rank_columns(ranking)
    for note in comparison.notes:
        yield "li", note
    for name, why in comparison.damaged.items():
        yield "li", f"{name}: damaged: {why}"


def _interval(row: Row, sign: int = 1) -> list[str]:
    assert row.difference is not None
    if row.low is None or row.high is None:
        return [number(sign * row.difference)]
    width = row.high - row.low
    places = min(8, max(0, 2 - math.ceil(math.log10(width)))) if width > 0 else 0
    low, high = sorted((sign * row.low, sign * row.high))
    texts = [f"{x + 0.0:.{places}f}" for x in (sign * row.difference, low, high)]
    return [text.removeprefix("-") if float(text) == 0 else text for text in texts]


# -------------------------------------------------------------------------------------- sentences


def winner_sentence(table: Table) -> str:
    """Return a sentence on the best variant and its significance, or how to test it."""
    measure, criterion = table.criterion.measure, table.criterion
    if not table.ranked:
        trained = any(f"train/{measure}" in row.measures for row in table.rows)
        untested = trained and criterion.split == "test"
        cure = "; --split train compares by the training part" if untested else ""
        return f"No run has a value of {criterion.name}{cure}."
    best, *others = table.ranked
    value = value_of(best.mean, best.deviation)
    unsure = [row for row in others if row.holm is None or row.holm >= LEVEL]
    if not others:
        text = f"There is one variant: {measure} {value}."
    elif all(row.holm is None for row in others):
        text = _untested(table)
    elif unsure:
        which = f"{len(unsure)} of the other {len(others)}"
        if len(unsure) == len(others):
            which = "the other" if len(others) == 1 else f"the other {len(others)}"
        text = (
            f"No clear difference yet: {best.variant} has the best {measure}, {value}, but the "
            f"test does not tell it from {which}. {_runner_up_sentence(table, unsure[0])}"
        )
    else:
        largest = max(row.holm for row in others if row.holm is not None)
        against = "" if len(others) == 1 else f" or less against each of the other {len(others)}"
        against += f", corrected for {table.tests} comparisons" if table.tests > 1 else ""
        lead = _lead(table, others[0])
        text = f"{best.variant} wins: {measure} {value}, {lead}; {p_value(largest)}{against}."
    base, key = table.baseline, criterion.sort_key
    if base is not None and not key(best.mean) < key(base):
        text += f" Yet that is no better than {_baseline_name(table)}, {number(base)}."
    return text


def _untested(table: Table) -> str:
    best, *others = table.ranked
    measure, most = table.criterion.measure, max(row.pairs for row in others)
    if all(row.difference == 0 for row in others):
        text = f"All variants have the same {measure} with the same seeds."
        return text if most > 1 else f"{text} More would tell: {_MORE}."
    if most == 0:
        cure = "the variants have no seed or fold in common; give all of them the same seeds"
    elif most == 1:
        cure = f"there is one value each; {_MORE} would"
    else:
        cure = "the seeds change nothing; divide the data (split: {folds: 5})"
    tied = f" ({same_mean(table.tied)})" if table.tied else ""
    value = value_of(best.mean, best.deviation)
    return (
        f"{best.variant} has the best {measure}, {value}{tied}, but a test cannot tell how sure "
        f"that is: {cure}."
    )


def _runner_up_sentence(table: Table, row: Row) -> str:
    """Return the difference of the next variant, with its test."""
    if row.difference is None:
        return f"It has no seed or fold in common with {row.variant}."
    if row.difference == 0:
        return f"{row.variant} has the same mean."
    text = f"It is {_lead(table, row)}"
    if row.p is None:
        return f"{text}."
    text += f", {p_value(row.p)}"
    if table.tests > 1 and row.holm is not None:
        text += f" (corrected for {table.tests} comparisons: {p_value(row.holm)})"
    return f"{text}; more {'folds of more data' if table.ratio else 'seeds'} would tell more."


def _lead(table: Table, row: Row) -> str:
    value, *ends = _interval(row, -1 if table.criterion.greater_is_better else 1)
    return f"{value} better than {row.variant}" + (f" (95 % CI {' to '.join(ends)})" * bool(ends))


def baseline_text(table: Table) -> str:
    known, right = table.baseline, table.right
    values = [] if known is None else [number(known)]
    values += [] if right is None else [f"accuracy {number(right)}"]
    return f"baseline: {', '.join(values)} ({_baseline_name(table)})" if values else ""


def _baseline_name(table: Table) -> str:
    numbers = table.criterion.measure in ("r2", "rmse", "mae")
    return "always the mean" if numbers else _always(table.data)


def _always(data: Mapping[str, Any]) -> str:
    most = data.get("most_frequent")
    return f'always "{most}", the most frequent class' if most else "always the most frequent class"


def run_baseline(data: Mapping[str, Any]) -> str:
    """Return what an answer that learns nothing measures beside a run; empty: not known."""
    known = data.get("baseline")
    known = known if isinstance(known, Mapping) else {}
    part = next((part for part in PARTS if any(one.startswith(f"{part}/") for one in known)), "")
    values = {k.partition("/")[2]: v for k, v in known.items() if k.startswith(f"{part}/")}
    listed = ", ".join(f"{name} {number(value)}" for name, value in values.items())
    name = _always(data) if "accuracy" in values else "always the mean"
    return f"baseline on the {part} part: {listed} ({name})" if values else ""


def leader_text(table: Table) -> str:
    best = table.ranked[0]
    values = value_of(best.mean, best.deviation)
    if any(row.seeds > 1 for row in table.ranked):
        values += f", {plural(best.seeds, 'seed')}"
    if not math.isclose(best.adjusted, best.mean, rel_tol=1e-12):
        values += f", {number(best.adjusted)} adjusted to all seeds"
    text = f"{best.variant} ({table.criterion.name} {values})"
    return f"{text}; {same_mean(table.tied)}" if table.tied else text


def same_mean(variants: Sequence[str]) -> str:
    first, *others = variants
    if not others:
        return f"{first} has the same mean"
    return f"{first} and {plural(len(others), 'other')} have the same mean"


def method_sentence(table: Table) -> str:
    """Return sentences on the statistics and tests of a table."""
    folds, text = any(row.folds for row in table.ranked), []
    if any(row.deviation is not None for row in table.ranked):
        text.append(f"±: standard deviation over {'seeds and folds' if folds else 'seeds'}.")
    if table.is_adjusted:
        text.append(adjustment_sentence(table))
    if table.test:
        source = " (Nadeau & Bengio 2003)" if table.ratio else ""
        text.append(
            f"Difference: from the best variant, paired by {'folds' if folds else 'seeds'}. p: "
            f"two-sided {table.test}{source}, which takes differences as normal."
        )
        if table.tests > 1:
            text.append(
                f"Corrected p: of {table.tests} pairs of variants some differ by chance, so each p "
                f"counts for more (Holm 1979); below {LEVEL:g} two variants differ clearly."
            )
        if not table.ratio:
            text.append("All models learned from the same samples: other data may say otherwise.")
    return " ".join(text)


def adjustment_sentence(table: Table) -> str:
    """Return a sentence on the order of variants with different seeds or folds."""
    what = "seeds and folds" if any(row.folds for row in table.ranked) else "seeds"
    return (
        f"Not all variants have the same {what}: they are in the order of adjusted means, which "
        f"leave out what the {what} do that a variant has or lacks (least squares)."
    )


def rank_sentence(ranking: MeanRanks) -> str:
    means, test = ranking.means, ranking.test
    where = f"over {len(ranking.tables)} data sets"
    equal = int((means == means[0]).sum())
    lead = f"{ranking.name}{ranking.variants[0]} has the best mean rank {where}, "
    lead += number(float(means[0]))
    if equal > 1:
        lead = f"{ranking.name}{equal} variants share the best mean rank {where}"
    if test is None:
        return f"{lead}; {len(ranking.tables)} data sets are too few for a test."
    p = f"{test.name}, {p_value(test.p)}"
    if test.p >= LEVEL:
        return f"{lead}, without a clear difference: {p}."
    if test.critical is None:
        return f"{lead}, better than the other: {p}."
    worse = int((means - means[0] > test.critical).sum())
    return (
        f"{lead}; the variants differ ({p}), and {worse} of the other {len(means) - 1} rank "
        f"behind it by more than {number(test.critical)} (Nemenyi's critical difference)."
    )


# ------------------------------------------------------------------------------------------ cells


def columns_of(table: Table, others: Sequence[str] = ()) -> Cells:
    """Return the header and the cells of a table, with ``others``, further measures."""

    def p_cell(p: float | None) -> str | None:
        return None if p is None else f"{p:.2g}" if p >= 0.001 else "<0.001"

    def interval(row: Row) -> str | None:
        if row.difference is None:
            return None
        value, *ends = _interval(row)
        return f"{value} ({' to '.join(ends)})" if ends else value

    rows, criterion = table.rows, table.criterion
    tested = any(row.p is not None for row in rows)
    columns: dict[str, list[str | None]] = {"variant": [row.variant for row in rows]}
    if len(set(map(_count_of, table.ranked))) > 1:
        columns["n"] = [*map(_count_of, rows)]
    columns[with_arrow(criterion.measure, criterion.end)] = [
        value_of(row.mean, row.deviation) if row.mean == row.mean else None for row in rows
    ]
    if table.is_adjusted:
        texts = (value_of(row.adjusted, row.deviation) for row in rows)
        columns["adjusted"] = [text.partition(" ")[0] for text in texts]
    if any(row.difference is not None for row in rows):
        columns["difference (95 % CI)" if tested else "difference"] = [*map(interval, rows)]
    if tested:
        columns["p"] = [p_cell(row.p) for row in rows]
    if tested and table.tests > 1:
        columns["corrected p"] = [p_cell(row.holm) for row in rows]
    for name in others:
        title = with_arrow(name.removeprefix(f"{criterion.split}/"), table.ends.get(name, ""))
        columns[title] = [
            value_of(*row.measures[name]) if name in row.measures else None for row in rows
        ]
    return list(columns), [list(cells) for cells in zip(*columns.values(), strict=True)]


def _count_of(row: Row) -> str:
    seeds = plural(row.seeds, "seed")
    if not row.folds:
        return seeds
    folds = plural(row.folds, "fold")
    return folds if row.seeds == 1 else f"{seeds} × {folds}"


def rank_columns(ranking: MeanRanks) -> Cells:
    rows: list[list[str | None]] = [
        [variant, number(float(mean)), *(number(float(rank)) for rank in of)]
        for variant, mean, of in zip(ranking.variants, ranking.means, ranking.ranks, strict=True)
    ]
    return ["variant", "mean rank", *ranking.tables], rows


def table_title(table: Table) -> str:
    criterion, facts = table.criterion, table.data
    parts = [table.name]
    if {"samples", "features"} <= set(facts):
        parts.append(f"{facts['samples']} × {facts['features']}")
    part = f" on the {criterion.split} part" if criterion.split else ""
    better = "greater" if criterion.greater_is_better else "less"
    measure = f"|{criterion.measure}|" if criterion.from_zero else criterion.measure
    parts.append(f"by {measure}{part} ({better} is better)")
    counts = set(map(_count_of, table.ranked))
    return ", ".join([*parts, *(counts if len(counts) == 1 else ())])


def extra_measures(table: Table) -> list[str]:
    part = table.criterion.split or "train"
    wanted = (f"{part}/{name}" for name in SECONDARY)
    known = {name for row in table.rows for name in row.measures}
    return [name for name in wanted if name in known and name != table.criterion.name][:2]
