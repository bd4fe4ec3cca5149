"""Write arrays and a JSON header to a zip, and read them with bounds on memory.

Model files, checkpoints and growth films are such archives. Before anything is allocated, its size
is compared with what the file can hold. Digests reveal damage, not intent: whoever forges a file
can write those, too.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DbgsomError
from dbgsom_core.tables.safe_files import open_regular, write_atomically

# A file of n bytes may unpack to a + b n bytes.
ARRAY_BYTES = (1 << 26, 100)
HEADER_BYTES = (1 << 20, 4)
_MAGIC = b"\x93NUMPY\x01\x00"
_NPY = re.compile(  # numpy's own reader evaluates the header as Python, which takes longer
    rb"\{'descr': '([<>|][biufSUMm][1-9]\d{0,8}(?:\[\w+\])?)', 'fortran_order': (False|True), "
    rb"'shape': \((\d{0,18}(?:, \d{1,18}){0,3}),?\), \} *\n"
)


class ArchiveError(ValueError):
    """Why a file cannot be used, as a sentence that begins after its name."""


def write_archive(
    path: Path, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write header and arrays to ``path``; an older file stays until the new one is whole."""
    digests = {name: _digest(array) for name, array in arrays.items()}
    text = json.dumps({**header, "digests": digests}).encode()
    digest = np.frombuffer(hashlib.sha256(text).digest(), dtype=np.uint8)
    members = {**arrays, "header": np.frombuffer(text, dtype=np.uint8), "digest": digest}
    unpacked = sum(array.nbytes for array in arrays.values())

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez_compressed(file, **members)  # type: ignore[arg-type]
        size = partial.stat().st_size
        if unpacked > _limit(ARRAY_BYTES, size) or len(text) > _limit(HEADER_BYTES, size):
            with partial.open("wb") as file:  # so regular that a reader would refuse it as a bomb
                np.savez(file, **members)  # type: ignore[arg-type]

    write_atomically(path, write)


class Archive:
    """An open file of a header and arrays, each of which is read once."""

    def __init__(self, file: BinaryIO) -> None:
        self._size = os.fstat(file.fileno()).st_size
        self._zip = zipfile.ZipFile(file)
        self._members = {member.filename: member for member in self._zip.infolist()}
        if len(self._members) < len(self._zip.infolist()):
            raise ArchiveError("holds a member twice")
        self._left = _limit(ARRAY_BYTES, self._size)
        self._digests: Mapping[str, str] = {}
        if "header.npy" not in self._members:
            raise ArchiveError("was not written by dbgsom-core: it has no header")
        if self._members["header.npy"].file_size > _limit(HEADER_BYTES, self._size):
            raise ArchiveError("has a header larger than any model needs")
        text = self.take("header").tobytes()
        digest = hashlib.sha256(text).digest()
        if "digest.npy" in self._members and self.take("digest").tobytes() != digest:
            raise ArchiveError("is damaged: its header is not the one that was written")
        self.header: dict[str, Any] = json.loads(text)
        self._digests = self.header.pop("digests", {})

    def take(self, name: str) -> NDArray[Any]:
        """Return the array of this name, which no other name in the header may share."""
        member = self._members.pop(f"{name}.npy", None)
        if member is None:
            raise ArchiveError(f"has no array {name!r}, or names it twice")
        self._left -= member.file_size
        if self._left < 0:
            limit = _limit(ARRAY_BYTES, self._size)
            raise ArchiveError(f"would unpack to more than {limit} bytes, which no model does")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArchiveError(f"packs {name!r} in a way that models do not use")
        with self._zip.open(member) as stream:
            start = stream.read(len(_MAGIC) + 2)
            header = _NPY.fullmatch(stream.read(int.from_bytes(start[-2:], "little")))
            if start[:-2] != _MAGIC or header is None:
                raise ArchiveError(f"holds {name!r}, which is no array of plain values")
            dtype, order = np.dtype(header[1].decode()), "F" if header[2] == b"True" else "C"
            shape = tuple(int(n) for n in header[3].decode().split(", ") if n)
            size = math.prod(shape) * dtype.itemsize
            if size != member.file_size - stream.tell():
                raise ArchiveError(f"says that {name!r} has shape {shape}, unlike its size")
            content = np.empty(size, dtype=np.uint8)
            if stream.readinto(content.data) < size or stream.read(1):  # type: ignore[attr-defined]
                raise ArchiveError(f"is cut short within {name!r}")
        array: NDArray[Any] = content.view(dtype).reshape(shape, order=order)  # type: ignore[call-overload]
        if self._digests.get(name, digest := _digest(array)) != digest:
            raise ArchiveError(f"holds another array {name!r} than was written: it is damaged")
        array = array.astype(dtype.newbyteorder("="), copy=False)
        largest = {"U": 0x10FFFF, "b": 1}.get(dtype.kind)  # beyond which numpy itself fails
        if largest is not None:
            codes = array.ravel(order="K").view(np.uint8 if dtype.kind == "b" else np.uint32)
            if codes.max(initial=0) > largest:
                raise ArchiveError(f"holds {name!r}, whose bytes are no {dtype.name}")
        return array


@contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """Open a file that `write_archive` wrote; whatever is wrong with it is an `ArchiveError`."""
    with open_regular(path) as file, any_error_as_archive_error():
        yield Archive(file)


@contextmanager
def any_error_as_archive_error() -> Iterator[None]:
    """Raise `ArchiveError` for all that zip, zlib, JSON, numpy and classes make of a wrong file."""
    try:
        yield
    except (ArchiveError, DbgsomError, Warning):
        raise
    except Exception as error:
        why = one_line(f"{type(error).__name__}: {error}")
        raise ArchiveError(
            f"is damaged or cut short, or nothing that this version can read ({why})"
        ) from error


def one_line(message: object) -> str:
    """Return a message that may repeat what a file holds: printable, in 500 characters."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(message))
    return text if len(text) <= 500 else f"{text[:499]}…"


def _limit(line: tuple[int, int], size: int) -> int:
    return line[0] + line[1] * size


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    return digest.hexdigest()
