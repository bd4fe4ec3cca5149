"""Arrays and a JSON header in one zip, read so that a file costs no more than it is worth.

Nothing is allocated before its size was compared with what the file can hold: a member with its
declared shape and dtype, all members and the header with the file's own length. Arrays are read
when they are asked for, each once. Digests tell damage; who writes a file on purpose can write
those, too.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.tables._files import nests_deeper, open_regular, write_atomically

# How many bytes a file of n bytes may unpack to: so many in any case, and so many times n.
ARRAY_BYTES = (1 << 26, 100)
HEADER_BYTES = (1 << 20, 4)
NESTING = 200  # lists and mappings within each other in the header; a child map takes three
_CHUNK = 1 << 20
_MAGIC = b"\x93NUMPY\x01\x00"
_NPY = re.compile(
    rb"\{'descr': '([<>|][biufSUMm][1-9]\d{0,8}(?:\[\w+\])?)', 'fortran_order': (False|True), "
    rb"'shape': \((\d{0,18}(?:, \d{1,18}){0,3}),?\), \} *\n"
)


def write_archive(
    path: Path,
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    check_size: Callable[[int], None],
) -> None:
    """Write header and arrays to ``path``; an older file stays until the new one is whole.

    ``check_size`` gets the size of the new file and raises where that does not do.
    """
    _check_nesting(header)
    digests = {name: _digest(_declared(array), array) for name, array in arrays.items()}
    text = json.dumps({**header, "digests": digests}).encode()
    digest = np.frombuffer(hashlib.sha256(text).digest(), dtype=np.uint8)
    members = {**arrays, "header": np.frombuffer(text, dtype=np.uint8), "digest": digest}

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez_compressed(file, **members)  # type: ignore[arg-type]
        size = partial.stat().st_size
        whole = sum(array.nbytes for array in arrays.values())
        if whole > _room(ARRAY_BYTES, size) or len(text) > _room(HEADER_BYTES, size):
            with partial.open("wb") as file:  # so regular that no reader would believe it
                np.savez(file, **members)  # type: ignore[arg-type]
        check_size(partial.stat().st_size)

    write_atomically(path, write)


class UnfitError(ValueError):
    """What a model or its file is, does or lacks, as a sentence that begins after its name."""


class Archive:
    """An open file of header and arrays."""

    def __init__(self, file: zipfile.ZipFile, size: int) -> None:
        self._file = file
        self.size = size
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in file.infolist():
            if member.filename in self._members:
                raise UnfitError(f"holds {member.filename!r} twice")
            self._members[member.filename] = member
        self._left = _room(ARRAY_BYTES, size)
        self._digests: Mapping[str, str] | None = None
        self.header = self._read_header()

    def take(self, name: str) -> NDArray[Any]:
        """Return the array of this name; each can be had once.

        Raises
        ------
        UnfitError
            There is none (any more), or it is not what it is said to be.
        """
        member = self._members.pop(f"{name}.npy", None)
        if member is None:
            raise UnfitError(f"has no array {name!r}, or names it twice")
        self._left -= member.file_size
        if self._left < 0:
            raise UnfitError(
                f"would unpack to more than {_room(ARRAY_BYTES, self.size)} bytes of arrays, which "
                f"no model of {self.size} bytes does"
            )
        with _told_as_damage():
            declared, array = self._array(member)
        if self._digests is not None and self._digests.get(name) != _digest(declared, array):
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
        if member.file_size > _room(HEADER_BYTES, self.size):
            raise UnfitError(f"has a header of {member.file_size} bytes, which no model needs")
        text = self._array(member)[1].tobytes()
        told = self._members.pop("digest.npy", None)
        if told is not None:
            if told.file_size > 1 << 10:
                raise UnfitError("is damaged: its digest is none")
            if self._array(told)[1].tobytes() != hashlib.sha256(text).digest():
                raise UnfitError("is damaged: its header is not the one that was written")
        header = json.loads(text.decode(), object_pairs_hook=_without_doubles)
        if not isinstance(header, dict):
            raise UnfitError("was not written by dbgsom-core: its header is no mapping")
        _check_nesting(header)
        digests = header.pop("digests", None)
        self._digests = None if digests is None else dict(digests)
        return header

    def _array(self, member: zipfile.ZipInfo) -> tuple[str, NDArray[Any]]:
        # The array that a member holds, and its dtype and shape as they stand there.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnfitError(f"packs {member.filename!r} in a way that models do not use")
        with self._file.open(member) as stream:
            start = stream.read(len(_MAGIC) + 2)
            length = int.from_bytes(start[-2:], "little")
            told = _NPY.fullmatch(stream.read(length)) if start[:-2] == _MAGIC else None
            if told is None:
                raise UnfitError(f"holds {member.filename!r}, which is no array of plain values")
            dtype = np.dtype(told[1].decode())
            shape = tuple(int(n) for n in told[3].decode().split(", ") if n)
            size = math.prod(shape) * dtype.itemsize
            if size != member.file_size - len(start) - length:
                raise UnfitError(
                    f"says that {member.filename!r} is of {dtype} and shape {shape}, which its "
                    "size does not fit"
                )
            content = np.empty(size, dtype=np.uint8)
            filled = 0
            while filled < size and (chunk := stream.read(min(_CHUNK, size - filled))):
                content[filled : filled + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
                filled += len(chunk)
            if filled < size or stream.read(1):
                raise UnfitError(f"is cut short within {member.filename!r}")
        order = "F" if told[2] == b"True" else "C"
        array = content.view(dtype).reshape(shape, order=order)  # type: ignore[call-overload]
        return f"{told[1].decode()} {shape}", array


@contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """Open a file that `write_archive` wrote.

    Raises
    ------
    FileNotFoundError
    UnfitError
        The file is damaged, or no such file.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # reading another kind might never end
        raise UnfitError("is no regular file")
    with ExitStack() as stack:
        with _told_as_damage():
            file = stack.enter_context(open_regular(path))
            archive = Archive(stack.enter_context(zipfile.ZipFile(file)), path.stat().st_size)
        yield archive


@contextmanager
def _told_as_damage() -> Iterator[None]:
    # A damaged byte can make zip, zlib, JSON and numpy raise anything.
    try:
        yield
    except UnfitError:
        raise
    except Exception as error:
        raise UnfitError(f"is damaged or cut short, or no model file: {one_line(error)}") from error


def one_line(told: object) -> str:
    """Return a text, or that of an error, fit to be shown though it repeats what is in a file."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(told))
    return text if len(text) <= 500 else f"{text[:499]}…"


def _room(limits: tuple[int, int], size: int) -> int:
    return limits[0] + limits[1] * size


def _declared(array: NDArray[Any]) -> str:
    return f"{array.dtype.str} {array.shape}"


def _digest(declared: str, array: NDArray[Any]) -> str:
    found = hashlib.sha256(declared.encode())
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    return found.hexdigest()


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnfitError("names a key of its header twice")
    return found


def _check_nesting(header: Any) -> None:
    if nests_deeper(header, NESTING):
        raise UnfitError(f"nests more than {NESTING} lists and mappings in its header")
