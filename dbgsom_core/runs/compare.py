"""`compare`: select finished runs, rank their variants, test differences, write tables.

`ranking.py` ranks; this module says in words and tables what it found. A new column of the tables,
which terminal and pages show as they get them, goes into `columns_of`; one of the data frame is a
column of `VariantTable.rows` in `ranking.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError, as_text
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.describe import (
    LEAST_P,
    as_markdown,
    mapping_of,
    number,
    p_value,
    plural,
    to_digits,
    value_of,
)
from dbgsom_core.runs.folder import StoredRun, find_experiments, read_run, write_text
from dbgsom_core.runs.ranking import (
    RankingCriterion,
    VariantTable,
    best_end,
    find_criterion,
    rank_runs,
    with_arrow,
)
from dbgsom_core.runs.stats import LEVEL, rank_test
from dbgsom_core.runs.stored_runs import runs_of

if TYPE_CHECKING:
    import pandas as pd

_ENDINGS = (".csv", ".html", ".md")
_MOST_RANKS = 5  # variants in the sentence on ranks over data sets


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
        ``decide`` section, or accuracy for a classifier, log_loss where one class has more
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
    by: str | None = None,
    **criteria: str | None,
) -> Comparison:
    """Return the tables of `compare`, and what is said of them."""
    registry = registry or get_registry()
    finished, notes, damaged = _select_runs(list(map(str, targets)), Path(runs))
    decide = {} if by else _decided_by(finished)
    for key, text in {"measure": by, **criteria}.items():
        if text:
            decide[key] = text
    criterion = find_criterion(DecideSettings.model_validate(decide), finished, registry)
    if criterion.reason:
        notes.insert(0, criterion.reason)
    tables = sorted(rank_runs(finished, criterion), key=lambda table: table.name)
    repeats = len(finished) - sum(table.rows["runs"].map(len).sum() for table in tables)
    if repeats:
        notes.append(f"{repeats} older run(s) repeat another, and are left out")
    if criterion.in_units and len({table.data.get("name") for table in tables}) < len(tables):
        notes.append(
            f"{criterion.measure} is in the units of columns and preparation: runs that differ in "
            "these are not ranked together; by accuracy, purity or the like they are, with --by"
        )
    ranks = rank_sentence(tables)
    if ranks:
        notes.append(ranks)
    ends = {}
    for name in sorted(set(chain.from_iterable(run.measures for run in finished))):
        ends[name] = best_end(name, registry)
    return Comparison(criterion, tables, notes, damaged, finished, ends)


def _decided_by(runs: Sequence[StoredRun]) -> dict[str, Any]:
    """Return what the section ``decide`` of a sweep says, where all runs are of that sweep."""
    parent, *others = {run.parent for run in runs}
    if others or not parent:
        return {}
    sweep = read_run(runs[0].files.folder.parent / parent)
    section = mapping_of(sweep.config.get("sweep")).get("decide")
    try:
        return DecideSettings.model_validate(section or {}).model_dump()
    except ValidationError:  # of another version
        return {}


def _select_runs(
    targets: Sequence[str], root: Path
) -> tuple[list[StoredRun], list[str], dict[str, str]]:
    """Return finished runs, oldest first, notes, and what is damaged by folder."""
    known = find_experiments(root)
    if not targets and len(known) != 1:
        listed = ", ".join(known) or "none; start one with 'dbgsom run'"
        raise DataError(f"name one of the experiments in {root}: {listed}")
    folders = {}
    for target in targets or known:
        for run in runs_of(target, root, besides=", no sweep"):
            folders[run.files.folder.absolute()] = run
    finished = []
    damaged: dict[str, str] = {}
    states: Counter[str] = Counter()
    for run in folders.values():
        if run.damage:
            damaged[run.files.folder.name] = run.damage
        elif run.kind == "run" and run.status == "finished":
            finished.append(run)
        elif run.kind == "run":
            states[run.status] += 1
    unfinished = [f"{count} {state}" for state, count in states.items()]
    if not finished:
        reasons = [*unfinished, *(f"{name} damaged: {why}" for name, why in damaged.items())]
        names, listed = ", ".join(targets or known), ", ".join(reasons)
        raise DataError(f"{names} in {root} has no finished run: {listed}")
    finished.sort(key=lambda run: (run.started is not None and run.started.timestamp(), run.id))
    notes = []
    if unfinished:
        notes.append(f"not finished, and left out: {', '.join(unfinished)}")
    return finished, notes, damaged


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
    notes: Sequence[str]  # remarks: unfinished runs, repeats, ranks over data sets, …
    damaged: Mapping[str, str]  # errors of unreadable folders, by name
    runs: Sequence[StoredRun]  # the compared runs
    ends: Mapping[str, str]  # of each measure: greater, less, 0, or nothing

    @property
    def sentence(self) -> str:
        """The winner, a line for each data set."""
        lines = []
        for table in self.tables:
            prefix = f"{table.name}: " if len(self.tables) > 1 else ""
            lines.append(prefix + winner_sentence(table))
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Return what `compare` does."""
        import pandas as pd

        frames: list[pd.DataFrame] = []
        for table in self.tables:
            frame: pd.DataFrame = table.rows.assign(runs=table.rows["runs"].map(" ".join))
            frame = frame.join(table.measures)
            frame.insert(0, "data", table.name)
            frame.insert(1, "rank", frame.index + 1)
            frame.insert(3, "measure", self.criterion.name)
            frame.insert(4, "best", self.criterion.end)
            fields = pd.DataFrame(list(table.fields))
            frames.append(frame.assign(baseline=table.baseline, **fields))
        frame = pd.concat(frames, ignore_index=True)
        frame.attrs = {"sentence": self.sentence, "best": self.ends}
        frame.attrs |= {"notes": self.notes, "damaged": self.damaged}
        return frame

    def sections(self, show_all: bool = False) -> Iterator[Section]:
        """Yield each table as text, with all measures or the two that matter most."""
        for table in self.tables:
            header, rows = columns_of(table, self.ends, show_all)
            notes = list(filter(None, [baseline_text(table), method_sentence(table)]))
            yield Section(table_title(table), winner_sentence(table), header, rows, notes)

    def save(self, path: Path) -> None:
        """Write the tables to a .csv, .html or .md file, see `check_ending`."""
        ending = path.suffix.lower()
        if ending == ".csv":
            lines = self.to_frame().to_csv(index=False, lineterminator="\n").split("\n")
            text = "\n".join(map(as_text, lines))
        else:
            text = self._render(ending == ".html")
        try:
            write_text(path, text)
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error

    def _render(self, is_page: bool) -> str:
        """Return the tables as a page, or as markdown."""
        experiments = ", ".join(dict.fromkeys(run.experiment for run in self.runs))
        damaged = [f"{name}: damaged: {why}" for name, why in self.damaged.items()]
        title = f"{experiments}: {len(self.runs)} runs compared"
        return render(is_page, title, self.sections(), [*self.notes, *damaged])


def render(
    is_page: bool,
    title: str,
    sections: Iterable[Section],
    notes: Sequence[str] = (),
    first: Sequence[str] = (),
    pictures: Sequence[tuple[str, str]] = (),
) -> str:
    """Return tables as a page, or as markdown.

    A page begins with the sentences ``first`` and ``pictures``, names and PNG files in base64.
    """
    from jinja2 import Environment  # is slow to import

    shown = as_text if is_page else as_markdown
    environment = Environment(autoescape=is_page, trim_blocks=True, finalize=shown)
    template = files(__package__).joinpath("compare.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        page=is_page,
        title=title,
        first=first,
        pictures=pictures,
        sections=list(sections),
        notes=notes,
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
    if criterion.cost(best.mean) >= criterion.cost(table.baseline):
        constant = _constant([criterion.measure], table.data)
        text += f" Yet that is no better than {constant}, {number(table.baseline)}."
    if table.is_adjusted:
        text += (
            " Not all variants have the same seeds and folds: they are in the order of adjusted "
            "means, over those that all have in common."
        )
    return text


def _untested_sentence(table: VariantTable, what: str) -> str:
    """Return a sentence on the best variant where no pair of variants could be tested."""
    best, *others = table.ranked
    if all(row.difference == 0 for row in others):
        return f"All variants have the same {table.criterion.measure} with the same seeds."
    return (
        f"{best.variant} is best, {what}, but a test cannot tell how sure that is: give all "
        "variants the same seeds (sweep: {repeats: {seeds: 5}}) or folds (split: {folds: 5})."
    )


def _lead(table: VariantTable, row: Any) -> str:
    """Return how much better than another variant the best is, with the test of that."""
    text = f"{number(abs(row.difference))} better than {row.variant}"
    if not math.isnan(row.p):
        text += f", {p_value(row.holm)}"
    if table.tests > 1:
        text += f", corrected for {table.tests} comparisons"
    return text


def baseline_text(table: VariantTable) -> str:
    """Return what an answer that learns nothing measures; empty: it is not known."""
    if math.isnan(table.baseline):
        return ""
    constant = _constant([table.criterion.measure], table.data)
    return f"baseline: {number(table.baseline)} ({constant})"


def run_baseline(data: Mapping[str, Any]) -> str:
    """Return what the answer is that learns nothing, of which a run has measures; empty: none."""
    names = mapping_of(data.get("baseline"))
    if not names:
        return ""
    return f"baseline: {_constant([name.rpartition('/')[2] for name in names], data)}"


def _constant(measures: Iterable[str], data: Mapping[str, Any]) -> str:
    """Return what the answer is that learns nothing."""
    if not {"r2", "rmse", "mae"}.isdisjoint(measures):
        return "always the mean"
    label = data.get("most_frequent")
    if label:
        return f'always "{label}", the most frequent class'
    return "always the most frequent class"


def method_sentence(table: VariantTable) -> str:
    """Return sentences on the statistics and tests of a table."""
    text = []
    if table.rows["std"].notna().any():
        text.append("±: standard deviation over seeds and folds.")
    if table.tests:
        name, caution = "corrected resampled t-test (Nadeau & Bengio 2003)", ""
        if not table.ratio:
            name = "paired t-test"
            caution = " All models learned from the same samples: other data may say otherwise."
        text.append(
            "Difference: from the best variant, paired by seeds and folds. p: two-sided "
            f"{name}, which takes differences as normal; corrected p: for all pairs of variants, "
            f"of which some differ by chance (Holm 1979).{caution}"
        )
    return " ".join(text)


def rank_sentence(tables: Sequence[VariantTable]) -> str:
    """Return a sentence on ranks over data sets that are divided alike; empty: there are none."""
    import pandas as pd

    columns = {}
    for table in tables:
        columns[table.name] = table.rows.set_index("variant")["adjusted"].dropna()
    means = pd.concat(columns, axis=1, join="inner")
    divisions = {str(table.division) for table in tables}
    if len(tables) < 2 or len(means) < 2 or len(divisions) > 1:
        return ""
    ranks = means.rank(ascending=not tables[0].criterion.greater_is_better)
    best = ranks.mean(axis=1).sort_values(kind="stable")[:_MOST_RANKS]
    listed = ", ".join(f"{variant} {number(rank)}" for variant, rank in best.items())
    text = f"best mean ranks over {len(tables)} data sets: {listed}; "
    test = rank_test(means.T.to_numpy())
    if test is None:
        return f"{text}too few for a test"
    name, p = test
    text += "the variants differ" if p < LEVEL else "without a clear difference"
    return f"{text}: {name}, {p_value(p)}"


# ------------------------------------------------------------------------------------------ cells


def columns_of(
    table: VariantTable, ends: Mapping[str, str], show_all: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Return the header and the cells of a table, a text each; columns that say nothing are not."""
    rows, criterion = table.rows, table.criterion
    columns = {"variant": list(rows["variant"])}
    for name in ("seeds", "folds"):
        if rows[name].max() > 1:
            columns[name] = list(map(str, rows[name]))
    title = with_arrow(criterion.measure, criterion.end)
    columns[title] = _texts(value_of, rows["mean"], rows["std"])
    if table.is_adjusted:
        columns["adjusted"] = _texts(number, rows["adjusted"])
    differences = (rows["difference"], rows["low"], rows["high"])
    columns["difference (95 % CI)"] = _texts(_difference_text, *differences)
    columns["p"] = _texts(_p_text, rows["p"])
    if table.tests > 1:
        columns["corrected p"] = _texts(_p_text, rows["holm"])
    names = table.secondary[:2]
    if show_all:
        names = list(table.measures)
    part = criterion.split or "train"
    for name in names:
        if name != criterion.name and not name.startswith("test_std/"):
            title = with_arrow(name.removeprefix(f"{part}/"), ends.get(name, ""))
            columns[title] = _texts(value_of, table.measures[name], table.spreads[name])
    shown = {title: cells for title, cells in columns.items() if any(cells)}
    return list(shown), list(map(list, zip(*shown.values(), strict=True)))


def _texts(as_cell: Callable[..., str], *columns: Iterable[float]) -> list[str]:
    """Return the text of each row of numbers; empty where the first of them is not known."""
    texts = []
    for row in zip(*columns, strict=True):
        texts.append("" if math.isnan(row[0]) else as_cell(*row))
    return texts


def _difference_text(difference: float, low: float, high: float) -> str:
    text = number(difference)
    if math.isnan(low):
        return text
    return f"{text} ({to_digits(low, 2)} to {to_digits(high, 2)})"


def _p_text(p: float) -> str:
    return f"{p:.2g}" if p >= LEAST_P else f"<{LEAST_P}"


def table_title(table: VariantTable) -> str:
    """Return the title of a table: the data, its size, and what ranks."""
    criterion, facts = table.criterion, table.data
    size = f"{facts.get('samples')} × {facts.get('features')}"
    title = f"{table.name}, {size}, by {criterion.measure}"
    if criterion.split:
        title += f" on the {criterion.split} part"
    better = "greater" if criterion.greater_is_better else "less"
    units = "; in the units of the metric" if criterion.in_units else ""
    return f"{title} ({better} is better{units})"
