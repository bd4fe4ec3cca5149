"""FCS files (Spidlen et al. 2010), versions 2.0 to 3.2: read, compensated, copied by flowio.

What a file says of its numbers is followed, or the file is refused: nothing is guessed.
A file is a table of its channels. What a spillover matrix names stands there twice, as stored and
compensated, under different names, so that a model that asks by name never gets one for the other:

* ``CD4``: as stored, linear and divided by the gain
* ``Comp-CD4``: compensated by the file's own matrix, or stored so by the program that wrote it
* ``Comp-1f3a-CD4``: compensated by ``spillover.csv`` in the folder of the file; the four digits
  are of that matrix
"""

from __future__ import annotations

import csv
import glob
import hashlib
import math
import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import flowio
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.api import DataError, open_regular
from dbgsom_core.tables import TableFormat, TableReader, as_array, is_number, reading

SPILLOVER = "spillover.csv"  # a matrix for the files beside it
OWN = "Comp-"  # before the names of channels that the file's own matrix compensates
EVENT, FILE = "event", "file"  # columns beside the channels
ADDED = "dbgsom_parameters"  # keyword: names of the parameters that were added
_CURE = "give a matrix with spillover, or set compensate: false"
_ENDS = "/ \t\r\n\0"  # flowio writes / between texts, so that none may begin or end with it
_MOST_CHANNELS = 2000
_MOST_TEXT = 1 << 23  # bytes of a TEXT segment
_BLANK = b" \0\t\r\n"
_TWICE = "\ud800"  # in place of a doubled delimiter; no decoded text has it
_ORDERS = {"12": "<", "1234": "<", "12345678": "<", "21": ">", "4321": ">", "87654321": ">"}
_TYPES = {("F", 32): "f4", ("D", 64): "f8"} | {("I", 8 * n): f"u{n}" for n in (1, 2, 4, 8)}
_AGAIN = "export the file again, as floats"
_ENDS_IN_NUMBER = re.compile(r",\s*[-+]?[\d.]+(e[-+]?\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Spillover:
    """A spillover matrix: what is observed is what is true @ ``values``.

    Attributes
    ----------
    channels : tuple of str
        The D names of detectors, as ``$PnN`` has them, or of markers.
    values : float64 array (D, D)
        Row i is what a signal of 1 of the i-th fluorochrome gives in each detector.
    prefix : str
        What stands before the names of channels that it compensates.
    """

    channels: tuple[str, ...]
    values: NDArray[np.float64] = field(compare=False)
    prefix: str = OWN

    @classmethod
    def of_keyword(cls, text: str, path: str) -> Spillover:
        """Return the matrix of ``n,name1,...,namen,value11,value12,...``."""
        cells = [cell.strip() for cell in text.split(",")]
        try:
            n = int(cells[0])
            values = np.array(cells[n + 1 :], dtype=np.float64).reshape(n, n)
        except (ValueError, IndexError):
            raise DataError(f"{path}: its spillover matrix cannot be read: {_CURE}") from None
        names = tuple(cell.removeprefix(OWN) for cell in cells[1 : n + 1])
        return cls(names, values).checked(path)

    @classmethod
    def of_csv(cls, path: str | Path) -> Spillover:
        """Return the matrix of a CSV file: a header of channels, and a row for each of them.

        Rows may begin with a name, and names may be FlowJo's, ``Comp-FITC-A :: CD4``.
        """
        with reading(str(path), "spillover matrix"), open_regular(Path(path).expanduser()) as file:
            lines = file.read(1 << 24).decode("utf-8-sig").splitlines()
            rows = [row for row in csv.reader(lines) if any(map(str.strip, row))]
            d = len(rows) - 1
            if d < 1 or len(rows[0]) - d not in (0, 1):
                raise DataError(f"{path} is no spillover matrix: give a row for each channel")
            values = np.array([row[len(rows[0]) - d :] for row in rows[1:]], dtype=np.float64)
        names = [one.split(" :: ")[0].strip().removeprefix(OWN) for one in rows[0][-d:]]
        digits = hashlib.sha256(",".join(names).encode() + values.tobytes()).hexdigest()[:4]
        return cls(tuple(names), values, f"{OWN}{digits}-").checked(str(path))

    def checked(self, path: str) -> Spillover:
        """Return itself; raise `DataError` where it cannot be undone."""
        if len({*self.channels}) < len(self.channels):
            raise DataError(f"{path}: its spillover matrix names a channel twice: {_CURE}")
        sound = len(self.values) > 0 and bool(np.isfinite(self.values).all())
        if not sound or np.linalg.cond(self.values) > 1e10:
            raise DataError(f"{path}: its spillover matrix has no inverse: {_CURE}")
        return self


class Scale(NamedTuple):
    """How the numbers of a channel are stored, and what they stand for."""

    dtype: str  # of numpy
    mask: int  # the bits of integers that count
    decades: float  # of a logarithmic scale, or 0
    lowest: float  # what 0 stands for on a logarithmic scale
    range: float
    step: float  # of time
    gain: float

    def linear(self, numbers: NDArray[Any]) -> NDArray[np.float64]:
        values = numbers.astype(np.float64)
        if self.step != 1:
            values *= self.step
        if self.decades:
            values = 10 ** (self.decades * values / self.range) * self.lowest
        return values if self.gain == 1 else values / self.gain


@dataclass(frozen=True)
class _Keywords:
    """The keywords of an FCS file, in small letters and without ``$``, as numbers where asked."""

    path: str
    text: Mapping[str, str]

    def whole(self, key: str, default: str = "") -> int:
        """Return a whole number of at most 18 digits; raise `DataError` for anything else."""
        cell = self.text.get(key, "").strip() or default
        if not re.fullmatch(r"-?[0-9]{1,18}", cell):
            raise self._error(key, "a whole number")
        return int(cell)

    def numbers(self, key: str, default: str, least: float = 0) -> list[float]:
        """Return as many numbers as the default has; raise `DataError` for one below ``least``."""
        cells = (self.text.get(key, "").strip() or default).split(",")
        try:
            numbers = [float(cell) for cell in cells]
        except ValueError:
            numbers = []
        count = len(default.split(","))
        if len(numbers) != count or not all(least <= number < np.inf for number in numbers):
            wanted = "a number" if count == 1 else f"{count} numbers"
            raise self._error(key, f"{wanted} from {least:g}")
        return numbers

    def scale(self, n: int, name: str) -> Scale:
        """Return how the numbers of the n-th channel, from 1, are stored, which is called so."""
        kind = self.text.get(f"p{n}datatype", self.text.get("datatype", "")).strip().upper()
        bits = self.whole(f"p{n}b")
        if (kind, bits) not in _TYPES:
            raise DataError(
                f"{self.path}: channel '{name}' has {bits} bits of $DATATYPE {kind[:40]!r}, which "
                f"is not read: {_AGAIN}"
            )
        order = _ORDERS.get(re.sub(r"[\s,]", "", self.text.get("byteord", "")))
        if order is None and bits > 8:
            raise self._error("byteord", "1,2,3,4 or 4,3,2,1")
        decades, lowest = self.numbers(f"p{n}e", "0,0")
        most = self.numbers(f"p{n}r", "0", 1)[0] if kind == "I" or decades else 1.0
        # Bits beyond the power of two that holds the range are not of the number.
        mask = min(1 << (math.ceil(most) - 1).bit_length(), 1 << bits) - 1
        gain, step = self.numbers(f"p{n}g", "1")[0] or 1.0, 1.0
        is_time = self.text.get(f"p{n}n", "").strip().lower() == "time"
        if is_time:  # cytometers write the gain of others beside it
            gain, step = 1.0, self.numbers("timestep", "1")[0]
        dtype = f"{order or '<'}{_TYPES[kind, bits]}"
        return Scale(dtype, mask, decades, lowest or 1.0, most, step, gain)

    def _error(self, key: str, wanted: str) -> DataError:
        found = f"is {self.text[key][:40]!r}" if key in self.text else "is missing"
        return DataError(f"{self.path}: keyword ${key.upper()} {found}, not {wanted}: {_AGAIN}")


@dataclass(frozen=True)
class FcsFile:
    """What stands in an FCS file before its events.

    Attributes
    ----------
    text : mapping of str to str
        Keywords in small letters and without ``$``.
    channels, labels : tuple of str
        The C names of detectors, ``$PnN``, and what each measures, ``$PnS``, or nothing.
    names : tuple of str
        What each is called: its label, or else its name; unique.
    scales : tuple of Scale
        How the numbers of each are stored.
    events : int
        How many there are.
    begin : int
        The byte at which they begin.
    """

    path: str
    text: Mapping[str, str]
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    scales: tuple[Scale, ...]
    events: int
    begin: int

    @classmethod
    def open(cls, path: str) -> FcsFile:
        """Read all but the events; raise `DataError` where a file cannot be read right."""
        with reading(path, "FCS file"), open_regular(Path(path).expanduser()) as stream:
            text, of_header = _read_text(stream, path)
            size = stream.seek(0, 2)
        keywords = _Keywords(path, text)
        if text.get("mode", "L").strip().upper() != "L":
            raise DataError(f"{path} holds histograms ($MODE), no events: export the events")
        if keywords.whole("nextdata", "0"):
            raise DataError(f"{path} holds several data sets: export each by itself")
        n, d = keywords.whole("tot"), keywords.whole("par")
        if n <= 0 or d <= 0:
            raise DataError(f"{path} holds no events: leave it out")
        channels, labels = list[str](), list[str]()
        for i in range(1, min(d, _MOST_CHANNELS) + 1):
            channels.append(text.get(f"p{i}n", "").strip())
            labels.append(text.get(f"p{i}s", "").strip())
            if not channels[-1] + labels[-1]:
                raise DataError(f"{path} is damaged: channel {i} of {d} has no name ($P{i}N)")
        if d > _MOST_CHANNELS:
            raise DataError(f"{path} has {d} channels, and {_MOST_CHANNELS} is the most")
        if f"p{d + 1}n" in text:
            raise DataError(f"{path} is damaged: it names more channels than the {d} of $PAR")
        called = [
            OWN + (label or name[len(OWN) :]) if name.startswith(OWN) else label or name
            for name, label in zip(channels, labels, strict=True)
        ]
        scales = tuple(keywords.scale(i, name) for i, name in enumerate(called, 1))
        begins = {of_header[0], keywords.whole("begindata", "0")} - {0}  # 0 says nothing
        ends = {of_header[1], keywords.whole("enddata", "0")} - {0}
        begin = max(begins, default=0)
        length = n * sum(np.dtype(one.dtype).itemsize for one in scales)
        # Some programs give the byte behind the last one as the end.
        if len(begins) > 1 or not ends <= {begin + length - 1, begin + length}:
            raise DataError(
                f"{path} is damaged: {n} events of {d} channels are {length} bytes, and stand at "
                f"{of_header[0]} to {of_header[1]} by its header, at {text.get('begindata', 0)} to "
                f"{text.get('enddata', 0)} by $BEGINDATA and $ENDDATA: {_AGAIN}"
            )
        if not begins or begin + length > size:
            raise DataError(f"{path} is damaged: it is too short for its events: leave it out")
        names = tuple(distinct(called, {EVENT, FILE}))
        return cls(path, text, tuple(channels), tuple(labels), names, scales, n, begin)

    @property
    def added(self) -> frozenset[str]:
        """Channels that are answers of a model."""
        return frozenset(filter(None, self.text.get(ADDED, "").split(",")))

    def own_matrix(self) -> Spillover | None:
        """Return the file's own matrix; None where it has none, or its values are compensated."""
        texts = [self.text.get(key, "").strip() for key in ("spillover", "spill", "comp")]
        for text in filter(_ENDS_IN_NUMBER.search, texts):  # some list channels alone
            matrix = Spillover.of_keyword(text, self.path)
            if {OWN + name for name in matrix.channels}.isdisjoint(self.channels):
                return matrix
        return None

    def compensated(self, matrix: Spillover) -> dict[str, str]:
        """Return the compensated name of each channel of a matrix; raise `DataError` for others."""
        known = dict(zip(self.channels, self.names, strict=True)) | {n: n for n in self.names}
        if missing := [name for name in matrix.channels if name not in known]:
            raise DataError(
                f"{self.path} lacks the channel '{missing[0]}' of its spillover matrix: {_CURE}"
            )
        return {known[name]: matrix.prefix + known[name] for name in matrix.channels}

    def raw(self) -> Iterator[NDArray[Any]]:
        """Yield the numbers (n,) of each channel, as stored."""
        row = np.dtype([(f"{i}", scale.dtype) for i, scale in enumerate(self.scales)])
        with reading(self.path, "FCS file"):
            with open_regular(Path(self.path).expanduser()) as stream:
                stream.seek(self.begin)
                events = np.frombuffer(stream.read(self.events * row.itemsize), row, self.events)
            for i, scale in enumerate(self.scales):
                numbers = events[f"{i}"]
                yield numbers & numbers.dtype.type(scale.mask) if row[i].kind == "u" else numbers

    def linear(self) -> NDArray[np.float64]:
        """Return the values (C, n): no logarithms, divided by the gain."""
        with reading(self.path, "FCS file"), np.errstate(all="ignore"):
            values = np.empty((len(self.scales), self.events))
            for place, numbers in enumerate(self.raw()):
                values[place] = self.scales[place].linear(numbers)
        return values

    def stored(self) -> tuple[dict[str, str], NDArray[np.float32]]:
        """Return the keywords and events (n, C) of a copy, whose channels are linear."""
        is_linear = not any(one.decades for one in self.scales)
        outdated = re.compile(r"(p\d+)?datatype|p\d+e" + ("" if is_linear else r"|p\d+g|timestep"))
        text = {key: value for key, value in self.text.items() if not outdated.fullmatch(key)}
        with reading(self.path, "FCS file"), np.errstate(all="ignore"):
            columns = self.raw() if is_linear else self.linear()
            return text, np.column_stack([column.astype(np.float32) for column in columns])

    def read(self, matrices: Iterable[Spillover] = ()) -> dict[str, NDArray[np.float64]]:
        """Return all columns (n,) by name: channels as stored, then what matrices make of them."""
        columns = dict(zip(self.names, self.linear(), strict=True))
        for matrix in matrices:
            called = self.compensated(matrix)
            observed = np.stack([columns[name] for name in called])
            true = np.linalg.solve(matrix.values.T, observed)
            columns |= dict(zip(called.values(), true, strict=True))
        return columns


def _read_text(stream: BinaryIO, path: str) -> tuple[dict[str, str], tuple[int, int]]:
    """Return the keywords, and where events begin and end by the header."""
    head = stream.read(42)
    places = [head[i : i + 8].strip() or b"0" for i in range(10, 42, 8)]
    if not re.match(rb"FCS\d\.\d", head) or not all(map(bytes.isdigit, places)):
        raise DataError(f"{path} is no FCS file, or damaged (its header): write it again")
    if head[3:6] not in (b"2.0", b"3.0", b"3.1", b"3.2"):
        raise DataError(f"{path} is of FCS {head[3:6].decode()}, and 2.0 to 3.2 are read: {_AGAIN}")
    first, last, *of_data = map(int, places)
    found = _segment(stream, first, last, path)
    keywords = _Keywords(path, {key.removeprefix("$"): value for key, value in found.items()})
    first, last = keywords.whole("beginstext", "0"), keywords.whole("endstext", "0")
    if 0 < first < last:  # what does not fit before byte 100,000,000
        for key, value in _segment(stream, first, last, path).items():
            _add(found, key, value, path)
    standard = {key[1:]: value for key, value in found.items() if key[:1] == "$"}
    return {key: found[key] for key in found if key[:1] != "$"} | standard, tuple(of_data)


def _segment(stream: BinaryIO, first: int, last: int, path: str) -> dict[str, str]:
    """Return the keywords of a TEXT segment, in small letters."""
    stream.seek(first)
    segment = stream.read(max(0, min(last + 1 - first, _MOST_TEXT)))
    delimiter = segment[:1]
    end = segment.rfind(delimiter)
    # Programs that give the byte behind the text as its end add one of what follows.
    is_whole = len(segment) == last + 1 - first and len(segment[end + 1 :].strip(_BLANK)) < 2
    if not (is_whole and end > 0 and delimiter.isascii()):
        raise DataError(f"{path} is damaged: bytes {first} to {last} are not its text: {_AGAIN}")
    content = segment[1:end]
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    mark = delimiter.decode()
    cells = text.replace(2 * mark, _TWICE).split(mark)
    cells = [cell.replace(_TWICE, mark) for cell in cells]
    if len(cells) % 2 and not cells[-1].strip():
        del cells[-1]
    if len(cells) % 2:
        raise DataError(f"{path} is damaged: its keyword {cells[-1][:40]!r} has no value: {_AGAIN}")
    found = dict[str, str]()
    for key, value in zip(cells[::2], cells[1::2], strict=True):
        *empty, key = re.split(f"{re.escape(mark)}(?=[$])", key)  # key||$key|value
        for one in empty:
            _add(found, one, "", path)
        _add(found, key, value, path)
    return found


def _add(found: dict[str, str], key: str, value: str, path: str) -> None:
    """Add a keyword; raise `DataError` where one of the standard has two values."""
    key = key.strip().lower()
    if key[:1] == "$" and found.get(key, value) != value:
        texts = f"{found[key][:40]!r} and {value[:40]!r}"
        raise DataError(f"{path} is damaged: its keyword {key.upper()} is {texts}: {_AGAIN}")
    found[key] = value


def distinct(names: Iterable[str], taken: Iterable[str]) -> list[str]:
    """Return names that are all different, by a number where they are not."""
    used, found = set(taken), []
    for name in names:
        numbered = (name if number == 1 else f"{name} {number}" for number in count(1))
        found.append(next(one for one in numbered if one not in used))
        used.add(found[-1])
    return found


def files_of(path: str | Sequence[str]) -> list[str]:
    """Return the files that paths, folders and patterns name, each once, 2.fcs before 10.fcs."""
    found: list[str] = []
    for one in (path,) if isinstance(path, str) else path:
        inside, place = [one], Path(one).expanduser()
        if place.is_dir():
            inside = [str(file) for file in place.iterdir() if file.suffix.lower() == ".fcs"]
        elif not place.exists() and glob.has_magic(one):
            inside = glob.glob(str(place), recursive=True)  # noqa: PTH207 - may be absolute
        if not inside:
            raise DataError(f"there is no .fcs file in {one}: give another path")
        found += sorted(inside, key=lambda name: re.sub(r"\d+", lambda n: n[0].zfill(12), name))
    return [*dict.fromkeys(found)]


# ------------------------------------------------------------------------------------- a table


@dataclass
class FcsReader(TableReader):
    """The events of FCS files as a table, with their numbers from 0 and the names of files."""

    parts: Sequence[tuple[FcsFile, Sequence[Spillover]]] = ()

    @classmethod
    def open(cls, path: str) -> FcsReader:
        parts = list[tuple[FcsFile, list[Spillover]]]()
        common, notes = list[str](), list[str]()
        for file in map(FcsFile.open, files_of(path)):
            beside = Path(file.path).expanduser().with_name(SPILLOVER)
            sources: list[Callable[[], Spillover | None]] = [file.own_matrix]
            sources += [partial(Spillover.of_csv, beside)] if beside.is_file() else []
            names, usable = [*file.names], list[Spillover]()
            for source in sources:
                try:
                    if matrix := source():
                        names += file.compensated(matrix).values()
                        usable.append(matrix)
                except DataError as error:  # whoever needs it will miss its columns
                    notes.append(f"{error}")
            common = [name for name in common if name in names] if parts else names
            parts.append((file, usable))
        types = [pa.float32()] * len(common) + [pa.int64(), pa.string()]
        paths, rows = [Path(file.path) for file, _ in parts], sum(file.events for file, _ in parts)
        named = [*common, EVENT, FILE]
        return cls(path, "fcs", named, types, rows, notes=notes, files=paths, parts=parts)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        wanted = [self.names[place] for place in places]
        for file, matrices in self.parts:
            read = file.read(matrices)
            with np.errstate(over="ignore"):
                cells = {n: pa.array(read[n].astype(np.float32)) for n in wanted if n in read}
            del read
            cells[EVENT] = pa.array(np.arange(file.events))
            cells[FILE] = pa.repeat(Path(file.path).stem, file.events)
            batch = pa.RecordBatch.from_arrays([cells[n] for n in wanted], [*map(str, places)])
            for start in range(0, file.events, rows):
                yield batch.slice(start, rows)


@dataclass
class WriterAtEnd:
    """Writer that collects a table and calls ``write(path, table, source)``, unless errors came."""

    write: Callable[[Path, pa.Table, str | None], None]
    path: Path
    schema: pa.Schema
    source: str | None = None

    def __post_init__(self) -> None:
        self._batches = list[pa.RecordBatch]()
        self.write_batch = self._batches.append

    def close(self) -> None:
        if sys.exception() is None:
            self.write(self.path, pa.Table.from_batches(self._batches, self.schema), self.source)


def write_fcs(path: Path, table: pa.Table, source: str | None) -> None:
    """Write columns as float parameters of a new FCS file, or of a copy of the file ``source``.

    The copy keeps channels, keywords, the spillover matrix among them, and events, as float32.
    Texts become the numbers 1, 2, …; the keyword ``DBGSOM_NAMES_OF_COLUMN`` says what each stands
    for. Raises `DataError` where the file does not have as many events.
    """
    text, channels, labels, parts = dict[str, str](), list[str](), list[str](), list[Any]()
    if source is not None:
        file = FcsFile.open(source)
        if file.events != len(table):
            raise DataError(f"{path}: {len(table)} answers for {file.events} events")
        text, stored = file.stored()
        channels, labels, parts = [*file.channels], [*file.labels], [stored]
        carried = {*FcsReader.open(source).names} - file.added  # stand in the file already
        table = table.drop_columns([name for name in table.column_names if name in carried])
    names = distinct([re.sub("[,/]", " ", name).strip() for name in table.column_names], channels)
    for n, (name, column) in enumerate(zip(names, table.columns, strict=True), len(channels) + 1):
        values, meanings = _as_floats(column)
        parts.append(values)
        text[f"p{n}r"] = f"{int(np.nan_to_num(values).max(initial=0)) + 1}"
        text[f"dbgsom_names_of_{name}"] = meanings
    text[ADDED] = ",".join(filter(None, [text.get(ADDED), *names]))
    channels = [name.strip(_ENDS) or "-" for name in (*channels, *names)]
    labels = [label.strip(_ENDS) for label in (*labels, *("" for _ in names))]
    pairs = ((key.strip(_ENDS).replace("/", "//"), text[key].strip(_ENDS)) for key in text)
    keywords = {key: value for key, value in pairs if key and value}
    events = array("f", np.column_stack(parts).tobytes())
    with path.open("wb") as stream:
        flowio.create_fcs(stream, events, channels, labels, keywords)


def _as_floats(column: Any) -> tuple[NDArray[np.float32], str]:
    """Return a column (n,) as floats, and what the numbers of texts stand for."""
    column, meanings = as_array(column), ""
    if not is_number(column.type):
        encoded = column.cast(pa.string()).dictionary_encode()
        meanings = ";".join(f"{n}={one}" for n, one in enumerate(encoded.dictionary.to_pylist(), 1))
        column = pc.add(encoded.indices, 1)
    return column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False), meanings


_WRITER = partial(WriterAtEnd, write_fcs)
FORMAT = TableFormat("fcs", (".fcs",), FcsReader.open, _WRITER, _WRITER)
