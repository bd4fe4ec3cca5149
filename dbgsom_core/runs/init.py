"""`dbgsom init`: a first configuration, from a profile of a data file.

Each rule about a column or a table is a function; `suggest` puts their results together.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.config.resolved import Path as KeyPath
from dbgsom_core.config.resolved import commented_yaml
from dbgsom_core.errors import ConfigError, DataError, as_text, did_you_mean, name_list
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.files import exists
from dbgsom_core.tables import (
    CsvDialect,
    TableReader,
    as_texts,
    date_forms,
    open_table,
    parse_numbers,
    short,
)
from dbgsom_core.tables.cells import NUMBER_MARKS, is_missing, unit_of, without_unit
from dbgsom_core.tables.csv import is_header
from dbgsom_core.tables.formats import FORMATS
from dbgsom_core.tables.reader import FrameReader

Marks = tuple[str, str]  # the decimal mark, and what stands between thousands
Kind = Literal["number", "category", "date", "id", "text", "constant", "empty"]
TASKS = ("classifier", "regressor", "vq")
MOST_CLASSES = 20  # distinct values of a target of classes, and of a category
_UNIQUE = 0.99  # share of distinct values from which on a column identifies its rows
_SENTENCE = 5  # blanks in a cell, on average, from which on it is no name
_CHECKED = 2000  # distinct cells that are matched with patterns
_EXAMPLES = 4  # values of a column that a comment shows
_MOST_SPREAD = 3  # times that one feature may spread more than another and still count as much
_FEW_GAPS = 0.2  # share of gaps in a guessed target
_SMALL = 500  # rows below which a test part of a quarter says little
_FOLDS, _LEAST_IN_FOLDS = 5, 20
_CELLS = 2_000_000  # of a table that are looked at, more or less
_LEAST_ROWS, _MOST_ROWS = 50, 50_000
_LARGEST = 1e100  # of a number in a standard deviation: its square must not overflow
_ID = re.compile(
    r"(?i)(.*[_\s.-])?(id|ids|uuid|guid|nr|no|key|index|idx|identifier|lfdnr|nummer|rowid)"
    r"|.*(Id|ID|Nr|_id)|unnamed.*"
)
_TARGET = re.compile(
    r"(?i)(target|class|classes|label|labels|y|outcome|species|klasse|ziel|zielvariable"
    r"|diagnosis|churn|churned|left|survived|fraud|defaulted|response)"
)
_USUAL_DIALECT = CsvDialect(",", "utf-8", ".", "", True)  # which a configuration need not name
_ROLES = {"id": "id", "category": "categorical", "date": "dates", "text": "texts", "number": ""}
_SWEEP = """\
# With the next line 'dbgsom sweep' compares variants, each with three seeds:
# sweep: {grid: {model.spreading_factor: [0.3, 0.5, 0.7]}, repeats: {seeds: 3}}
"""


# ------------------------------------------------------------------------------- rules of columns


class ValueCounts(NamedTuple):
    """The distinct known cells of a column, stripped text, and how many rows have each."""

    texts: pa.Array
    rows: NDArray[np.int64]
    total: int  # rows, those with a missing cell included

    @property
    def are_unique(self) -> bool:
        rows = self.rows.sum()
        return bool(rows > MOST_CLASSES and len(self.texts) >= _UNIQUE * rows)


@dataclass(frozen=True)
class ColumnProfile:
    """Profile of a table's column: its kind of values, and statistics."""

    place: int
    name: str
    kind: Kind
    values: int = 0  # number of distinct values
    missing: float = 0.0  # share of the rows
    date_formats: Sequence[str] = ()  # all formats that its dates fit
    spread: float = 0.0  # standard deviation of its numbers
    whole: bool = False
    examples: Sequence[str] = ()  # the most frequent values first
    rarest: int = 0  # rows of the rarest value
    unit: str = ""
    role: str = ""  # the key under which it is listed, empty for features
    reason: str = ""  # for its role

    @property
    def has_classes(self) -> bool:
        few = 2 <= self.values <= MOST_CLASSES
        return few and (self.kind == "category" or (self.kind == "number" and self.whole))

    @property
    def is_binary(self) -> bool:
        values = {value.lower().removesuffix(".0") for value in self.examples}
        return self.kind == "number" and values in ({"0", "1"}, {"false", "true"})

    @property
    def shown_values(self) -> str:
        shown = list(map(short, self.examples))
        if self.values > len(shown):
            shown.append("…")
        return as_text(f"{self.values} values: {', '.join(shown)}")


def count_values(column: Any) -> ValueCounts:
    """Return the distinct cells of a column of text that are not missing."""
    pairs = pc.value_counts(pc.utf8_trim_whitespace(pc.fill_null(column, "")))
    pairs = pairs.filter(pa.array(~is_missing(pairs.field(0))))
    return ValueCounts(pairs.field(0), pairs.field(1).to_numpy(), len(column))


def common_unit(texts: pa.Array) -> str:
    """Return the unit that most of the texts have; empty: none."""
    units = Counter(map(unit_of, texts.slice(0, _CHECKED).to_pylist()))
    return max(units, key=units.__getitem__, default="")


def kind_of_numbers(
    name: str, counts: ValueCounts, values: NDArray[np.float64], unit: str = ""
) -> Kind:
    """Return whether a column of numbers holds quantities, or names its rows or their kinds."""
    texts = without_unit(counts.texts, unit)
    are_codes = pc.any(pc.match_substring_regex(texts, r"^[+-]?0\d")).as_py()
    is_numbering = are_codes or (not unit and (np.diff(values) == 1).all())
    if counts.are_unique and (values % 1 == 0).all() and (is_numbering or _ID.fullmatch(name)):
        return "id"
    if are_codes:
        return "category" if len(texts) <= MOST_CLASSES else "text"
    return "number"


def kind_of_texts(name: str, counts: ValueCounts, place: int) -> Kind:
    """Return whether a column of text names its rows, their kinds, or is neither."""
    are_sentences = pc.mean(pc.count_substring(counts.texts, " ")).as_py() >= _SENTENCE
    if counts.are_unique and (_ID.fullmatch(name) or (place == 0 and not are_sentences)):
        return "id"
    most = min(MOST_CLASSES, max(2, counts.rows.sum() / 2))
    return "category" if len(counts.texts) <= most else "text"


def profile_column(
    place: int, name: str, known: ValueCounts, marks: Marks = (".", "")
) -> ColumnProfile:
    """Return the profile of a column, by its distinct cells."""
    n = len(known.texts)
    if not n:
        return ColumnProfile(place, name, "empty", missing=1.0)
    unit = common_unit(known.texts)
    values, bad = parse_numbers(known.texts, *marks, unit, ())
    values = np.clip(values, -_LARGEST, _LARGEST)
    is_numeric = not bad.any()
    formats: Sequence[str] = ()
    if n == 1:
        kind: Kind = "constant"
    elif is_numeric:
        kind = kind_of_numbers(name, known, values, unit)
    elif formats := date_forms(known.texts.slice(0, _CHECKED).to_pylist()):
        kind = "date"
    else:
        kind = kind_of_texts(name, known, place)
    spread = 0.0
    if kind == "number":
        spread = float(np.std(np.repeat(values, known.rows)))
    frequent = np.argsort(-known.rows, kind="stable")[:_EXAMPLES]
    return ColumnProfile(
        place,
        name,
        kind,
        values=n,
        missing=1 - int(known.rows.sum()) / known.total,
        date_formats=formats,
        spread=spread,
        whole=is_numeric and bool((values % 1 == 0).all()),
        examples=known.texts.take(pa.array(frequent)).to_pylist(),
        rarest=int(known.rows.min()),
        unit=unit if is_numeric else "",
    )


# -------------------------------------------------------------------------------- rules of tables


def number_marks(columns: Sequence[ValueCounts], delimiter: str) -> Marks:
    """Return the decimal mark and the one between thousands that make most columns numbers."""
    marked = []
    for counts in columns:
        texts = counts.texts.slice(0, _CHECKED)
        if pc.any(pc.match_substring_regex(texts, r"\d\D\d")).as_py():
            marked.append((texts, common_unit(texts)))

    def count_numeric(marks: Marks) -> int:
        count = 0
        for texts, unit in marked:
            _, bad = parse_numbers(texts, *marks, unit, ())
            count += not bad.any()
        return count

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
    options: Mapping[str, Any] = field(default_factory=dict)  # fields of the data set
    target: ColumnProfile | None = None  # of an array


def profile_data(source: str, registry: Any) -> TableProfile:
    """Return the profile of a file, a folder of files, or a data set by its name."""
    path, names = Path(source).expanduser(), registry.names("dataset")
    if not exists(path):
        if source in names:
            return _profile_array("name", source, registry.build("dataset", source).load())
        near = did_you_mean(source, [*names, *map(str, path.parent.glob("*"))])
        raise DataError(f"there is no file and no data set '{source}'{near}")
    format = path.suffix.lower().removeprefix(".")
    if format in ("npy", "npz") and not path.is_dir():
        dataset = registry.build("dataset", {"name": format, "path": source, "missing": "keep"})
        return _profile_array(format, source, dataset.load())
    windows = CsvDialect(encoding="cp1252")
    return profile_reader(source, open_table(source, trained=windows))


def profile_table(table: pa.Table) -> TableProfile:
    """Return the profile of a table in memory, as `table_of_frame` makes it of a data frame."""
    reader = FrameReader.open(table)
    return profile_reader(reader.path, reader)


def profile_reader(source: str, reader: TableReader) -> TableProfile:
    """Return the profile of a table, by its first rows."""
    if reader.format not in FORMATS:
        raise DataError(
            f"{source}: init knows no {reader.format} files: write a configuration with dataset: "
            f"{{name: {reader.format}, path: {source}}}, if there is such a data set"
        )
    names, options = reader.names, dict[str, Any]()
    most = max(_LEAST_ROWS, min(_MOST_ROWS, _CELLS // len(names)))
    plain = [place for place, kind in enumerate(reader.types) if not pa.types.is_nested(kind)]
    batches, rows = list[pa.RecordBatch](), 0
    for batch in reader.batches(plain, most):
        batches.append(batch)
        rows += batch.num_rows
        if rows >= most:
            break
    if not rows:
        raise DataError(f"{source} has no rows: give a file with data")
    counts = [count_values(pa.nulls(rows, pa.string()))] * len(names)
    table = pa.Table.from_batches(batches)
    for place in plain:
        counts[place] = count_values(as_texts(table.column(str(place))))
    marks: Marks = (".", "")
    if reader.dialect is not None:
        dialect: Any = reader.dialect
        marks = number_marks(counts, dialect.delimiter)
        header = dialect.header and is_header(names, marks)
        if not header:
            names = list(map(str, range(len(names))))
        written = CsvDialect(dialect.delimiter, dialect.encoding, *marks, header)
        for key, value in vars(written).items():
            if value != getattr(_USUAL_DIALECT, key):
                options[key] = value
    columns = []
    for place, name in enumerate(names):
        columns.append(profile_column(place, name, counts[place], marks))
    complete = rows < most or rows == reader.num_rows
    return TableProfile(reader.format, source, columns, reader.num_rows or rows, complete, options)


def _profile_array(format: str, source: str, data: Data) -> TableProfile:
    """Return the profile of a data set that is an array."""
    target = None
    if data.y is not None:
        target = profile_column(0, "y", count_values(pa.array(data.y.astype(str))))
    options = {}
    if format != "name" and np.isnan(data.X).any():
        options["missing"] = "keep"
    return TableProfile(format, source, rows=len(data.X), options=options, target=target)


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
    if task != "regressor":
        first, last = columns[0], columns[-1]
        binary = [column for column in columns if column.is_binary]
        if len(binary) == 1 and binary[0] in (first, last):
            return binary[0]
        if last.kind == "category" and last.has_classes and last.missing < _FEW_GAPS:
            return last
    if task is not None:
        names = _candidates(columns) or "a column of numbers"
        raise DataError(f"{profile.path} has no column that looks like the target: name {names}")
    return None


def named_target(profile: TableProfile, name: str) -> ColumnProfile:
    """Return the column that is named as the target."""
    for column in profile.columns:
        if column.name == name:
            if column.kind in ("empty", "constant", "date", "id"):
                looks = f"it looks like {column.kind}"
                raise DataError(f"{profile.path}: column '{name}' is no target: {looks}")
            return column
    near = did_you_mean(name, [column.name for column in profile.columns])
    raise DataError(f"{profile.path} has no column '{name}'{near}")


def with_roles(profile: TableProfile, target: ColumnProfile | None) -> list[ColumnProfile]:
    """Return the columns with their roles, by their kinds."""
    columns, seen = list[ColumnProfile](), set() if target is None else {target.name}
    for column in profile.columns:
        role, reason = "drop", ""
        if column is target:
            role, reason = "target", column.shown_values
        elif column.kind not in _ROLES:
            reason = column.kind
        elif not column.name or column.name in seen:
            reason = "no name of its own: rename it to use it"
        else:
            role = _ROLES[column.kind]
            seen.add(column.name)
            if role == "categorical":
                reason = column.shown_values
            elif role == "texts":
                reason = "no feature: shown and searched, and its words describe clusters"
        columns.append(replace(column, role=role, reason=reason))
    if columns and not {column.role for column in columns} & {"", "categorical", "dates"}:
        raise DataError(f"{profile.path}: no column looks like numbers, dates or classes")
    return columns


def _candidates(columns: Sequence[ColumnProfile]) -> str:
    """Return the columns of few values that might be a target."""
    few = []
    for column in columns:
        if column.has_classes and column.role in ("", "categorical"):
            few.append(column.name)
    return as_text(name_list(few))


# ------------------------------------------------------------------------------ the configuration


@dataclass(frozen=True)
class Suggestion:
    """A configuration and the reasons for it: columns with their roles, and comments."""

    estimator: str
    columns: Sequence[ColumnProfile]
    config: dict[str, Any]
    comments: Mapping[KeyPath, str]
    remarks: Sequence[str] = ()

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
    if task not in (None, *TASKS):
        near = did_you_mean(task, TASKS)
        raise ConfigError(f"task must be one of {', '.join(TASKS)}, not {task!r}{near}")
    chosen = profile.target
    if target is not None:
        chosen = named_target(profile, target)
    elif profile.columns and task != "vq":
        chosen = guess_target(profile, task)
    estimator = task or "vq"
    if chosen is not None and task is None:
        is_number = chosen.spread > 0 and not chosen.has_classes
        estimator = "regressor" if is_number else "classifier"
    columns = with_roles(profile, chosen)
    stem = PurePath(profile.path).name.lstrip(".").partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9 ._-]+", "-", stem).strip(" .-_")[:60]
    config: dict[str, Any] = {"experiment": name or "first steps", "dataset": profile.path}
    comments: dict[KeyPath, str] = {}
    remarks = list[str]()
    if profile.format != "name":
        config["dataset"] = suggest_dataset(profile, columns, comments)
    few = _candidates(columns)
    if target is None and few:
        remarks.append(f"columns of few values: {few}: --target NAME predicts one")
        comments["dataset", "target"] += f"; {remarks[-1]}"
    step, reason = suggest_prepare(columns)
    if step is not None:
        config["prepare"], comments["prepare",] = step, reason
    if estimator != "vq":
        config["split"], comments["split",] = suggest_split(profile.rows, estimator, chosen)
    config["model"] = {"estimator": estimator, "spreading_factor": 0.5}
    comments["model", "estimator"] = "vq finds clusters; classifier and regressor need a target"
    comments["model", "spreading_factor"] = "nearer to 1: more neurons; auto: by held-out rows"
    if chosen is None and estimator == "vq":
        config["model"]["labeller"] = {"name": "clusters", "n_clusters": "auto"}
        comments["model", "labeller"] = "groups of neurons; auto: how many, by the data"
    return Suggestion(estimator, columns, config, comments, remarks)


def suggest_dataset(
    profile: TableProfile, columns: Sequence[ColumnProfile], comments: dict[KeyPath, str]
) -> dict[str, Any]:
    """Return the section of a file, and add comments."""
    dataset = {"name": profile.format, "path": profile.path, **profile.options}
    if not columns:
        return dataset
    times = Counter(column.name for column in columns)
    dataset["target"] = None
    comments["dataset", "target"] = "a column with classes or numbers to predict"
    units = {}
    for column in columns:
        key: str | int = column.name
        if times[column.name] > 1 or not column.name or "${" in column.name:
            key = column.place
        if column.role == "target":
            dataset["target"], comments["dataset", "target"] = key, column.reason
            if column.missing or not profile.complete:
                dataset["missing_target"] = "drop"
        elif column.role in ("id", "categorical", "texts", "drop"):
            listed = dataset.setdefault(column.role, [])
            comments["dataset", column.role, len(listed)] = column.reason
            listed.append(key)
        if column.unit and column.role in ("", "target"):
            units[str(key)] = column.unit
    if units:
        dataset["units"] = units
    features = [column for column in columns if column.role in ("", "categorical")]
    dates = [column for column in columns if column.role == "dates"]
    if dates:
        dataset["dates"] = "drop" if features else "ordinal"
        comments["dataset", "dates"] = (
            "drop keeps them beside the samples, ordinal counts days, parts: year, month, day, "
            f"weekday; {name_list(column.name for column in dates)}"
        )
    gaps = [column.name for column in features or dates if column.missing]
    if gaps or not profile.complete:
        dataset["missing"] = "keep"
        seen = name_list(gaps) or "if parts that were not looked at have any"
        comments["dataset", "missing"] = f"distances leave them out; error refuses them: {seen}"
    return dataset


def suggest_prepare(columns: Sequence[ColumnProfile]) -> tuple[Any, str]:
    """Return the prepare step that suits the columns, or None, and the reason."""
    features = [column for column in columns if not column.role]
    categorical = [column for column in columns if column.role == "categorical"]
    spreads = [column.spread for column in features if column.spread > 0]
    spreads += [0.5] * len(categorical)
    least, most = min(spreads, default=0.0), max(spreads, default=0.0)
    if most <= _MOST_SPREAD * least:
        return None, ""
    reason = f"features spread from {least:.3g} to {most:.3g}: let each count as much"
    if not (categorical or any(column.is_binary for column in features)):
        return "standardize", reason
    return {"name": "standardize", "categories": "joint"}, f"{reason}, a category as one column"


def suggest_split(
    rows: int, estimator: str, target: ColumnProfile | None
) -> tuple[dict[str, Any], str]:
    """Return how the rows are divided, and the reason."""
    split: dict[str, Any] = {"test_size": 0.25}
    reason, parts = "a quarter is kept for testing", 2
    if _LEAST_IN_FOLDS <= rows < _SMALL:
        split, parts = {"folds": _FOLDS}, _FOLDS
        reason = f"each fifth is tested once: a quarter of {rows} rows says little"
    if estimator == "classifier" and (target is None or target.rarest >= parts):
        split["stratify"] = True
    return split, reason
