"""`dbgsom init`: a first configuration, from a profile of a data file.

Each rule about a column or a table is a function; `suggest` puts their results together.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.config.show import Path as KeyPath
from dbgsom_core.config.show import commented_yaml
from dbgsom_core.errors import ConfigError, DataError, as_text, did_you_mean
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.runs.ranking import UNEVEN
from dbgsom_core.tables import (
    NA_VALUES,
    CsvDialect,
    TableReader,
    as_texts,
    date_forms,
    open_table,
    parse_numbers,
)
from dbgsom_core.tables.cells import NUMBER_MARKS, is_missing, unit_of, without_unit
from dbgsom_core.tables.csv import is_header
from dbgsom_core.tables.formats import FORMATS, format_of
from dbgsom_core.tables.frames import FrameReader
from dbgsom_core.tables.safe_files import exists

Marks = tuple[str, str]  # the decimal mark, and what stands between thousands
Kind = Literal["number", "category", "date", "id", "text", "constant", "empty"]
TASKS = ("classifier", "regressor", "vq")
MOST_CLASSES = 20  # distinct values of a target of classes, and of a category
_UNIQUE = 0.99  # share of distinct values from which on a column identifies its rows
_NUMBERS = 0.9  # share of numbers from which other words count as missing values
_MOST_WORDS = 3  # that count as missing values
_CHECKED = 2000  # distinct cells that are matched with patterns
_MOST_SPREAD = 3  # times that one feature may spread more than another and still count as much
_MANY_NUMBERS = 20  # columns beside which words of few values are a design, no features
_FEW_GAPS, _LONG = 0.2, 30  # of a guessed target: share of gaps, and characters of a class
_SMALL = 500  # rows below which a test part of a quarter says little
_FOLDS, _LEAST_IN_FOLDS = 5, 20
_CELLS = 2_000_000  # of a table that are looked at, more or less
_LEAST_ROWS, _MOST_ROWS = 50, 50_000
_LISTED = 5  # names or values in a comment
_ID = re.compile(
    r"(?i)(.*[_\s.-])?(id|ids|uuid|guid|nr|no|key|index|idx|identifier|lfdnr|nummer|rowid)"
    r"|.*(Id|ID|Nr|_id)|unnamed.*"
)
_TARGET = re.compile(
    r"(?i)(target|class|classes|label|labels|y|outcome|species|klasse|ziel|zielvariable"
    r"|diagnosis|churn|churned|left|survived|fraud|defaulted|response)"
)
_DESIGN = "few values beside many numbers: clusters are counted by it, and not made of it"
_SWEEP = """\
# With the next line 'dbgsom sweep' compares variants, each with three seeds:
# sweep: {grid: {model.spreading_factor: [0.3, 0.5, 0.7]}, repeats: {seeds: 3}}
"""
_COMMENTS = {
    "delimiter": "between two fields",
    "encoding": "how characters are written: not as UTF-8",
    "decimal": "the decimal mark",
    "thousands": "between thousands",
    "header": "the first line holds data",
    "missing": "distances leave missing values out",
    "vq": "clusters; classifier and regressor need a target",
    "classifier": "the target holds classes; vq learns without it",
    "regressor": "the target holds numbers; vq learns without it",
}


# ------------------------------------------------------------------------------- rules of columns


class ValueCounts(NamedTuple):
    """The distinct cells of a column, stripped text, and how many rows have each."""

    texts: pa.Array
    rows: NDArray[np.int64]

    def filter(self, chosen: NDArray[np.bool_]) -> ValueCounts:
        return ValueCounts(self.texts.filter(pa.array(chosen)), self.rows[chosen])


@dataclass(frozen=True)
class ColumnProfile:
    """Profile of a table's column: its kind of values, and statistics."""

    place: int
    name: str
    kind: Kind
    values: int = 0  # number of distinct values
    missing: float = 0.0  # share of the rows
    words: tuple[str, ...] = ()  # marks of missing values, besides the usual ones
    date_formats: Sequence[str] = ()  # all formats that its dates fit
    spread: float = 0.0  # standard deviation of its numbers
    whole: bool = False
    examples: Sequence[str] = ()  # the most frequent values first
    rarest: int = 0  # rows of the rarest value
    largest: float = 0.0  # share of the most frequent value among those that are not missing
    unit: str = ""
    role: str = ""  # the key under which it is listed, empty for features
    reason: str = ""  # for its role

    @property
    def has_classes(self) -> bool:
        few = 2 <= self.values <= MOST_CLASSES
        return few and (self.kind == "category" or (self.kind == "number" and self.whole))

    @property
    def is_binary(self) -> bool:
        values = {one.lower().removesuffix(".0") for one in self.examples}
        return self.kind == "number" and values in ({"0", "1"}, {"false", "true"})


def count_values(column: Any) -> ValueCounts:
    """Return the distinct cells of a column of text; null is empty."""
    pairs = pc.value_counts(pc.utf8_trim_whitespace(pc.fill_null(column, "")))
    return ValueCounts(pairs.field(0), pairs.field(1).to_numpy())


def common_unit(texts: pa.Array) -> str:
    """Return the unit with which nearly all of the texts are numbers; empty: none."""
    some = texts.slice(0, _CHECKED).to_pylist()
    units = Counter(filter(None, map(unit_of, some)))
    for unit, times in units.most_common(1):
        if times >= _NUMBERS * len(some):
            return unit
    return ""


def other_words(counts: ValueCounts, marks: Marks, unit: str = "") -> NDArray[np.bool_] | None:
    """Return which texts of a column of numbers are none; None: it is no column of numbers.

    A few words among many numbers say that a number is missing.
    """
    _, odd = parse_numbers(counts.texts, *marks, unit, ())
    strange = counts.texts.filter(pa.array(odd)).to_pylist()
    rare = counts.rows[odd].sum() <= (1 - _NUMBERS) * counts.rows.sum()
    is_numeric = rare and len(strange) <= _MOST_WORDS and not any(map(unit_of, strange))
    return odd if is_numeric and not odd.all() else None


def is_whole(texts: pa.Array) -> bool:
    """Return whether texts of numbers are all written as integers."""
    return not pc.any(pc.match_substring_regex(texts, r"[.,]|\d[eE]")).as_py()


def kind_of_numbers(
    name: str, counts: ValueCounts, values: NDArray[np.float64], unit: str = ""
) -> Kind:
    """Return whether a column of numbers holds quantities, or names its rows or their kinds."""
    texts = without_unit(counts.texts, unit)
    are_codes = pc.any(pc.match_substring_regex(texts, r"^[+-]?0\d")).as_py()
    is_numbering = are_codes or (np.diff(values) == 1).all()
    is_named = _ID.fullmatch(name) is not None
    if _is_unique(counts) and is_whole(texts) and (is_named or (is_numbering and not unit)):
        return "id"
    if are_codes:
        return "category" if len(texts) <= MOST_CLASSES else "text"
    return "number"


def kind_of_texts(name: str, counts: ValueCounts, place: int) -> Kind:
    """Return whether a column of text names its rows, their kinds, or is neither."""
    some = counts.texts.slice(0, _CHECKED).to_pylist()
    has_sentences = 2 * sum(" " in cell for cell in some) > len(some)
    named_id = _ID.fullmatch(name) is not None
    if _is_unique(counts) and (named_id or (place == 0 and not has_sentences)):
        return "id"
    is_repeated = len(counts.texts) <= max(2, counts.rows.sum() / 2)
    return "category" if is_repeated and len(counts.texts) <= MOST_CLASSES else "text"


def profile_column(
    place: int,
    name: str,
    counts: ValueCounts,
    marks: Marks = (".", ""),
    words: Collection[str] = (),
) -> ColumnProfile:
    """Return the profile of a column; ``words`` are additional marks of missing values."""
    known = counts.filter(~is_missing(counts.texts, (*NA_VALUES, *words)))
    unit = common_unit(known.texts)
    odd, gaps = other_words(known, marks, unit), ()
    if odd is not None:
        gaps = tuple(known.texts.filter(pa.array(odd)).to_pylist())
        known = known.filter(~odd)
    rows, n = int(known.rows.sum()), len(known.texts)
    if not n:
        return ColumnProfile(place, name, "empty", missing=1.0)
    kind: Kind = "constant"
    formats: Sequence[str] = ()
    spread = 0.0
    if n > 1 and odd is not None:
        values, _ = parse_numbers(known.texts, *marks, unit, ())
        kind = kind_of_numbers(name, known, values, unit)
        finite = np.isfinite(values)
        numbers = np.repeat(values[finite], known.rows[finite])
        if kind == "number" and len(numbers):
            spread = float(np.std(numbers))
    elif n > 1:
        formats = date_forms(known.texts.slice(0, _CHECKED).to_pylist())
        kind = "date" if formats else kind_of_texts(name, known, place)
    often = np.argsort(-known.rows, kind="stable")[:4]
    return ColumnProfile(
        place,
        name,
        kind,
        values=n,
        missing=1 - rows / int(counts.rows.sum()),
        words=gaps,
        date_formats=formats,
        spread=spread,
        whole=is_whole(without_unit(known.texts, unit)),
        examples=known.texts.take(pa.array(often)).to_pylist(),
        rarest=int(known.rows.min()),
        largest=float(known.rows.max() / rows),
        unit="" if odd is None else unit,
    )


def profile_columns(
    names: Sequence[str], columns: Sequence[ValueCounts], marks: Marks
) -> list[ColumnProfile]:
    """Return the profiles of all columns; what says missing in one of them says so in all."""
    words: tuple[str, ...] = ()
    while True:
        profiles = []
        for place, (name, counts) in enumerate(zip(names, columns, strict=True)):
            profiles.append(profile_column(place, name, counts, marks, words))
        more = {word for profile in profiles for word in profile.words}
        if not more:
            break
        words = (*words, *sorted(more))
    return [replace(profile, words=words) for profile in profiles]


def _is_unique(counts: ValueCounts) -> bool:
    rows = counts.rows.sum()
    return bool(rows > MOST_CLASSES and len(counts.texts) >= _UNIQUE * rows)


# -------------------------------------------------------------------------------- rules of tables


def number_marks(columns: Sequence[ValueCounts], delimiter: str) -> Marks:
    """Return the decimal mark and the one between thousands that make most columns numbers."""
    marked = []
    for counts in columns:
        known = counts.filter(~is_missing(counts.texts))
        known = ValueCounts(known.texts.slice(0, _CHECKED), known.rows[:_CHECKED])
        if pc.any(pc.match_substring_regex(known.texts, r"\d\D\d")).as_py():
            marked.append((known, common_unit(known.texts)))

    def count_numeric(marks: Marks) -> int:
        return sum(other_words(counts, marks, unit) is not None for counts, unit in marked)

    candidates = sorted(NUMBER_MARKS, key=lambda marks: delimiter == marks[0])
    return max(candidates, key=count_numeric)


@dataclass(frozen=True)
class TableProfile:
    """Profile of a data set."""

    format: str  # of the file, or "name"
    path: str  # as it was given, or the name of a data set
    columns: Sequence[ColumnProfile] = ()  # none of arrays and data sets by name
    rows: int = 0  # at least, where not all was looked at
    complete: bool = True
    options: dict[str, Any] = field(default_factory=dict)  # fields of the data set
    spreads: Sequence[float] = ()  # standard deviations of the features of an array
    target: ColumnProfile | None = None  # of an array


def profile_data(given: str, registry: Any) -> TableProfile:
    """Return the profile of a file, a folder of files, or a data set by its name."""
    path, names = Path(given).expanduser(), registry.names("dataset")
    if not exists(path):
        if given in names:
            return _profile_array("name", given, registry.build("dataset", given).load())
        with suppress(OSError):
            names = [*names, *(one.name for one in path.parent.iterdir())]
        near = did_you_mean(given, names)
        raise DataError(f"there is no file and no data set '{given}'{near}")
    format = path.suffix.lower().removeprefix(".")
    if format in ("npy", "npz") and not path.is_dir():
        dataset = registry.build("dataset", {"name": format, "path": given, "missing": "keep"})
        return _profile_array(format, given, dataset.load())
    found = None if path.is_dir() else format_of(path.suffix.lower())
    if found is not None:
        _check_built_in(given, found.name)
    dialect, windows = CsvDialect(header=False), CsvDialect(encoding="cp1252")
    return profile_reader(given, open_table(given, dialect, trained=windows))


def profile_table(table: pa.Table) -> TableProfile:
    """Return the profile of a table in memory, as `table_of_frame` makes it of a data frame."""
    reader = FrameReader.open(table)
    return profile_reader(reader.path, reader)


def profile_reader(given: str, reader: TableReader) -> TableProfile:
    """Return the profile of a table, by its first rows."""
    _check_built_in(given, reader.format)
    names, options = reader.names, dict[str, Any]()
    most = max(_LEAST_ROWS, min(_MOST_ROWS, _CELLS // len(names)))
    plain = [i for i, kind in enumerate(reader.types) if not pa.types.is_nested(kind)]
    batches, head, rows = reader.batches(plain, most), list[pa.RecordBatch](), 0
    while rows < most and (batch := next(batches, None)) is not None:
        head.append(batch)
        rows += batch.num_rows
    if not rows:
        raise DataError(f"{given} has no rows: give a file with data")
    complete = rows == reader.num_rows or next(batches, None) is None
    whole = pa.Table.from_batches(head)
    columns: list[Any] = [pa.nulls(rows, pa.string())] * len(names)
    for place in plain:
        columns[place] = as_texts(whole.column(str(place)))
    marks: Marks = (".", "")
    if reader.format == "csv":
        dialect: Any = reader.dialect
        counts = [count_values(column.slice(1)) for column in columns]
        marks = number_marks(counts, dialect.delimiter)
        first = [(column[0].as_py() or "").strip() for column in columns]
        header = is_header(first, marks)
        if header:
            names, columns, rows = first, [column.slice(1) for column in columns], rows - 1
        usual = CsvDialect(",", "utf-8", ".", "", True)
        written = CsvDialect(dialect.delimiter, dialect.encoding, *marks, header)
        options = {k: one for k, one in vars(written).items() if one != getattr(usual, k)}
    if not rows:
        raise DataError(f"{given} has a header and no line below it: give a file with data")
    profiles = profile_columns(names, [count_values(column) for column in columns], marks)
    rows = reader.num_rows or rows
    return TableProfile(reader.format, given, profiles, rows, complete, options)


def _check_built_in(given: str, format: str) -> None:
    if format not in FORMATS:
        raise DataError(
            f"{given}: init knows no {format} files: write a configuration with dataset: {{name: "
            f"{format}, path: {given}}}, if 'dbgsom plugins list' has such a data set"
        )


def _profile_array(format: str, given: str, data: Data) -> TableProfile:
    """Return the profile of a data set that is an array."""
    some = np.asarray(data.X[:_MOST_ROWS], dtype=np.float64)
    with np.errstate(all="ignore"):
        spreads = [float(np.nanstd(column)) for column in some.T]
    target = None
    if data.y is not None:
        target = profile_column(0, "y", count_values(pa.array(data.y.astype(str))))
    options = {"missing": "keep"} if np.isnan(some).any() else {}
    whole = len(some) == len(data.X)
    return TableProfile(format, given, (), len(data.X), whole, options, spreads, target)


# --------------------------------------------------------------------------------- rules of roles


def guess_target(profile: TableProfile, task: str | None = None) -> ColumnProfile | None:
    """Return the column that is most likely the target, or None.

    It is called as targets are, or holds words of few values in the last column, or the only
    zeros and ones in the first or last.
    """
    columns = profile.columns
    for column in columns:
        suits = column.has_classes or (column.kind == "number" and task != "classifier")
        if suits and _TARGET.fullmatch(column.name):
            return column
    binary = [column for column in columns if column.is_binary]
    usable = [column for column in columns if column.kind in ("category", "number")]
    for column in (*columns[-1:], *columns[:1]) if len(usable) > 1 and task != "regressor" else ():
        are_short = all(len(word) <= _LONG for word in column.examples)
        has_words = column.kind == "category" and column.has_classes and are_short
        is_last = column is columns[-1]
        unique = sum(one.name == column.name for one in columns) == 1
        if unique and (
            binary == [column] or (is_last and has_words and column.missing < _FEW_GAPS)
        ):
            return column
    if task is not None:
        few = _candidates(columns) if task == "classifier" else ""
        cure = f"name one of few values, such as {few}" if few else "name one"
        raise DataError(f"{profile.path} has no column that looks like the target: {cure}")
    return None


def named_target(profile: TableProfile, name: str) -> ColumnProfile:
    """Return the column that is named as the target."""
    if not profile.columns:
        raise DataError(f"{profile.path} has no columns by name: leave out --target {name}")
    for column in profile.columns:
        if column.name == name and column.kind in ("empty", "constant", "date", "id"):
            looks = f"it looks like {column.kind}"
            raise DataError(f"{profile.path}: column '{name}' is no target: {looks}")
        if column.name == name:
            return column
    near = did_you_mean(name, [column.name for column in profile.columns])
    raise DataError(f"{profile.path} has no column '{name}'{near}")


def with_roles(profile: TableProfile, target: ColumnProfile | None) -> list[ColumnProfile]:
    """Return the columns with their roles, by their kinds."""
    keys = {"id": "id", "category": "categorical", "date": "dates", "number": ""}
    reasons = {"empty": "no value at all", "constant": "one value only"}
    columns, seen = list[ColumnProfile](), set() if target is None else {target.name}
    for column in profile.columns:
        role, reason = "drop", ""
        if column is target:
            role = "target"
        elif column.kind not in keys:
            reason = reasons.get(column.kind, "text with many values")
        elif not column.name:
            reason = "no name"
        elif column.name in seen:
            reason = f"'{column.name}' again: rename it to use it"
        else:
            role = keys[column.kind]
            seen.add(column.name)
        columns.append(replace(column, role=role, reason=reason))
    if columns and not {column.role for column in columns} & {"", "categorical", "dates"}:
        listed = [f"'{one.name or one.place}' ({one.reason or one.role})" for one in columns]
        why = f"no column looks like numbers, dates or classes: {_few(listed)}"
        raise DataError(f"{profile.path}: {why}")
    return columns


def with_design(columns: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """Return columns of which those of few words are ids beside many numbers: a design."""
    numbers = sum(column.kind == "number" and not column.role for column in columns)
    words = [column for column in columns if column.role == "categorical"]
    if numbers < _MANY_NUMBERS or 10 * len(words) > numbers:
        return list(columns)
    return [
        replace(column, role="id", reason=_DESIGN) if column.role == "categorical" else column
        for column in columns
    ]


def _candidates(columns: Sequence[ColumnProfile]) -> str:
    """Return the columns of few values that might be a target, those of 0 and 1 first."""
    few = [one for one in columns if one.has_classes and one.role in ("", "categorical")]
    few.sort(key=lambda column: (not column.is_binary, column.values))
    names = []
    for column in few:
        more = ", …" if column.values > 2 else ""
        names.append(f"{column.name} ({', '.join(column.examples[:2])}{more})")
    return as_text(_few(names))


# ------------------------------------------------------------------------------ the configuration


@dataclass(frozen=True)
class Suggestion:
    """A configuration and the reasons for it: columns with their roles, and comments."""

    estimator: str
    columns: Sequence[ColumnProfile]
    config: Mapping[str, Any]
    comments: Mapping[KeyPath, str]
    remarks: Sequence[str] = ()

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        values: dict[str, Any] = json.loads(json.dumps(self.config))
        return values

    def text(self, source: str, file: str) -> str:
        """Return it as YAML that begins with the data and the commands that use the ``file``."""
        typed = shlex.quote(file)
        header = [
            f"Written by 'dbgsom init' after a look at {source}: change what you know",
            "better. These check it, and train:",
            f"  dbgsom validate {typed}",
            f"  dbgsom run {typed}",
        ]
        return commented_yaml(self.config, self.comments, header) + _SWEEP


def suggest(
    profile: TableProfile, target: str | None = None, task: str | None = None
) -> Suggestion:
    """Return the configuration that a profile suggests for a target, or a guess, and a task."""
    if task is not None and task not in TASKS:
        near = did_you_mean(task, TASKS)
        raise ConfigError(f"task must be one of {', '.join(TASKS)}, not {task!r}{near}")
    chosen = profile.target
    if target is not None:
        chosen = named_target(profile, target)
    elif profile.columns and task != "vq":
        chosen = guess_target(profile, task)
    columns = with_roles(profile, chosen)
    estimator = task or "vq"
    if chosen is not None and task is None:
        is_number = chosen.spread > 0 and not chosen.has_classes
        estimator = "regressor" if is_number else "classifier"
    seeks_groups = estimator == "vq" and chosen is None
    if seeks_groups:
        columns = with_design(columns)
    stem = PurePath(profile.path).name.lstrip(".").partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9 ._-]+", "-", stem).strip(" .-_")[:60]
    config: dict[str, Any] = {"experiment": name or "first steps", "dataset": profile.path}
    comments: dict[KeyPath, str] = {}
    remarks = list[str]()
    if profile.format != "name":
        config["dataset"] = _dataset(profile, columns, chosen, target is not None, comments)
    if target is None and (others := _candidates(columns)):
        text = f"{'other ' * (chosen is not None)}columns of few values: {others}"
        last = columns[-1]
        if chosen is None and last.kind == "number" and not (last.has_classes or last.role):
            text += f"; the last column, numbers: {as_text(last.name)}"
        comments["dataset", "target"] += f"; {text}"
        remarks.append(f"{text}: --target NAME predicts one")
    step, reason = suggest_prepare(profile, columns)
    if step is not None:
        config["prepare"], comments["prepare",] = step, reason
    if estimator != "vq":
        config["split"], comments["split",] = suggest_split(profile.rows, estimator, chosen)
    config["model"] = {"estimator": estimator, "spreading_factor": 0.5}
    comments["model", "estimator"] = _COMMENTS[estimator]
    comments["model", "spreading_factor"] = "nearer to 1: more neurons; auto: by held-out rows"
    if seeks_groups:
        config["model"]["labeller"] = {"name": "clusters", "n_clusters": "auto"}
        comments["model", "labeller"] = "groups of neurons; auto: how many, by the data"
        remarks += _suggest_report(columns, config, comments)
    elif estimator == "classifier" and chosen is not None and chosen.largest > UNEVEN:
        share = f"{100 * chosen.largest:.0f} % of the rows are of one"
        config["model"]["class_weight"] = None
        comments["model", "class_weight"] = (
            "balanced: all classes count the same, so that more of the rare are found, and "
            f"probabilities are no shares of rows any more; {share} class, so compare and sweeps "
            "decide by balanced_accuracy"
        )
        remarks.append(f"uneven classes: {share}")
    return Suggestion(estimator, columns, config, comments, remarks)


def suggest_prepare(profile: TableProfile, columns: Sequence[ColumnProfile]) -> tuple[Any, str]:
    """Return the prepare step that suits the columns, or None, and the reason."""
    features = [column for column in columns if not column.role]
    categorical = [column for column in columns if column.role == "categorical"]
    spreads = [column.spread for column in features] or [*profile.spreads]
    spreads = [spread for spread in spreads if spread > 0] + [0.5] * len(categorical)
    least, most = min(spreads, default=0.0), max(spreads, default=0.0)
    if profile.path == "digits" or most <= _MOST_SPREAD * least:
        return None, ""
    reason = f"features spread from {least:.3g} to {most:.3g}: let each count as much"
    if not (categorical or any(column.is_binary for column in features)):
        return "standardize", reason
    joint = "a category as one column, and 0 and 1 no more for being rare"
    return {"name": "standardize", "categories": "joint"}, f"{reason}; {joint}"


def suggest_split(
    rows: int, estimator: str, target: ColumnProfile | None
) -> tuple[dict[str, Any], str]:
    """Return how the rows are divided, and the reason."""
    split: dict[str, Any] = {"test_size": 0.25}
    reason, parts = "a quarter is kept for testing", 2
    if _LEAST_IN_FOLDS <= rows < _SMALL:
        split, parts = {"folds": _FOLDS}, _FOLDS
        reason = (
            f"each fifth is tested once: a quarter of {rows} rows says little; test_size: 0.25 "
            "keeps one part"
        )
    if estimator == "classifier" and (target is None or target.rarest >= parts):
        split["stratify"] = True
    return split, reason


def _suggest_report(
    columns: Sequence[ColumnProfile], config: dict[str, Any], comments: dict[KeyPath, str]
) -> list[str]:
    """Let clusters be counted by the columns of a design; return remarks."""
    design = [column.name for column in columns if column.reason == _DESIGN]
    categorical = [as_text(column.name) for column in columns if column.role == "categorical"]
    if design:
        config["report"] = {"by": design[0] if len(design) == 1 else design}
        comments["report",] = "counts clusters by these columns, which the map does not learn"
        listed = ", ".join(map(as_text, design))
        return [f"{listed}: clusters are counted by it, and not made of it"]
    if categorical:
        name = categorical[0]
        return [
            f"the map learns {_few(categorical)}; to compare clusters by {name} instead: list it "
            f"under id, and add 'report: {{by: {name}}}'"
        ]
    return []


def _dataset(
    profile: TableProfile,
    columns: Sequence[ColumnProfile],
    target: ColumnProfile | None,
    is_named: bool,
    comments: dict[KeyPath, str],
) -> dict[str, Any]:
    """Return the section of a file, and add comments."""
    dataset: dict[str, Any] = {"name": profile.format, "path": profile.path}
    times = Counter(column.name for column in columns)

    def put(key: str, value: Any, comment: str) -> None:
        dataset[key] = value
        comments["dataset", key] = comment

    def reference(column: ColumnProfile) -> str | int:
        """Return what names a column: its name, or its number where that fails."""
        usable = column.name and times[column.name] == 1 and "${" not in column.name
        return column.name if usable else column.place

    for key, value in profile.options.items():
        put(key, value, _COMMENTS[key])
    if not columns:
        return dataset
    if target is None:
        put("target", None, "a column with classes or numbers to predict")
    else:
        begin = "" if is_named else "a guess, by its name or place: "
        put("target", reference(target), f"{begin}{_values(target)}; null: nothing to predict")
    for key, comment in (
        ("id", "identifies a sample"),
        ("categorical", "text with few values: a column of 0 and 1 for each"),
        ("drop", "left out"),
    ):
        listed = [column for column in columns if column.role == key]
        if listed:
            put(key, [reference(column) for column in listed], comment)
        for place, column in enumerate(listed):
            comments["dataset", key, place] = column.reason
            if key == "categorical":
                comments["dataset", key, place] = _values(column)
    units = {str(reference(one)): one.unit for one in columns if one.role in ("", "target")}
    units = {name: unit for name, unit in units.items() if unit}
    if units:
        put("units", units, "numbers are read without them")
    features = [column for column in columns if column.role in ("", "categorical")]
    dates = [column for column in columns if column.role == "dates"]
    if dates:
        forms = _few([f"{one.name} ({one.date_formats[0]})" for one in dates])
        first = "drop keeps them beside the samples" if features else "nothing else is left"
        rule = f"{first}; ordinal counts days, parts: year, month, day, weekday; {forms}"
        put("dates", "drop" if features else "ordinal", rule)
    words = columns[0].words
    if words:
        rule = f"what stands for a missing value: the usual words, and {', '.join(words)}"
        put("na_values", [*NA_VALUES, *words], rule)
    gaps = [f"{one.name} {one.missing:.1%}" for one in features or dates if one.missing]
    if gaps or not profile.complete:
        seen = _few(gaps) or "if parts that were not looked at have any"
        put("missing", "keep", f"{_COMMENTS['missing']}; error refuses them: {seen}")
    if target is not None and (target.missing or not profile.complete):
        put("missing_target", "drop", "samples without a target; or unlabelled")
    return dataset


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _values(column: ColumnProfile) -> str:
    shown = ", ".join(re.sub(r"\s+", " ", one)[:20] for one in column.examples)
    more = ", …" if column.values > len(column.examples) else ""
    return as_text(f"{column.values} values: {shown}{more}")
