"""FCS files (Spidlen et al. 2010): read by flowio, compensated, copied with new parameters.

A file is a table of its channels. The values of a channel that a spillover matrix names stand there
twice: as stored, and compensated under a name of their own. A model asks for its columns by name,
so that it cannot get the ones for the others:

* ``CD4``: as stored, linear and divided by the gain
* ``Comp-CD4``: compensated by the file's own matrix, or stored so by the program that wrote it
* ``Comp-1f3a-CD4``: compensated by ``spillover.csv`` in the folder of the file; the four digits are
  of that matrix
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dbgsom_core.api import DataError, open_regular
from dbgsom_core.tables import TableFormat, TableReader, reading

SPILLOVER = "spillover.csv"  # a matrix for the files beside it
OWN = "Comp-"  # before the names of channels that the file's own matrix compensates
EVENT, FILE = "event", "file"  # columns beside the channels
ADDED = "DBGSOM_PARAMETERS"  # keyword: names of the parameters that were added
_NAMES = "DBGSOM_{}_NAMES"  # keyword: what the numbers of a parameter stand for
_MATRICES = ("spillover", "spill", "comp")  # keywords, the standard's first
_DELIMITERS = "\x0c|!~^\\\x1e/"
_HEADER = 58  # bytes
_MOST = 99_999_999  # offset that a header can hold
_LAYOUT = re.compile(
    r"\$(BEGIN|END)(ANALYSIS|DATA|STEXT)|\$(NEXTDATA|PAR|TOT|MODE|DATATYPE|BYTEORD|P\d+B)"
)


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
    def of_keyword(cls, text: str, where: str) -> Spillover:
        """Return the matrix of a keyword, ``n,name1,...,namen,value11,value12,...``."""
        cells = [cell.strip() for cell in text.split(",")]
        try:
            n = int(cells[0])
            values = np.array(cells[n + 1 :], dtype=np.float64).reshape(n, n)
        except (ValueError, IndexError, MemoryError):
            raise DataError(
                f"{where}: its spillover matrix cannot be read: give another one with spillover, "
                "or set compensate: false"
            ) from None
        return cls(tuple(cells[1 : n + 1]), values).checked(where)

    @classmethod
    def of_csv(cls, path: str | Path) -> Spillover:
        """Return the matrix of a CSV file: a header of channels, and a row for each of them.

        The rows may begin with a name, and the names may be those of FlowJo,
        ``Comp-FITC-A :: CD4``.
        """
        with reading(str(path), "spillover matrix"), open_regular(Path(path).expanduser()) as file:
            text = file.read(1 << 24).decode("utf-8-sig")
            rows = [row for row in csv.reader(StringIO(text)) if any(map(str.strip, row))]
            d = len(rows) - 1
            extra = len(rows[0]) - d if d > 0 else 0
            values = np.array([row[-d:] for row in rows[1:]], dtype=np.float64) if d > 0 else None
        if values is None or values.shape != (d, d) or extra not in (0, 1):
            raise DataError(f"{path} is no spillover matrix: give a row for each of its columns")
        names = [name.split(" :: ")[0].strip().removeprefix(OWN) for name in rows[0][extra:]]
        content = ",".join(names).encode() + values.tobytes()
        prefix = f"{OWN}{hashlib.sha256(content).hexdigest()[:4]}-"
        return cls(tuple(names), values, prefix).checked(str(path))

    def checked(self, where: str) -> Spillover:
        """Return itself; raise `DataError` where it cannot be undone."""
        if len({*self.channels}) < len(self.channels):
            raise DataError(f"{where}: its spillover matrix names a channel twice: give another")
        with np.errstate(all="ignore"):
            sound = np.isfinite(self.values).all() and len(self.values) > 0
            if not sound or np.linalg.cond(self.values) > 1e10:
                raise DataError(f"{where}: its spillover matrix has no inverse: give another one")
        return self

    def undo(self, observed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the true signals (n, D) of observed ones (n, D)."""
        return np.linalg.solve(self.values.T, observed.T).T


@dataclass(frozen=True)
class FcsFile:
    """The text segment of an FCS file.

    Attributes
    ----------
    path : str
    text : mapping of str to str
        Keywords in small letters and without ``$``.
    channels : tuple of str
        The C names of detectors, ``$PnN``.
    labels : tuple of str
        What each measures, ``$PnS``; empty where the file does not say.
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
    def open(cls, path: str | Path) -> FcsFile:
        """Read the text segment; raise `DataError` where that cannot be."""
        flow = _parsed(path, only_text=True)
        channels = tuple(one.strip() for one in flow.pnn_labels)
        if [*flow.channels] and sorted(flow.channels) != [*range(1, flow.channel_count + 1)]:
            raise DataError(f"{path} is damaged: it does not name all of its channels")
        if not channels or flow.event_count <= 0:
            raise DataError(f"{path} holds no events: leave it out")
        labels = tuple(one.strip() for one in flow.pns_labels)
        called = [
            OWN + (label or name[len(OWN) :]) if name.startswith(OWN) else label or name
            for name, label in zip(channels, labels, strict=True)
        ]
        twice = Counter([*called, EVENT, FILE])
        called = [
            f"{name} ({channel})" if twice[name] > 1 and name != channel else name
            for name, channel in zip(called, channels, strict=True)
        ]
        names = tuple(_unique(called, {EVENT, FILE}))
        return cls(str(path), dict(flow.text), channels, labels, names, int(flow.event_count))

    @property
    def added(self) -> frozenset[str]:
        """Channels that are answers of a model."""
        return frozenset(self.text.get(ADDED.lower(), "").split(","))

    def own_matrix(self) -> Spillover | None:
        """Return the file's own spillover matrix, or None."""
        for key in _MATRICES:
            if text := self.text.get(key, "").strip():
                if key == "comp" and not re.search(r"[^\d,.eE+\-\s]", text):
                    return None  # of an older standard: it does not say for which channels
                matrix = Spillover.of_keyword(text, self.path)
                done = any(name.startswith(OWN) for name in matrix.channels)
                done |= not {OWN + name for name in matrix.channels}.isdisjoint(self.channels)
                return None if done else matrix  # done: the values are stored compensated
        return None

    def places(self, matrix: Spillover, strict: bool = True) -> list[int]:
        """Return the numbers of the channels of a matrix.

        Raises `DataError` where the file lacks one; there are none then if it is not ``strict``.
        """
        known = {name: i for names in (self.names, self.channels) for i, name in enumerate(names)}
        if missing := [name for name in matrix.channels if name not in known]:
            if not strict:
                return []
            raise DataError(
                f"{self.path} lacks the channel '{missing[0]}' of the spillover matrix: give one "
                "of the file's channels with spillover, or set compensate: false"
            )
        return [known[name] for name in matrix.channels]

    def meanings(self, name: str, numbers: NDArray[np.float64]) -> NDArray[Any]:
        """Return what the numbers (n,) of a parameter stand for, where a keyword says it."""
        text = self.text.get(_NAMES.format(_as_keyword(name)).lower(), "")
        pairs = [pair.split("=", 1) for pair in text.split(";") if "=" in pair]
        known = {float(number): meaning for number, meaning in pairs if number.isdecimal()}
        if not known:
            return numbers
        return np.array([known.get(number) for number in numbers.tolist()], dtype=object)

    def raw(self) -> Any:
        """Return flowio's reading of the whole file; raise `DataError` where it is damaged."""
        flow: Any = None
        for of_header in (False, True):  # where text and header do not agree
            flow = _parsed(self.path, use_header_offsets=of_header)
            if flow.events is not None and len(flow.events) == self.events * len(self.channels):
                return flow
        found = 0 if flow.events is None else len(flow.events)
        raise DataError(
            f"{self.path} is damaged: it names {self.events} events of {len(self.channels)} "
            f"channels and holds {found} numbers"
        )

    def read(self, matrices: Iterable[Spillover] = ()) -> dict[str, NDArray[np.float64]]:
        """Return all columns (n,) by name: channels as stored, then what matrices make of them."""
        flow = self.raw()
        with reading(self.path, "FCS file"), np.errstate(all="ignore"):
            values = flow.as_array()
        columns = {name: values[:, i] for i, name in enumerate(self.names)}
        for matrix in matrices:
            places = self.places(matrix)
            true = matrix.undo(values[:, places])
            names = [matrix.prefix + self.names[place] for place in places]
            columns |= {name: true[:, i] for i, name in enumerate(names)}
        return columns


def _parsed(path: str | Path, **options: Any) -> Any:
    import flowio

    file = Path(path).expanduser()
    with reading(str(path), "FCS file"), open_regular(file) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of offsets that are wrong by one: events are counted
        wrong = {"ignore_offset_error": True, "ignore_offset_discrepancy": True}
        try:
            return flowio.FlowData(stream, **wrong, **options)
        except flowio.exceptions.MultipleDataSetsError:
            raise DataError(
                f"{path} holds several data sets: export each to a file of its own"
            ) from None


def _as_keyword(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()


def _unique(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Return names that are all different, by a number where they are not."""
    used, found = set(taken), []
    for name in names:
        free = name
        for number in count(2):
            if free not in used:
                break
            free = f"{name} {number}"
        used.add(free)
        found.append(free)
    return found


# ------------------------------------------------------------------------------------- a table


@dataclass
class FcsReader(TableReader):
    """The events of an FCS file as a table, with their numbers from 0 and the name of the file."""

    matrices: Sequence[Spillover] = ()
    file: FcsFile | None = None

    @classmethod
    def open(cls, path: str) -> FcsReader:
        file = FcsFile.open(path)
        matrices, notes = [], []
        if own := file.own_matrix():
            matrices.append(own)
        beside = Path(path).expanduser().with_name(SPILLOVER)
        if beside.is_file():
            matrices.append(Spillover.of_csv(beside))
        names = [*file.names]
        for matrix in [*matrices]:
            try:
                new = [matrix.prefix + file.names[place] for place in file.places(matrix)]
            except DataError as error:
                matrices.remove(matrix)
                notes.append(str(error))
            else:
                names += [name for name in new if name not in names]
        types = [pa.float32()] * len(names) + [pa.int64(), pa.string()]
        return cls(
            path,
            "fcs",
            [*names, EVENT, FILE],
            types,
            file.events,
            notes=notes,
            files=[Path(path).expanduser()],
            matrices=matrices,
            file=file,
        )

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        assert self.file is not None
        columns = self.file.read(self.matrices)
        n, stem = self.file.events, Path(self.path).stem
        with np.errstate(over="ignore"):
            chosen = {
                name: columns[name].astype(np.float32)
                for name in {self.names[place] for place in places} - {EVENT, FILE}
            }
        del columns
        for start in range(0, n, rows):
            end = min(start + rows, n)
            beside = {
                EVENT: lambda start=start, end=end: pa.array(np.arange(start, end)),
                FILE: lambda start=start, end=end: pa.repeat(stem, end - start),
            }
            cells = [
                beside[name]() if name in beside else pa.array(chosen[name][start:end])
                for name in (self.names[place] for place in places)
            ]
            yield pa.RecordBatch.from_arrays(cells, names=[*map(str, places)])


class FcsWriter:
    """Writer of columns as float parameters: of a new file, or added to a copy of one.

    The copy keeps the events, to the bit where they are floats (integers become floats on a linear
    scale), the channels and the keywords, the spillover matrix among them. Texts become the numbers
    1, 2, …; the keyword ``DBGSOM_NAME_NAMES`` says which text each stands for.
    """

    def __init__(self, path: Path, schema: pa.Schema, source: str | None = None) -> None:
        self._path = path
        known: set[str] = set()
        self._source = None if source is None else FcsFile.open(source)
        if self._source is not None:  # carried along, and there already
            known = {*FcsReader.open(self._source.path).names} - self._source.added
        self._written = [name for name in schema.names if name not in known]
        self._codes: dict[str, dict[str, int]] = {
            one.name: {} for one in schema if not _is_number(one.type) and one.name not in known
        }
        self._parts: list[NDArray[np.float32]] = []

    def write_batch(self, batch: pa.RecordBatch) -> None:
        part = np.empty((batch.num_rows, len(self._written)), dtype=np.float32)
        for i, name in enumerate(self._written):
            column = batch.column(name)
            if name in self._codes:
                codes = self._codes[name]
                encoded = column.cast(pa.string()).dictionary_encode()
                numbers = [
                    codes.setdefault(text, len(codes) + 1)
                    for text in encoded.dictionary.to_pylist()
                ]
                column = pa.array(numbers, pa.float32()).take(encoded.indices)
            else:
                column = column.cast(pa.float32(), safe=False)
            part[:, i] = column.to_numpy(zero_copy_only=False)
        self._parts.append(part)

    def close(self) -> None:
        if sys.exception() is not None:  # what raised is told; there is nothing to write
            return
        new = np.concatenate(self._parts)
        if self._source is None:
            keywords, events, channels = {}, np.empty((len(new), 0), np.float32), []
        else:
            keywords, events = _copied(self._source)
            channels = [*self._source.channels]
            if len(events) != len(new):
                raise DataError(
                    f"{self._source.path} has {len(events)} events, and the answers are for "
                    f"{len(new)}: write them to a .csv file"
                )
        names = _unique([name.replace(",", " ") for name in self._written], channels)
        for i, name in enumerate(names):
            top = np.nanmax(new[:, i], initial=0.0) if len(new) else 0.0
            n = len(channels) + i + 1
            keywords |= {f"$P{n}N": name, f"$P{n}E": "0,0", f"$P{n}R": f"{int(top) + 1}"}
        for old, name in zip(self._written, names, strict=True):
            if codes := self._codes.get(old):
                texts = ";".join(f"{number}={text}" for text, number in codes.items())
                keywords[_NAMES.format(_as_keyword(name))] = texts
        before = [] if self._source is None else [*filter(None, self._source.added)]
        keywords[ADDED] = ",".join([*before, *names])
        _write(self._path, keywords, events, new)


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _copied(file: FcsFile) -> tuple[dict[str, str], NDArray[np.floating[Any]]]:
    """Return the keywords of a file that do not follow from its layout, and its events (n, C)."""
    flow = file.raw()
    with reading(file.path, "FCS file"), open_regular(Path(file.path).expanduser()) as stream:
        stream.seek(flow.header["text_start"])
        content = stream.read(flow.header["text_stop"] - flow.header["text_start"] + 1)
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        text = text.rstrip(" \0\r\n")
        mark = re.escape(text[0])
        cells = re.split(f"(?<!{mark}){mark}(?!{mark})", text[1:].removesuffix(text[0]))
        cells = [cell.replace(text[0] * 2, text[0]) for cell in cells]
        pairs = zip(cells[::2], cells[1::2], strict=False)
        keywords = {key: value for key, value in pairs if not _LAYOUT.fullmatch(key.upper())}
        keywords.pop(ADDED, None)
        events = np.asarray(flow.events)
        if events.dtype.kind != "f":
            events = events.astype(np.float32)
        events = events.reshape(-1, len(file.channels))
        for n, channel in flow.channels.items():
            decades, lowest = channel["pne"]
            if decades > 0 and flow.data_type.upper() == "I":  # floats are linear
                with np.errstate(all="ignore"):
                    scaled = decades * events[:, n - 1].astype(np.float64) / channel["pnr"]
                    events[:, n - 1] = 10**scaled * lowest
                keywords = {key: v for key, v in keywords.items() if key.upper() != f"$P{n}E"}
                keywords[f"$P{n}E"] = "0,0"
    return keywords, events


def _write(
    path: Path,
    keywords: Mapping[str, str],
    events: NDArray[np.floating[Any]],
    new: NDArray[np.float32],
) -> None:
    """Write an FCS 3.1 file of events (n, C) with new parameters (n, P) after them."""
    kind = "D" if events.dtype == np.float64 else "F"
    table = np.column_stack([events, new]).astype("<f8" if kind == "D" else "<f4", copy=False)
    texts = dict(keywords)
    texts |= {f"$P{n + 1}B": "64" if kind == "D" else "32" for n in range(table.shape[1])}
    texts |= dict.fromkeys(
        ("$BEGINANALYSIS", "$ENDANALYSIS", "$BEGINSTEXT", "$ENDSTEXT", "$NEXTDATA"), "0"
    )
    texts |= {"$PAR": f"{table.shape[1]}", "$TOT": f"{len(table)}", "$MODE": "L"}
    texts |= {"$DATATYPE": kind, "$BYTEORD": "1,2,3,4"}
    everything = "".join(f"{key}{value}" for key, value in texts.items())
    mark = next((one for one in _DELIMITERS if one not in everything), None)
    if mark is None:
        raise DataError(f"{path}: the keywords hold every delimiter that FCS files may have")

    def segment(begin: int, end: int) -> bytes:
        offsets = {"$BEGINDATA": f"{begin:012}", "$ENDDATA": f"{end:012}"}
        pairs = (f"{key}{mark}{value}{mark}" for key, value in (offsets | texts).items() if value)
        return (mark + "".join(pairs)).encode()

    begin = _HEADER + len(segment(0, 0))
    end = begin + table.nbytes - 1
    data = (begin, end) if end <= _MOST else (0, 0)
    with path.open("wb") as file:
        header = "".join(f"{one:>8}" for one in (_HEADER, begin - 1, *data, 0, 0))
        file.write(f"FCS3.1    {header}".encode() + segment(begin, end))
        file.write(np.ascontiguousarray(table).data)
        file.write(b"0" * 8)  # no checksum


FORMAT = TableFormat(
    "fcs",
    (".fcs",),
    FcsReader.open,
    FcsWriter,
    lambda path, schema, source: FcsWriter(path, schema, source),
)
