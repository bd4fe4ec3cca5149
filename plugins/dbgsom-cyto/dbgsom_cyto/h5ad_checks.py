"""What has to hold of an h5ad file before it is read: HDF5 follows a file's word anywhere."""

from __future__ import annotations

import math
from mmap import ACCESS_READ, mmap
from pathlib import Path
from struct import unpack_from
from typing import Any

from dbgsom_core.api import DataError
from dbgsom_core.tables import reading

_PACKED, _ALWAYS = 1100, 16 << 20  # bytes that each byte of a file may become, and beyond that
_MOST_OBJECTS = 50_000  # of a file
_MOST_COLUMNS = 2000  # of obs, and of var, and matrices
_MOST_NAMES = 10_000_000  # of the columns of all matrices
_MOST_SCANNED = 1 << 30  # bytes of a file whose heaps are looked for
_HEAP = b"GCOL\1\0\0\0"
_TEXTS = 1000  # read at once: were each as large as the file, they were within _PACKED
_SPARSE = ("csr_matrix", "csc_matrix")
_NULLABLE = ("nullable-integer", "nullable-boolean", "nullable-string-array")
_NO_PACKING = (2, 3, 5, 6)  # filters of HDF5: shuffle, fletcher32, nbit, scaleoffset
AGAIN = "write the file again with anndata"


def check_h5ad(file: Any, path: str, size: int) -> None:
    """Raise `DataError` where an open file of so many bytes is not safe to read.

    All has to lie in the file itself, to have been written and to fit together in length and type,
    and what is read may be at most `most_decoded`. The places that sparse matrices name are checked
    when they are read.
    """
    _check_heaps(file, path, size)
    _check_objects(file, path)
    read = _DataSets(file, path)
    with reading(f"{path}: obs and var", "tables"):
        n, d = read.frame("obs"), read.frame("var")
    entries, names = matrices_of(file), 0
    if len(entries) > _MOST_COLUMNS:
        raise DataError(f"{path} has {len(entries)} matrices, and {_MOST_COLUMNS} is the most")
    for entry in entries:
        with reading(f"{path}: {entry}", "matrix"):
            rows, columns = read.matrix(entry)
        names += columns
        if rows != n or (columns != d and not entry.startswith("obsm/")):
            raise DataError(
                f"{path}: {entry} is of {rows} x {columns}, beside {n} observations and {d} "
                f"variables: {AGAIN}"
            )
        if names > _MOST_NAMES:
            raise DataError(f"{path}: {entry} has {columns} columns, which is too many")
    left = most_decoded(size)
    for where, data in read.data:
        with reading(where, "data set"):
            left -= _decoded(data, left)
        if left < 0:
            raise DataError(
                f"{where}, with what else is read, would be more than {_PACKED} times as large as "
                f"the file, as no measurements are: {AGAIN}"
            )
    for where, codes, count in read.codes:
        found = codes[()]
        if len(found) and not -1 <= found.min() <= found.max() < count:
            raise DataError(f"{where} has codes beyond its {count} categories: {AGAIN}")


def most_decoded(size: int) -> int:
    """Return how many bytes a file of ``size`` bytes may become: deflate packs no more."""
    return _PACKED * size + _ALWAYS


def matrices_of(file: Any) -> list[str]:
    """Return the names of the matrices: X, layers, and those of obsm that are dense."""
    found = ["X"] if "X" in file and getattr(file["X"], "shape", ()) is not None else []
    found += [f"layers/{name}" for name in file.get("layers", ())]
    obsm = [f"obsm/{name}" for name in file.get("obsm", ())]
    return found + [entry for entry in obsm if getattr(file[entry], "ndim", 0) == 2]


def _check_heaps(file: Any, path: str, size: int) -> None:
    """Raise `DataError` where HDF5 (2.0) would look for texts for ever: behind 16 bytes of zeros.

    A heap of texts is a header of 16 bytes, then objects of 16 bytes and their text, up to the next
    8 bytes; the free space at its end is object 0, whose length counts all of it.
    """
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise DataError(f"{path} has addresses of other than 8 bytes: {AGAIN}")
    if size > _MOST_SCANNED:
        return
    with (
        Path(file.filename).open("rb") as stream,
        mmap(stream.fileno(), 0, access=ACCESS_READ) as content,
    ):
        heap = content.find(_HEAP)
        while heap >= 0:
            (length,) = unpack_from("<Q", content, heap + 8)
            place, end = heap + 16, min(heap + length, size)
            while place + 16 <= end:
                number, _, _, length = unpack_from("<HHIQ", content, place)
                step = 16 + (length + 7) // 8 * 8 if number else length
                if step == 0 or step >= 1 << 63:
                    raise DataError(f"{path} is damaged: texts at byte {place} are lost: {AGAIN}")
                place += step
            heap = content.find(_HEAP, heap + len(_HEAP))


def _check_objects(file: Any, path: str) -> None:
    """Raise `DataError` for links to other places, and for data sets that are not all here."""
    import h5py

    groups, seen, count = [("", file)], set[int](), 0
    while groups:
        above, group = groups.pop()
        for name in group.id:  # in bytes
            where, count = f"{above}{name.decode(errors='replace')}", count + 1
            if count > _MOST_OBJECTS:
                raise DataError(f"{path} has more than {_MOST_OBJECTS} objects: {AGAIN}")
            with reading(f"{path}: {where}", "part of an h5ad file"):
                if group.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                    raise DataError(f"{path}: {where} is a link to another place: {AGAIN}")
                entry = group[name]
                if isinstance(entry, h5py.Dataset):
                    _check_stored(entry, f"{path}: {where}")
                elif isinstance(entry, h5py.Group):
                    address = h5py.h5o.get_info(entry.id).addr
                    if address not in seen:  # a group may hold itself
                        seen.add(address)
                        groups.append((f"{where}/", entry))


def _check_stored(data: Any, where: str) -> None:
    if data.is_virtual or data.external:  # before its shape, for which HDF5 opens other files
        raise DataError(f"{where} lies in other files: {AGAIN}")
    if data.size and not data.id.get_storage_size():
        raise DataError(f"{where} was never written: {AGAIN}")
    created = data.id.get_create_plist()
    filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
    if len([one for one in filters if one not in _NO_PACKING]) > 1:
        raise DataError(f"{where} is packed twice: {AGAIN}")


def _decoded(data: Any, most: int) -> int:
    """Return how many bytes a data set becomes when it is read, texts and whole chunks counted."""
    chunks = data.chunks or [1] * data.ndim
    lengths = [
        -(-length // chunk) * chunk for length, chunk in zip(data.shape, chunks, strict=True)
    ]
    total = math.prod(lengths) * data.id.get_type().get_size()
    if data.dtype.kind == "O":
        for start in range(0, data.size, _TEXTS):
            if total > most:
                break
            total += sum(map(len, data[start : start + _TEXTS]))
    return total


class _DataSets:
    """The data sets that are read of an h5ad file, whose lengths and types are checked."""

    def __init__(self, file: Any, path: str) -> None:
        self.file, self.path = file, path
        self.data = list[tuple[str, Any]]()  # what it is called, and itself
        self.codes = list[tuple[str, Any, int]]()  # and how many categories there are

    def frame(self, kind: str) -> int:
        """Return how many rows obs or var has."""
        where, frame = f"{self.path}: {kind}", self.file.get(kind)
        if frame is None or _encoding(frame) != "dataframe":
            raise DataError(f"{where} is no table: {AGAIN}")
        if math.prod(frame.attrs.get_id("column-order").shape) > _MOST_COLUMNS:
            raise DataError(f"{where} has more than {_MOST_COLUMNS} columns: leave some out")
        n = None
        for name in (frame.attrs["_index"], *frame.attrs["column-order"]):
            if name not in frame:
                raise DataError(f"{where} lacks its column '{name}': {AGAIN}")
            length = self._column(frame[name], f"{where}/{name}")
            n = length if n is None else n
            if length != n:
                raise DataError(f"{where}/{name} has {length} values for {n} rows: {AGAIN}")
        return n or 0

    def _column(self, element: Any, where: str) -> Any:
        """Return the length of a column of obs or var."""
        encoding = _encoding(element)
        if encoding == "categorical":
            count = self._column(element["categories"], f"{where}/categories")
            self.codes.append((where, element["codes"], count))
            return self._data(element["codes"], f"{where}/codes", "iu")
        if encoding in _NULLABLE:
            length = self._data(element["values"], f"{where}/values", "biufSO")
            if "mask" in element and self._data(element["mask"], f"{where}/mask", "b") != length:
                raise DataError(f"{where} has a mask of another length: {AGAIN}")
            return length
        if "categories" in element.attrs:  # of anndata before 0.7
            categories = self.file[element.attrs["categories"]]
            count = self._data(categories, f"{where}, its categories", "biufSO")
            self.codes.append((where, element, count))
        return self._data(element, where, "biufSO")

    def matrix(self, entry: str) -> tuple[int, int]:
        """Return the shape of a matrix."""
        element, where = self.file[entry], f"{self.path}: {entry}"
        if _encoding(element) not in _SPARSE:
            return self._data(element, where, "biuf", 2)
        n, d = (int(length) for length in element.attrs["shape"])
        major = n if _encoding(element) == "csr_matrix" else d
        indptr = self._data(element["indptr"], f"{where}/indptr", "iu")
        indices = self._data(element["indices"], f"{where}/indices", "iu")
        data = self._data(element["data"], f"{where}/data", "biuf")
        if min(n, d) < 0 or indptr != major + 1 or indices != data:
            raise DataError(
                f"{where} has {data} data, {indices} indices and {indptr} indptr, which make no "
                f"sparse matrix of {n} x {d}: {AGAIN}"
            )
        return n, d

    def _data(self, element: Any, where: str, kinds: str, ndim: int = 1) -> Any:
        """Return the length of a data set, or its shape where it has more than one."""
        import h5py

        is_text = isinstance(element, h5py.Dataset) and h5py.check_string_dtype(element.dtype)
        if not isinstance(element, h5py.Dataset) or element.dtype.kind not in kinds:
            raise DataError(f"{where} is of no type that is read: {AGAIN}")
        if element.dtype.kind == "O" and not is_text:
            raise DataError(f"{where} is of no type that is read: {AGAIN}")
        if element.shape is None or len(element.shape) != ndim:
            raise DataError(f"{where} has {element.shape} as its shape: {AGAIN}")
        self.data.append((where, element))
        return element.shape if ndim > 1 else element.shape[0]


def _encoding(element: Any) -> str:
    return str(element.attrs.get("encoding-type", ""))
