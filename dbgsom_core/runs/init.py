"""`dbgsom init`: a first configuration, from a profile of a data file."""

from __future__ import annotations

import codecs
import json
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from dbgsom_core.files import open_regular
from dbgsom_core.runs.ranking import UNEVEN
from dbgsom_core.tables import (
    NA_VALUES,
    CsvDialect,
    TableReader,
    as_array,
    as_texts,
    date_forms,
    is_missing,
    open_packed,
    open_table,
    parse_numbers,
    reading,
    unit_of,
    without_unit,
)
from dbgsom_core.tables.formats import FORMATS, format_of
from dbgsom_core.tables.frames import FRAME, FrameReader
from dbgsom_core.tables.safe_files import exists

Marks = tuple[str, str]  # the decimal mark, and what stands between thousands
Kind = Literal["number", "category", "date", "id", "text", "constant", "empty"]
TASKS = ("classifier", "regressor", "vq")
MOST_CLASSES = 20  # distinct values of a target of classes, and of a category
_REPEATED = 0.5  # a category has fewer values than this share of the rows
_UNIQUE = 0.99  # share of distinct values from which on a column identifies its rows
_NUMBERS = 0.9  # share of numbers from which other words count as missing values
_MOST_WORDS = 3
_FIRST = 100  # distinct cells among which there is a unit, or none in the column
_CHECKED = 2000  # distinct cells that are matched with patterns
_ID = re.compile(
    r"(?i)(.*[_\s.-])?(id|ids|uuid|guid|nr|no|key|index|idx|identifier|lfdnr|nummer|rowid)"
    r"|.*(Id|ID|Nr|_id)|unnamed.*"
)
# Decimal marks and what stands between thousands, the usual ones first.
_MARKS = [(one[0], one[1:]) for one in (".", ",", ".,", ",.", ".'", ",'", ", ", ". ")]
_CELLS = 2_000_000  # of a table that are looked at, more or less
_LEAST_ROWS, _MOST_ROWS = 50, 50_000
_ARRAY_ROWS = 5000  # of an array that are looked at
_HEAD = 2 << 20  # bytes by which the encoding is found, and the rows are counted
_ENCODINGS = ("utf-8", "cp1252", "latin-1")  # any bytes are the last
_SAMPLES, _TARGETS = ("x", "data", "x_train", "features"), ("y", "target", "labels", "y_train")


class Cells(NamedTuple):
    """The distinct cells of a column, stripped text, and how many rows have each."""

    texts: pa.Array
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, column: Any) -> Cells:
        """Return the cells of a column of text; null is empty."""
        stripped = pc.utf8_trim_whitespace(pc.fill_null(column, ""))
        pairs = pc.value_counts(stripped)
        return cls(pairs.field(0), pairs.field(1).to_numpy())

    def filter(self, chosen: NDArray[np.bool_]) -> Cells:
        return Cells(self.texts.filter(pa.array(chosen)), self.counts[chosen])

    def present(self, words: Collection[str] = ()) -> Cells:
        return self.filter(~is_missing(self.texts, (*NA_VALUES, *words)))

    def first(self) -> list[str]:
        """Return some of the texts, to be matched with patterns."""
        return list(self.texts.slice(0, _CHECKED).to_pylist())

    def units(self) -> Counter[str]:
        """Return which units numbers among the first cells have, and how many cells each."""
        some = self.first()
        if not any(map(unit_of, some[:_FIRST])):
            return Counter()
        return Counter(filter(None, map(unit_of, some)))

    def unit(self) -> str:
        """Return the unit with which nearly all of the cells are numbers; empty: none."""
        known = self.present()
        ((unit, times),) = known.units().most_common(1) or [("", 0)]
        return unit if times >= _NUMBERS * len(known.first()) else ""


@dataclass(frozen=True)
class ColumnProfile:
    """Profile of a table's column: its kind of values, and statistics."""

    place: int
    name: str
    kind: Kind
    values: int = 0  # number of distinct values
    missing: float = 0.0  # share of the rows
    words: tuple[str, ...] = ()  # marks of missing values, besides the usual ones
    date_formats: tuple[str, ...] = ()  # all formats that its dates fit
    spread: float = 0.0  # standard deviation of its numbers
    skewed: bool = False  # numbers from 0 on of a long tail, which their logarithms have not
    whole: bool = False
    examples: tuple[str, ...] = ()  # the most frequent values first
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


def profile_columns(
    names: Sequence[str], columns: Sequence[Cells], marks: Marks = (".", "")
) -> list[ColumnProfile]:
    """Return the profiles of all columns, with numbers in the format ``marks``."""
    words: set[str] = set()
    while True:
        found = [
            profile_column(place, name, cells, marks, words)
            for place, (name, cells) in enumerate(zip(names, columns, strict=True))
        ]
        more = {word for column in found for word in column.words} - words
        if not more:
            return found
        words |= more


def profile_column(
    place: int, name: str, cells: Cells, marks: Marks = (".", ""), words: Collection[str] = ()
) -> ColumnProfile:
    """Return the profile of a column; ``words`` are additional marks of missing values."""
    known = cells.present(words)
    said = {*words}.intersection(cells.texts.to_pylist() if words else ())
    if not len(known.texts):
        return ColumnProfile(place, name, "empty", missing=1.0, words=tuple(sorted(said)))
    named_id = _ID.fullmatch(name) is not None
    unit = "" if named_id else known.unit()
    values, odd = parse_numbers(known.texts, *marks, unit, ())
    strange = known.filter(odd)
    numeric = not unit or {*map(unit_of, known.filter(~odd).first())} == {unit}
    if numeric and odd.any():
        rare = strange.counts.sum() <= (1 - _NUMBERS) * known.counts.sum()
        numeric = bool(rare) and len(strange.texts) <= _MOST_WORDS and not strange.units()
        if numeric:
            said.update(strange.texts.to_pylist())
            known, values = known.filter(~odd), values[~odd]
    rows, n = int(known.counts.sum()), len(known.texts)
    unique = n >= _UNIQUE * rows and rows > MOST_CLASSES
    kind: Kind = "constant"
    whole, formats = False, tuple[str, ...]()
    if n > 1 and numeric:
        plain = without_unit(known.texts, unit)
        whole = bool((values == np.floor(values)).all())
        whole = whole and not pc.any(pc.match_substring_regex(plain, r"[.,]|\d[eE]")).as_py()
        successive = whole and bool((np.diff(values) == 1).all())
        codes = pc.any(pc.match_substring_regex(plain, r"^[+-]?0\d")).as_py()
        if unique and not unit and whole and (codes or successive or named_id):
            kind = "id"
        elif codes:
            kind = "category" if n <= MOST_CLASSES else "text"
        else:
            kind = "number"
    elif n > 1 and (formats := tuple(date_forms(known.first()))):
        kind = "date"
    elif n > 1:
        kind = _text_kind(known, unique, named_id, place)
    finite = np.isfinite(values)
    numbers = np.repeat(values[finite], known.counts[finite])
    spread = np.std(numbers) if finite.any() else 0.0
    often = np.argsort(-known.counts, kind="stable")[:4]
    return ColumnProfile(
        place,
        name,
        kind,
        values=n,
        missing=1 - rows / int(cells.counts.sum()),
        words=tuple(sorted(said)),
        date_formats=formats,
        spread=float(spread) if kind == "number" else 0.0,
        skewed=kind == "number" and n > MOST_CLASSES and _is_skewed(numbers),
        whole=whole,
        examples=tuple(known.texts.take(pa.array(often)).to_pylist()),
        rarest=int(known.counts.min()),
        largest=float(known.counts.max() / rows),
        unit=unit if numeric else "",
    )


def _is_skewed(values: NDArray[np.float64]) -> bool:
    """Return whether a logarithm of numbers from 0 on would halve a skewness above 2."""
    if not len(values) or values.min() < 0:
        return False

    def skewness(values: NDArray[np.float64]) -> float:
        steps = values - values.mean()
        return float(abs(np.mean(steps**3)) / np.mean(steps**2) ** 1.5)

    with np.errstate(all="ignore"):
        before = skewness(values / values.max())
        positive = values[values > 0]
        return bool(before > _SKEWED and 2 * skewness(np.log(positive)) < before)


def number_marks(columns: Sequence[Cells], delimiter: str) -> Marks:
    """Return the decimal mark and the one between thousands that make most columns numbers."""
    cells = [pa.array(one.present().first(), pa.string()) for one in columns]
    marked = [one for one in cells if pc.any(pc.match_substring_regex(one, r"\d\D\d")).as_py()]

    def numbers(marks: Marks) -> int:
        odd = (parse_numbers(one, *marks, words=())[1] for one in marked)
        return sum(bool(bad.mean() <= 1 - _NUMBERS) for bad in odd)

    best, most = _MARKS[0], numbers(_MARKS[0])
    for marks in sorted(_MARKS, key=lambda marks: delimiter == marks[0]):
        if most < len(marked) and (found := numbers(marks)) > most:
            best, most = marks, found
    return best


def _text_kind(cells: Cells, unique: bool, named_id: bool, place: int) -> Kind:
    some, n = cells.first(), len(cells.texts)
    sentences = sum(" " in cell for cell in some) > len(some) / 2
    if unique and (named_id or not sentences):
        return "id" if named_id or place == 0 else "text"
    few = n <= max(2, _REPEATED * int(cells.counts.sum()))
    return "category" if few and n <= MOST_CLASSES else "text"


def is_header(row: Sequence[str], marks: Marks) -> bool:
    """Return whether the first row of a table is a header: words, or successive years."""
    cells = pa.array(filter(None, row), pa.string())
    values, odd = parse_numbers(cells, *marks, words=())
    if 2 * odd.sum() >= len(cells):
        return True
    years = pc.all(pc.utf8_is_digit(cells.filter(pa.array(~odd)))).as_py()
    return bool(years) and (~odd).sum() > 1 and bool((np.diff(values[~odd]) == 1).all())


@dataclass(frozen=True)
class TableProfile:
    """Profile of a data set."""

    format: str  # of the file, or "name"
    path: str  # as it was given, or the name of a data set
    columns: Sequence[ColumnProfile] = ()  # none of arrays and data sets by name
    rows: int = 0  # an estimate where not all was looked at
    complete: bool = True
    options: dict[str, Any] = field(default_factory=dict)  # fields of the data set
    spreads: Sequence[float] = ()  # standard deviations of the features of an array
    estimator: str = "vq"  # that suits an array
    largest: float = 0.0  # share of the largest class of an array


def profile_data(given: str, registry: Any) -> TableProfile:
    path, names = Path(given).expanduser(), registry.names("dataset")
    if not exists(path):
        if given not in names:
            with suppress(OSError):
                names = [*names, *(one.name for one in path.parent.iterdir())]
            near = did_you_mean(given, names)
            raise DataError(f"there is no file and no data set '{given}'{near}")
        data = registry.build("dataset", given).load()
        return _array("name", given, data.X, data.y)
    if path.is_dir():
        return _columnar(given, open_table(given))
    if (found := format_of(path.suffix.lower())) is not None:
        _check_built_in(given, found.name)
    with reading(given, "file"), open_regular(path) as file:
        start = file.read(8)
    if start.startswith((b"PAR1", b"ARROW1")):
        format = "parquet" if start.startswith(b"PAR1") else "feather"
        return _columnar(given, open_table(given, format=format))
    if start.startswith(b"\x93NUMPY") or (start.startswith(b"PK") and path.suffix == ".npz"):
        return _arrays(given, path)
    return _csv(given, path)


def _arrays(given: str, path: Path) -> TableProfile:
    try:
        loaded: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        is_one = isinstance(loaded, np.ndarray)
        arrays = {} if is_one else {name: loaded[name] for name in loaded.files[:20]}
    except Exception as error:  # a damaged byte raises anything
        raise DataError(f"{given} holds no array that can be read: {error}") from None
    if not arrays:
        return _array("npy", given, loaded if is_one else np.empty(0))
    tables = [name for name, one in arrays.items() if one.ndim == 2 and one.dtype.kind in "fiub"]
    x = max(tables or arrays, key=lambda name: (name.lower() in _SAMPLES, arrays[name].size))
    fit = [n for n, one in arrays.items() if one.ndim == 1 and len(one) == len(arrays[x])]
    y = max(fit, key=lambda name: name.lower() in _TARGETS, default=None)
    options = {} if x == "X" else {"x": x}
    options |= {} if y in (None, "y") else {"y": y}
    return _array("npz", given, arrays[x], None if y is None else arrays[y], options)


def _array(
    format: str, given: str, X: Any, y: Any = None, options: dict[str, Any] | None = None
) -> TableProfile:
    if X.ndim != 2 or X.dtype.kind not in "fiub" or not X.size:
        raise DataError(f"{given} holds no table of numbers: {X.dtype}, shape {X.shape}")
    some = np.asarray(X[:: max(1, len(X) // _ARRAY_ROWS)], dtype=np.float64)
    with np.errstate(all="ignore"):
        spreads = [float(np.nanstd(column)) for column in some.T]
    estimator, largest = "vq", 0.0
    if y is not None:
        largest = max(Counter(y.tolist()).values()) / len(y)
        many = len({*y.tolist()}) > max(MOST_CLASSES, len(y) ** 0.5)
        numbers = y.dtype.kind in "fiu" and (many or (y % 1 != 0).any())
        estimator = "regressor" if numbers else "classifier"
    options = {**(options or {}), **({"missing": "keep"} if np.isnan(some).any() else {})}
    whole = len(some) == len(X)
    return TableProfile(format, given, (), len(X), whole, options, spreads, estimator, largest)


def _check_built_in(given: str, format: str) -> None:
    if format not in FORMATS:
        raise DataError(
            f"{given}: init knows no {format} files: write a configuration with dataset: {{name: "
            f"{format}, path: {given}}}, if 'dbgsom plugins list' has such a data set"
        )


def profile_table(table: pa.Table) -> TableProfile:
    """Return the profile of a table in memory, as `table_of_frame` makes it of a data frame."""
    return _columnar(FRAME, FrameReader.open(table))


def _columnar(given: str, reader: TableReader) -> TableProfile:
    _check_built_in(given, reader.format)
    most = max(_LEAST_ROWS, min(_MOST_ROWS, _CELLS // max(1, len(reader.names))))
    batch = next(reader.batches(rows=most), None)
    if batch is None or not batch.num_rows:
        raise DataError(f"{given} has no rows: give a file with data")
    texts = [
        pa.nulls(len(one), pa.string()) if pa.types.is_nested(one.type) else as_texts(as_array(one))
        for one in batch.columns
    ]
    columns = profile_columns(reader.names, list(map(Cells.of, texts)))
    rows = reader.num_rows or batch.num_rows
    return TableProfile(reader.format, given, columns, rows, batch.num_rows == rows)


def _csv(given: str, path: Path) -> TableProfile:
    with reading(given, "text"), open_packed(given) as file:
        start = file.read(_HEAD)
    encoding = "utf-16"
    if not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = next(one for one in _ENCODINGS if _decodes(start, one))
    reader = open_table(given, CsvDialect(encoding=encoding, header=False), format="csv")
    width = len(reader.names)
    most = max(_LEAST_ROWS, _CELLS // width)
    batches = reader.batches(rows=most)
    columns, seen = _first_rows(batches, most, width)
    complete = next(batches, None) is None
    first = [(column[0].as_py() or "").strip() for column in columns]
    below = [Cells.of(column.slice(1)) for column in columns]  # the first row may be names
    units = [cells.unit() for cells in below]
    plain = [
        Cells(without_unit(cells.texts, unit), cells.counts)
        for cells, unit in zip(below, units, strict=True)
    ]
    delimiter = str(reader.dialect and reader.dialect.delimiter)
    marks = number_marks(plain, delimiter)
    bare = [
        without_unit(pa.array([cell]), unit)[0].as_py()
        for cell, unit in zip(first, units, strict=True)
    ]
    header = is_header(bare, marks)
    if header and width > 2 and 2 * sum(map(bool, first)) < width:
        named = f"names {sum(map(bool, first))} of {width} columns"
        raise DataError(f"{given}: the first line {named}: remove the lines above the header")
    if header and seen == 1:
        raise DataError(f"{given} has a header and no line below it: give a file with data")
    names = first if header else reader.names
    cells = below if header else [Cells.of(column) for column in columns]
    usual = CsvDialect(",", "utf-8", ".", "", True)
    dialect = CsvDialect(delimiter, encoding, *marks, header)
    options = {key: one for key, one in vars(dialect).items() if one != getattr(usual, key)}
    rows = seen - header
    if not complete:
        rows = max(rows, int(path.stat().st_size * start.count(b"\n") / len(start)))
    profiles = profile_columns(names, cells, marks)
    return TableProfile("csv", given, profiles, rows, complete, options)


def _first_rows(
    batches: Iterator[pa.RecordBatch], most: int, width: int
) -> tuple[list[pa.ChunkedArray], int]:
    """Return the columns of the first rows, and how many there are."""
    head: list[pa.RecordBatch] = []
    seen = 0
    for batch in batches:
        head.append(batch)
        seen += batch.num_rows
        if seen >= most:
            break
    columns = [pa.chunked_array([batch.column(i) for batch in head]) for i in range(width)]
    return columns, seen


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(content)  # its last character may be cut
    except UnicodeDecodeError:
        return False
    return True


_MOST_SPREAD = 3  # times that one feature may spread more than another and still count as much
_LISTED = 5  # names or values in a comment
_MANY_NUMBERS = 20  # columns beside which words of few values are a design, no features
_DESIGN = "few values beside many numbers: clusters are counted by it, and not made of it"
_FEW_GAPS, _LONG = 0.2, 30  # of a guessed target: share of gaps, and characters of a class
_SKEWED = 2  # skewness, that of an exponential distribution
_SMALL = 500  # rows below which a test part of a quarter says little
_FOLDS, _LEAST_IN_FOLDS = 5, 20
_POWER = "sklearn.preprocessing:PowerTransformer"
_TARGET = re.compile(
    r"(?i)(target|class|classes|label|labels|y|outcome|species|klasse|ziel|zielvariable"
    r"|diagnosis|churn|churned|left|survived|fraud|defaulted|response)"
)
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
    "x": "the array of samples",
    "y": "the array of targets",
    "missing": "distances leave missing values out",
    "vq": "clusters; classifier and regressor need a target",
    "classifier": "the target holds classes; vq learns without it",
    "regressor": "the target holds numbers; vq learns without it",
}


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
    chosen = None
    if target is not None:
        chosen = _named_target(profile, target)
    elif task != "vq":
        chosen = _guess_target(profile, task)
    columns = _with_roles(profile, chosen)
    estimator = profile.estimator if task is None else task
    if chosen is None and estimator == "vq":
        columns = _without_design(columns)
    if chosen is not None and task is None:
        numeric = chosen.spread > 0 and not chosen.has_classes
        estimator = "regressor" if numeric else "classifier"
    comments: dict[KeyPath, str] = {}
    stem = PurePath(profile.path).name.lstrip(".").partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9 ._-]+", "-", stem).strip(" .-_")[:60]
    config: dict[str, Any] = {"experiment": name or "first steps", "dataset": profile.path}
    if profile.format != "name":
        config["dataset"] = _dataset(profile, columns, chosen, target is not None, comments)
    spreads = [one.spread for one in columns if not one.role] or [*profile.spreads]
    spreads += [0.5 for one in columns if one.role == "categorical"]
    known = [one for one in spreads if one > 0 and profile.path != "digits"]
    if known and max(known) > _MOST_SPREAD * min(known):
        config["prepare"] = "standardize"
        why = f"features spread from {min(known):.3g} to {max(known):.3g}: let each count as much"
        if any(one.role == "categorical" or (not one.role and one.is_binary) for one in columns):
            config["prepare"] = {"name": "standardize", "categories": "joint"}
            why += "; a category as one column, and 0 and 1 no more for being rare"
        comments["prepare",] = why
    remarks = []
    if skewed := [one.name for one in columns if one.skewed and not one.role]:
        few = ", ".join(skewed[:_LISTED]) + ", …" * (len(skewed) > _LISTED)
        given = config.setdefault("prepare", None)
        step = "{name: standardize, categories: joint}" if isinstance(given, dict) else given
        line = f"prepare: [{_POWER}, {step}]" if step else f"prepare: {_POWER}"
        text = f"a long tail, for which a log would help: {few}; try {line}"
        comments["prepare",] = "; ".join(filter(None, [comments.get(("prepare",)), text]))
        remarks.append(text)
    if estimator != "vq":
        config["split"] = {"test_size": 0.25}
        comments["split",] = "a quarter is kept for testing"
        parts = 2
        if _LEAST_IN_FOLDS <= profile.rows < _SMALL:
            config["split"], parts = {"folds": _FOLDS}, _FOLDS
            comments["split",] = (
                f"each fifth is tested once: a quarter of {profile.rows} rows says little; "
                "test_size: 0.25 keeps one part"
            )
        if estimator == "classifier" and (chosen is None or chosen.rarest >= parts):
            config["split"]["stratify"] = True
    config["model"] = {"estimator": estimator, "spreading_factor": 0.5}
    if estimator == "vq" and chosen is None:
        config["model"]["labeller"] = {"name": "clusters", "n_clusters": "auto"}
        comments["model", "labeller"] = "groups of neurons; auto: how many, by the data"
    comments["model", "estimator"] = _COMMENTS[estimator]
    comments["model", "spreading_factor"] = "nearer to 1: more neurons; auto: by held-out rows"
    largest = profile.largest if chosen is None else chosen.largest
    if estimator == "classifier" and largest > UNEVEN:
        config["model"]["class_weight"] = None
        comments["model", "class_weight"] = (
            f"balanced: all classes count the same, so that more of the rare are found, and "
            f"probabilities are no shares of rows any more; {100 * largest:.0f} % of the rows are "
            "of one class, so compare and sweeps decide by balanced_accuracy"
        )
        remarks.append(f"uneven classes: {100 * largest:.0f} % of the rows are of one")
    if target is None and (others := _candidates(columns)):
        text = f"{'other ' * (chosen is not None)}columns of few values: {others}"
        last = columns[-1]
        if chosen is None and last.kind == "number" and not (last.has_classes or last.role):
            text += f"; the last column, numbers: {as_text(last.name)}"
        comments["dataset", "target"] += f"; {text}"
        remarks.append(f"{text}: --target NAME predicts one")
    if estimator == "vq" and chosen is None:
        if design := [one.name for one in columns if one.reason == _DESIGN]:
            config["report"] = {"by": design[0] if len(design) == 1 else design}
            comments["report",] = "counts clusters by these columns, which the map does not learn"
            listed = ", ".join(map(as_text, design))
            remarks.append(f"{listed}: clusters are counted by it, and not made of it")
        elif groups := [one.name for one in columns if one.role == "categorical"]:
            named = as_text(groups[0])
            remarks.append(
                f"the map learns {', '.join(map(as_text, groups[:_LISTED]))}; to compare clusters "
                f"by {named} instead: list it under id, and add 'report: {{by: {named}}}'"
            )
    return Suggestion(estimator, columns, config, comments, remarks)


def _without_design(columns: list[ColumnProfile]) -> list[ColumnProfile]:
    """Return columns of which those of few words are ids beside many numbers: a design."""
    numbers = sum(one.kind == "number" and not one.role for one in columns)
    words = [one for one in columns if one.role == "categorical" and one.name]
    if numbers < _MANY_NUMBERS or len(words) > numbers / 10:
        return columns
    return [
        replace(one, role="id", reason=_DESIGN) if one.role == "categorical" and one.name else one
        for one in columns
    ]


def _candidates(columns: Sequence[ColumnProfile]) -> str:
    """Return the columns of few values that might be a target, those of 0 and 1 first."""
    found = [one for one in columns if one.has_classes and one.role in ("", "categorical")]
    found.sort(key=lambda one: (not one.is_binary, one.values))
    names = [
        f"{one.name} ({', '.join(one.examples[:2])}{', …' * (one.values > 2)})" for one in found
    ]
    return as_text(", ".join(names[:_LISTED]) + ", …" * (len(names) > _LISTED))


def _is_long(text: str) -> bool:
    return len(text) > _LONG


def _guess_target(profile: TableProfile, task: str | None) -> ColumnProfile | None:
    columns = profile.columns
    for column in columns:
        suits = column.has_classes or (column.kind == "number" and task != "classifier")
        if _TARGET.fullmatch(column.name) and suits:
            return column
    binary = [one for one in columns if one.is_binary]
    usable = [one for one in columns if one.kind in ("category", "number")]
    for column in [*columns[-1:], *columns[:1]] if len(usable) > 1 else []:
        words = column is columns[-1] and column.kind == "category" and column.has_classes
        words = words and column.missing < _FEW_GAPS and not any(map(_is_long, column.examples))
        unique = sum(one.name == column.name for one in columns) == 1
        if unique and (words or binary == [column]) and task != "regressor":
            return column
    if task is not None and columns:
        few = _candidates(columns) if task == "classifier" else ""
        cure = f"name one of few values, such as {few}" if few else "name one"
        raise DataError(f"{profile.path} has no column that looks like the target: {cure}")
    return None


def _named_target(profile: TableProfile, name: str) -> ColumnProfile:
    if not profile.columns:
        raise DataError(f"{profile.path} has no columns by name: leave out --target {name}")
    found = next((one for one in profile.columns if one.name == name), None)
    if found is None:
        near = did_you_mean(name, [one.name for one in profile.columns])
        raise DataError(f"{profile.path} has no column '{name}'{near}")
    if found.kind in ("empty", "constant", "date", "id"):
        raise DataError(f"{profile.path}: column '{name}' is no target: it looks like {found.kind}")
    return found


def _with_roles(profile: TableProfile, target: ColumnProfile | None) -> list[ColumnProfile]:
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
    if columns and not {one.role for one in columns} & {"", "categorical", "dates"}:
        listed = [f"'{one.name or one.place}' ({one.reason or one.role})" for one in columns]
        shown = ", ".join(listed[:_LISTED])
        raise DataError(f"{profile.path}: no column looks like numbers, dates or classes: {shown}")
    return columns


def _dataset(
    profile: TableProfile,
    columns: Sequence[ColumnProfile],
    target: ColumnProfile | None,
    named: bool,
    comments: dict[KeyPath, str],
) -> dict[str, Any]:
    dataset: dict[str, Any] = {"name": profile.format, "path": profile.path}
    times = Counter(column.name for column in columns)

    def put(key: str, value: Any, comment: str) -> None:
        dataset[key] = value
        comments["dataset", key] = comment

    def reference(column: ColumnProfile) -> str | int:
        """Return what names a column: its name, or its number where that fails."""
        usable = column.name and times[column.name] == 1 and "${" not in column.name
        return column.name if usable else column.place

    def of_role(*roles: str) -> list[ColumnProfile]:
        return [column for column in columns if column.role in roles]

    def put_columns(key: str, rule: str) -> None:
        listed = of_role(key)
        for place, column in enumerate(listed):
            reason = _values(column) if key == "categorical" else column.reason
            if reason:
                comments["dataset", key, place] = reason
        if listed:
            put(key, [reference(column) for column in listed], rule)

    for key, value in profile.options.items():
        put(key, value, _COMMENTS[key])
    if not columns:
        return dataset
    put_columns("id", "identifies a sample")
    if target is None:
        put("target", None, "a column with classes or numbers to predict")
    else:
        begin = "" if named else "a guess, by its name or place: "
        put("target", reference(target), f"{begin}{_values(target)}; null: nothing to predict")
    put_columns("categorical", "text with few values: a column of 0 and 1 for each")
    features = of_role("", "categorical")
    put_columns("drop", "left out")
    if measured := [one for one in of_role("", "target") if one.unit]:
        units = {str(reference(column)): column.unit for column in measured}
        put("units", units, "numbers are read without them")
    if dates := of_role("dates"):
        forms = ", ".join(f"{one.name} ({one.date_formats[0]})" for one in dates[:_LISTED])
        first = "drop keeps them beside the samples" if features else "nothing else is left"
        rule = f"{first}; ordinal counts days, parts: year, month, day, weekday; {forms}"
        put("dates", "drop" if features else "ordinal", rule)
        several = [one.date_formats for one in dates if len(one.date_formats) > 1]
        if several and not features:
            put("date_format", several[0][0], f"a guess: days fit {' or '.join(several[0])}")
    if words := sorted({word for column in columns for word in column.words}):
        rule = f"what stands for a missing value: the usual words, and {', '.join(words)}"
        put("na_values", [*NA_VALUES, *words], rule)
    gaps = [f"{one.name} {one.missing:.1%}" for one in features or dates if one.missing]
    if gaps or not profile.complete:
        seen = ", ".join(gaps[:_LISTED]) or "if parts that were not looked at have any"
        put("missing", "keep", f"{_COMMENTS['missing']}; error refuses them: {seen}")
    if target is not None and (target.missing or not profile.complete):
        put("missing_target", "drop", "samples without a target; or unlabelled")
    return dataset


def _values(column: ColumnProfile) -> str:
    shown = ", ".join(re.sub(r"\s+", " ", one)[:20] for one in column.examples)
    more = ", …" if column.values > len(column.examples) else ""
    return as_text(f"{column.values} values: {shown}{more}")
