"""Variables of NetCDF files (3 and 4) as they are stored.

A file may be damaged or forged: what it claims is compared with its size before it is read, and no
other file is read. Only the attributes of CF are kept that say what values mean.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError, open_regular

Key = tuple[slice, ...]
_MOST_VARIABLES = 2_000
_MOST_DIMENSIONS = 32  # of a numpy array
_MOST_NUMBERS = 100  # of an attribute
_MOST_LETTERS = 10_000  # of an attribute
_PACKED = 1_100  # decoded bytes of a stored byte: deflate packs no more
_FLOOR = 16 << 20  # decoded bytes that are allowed in any file
_CACHE = 64 << 20  # bytes of a chunk that is not decoded again for its next part
_ATTRIBUTES = (
    "units", "calendar", "standard_name", "axis", "coordinates", "dtype", "_FillValue", "_Unsigned",
    "missing_value", "valid_min", "valid_max", "valid_range", "scale_factor", "add_offset",
)  # fmt: skip


class Variable(Protocol):
    """A variable of a file; ``read`` returns a part of its stored values, all dimensions kept."""

    @property
    def dims(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def attrs(self) -> dict[str, Any]: ...
    def read(self, key: Key | None = None) -> NDArray[Any]: ...


@contextmanager
def open_variables(path: str) -> Iterator[dict[str, Variable]]:
    """Open a NetCDF file and yield its variables by their names, whose values are not read yet.

    DataError where it is none, refers to other files, or claims more than it can hold.
    """
    with open_regular(Path(path).expanduser()) as stream:
        size = os.fstat(stream.fileno()).st_size
        magic = stream.read(4)
        if magic in (b"CDF\x01", b"CDF\x02"):
            yield _ClassicHeader(path, stream, size, wide=magic[3] == 2).variables()
        elif magic == b"\x89HDF":
            h5py, h5netcdf = import_module("h5py"), import_module("h5netcdf")
            with h5py.File(stream, rdcc_nbytes=_CACHE) as file:
                _check_objects(path, file)
                with h5netcdf.File(stream, "r", decode_vlen_strings=True) as root:
                    source = _Hdf5File(path, size, file)
                    found = root.variables.items()
                    yield {name: _Hdf5Variable(source, name, one) for name, one in found}
        else:
            raise DataError(f"{path} is no NetCDF file of version 3 or 4: convert it first")


def _check_count(path: str, count: int) -> None:
    if count > _MOST_VARIABLES:
        most = f"more than {_MOST_VARIABLES} variables, dimensions and groups"
        raise DataError(f"{path} has {most}: write what is needed to a file of its own")


# ------------------------------------------------------------------------------------ NetCDF-4


def _check_objects(path: str, file: Any) -> None:
    # External links, external storage and virtual data sets are HDF5's ways to other files.
    h5py = import_module("h5py")
    links = list[tuple[bytes, int]]()

    def note(name: bytes, link: Any) -> bool | None:
        links.append((name, link.type))
        return len(links) > _MOST_VARIABLES or None  # True ends the visit

    file.id.links.visit(note, info=True)  # goes to each group once, also where links form a circle
    _check_count(path, len(links))
    for name, kind in links:
        where = f"{path}: '{name.decode(errors='replace')}'"
        if kind not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
            raise DataError(f"{where} is a link to another file: write what it links to instead")
        found = h5py.h5o.open(file.id, name) if kind == h5py.h5l.TYPE_HARD else None
        if isinstance(found, h5py.h5d.DatasetID):
            stored = found.get_create_plist()
            if stored.get_layout() == h5py.h5d.VIRTUAL or stored.get_external_count():
                raise DataError(f"{where} is stored in other files: write its values into this one")


class _Hdf5File:
    """An open file, the names of its data sets, and the decoded bytes of what is read."""

    def __init__(self, path: str, size: int, file: Any) -> None:
        self.path, self.size, self.file = path, size, file
        self._decoded = dict[str, int]()

    @cached_property
    def names(self) -> dict[Any, str]:
        return {self.file[name].id: name for name in self.file}

    def count(self, name: str, n_bytes: int) -> None:
        """Raise DataError where more would be decoded than the file can have packed."""
        self._decoded[name] = n_bytes
        most, total = max(_FLOOR, _PACKED * self.size), sum(self._decoded.values())
        if total > most:
            read = (
                f"claims {total} bytes up to '{name}', and a file of its size packs at most {most}"
            )
            raise DataError(f"{self.path} {read}: write it again, with smaller chunks")


class _Hdf5Variable:
    def __init__(self, source: _Hdf5File, name: str, variable: Any) -> None:
        self._source, self._name, self._variable = source, name, variable

    @cached_property
    def _stored(self) -> Any:
        other = f"_nc4_non_coord_{self._name}"  # where a dimension has its name
        return self._source.file[other if other in self._source.file else self._name]

    @cached_property
    def dims(self) -> tuple[str, ...]:
        attrs, names = self._stored.attrs, self._source.names
        if "DIMENSION_LIST" in attrs and "CLASS" not in attrs:  # h5netcdf searches for each name
            of_each = [
                [self._source.file[one].id for one in some] for some in attrs["DIMENSION_LIST"]
            ]
            if all(scales and scales[-1] in names for scales in of_each):
                return tuple(names[scales[-1]] for scales in of_each)
        return tuple(self._variable.dimensions)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._variable.shape)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._stored.dtype
        return dtype

    @cached_property
    def attrs(self) -> dict[str, Any]:
        held = {}
        for name in _ATTRIBUTES:
            if name not in self._stored.attrs:
                continue
            if math.prod(self._stored.attrs.get_id(name).shape or ()) > _MOST_NUMBERS:
                self._refuse(f"has more than {_MOST_NUMBERS} values as {name}: give it fewer")
            value = self._variable.attrs[name]
            value = value.decode(errors="replace") if isinstance(value, bytes) else value
            if isinstance(value, str) and len(value) > _MOST_LETTERS:
                self._refuse(f"has more than {_MOST_LETTERS} letters as {name}: shorten it")
            held[name] = value
        return held

    def read(self, key: Key | None = None) -> NDArray[Any]:
        self._check_size()
        part = ... if key is None else key
        return self._texts()[part] if self.dtype.kind == "O" else np.asarray(self._variable[part])

    def _check_size(self) -> None:
        if math.prod(self.shape) and not self._stored.id.get_storage_size():
            self._refuse("was never written: write its values, or leave it out")
        lengths = self._stored.shape
        chunks = self._stored.chunks or (1,) * len(lengths)
        whole = [-(-n // chunk) * chunk for n, chunk in zip(lengths, chunks, strict=True)]
        values = max(math.prod(self.shape), math.prod(whole))  # a chunk is decoded as a whole
        self._source.count(self._name, values * self.dtype.itemsize)

    def _texts(self) -> NDArray[Any]:
        # HDF5 does not pack texts of any length, but the same stored one may stand for many.
        is_text = import_module("h5py").check_string_dtype(self.dtype) is not None
        if len(self.shape) != 1 or not is_text:
            self._refuse("holds lists, or texts in several dimensions: write numbers")
        most, found, letters = max(_FLOOR, self._source.size), list[Any](), 0
        step = max(100, _FLOOR // self._source.size)
        for start in range(0, self.shape[0], step):
            found += self._stored.asstr()[start : start + step].tolist()
            letters += sum(map(len, found[start:]))
            if letters > most:
                self._refuse(f"has texts of more than {most} letters: shorten them")
        return np.array(found, dtype=object)

    def _refuse(self, what: str) -> NoReturn:
        raise DataError(f"{self._source.path}: '{self._name}' {what}")


# ------------------------------------------------------------------------------------ NetCDF-3


@dataclass
class _ClassicVariable:
    stream: BinaryIO
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: dict[str, Any]
    begin: int
    step: int = 0  # bytes from a row, of which the first dimension has one each, to the next

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def end(self) -> int:
        rows = self.shape[0] if self.shape else 1
        return self.begin + (rows - 1) * self.step + self.row_bytes if rows else self.begin

    def read(self, key: Key | None = None) -> NDArray[Any]:
        key = key or (slice(None),) * len(self.shape)
        row = np.empty(self.shape[1:], self.dtype)
        content = row.reshape(-1).view(np.uint8)
        rows = range(self.shape[0])[key[0]]
        values = np.empty((len(rows), *row[key[1:]].shape), self.dtype)
        for place, number in enumerate(rows):
            self.stream.seek(self.begin + number * self.step)
            if self.stream.readinto(content) < row.nbytes:  # type: ignore[attr-defined]
                raise OSError("it became shorter while it was read")
            values[place] = row[key[1:]]
        return values


class _ClassicHeader:
    """Reader of the header of a NetCDF-3 file: a tree of big-endian numbers and texts."""

    def __init__(self, path: str, stream: BinaryIO, size: int, wide: bool) -> None:
        self._path, self._stream, self._size = path, stream, size
        self._offset = ">i8" if wide else ">i4"

    def variables(self) -> dict[str, Variable]:
        """Return all variables, each of which lies within the file."""
        records = self._number()
        dims = [(self._text(), self._number()) for _ in range(self._count(10))]
        if min((length for _, length in dims), default=0) < 0:
            self._refuse("a dimension has a negative length")
        self._attributes()
        count = self._count(11)
        _check_count(self._path, count + len(dims))
        found = {self._text(): self._variable(dims) for _ in range(count)}
        if len(found) < count or len(dict(dims)) < len(dims):
            self._refuse("two variables or dimensions have one name")
        header_end = self._stream.tell()
        self._set_records([one for one in found.values() if one.shape[:1] == (0,)], records)
        for name, one in found.items():
            if one.begin < header_end or one.end > self._size:
                place = f"from byte {one.begin} to {one.end} of {self._size}"
                self._refuse(f"'{name}' would lie {place}, so the file is cut short or damaged")
        return dict(found)

    def _set_records(self, found: list[_ClassicVariable], records: int) -> None:
        if not found:
            return
        padded = [one.row_bytes + -one.row_bytes % 4 for one in found]
        step = sum(padded) if len(found) > 1 else found[0].row_bytes
        held = max(0, self._size - min(one.begin for one in found)) // step
        records = held if records == -1 else records  # -1: the writer did not know yet
        if not records >= 0 or held > records:
            self._refuse(f"its header counts {records} records, and there are {held}")
        for one in found:
            one.shape, one.step = (records, *one.shape[1:]), step

    def _variable(self, dims: list[tuple[str, int]]) -> _ClassicVariable:
        ndim = self._number()
        if not 0 <= ndim <= _MOST_DIMENSIONS:
            self._refuse(f"a variable has {ndim} dimensions")
        places = [self._number() for _ in range(ndim)]
        if not all(0 <= place < len(dims) for place in places):
            self._refuse("a variable has a dimension that there is not")
        names, shape = zip(*(dims[place] for place in places), strict=True) if places else ((), ())
        if 0 in shape[1:]:
            self._refuse("a variable has its records not as its first dimension")
        attrs, dtype, _ = self._attributes(), self._type(), self._number()
        begin = int(self._array(self._offset, 1)[0])
        found = _ClassicVariable(self._stream, names, shape, dtype, attrs, begin)
        found.step = found.row_bytes
        return found

    def _attributes(self) -> dict[str, Any]:
        held = {}
        for _ in range(self._count(12)):
            name, dtype = self._text(), self._type()
            if dtype.kind == "S":
                value: Any = self._text()
            else:
                value = self._array(dtype, self._number())
                self._take(-value.nbytes % 4)
            if name in _ATTRIBUTES:
                value = value[0] if len(value) == 1 and dtype.kind != "S" else value
                held[name] = value
        return held

    def _count(self, tag: int) -> int:
        read, count = self._number(), self._number()
        if (read, count) != (0, 0) and (read != tag or count < 0):
            self._refuse("its header is damaged")
        return count

    def _type(self) -> np.dtype[Any]:
        types = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8"}
        if (number := self._number()) not in types:
            self._refuse(f"a variable or attribute is of an unknown type ({number})")
        return np.dtype(types[number])

    def _number(self) -> int:
        return int(self._array(">i4", 1)[0])

    def _text(self) -> str:
        length = self._number()
        text = self._take(length)
        self._take(-length % 4)
        return text.rstrip(b"\0").decode(errors="replace")

    def _array(self, dtype: Any, count: int) -> NDArray[Any]:
        dtype = np.dtype(dtype)
        values = np.frombuffer(self._take(count * dtype.itemsize), dtype)
        return values.astype(dtype.newbyteorder("="))

    def _take(self, n_bytes: int) -> bytes:
        if not 0 <= n_bytes <= self._size - self._stream.tell():
            self._refuse("its header is cut short or damaged")
        return self._stream.read(n_bytes)

    def _refuse(self, what: str) -> NoReturn:
        raise DataError(f"{self._path}: {what}: copy or write it again")
