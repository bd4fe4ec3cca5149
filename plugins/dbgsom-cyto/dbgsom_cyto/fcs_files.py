"""FCS files (Spidlen et al. 2010): read by flowio, compensated, copied with new parameters.

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
import re
import sys
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class FcsFile:
    """The text segment of an FCS file.

    Attributes
    ----------
    text : mapping of str to str
        Keywords in small letters and without ``$``.
    channels, labels : tuple of str
        The C names of detectors, ``$PnN``, and what each measures, ``$PnS``, or nothing.
    names : tuple of str
        What each is called: its label, or else its name; unique.
    events : int
        How many there are.
    """

    path: str
    text: Mapping[str, str]
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    events: int

    @classmethod
    def open(cls, path: str) -> FcsFile:
        """Read the text segment; raise `DataError` where that cannot be."""
        flow = _parsed(path, only_text=True)
        n, d = flow.event_count, flow.channel_count
        if len(flow.channels) != d or sorted(flow.channels) != [*range(1, d + 1)]:
            raise DataError(f"{path} is damaged: it does not name all of its channels")
        if n <= 0 or d == 0 or n * d > flow.file_size:  # a number has a byte or more
            what = "is damaged: it is too short for its" if n * d > 0 else "holds no"
            raise DataError(f"{path} {what} events: leave it out")
        channels, labels = (
            tuple(one.strip() for one in names) for names in (flow.pnn_labels, flow.pns_labels)
        )
        called = [
            OWN + (label or name[len(OWN) :]) if name.startswith(OWN) else label or name
            for name, label in zip(channels, labels, strict=True)
        ]
        names = tuple(distinct(called, {EVENT, FILE}))
        return cls(path, dict(flow.text), channels, labels, names, n)

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

    def raw(self) -> Any:
        """Return flowio's reading of the whole file; raise `DataError` where it is damaged."""
        wanted = self.events * len(self.channels)
        for of_header in (False, True):  # where text and header do not agree
            flow = _parsed(self.path, use_header_offsets=of_header)
            if flow.events is None:
                raise DataError(
                    f"{self.path} holds integers whose size flowio does not read: export it again "
                    "as floats"
                )
            if len(flow.events) == wanted:
                return flow
        found = f"{len(flow.events)} numbers are not {self.events} events"
        raise DataError(f"{self.path} is damaged: {found} of {len(self.channels)} channels")

    def stored(self) -> tuple[dict[str, str], NDArray[np.float32]]:
        """Return the keywords and events (n, C) of a copy, whose channels are linear."""
        flow = self.raw()
        linear = all(one["pne"][0] <= 0 for one in flow.channels.values())
        outdated = re.compile(r"datatype|p\d+e" + ("" if linear else r"|p\d+g|timestep"))
        text = {key: value for key, value in self.text.items() if not outdated.fullmatch(key)}
        with reading(self.path, "FCS file"), np.errstate(all="ignore"):
            return text, flow.as_array(preprocess=not linear).astype(np.float32)

    def read(self, matrices: Iterable[Spillover] = ()) -> dict[str, NDArray[np.float64]]:
        """Return all columns (n,) by name: channels as stored, then what matrices make of them."""
        flow = self.raw()
        with reading(self.path, "FCS file"), np.errstate(all="ignore"):
            values = flow.as_array()
        columns = {name: values[:, i] for i, name in enumerate(self.names)}
        for matrix in matrices:
            called = self.compensated(matrix)
            observed = np.stack([columns[name] for name in called])
            true = np.linalg.solve(matrix.values.T, observed)
            columns |= dict(zip(called.values(), true, strict=True))
        return columns


def _parsed(path: str, **options: Any) -> Any:
    file = Path(path).expanduser()
    with reading(path, "FCS file"), open_regular(file) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of offsets that are wrong by one: numbers are counted
        wrong = {"ignore_offset_error": True, "ignore_offset_discrepancy": True}
        try:
            return flowio.FlowData(stream, **wrong, **options)
        except flowio.exceptions.MultipleDataSetsError:
            raise DataError(f"{path} holds several data sets: export each by itself") from None


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
