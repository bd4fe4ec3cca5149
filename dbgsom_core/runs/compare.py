"""`compare`: select finished runs, rank their variants, test differences, write tables.

`ranking.py` ranks; this module says in words and tables what it found. A new column of the tables,
which terminal and pages show as they get them, goes into `columns_of`; one of the data frame is a
column of `VariantTable.rows` in `ranking.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
    VariantTable,
    best_end,
    find_criterion,
    rank_over_data_sets,
    rank_runs,
    with_arrow,
)
from dbgsom_core.runs.stats import LEVEL
from dbgsom_core.runs.stored_runs import find_run
from dbgsom_core.runs.text import LEAST_P, as_markdown, number, p_value, plural, to_digits, value_of

if TYPE_CHECKING:
    import pandas as pd

_MORE = "several seeds (sweep: {repeats: {seeds: 5}}) or folds (split: {folds: 5})"
_ENDINGS = (".csv", ".html", ".md")


def compare(
    *targets: str | Path,
    by: str | None = None,
    direction: str | None = None,
    split: str | None = None,
    runs: str | Path = "runs",
    registry: Registry | None = None,
) -> pd.DataFrame:
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

    Returns
    -------
    data frame
        A row for each variant on each data set, best first: parameters that differ, ``mean`` and
        ``std`` over seeds and folds, ``adjusted``, the mean with all seeds and folds, the
        ``difference`` from the best with its 95 % interval from ``low`` to ``high``, ``p``, and
        ``holm``, p corrected for all pairs of variants. ``best`` is which values of the ranking
        measure are best: ``greater``, ``less`` or ``0``. ``attrs`` holds ``sentence``, which says
        who won; ``best``, the same of every measure, empty where it is unknown; ``notes``, on what
        was left out; and ``damaged``, errors of unreadable folders by name.

    Raises
    ------
    DataError
        A target or the measure is unknown, or no run has finished.
    """
    return compare_runs(targets, runs, registry, by=by, direction=direction, split=split).to_frame()


def compare_runs(
    targets: Sequence[str | Path],
    runs: str | Path = "runs",
    registry: Registry | None = None,
    *,
    by: str | None = None,
    direction: str | None = None,
    split: str | None = None,
) -> Comparison:
    """Return the tables of `compare`, and what is said of them."""
    registry = registry or get_registry()
    finished, sweeps, notes, damaged = _select_runs([str(one) for one in targets], Path(runs))
    given = {"measure": by, "direction": direction, "split": split}
    chosen = {key: text for key, text in given.items() if text}
    settings = DecideSettings.model_validate(_decided_by(sweeps, finished, by) | chosen)
    criterion = find_criterion(settings, finished, registry)
    names = sorted({name for run in finished for name in run.measures})
    if criterion is None:
        listed = ", ".join(names) or "none"
        raise DataError(f"no measure to rank by; name one with --by, of: {listed}")
    if criterion.reason:
        notes.insert(0, criterion.reason)
    tables = sorted(rank_runs(finished, criterion), key=lambda table: table.name)
    repeats = len(finished) - sum(len(ids) for table in tables for ids in table.rows["runs"])
    if repeats:
        notes.append(f"{repeats} older run(s) repeat another, and are left out")
    ends = {name: best_end(name, registry) for name in names}
    ranks = rank_over_data_sets(tables)
    return Comparison(criterion, tables, ranks, notes, damaged, finished, ends)


def _decided_by(
    sweeps: Sequence[StoredRun], runs: Sequence[StoredRun], by: str | None
) -> dict[str, Any]:
    """Return what the section ``decide`` of a sweep says, where all runs are of that sweep."""
    parents = {run.parent for run in runs}
    for sweep in sweeps:
        section = sweep.config.get("sweep")
        if by is None and parents == {sweep.id} and isinstance(section, Mapping):
            with suppress(ValidationError):  # of another version
                return DecideSettings.model_validate(section.get("decide") or {}).model_dump()
    return {}


def _select_runs(
    targets: Sequence[str], root: Path
) -> tuple[list[StoredRun], list[StoredRun], list[str], dict[str, str]]:
    """Return finished runs, oldest first, sweeps, notes, and what is damaged by folder."""
    known = find_experiments(root)
    if not targets and len(known) != 1:
        listed = ", ".join(known) or "none; start one with 'dbgsom run'"
        raise DataError(f"name one of the experiments in {root}: {listed}")
    folders = {}
    for target in targets or known:
        for run in _runs_of(target, root, known):
            folders[run.files.folder.absolute()] = run
    damaged = {run.files.folder.name: run.damage for run in folders.values() if run.damage}
    whole = [run for run in folders.values() if not run.damage]
    whole.sort(key=lambda run: (run.started is not None and run.started.timestamp(), run.id))
    sweeps = [run for run in whole if run.kind == "sweep"]
    runs = [run for run in whole if run.kind == "run"]
    finished = [run for run in runs if run.status == "finished"]
    unfinished = Counter(str(run.status) for run in runs if run.status != "finished")
    states = ", ".join(f"{count} {state}" for state, count in unfinished.items())
    if not finished:
        each = [f"{name} damaged: {why}" for name, why in damaged.items()]
        each += [f"{run.id} {run.status}" for run in (*sweeps, *runs)]
        listed = ", ".join(each[-5:]) or "it has none"
        raise DataError(f"{', '.join(targets or known)} in {root} has no finished run: {listed}")
    notes = [f"not finished, and left out: {states}"] if states else []
    return finished, sweeps, notes, damaged


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


class Section(NamedTuple):
    """A part of a comparison as text: a table, the sentence on it, and what else is to be said."""

    title: str
    lead: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


@dataclass(frozen=True)
class Comparison:
    """A ranking of runs."""

    criterion: RankingCriterion  # the measure that ranks
    tables: Sequence[VariantTable]  # by data set and split, which are not ranked together
    ranks: Sequence[MeanRanks]  # of variants that ran on several data sets
    notes: Sequence[str]  # remarks: unfinished runs, repeats, …
    damaged: Mapping[str, str]  # errors of unreadable folders, by name
    runs: Sequence[StoredRun]  # the compared runs
    ends: Mapping[str, str]  # of each measure: greater, less, 0, or nothing

    @property
    def sentence(self) -> str:
        """The winner: a line for each data set, and one over all data sets."""
        lines = []
        for table in self.tables:
            prefix = f"{table.name}: " if len(self.tables) > 1 else ""
            lines.append(prefix + winner_sentence(table))
        return "\n".join([*lines, *(rank_sentence(ranks) for ranks in self.ranks)])

    def to_frame(self) -> pd.DataFrame:
        """Return what `compare` does."""
        import pandas as pd

        frames: list[pd.DataFrame] = []
        for table in self.tables:
            frame: pd.DataFrame = pd.concat([table.rows, table.measures], axis=1)
            frame = frame.reset_index(drop=True)
            frame["runs"] = frame["runs"].map(" ".join)
            frame.insert(0, "data", table.name)
            frame.insert(1, "rank", frame.index + 1)
            fields = pd.DataFrame(list(table.fields))
            frames.append(frame.assign(baseline=table.baseline, **fields))
        frame = pd.concat(frames, ignore_index=True)
        frame.insert(3, "measure", self.criterion.name)
        frame.insert(4, "best", self.criterion.end)
        frame.attrs = {
            "sentence": self.sentence,
            "best": dict(self.ends),
            "notes": list(self.notes),
            "damaged": dict(self.damaged),
        }
        return frame

    def sections(self, show_all: bool = False) -> Iterator[Section]:
        """Yield each table as text, with all measures or the two that matter most."""
        for table in self.tables:
            header, rows = columns_of(table, self.ends, show_all)
            notes = [text for text in (baseline_text(table), method_sentence(table)) if text]
            yield Section(table_title(table), winner_sentence(table), header, rows, notes)
        for ranks in self.ranks:
            rows = []
            for variant, mean in ranks.means.items():
                own = [number(rank) for rank in ranks.ranks.loc[variant]]
                rows.append([str(variant), number(mean), *own])
            header = ["variant", "mean rank", *ranks.ranks]
            yield Section("Ranks over data sets", rank_sentence(ranks), header, rows, [])

    def save(self, path: Path) -> None:
        """Write the tables to a .csv, .html or .md file."""
        check_ending(path)
        ending = path.suffix.lower()
        if ending == ".csv":
            frame = self.to_frame().rename(columns=as_text)
            frame = frame.map(lambda value: as_text(value) if isinstance(value, str) else value)
            text = frame.to_csv(index=False, lineterminator="\n")
        else:
            text = self._render(ending == ".html")
        try:
            write_text(path, text)
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error

    def _render(self, is_page: bool) -> str:
        from jinja2 import Environment  # is slow to import

        shown = as_text if is_page else as_markdown
        environment = Environment(autoescape=is_page, trim_blocks=True, finalize=shown)
        template = files(__package__).joinpath("compare.jinja").read_text(encoding="utf-8")
        experiments = ", ".join(dict.fromkeys(run.experiment for run in self.runs))
        damaged = [f"{name}: damaged: {why}" for name, why in self.damaged.items()]
        return environment.from_string(template).render(
            page=is_page,
            title=f"{experiments}: {len(self.runs)} runs compared",
            sections=list(self.sections()),
            notes=[*self.notes, *damaged],
        )


def check_ending(path: Path) -> None:
    if path.suffix.lower() not in _ENDINGS:
        raise DataError(f"'{path.name}' ends in none of .csv, .html and .md")


# -------------------------------------------------------------------------------------- sentences


def winner_sentence(table: VariantTable) -> str:
    """Return a sentence on the best variant and its significance, or how to test it."""
    criterion = table.criterion
    if not table.ranked:
        return f"No run has a value of {criterion.name}."
    best, *others = table.ranked
    what = f"{criterion.measure} {value_of(best.mean, best.std)}"
    unsure = [row for row in others if not row.holm < LEVEL]
    if not others:
        text = f"There is one variant: {what}."
    elif not table.tests:
        text = _untested_sentence(table, what)
    elif unsure:
        more = "folds of more data" if table.ratio else "seeds"
        text = (
            f"No clear difference yet: {best.variant} is best, {what}, but the test does not tell "
            f"it from {plural(len(unsure), 'other')}; it is {_lead(table, unsure[0])}. More {more} "
            "would tell more."
        )
    else:
        text = f"{best.variant} wins: {what}, {_lead(table, others[0])}."
    key, base = criterion.sort_key, table.baseline
    if base == base and not key(best.mean) < key(base):
        text += f" Yet that is no better than {_baseline_name(table)}, {number(base)}."
    return text


def _untested_sentence(table: VariantTable, what: str) -> str:
    best, *others = table.ranked
    most = max(row.pairs for row in others)
    if all(row.difference == 0 for row in others):
        return f"All variants have the same {table.criterion.measure} with the same seeds."
    if most == 0:
        cure = "the variants have no seed or fold in common; give all of them the same seeds"
    elif most == 1:
        cure = f"there is one value each; {_MORE} would"
    else:
        cure = "the seeds change nothing; divide the data (split: {folds: 5})"
    tied = f" ({same_mean(table.tied)})" if table.tied else ""
    return f"{best.variant} is best, {what}{tied}, but a test cannot tell how sure that is: {cure}."


def _lead(table: VariantTable, row: Any) -> str:
    """Return how much better than another variant the best is, with the test of that."""
    text = f"{number(abs(row.difference))} better than {row.variant}"
    if not math.isnan(row.p):
        sign = -1 if table.criterion.greater_is_better else 1
        low, high = sorted((sign * row.low, sign * row.high))
        text += f" (95 % CI {to_digits(low, 2)} to {to_digits(high, 2)}), {p_value(row.holm)}"
    return f"{text}, corrected for {table.tests} comparisons" if table.tests > 1 else text


def same_mean(variants: Sequence[str]) -> str:
    first, *others = variants
    if not others:
        return f"{first} has the same mean"
    return f"{first} and {plural(len(others), 'other')} have the same mean"


def baseline_text(table: VariantTable) -> str:
    values = [] if math.isnan(table.baseline) else [number(table.baseline)]
    values += [] if math.isnan(table.right) else [f"accuracy {number(table.right)}"]
    return f"baseline: {', '.join(values)} ({_baseline_name(table)})" if values else ""


def _baseline_name(table: VariantTable) -> str:
    numbers = table.criterion.measure in ("r2", "rmse", "mae")
    return "always the mean" if numbers else _always(table.data)


def _always(data: Mapping[str, Any]) -> str:
    most = data.get("most_frequent")
    return f'always "{most}", the most frequent class' if most else "always the most frequent class"


def run_baseline(data: Mapping[str, Any]) -> str:
    """Return what an answer that learns nothing measures beside a run; empty: not known."""
    known = data.get("baseline")
    known = known if isinstance(known, Mapping) else {}
    for part in PARTS:
        values = {k.partition("/")[2]: v for k, v in known.items() if k.startswith(f"{part}/")}
        if values:
            listed = ", ".join(f"{name} {number(value)}" for name, value in values.items())
            name = _always(data) if "accuracy" in values else "always the mean"
            return f"baseline on the {part} part: {listed} ({name})"
    return ""


def leader_text(table: VariantTable) -> str:
    """Return what is best so far in a sweep."""
    best = table.ranked[0]
    values = value_of(best.mean, best.std)
    if any(row.seeds > 1 for row in table.ranked):
        values += f", {plural(best.seeds, 'seed')}"
    if not math.isclose(best.adjusted, best.mean, rel_tol=1e-12):
        values += f", {number(best.adjusted)} adjusted to all seeds"
    text = f"{best.variant} ({table.criterion.name} {values})"
    return f"{text}; {same_mean(table.tied)}" if table.tied else text


def method_sentence(table: VariantTable) -> str:
    """Return sentences on the statistics and tests of a table."""
    text = []
    if table.rows["std"].notna().any():
        text.append("±: standard deviation over seeds and folds.")
    if table.is_adjusted:
        text.append(adjustment_sentence())
    if table.tests:
        source = " (Nadeau & Bengio 2003)" if table.ratio else ""
        text.append(
            "Difference: from the best variant, paired by seeds and folds. p: two-sided "
            f"{table.test}{source}, which takes differences as normal; corrected p: for all pairs "
            "of variants, of which some differ by chance (Holm 1979)."
        )
        if not table.ratio:
            text.append("All models learned from the same samples: other data may say otherwise.")
    return " ".join(text)


def adjustment_sentence() -> str:
    """Return a sentence on the order of variants with different seeds or folds."""
    return (
        "Not all variants have the same seeds and folds: they are in the order of adjusted means, "
        "which leave out what seeds and folds do that a variant has or lacks (least squares)."
    )


def rank_sentence(ranks: MeanRanks) -> str:
    means, test = ranks.means, ranks.test
    best, equal = means.iloc[0], int((means == means.iloc[0]).sum())
    count = len(ranks.ranks.columns)
    leader = f"{equal} variants share" if equal > 1 else f"{means.index[0]} has"
    lead = f"{leader} the best mean rank over {count} data sets, {number(best)}"
    if test is None:
        return f"{lead}; {count} data sets are too few for a test."
    clear = "the variants differ" if test.p < LEVEL else "without a clear difference"
    text = f"{lead}; {clear}: {test.name}, {p_value(test.p)}"
    if test.critical is not None and test.p < LEVEL:
        worse = int((means - best > test.critical).sum())
        text += f"; {worse} rank behind it by more than Nemenyi's {number(test.critical)}"
    return f"{text}."


# ------------------------------------------------------------------------------------------ cells


def columns_of(
    table: VariantTable, ends: Mapping[str, str], show_all: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Return the header and the cells of a table, a text each; empty columns are left out."""
    rows, criterion = table.rows, table.criterion
    columns = {"variant": list(rows["variant"])}
    for name in ("seeds", "folds"):
        columns[name] = [str(count) for count in rows[name]] if rows[name].max() > 1 else [""]
    value = with_arrow(criterion.measure, criterion.end)
    columns[value] = _values(rows["mean"], rows["std"])
    columns["adjusted"] = _values(rows["adjusted"]) if table.is_adjusted else [""]
    columns["difference (95 % CI)"] = []
    for row in rows.itertuples():
        text = "" if math.isnan(row.difference) else number(row.difference)
        if not math.isnan(row.low):
            text += f" ({to_digits(row.low, 2)} to {to_digits(row.high, 2)})"
        columns["difference (95 % CI)"].append(text)
    columns["p"] = _p_cells(rows["p"])
    columns["corrected p"] = _p_cells(rows["holm"]) if table.tests > 1 else [""]
    part = f"{criterion.split or 'train'}/"
    names = [name for name in table.measures if not name.startswith("test_std/")]
    if not show_all:
        names = [part + name for name in SECONDARY if part + name in names]
    names = [name for name in names if name != criterion.name]
    for name in names if show_all else names[:2]:
        title = with_arrow(name.removeprefix(part), ends.get(name, ""))
        columns[title] = _values(table.measures[name], table.spreads[name])
    shown = {title: cells for title, cells in columns.items() if any(cells)}
    return list(shown), [list(cells) for cells in zip(*shown.values(), strict=True)]


def _values(means: Any, spreads: Any = None) -> list[str]:
    texts = []
    for place, mean in enumerate(means):
        spread = None if spreads is None else spreads.iloc[place]
        texts.append("" if math.isnan(mean) else value_of(mean, spread))
    return texts


def _p_cells(values: Any) -> list[str]:
    texts = []
    for p in values:
        text = f"{p:.2g}" if p >= LEAST_P else f"<{LEAST_P}"
        texts.append("" if math.isnan(p) else text)
    return texts


def table_title(table: VariantTable) -> str:
    criterion, facts = table.criterion, table.data
    parts = [table.name]
    if {"samples", "features"} <= set(facts):
        parts.append(f"{facts['samples']} × {facts['features']}")
    part = f" on the {criterion.split} part" if criterion.split else ""
    better = "greater" if criterion.greater_is_better else "less"
    units = "; in the units of the metric" if criterion.in_units else ""
    return ", ".join([*parts, f"by {criterion.measure}{part} ({better} is better{units})"])
