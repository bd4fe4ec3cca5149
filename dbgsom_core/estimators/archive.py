"""Write arrays and a JSON header to one zip, and read it with bounds on memory.

Nothing is allocated before its size was compared with what the file can hold: a member with its
declared shape and dtype, all members and the header with the length of the file. Arrays are read
when they are asked for, each once. Digests tell damage; whoever writes a file on purpose can write
those, too.
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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.tables._files import open_regular, write_atomically

# How many bytes a file of n bytes may unpack to: so many in any case, and so many times n.
ARRAY_BYTES = (1 << 26, 100)
HEADER_BYTES = (1 << 20, 4)
_MAGIC = b"\x93NUMPY\x01\x00"
_NPY = re.compile(
    rb"\{'descr': '([<>|][biufSUMm][1-9]\d{0,8}(?:\[\w+\])?)', 'fortran_order': (False|True), "
    rb"'shape': \((\d{0,18}(?:, \d{1,18}){0,3}),?\), \} *\n"
)


class UnfitError(ValueError):
    """What a model or its file is, does or lacks, as a sentence that begins after its name."""


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
        if unpacked > _most(ARRAY_BYTES, size) or len(text) > _most(HEADER_BYTES, size):
            with partial.open("wb") as file:  # so regular that a reader would take it for a bomb
                np.savez(file, **members)  # type: ignore[arg-type]

    write_atomically(path, write)


class Archive:
    """An open file of header and arrays."""

    def __init__(self, file: zipfile.ZipFile, size: int) -> None:
        self._file, self._size = file, size
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in file.infolist():
            if member.filename in self._members:
                raise UnfitError(f"holds {member.filename!r} twice")
            self._members[member.filename] = member
        self._left = _most(ARRAY_BYTES, size)
        self._digests: Mapping[str, str] | None = None
        self.header = self._read_header()

    def take(self, name: str) -> NDArray[Any]:
        """Return the array of this name, once; `UnfitError` where it is not what was written."""
        member = self._members.pop(f"{name}.npy", None)
        if member is None:
            raise UnfitError(f"has no array {name!r}, or names it twice")
        with _errors_as_damage():
            array = self._read_array(member)
        if self._digests is not None and self._digests.get(name) != _digest(array):
            raise UnfitError(f"holds another array {name!r} than was written: it is damaged")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        flat = array.ravel(order="K")
        if array.dtype.kind == "U" and array.size and flat.view(np.uint32).max() > 0x10FFFF:
            raise UnfitError(f"holds text in {name!r} that is none")
        if array.dtype.kind == "b" and array.size and flat.view(np.uint8).max() > 1:
            raise UnfitError(f"holds flags in {name!r} that are neither 0 nor 1")
        return array

    def _read_header(self) -> dict[str, Any]:
        member = self._members.pop("header.npy", None)
        if member is None:
            raise UnfitError("was not written by dbgsom-core: it has no header")
        if member.file_size > _most(HEADER_BYTES, self._size):
            raise UnfitError(f"has a header of {member.file_size} bytes, which no model needs")
        text = self._read_array(member).tobytes()
        digest = self._members.pop("digest.npy", None)
        sha = hashlib.sha256(text).digest()
        if digest is not None and self._read_array(digest).tobytes() != sha:
            raise UnfitError("is damaged: its header is not the one that was written")
        header = json.loads(text.decode())
        if not isinstance(header, dict):
            raise UnfitError("was not written by dbgsom-core: its header is no mapping")
        digests = header.pop("digests", None)
        self._digests = None if digests is None else dict(digests)
        return header

    def _read_array(self, member: zipfile.ZipInfo) -> NDArray[Any]:
        name = member.filename
        self._left -= member.file_size
        if self._left < 0:
            raise UnfitError(
                f"would unpack to more than {_most(ARRAY_BYTES, self._size)} bytes of arrays, "
                f"which no model of {self._size} bytes does"
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnfitError(f"packs {name!r} in a way that models do not use")
        with self._file.open(member) as stream:
            start = stream.read(len(_MAGIC) + 2)
            length = int.from_bytes(start[-2:], "little")
            npy = _NPY.fullmatch(stream.read(length)) if start[:-2] == _MAGIC else None
            if npy is None:
                raise UnfitError(f"holds {name!r}, which is no array of plain values")
            dtype = np.dtype(npy[1].decode())
            shape = tuple(int(n) for n in npy[3].decode().split(", ") if n)
            size = math.prod(shape) * dtype.itemsize
            if size != member.file_size - len(start) - length:
                raise UnfitError(
                    f"says that {name!r} is of {dtype} and shape {shape}, which its size does not "
                    "fit"
                )
            content = np.empty(size, dtype=np.uint8)
            filled = stream.readinto(content.data)  # type: ignore[attr-defined]
            if filled < size or stream.read(1):
                raise UnfitError(f"is cut short within {name!r}")
        return content.view(dtype).reshape(shape, order="F" if npy[2] == b"True" else "C")


@contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """Open a file that `write_archive` wrote; `UnfitError` where it is damaged, or another one."""
    with open_regular(path) as file:
        with _errors_as_damage():
            archive = Archive(zipfile.ZipFile(file), os.fstat(file.fileno()).st_size)
        yield archive


@contextmanager
def _errors_as_damage() -> Iterator[None]:
    # A damaged byte can make zip, zlib, JSON and numpy raise anything.
    try:
        yield
    except UnfitError:
        raise
    except Exception as error:
        raise UnfitError(f"is damaged or cut short, or no model file: {one_line(error)}") from error


def one_line(message: object) -> str:
    """Return a text, or that of an error, fit to be shown though it repeats what is in a file."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(message))
    return text if len(text) <= 500 else f"{text[:499]}…"


def _most(limits: tuple[int, int], size: int) -> int:
    return limits[0] + limits[1] * size


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    return digest.hexdigest()
