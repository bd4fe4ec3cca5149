"""Arrays in NumPy's own file formats, read without pickle."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import Component, Data, DataError, open_regular
from dbgsom_core.errors import did_you_mean
from dbgsom_core.tables import reading
from dbgsom_core.tables._files import check_written, unpacked_most
from dbgsom_plugins.datasets._arrays import (
    IMAGE_SHAPE,
    MISSING,
    ImageShape,
    Missing,
    as_images,
    samples,
    targets,
)
from dbgsom_plugins.engines.memory import memory

_NPY_START = b"\x93NUMPY"
_ZIP_START = b"PK"
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_SHOWN = 20  # names that a message lists


class Npy(Component):
    """Samples in a .npy file, and targets in another.

    The samples are an array (samples, features). float32 stays float32, other numbers become
    float64. A file that is mapped is not read before training, which an engine may do in blocks.
    """

    path: str = Field(min_length=1, description="file with the samples, (samples, features)")
    target_path: str | None = Field(
        default=None, min_length=1, description="file with the targets, (samples,); null: none"
    )
    missing: Missing = Field(default="error", description=MISSING)
    mapped: bool | None = Field(
        default=None,
        description="leave the samples in their file, so that they may be larger than memory; "
        "null: where they are larger than half of it, or the engine reads in blocks",
    )
    image_shape: ImageShape = Field(default=None, description=IMAGE_SHAPE)

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        """Write samples into a folder, and return the fields that read them."""
        path = Path(folder) / "samples.npy"
        np.save(path, np.sqrt(np.arange(12.0)).reshape(4, 3))
        return {"path": str(path)}

    def load(self) -> Data:
        """Return the samples, and the targets where a file was given.

        Raises
        ------
        DataError
            A file is missing, damaged or needs pickle, or the arrays are no samples and targets.
        """
        if not self._is_mapped:
            return self._with_targets(samples(_read_npy(self.path), self.path, self.missing))
        X = _mapped(self.path)
        looked_at = samples(X, self.path, self.missing)
        if looked_at.dtype != X.dtype or not X.flags.c_contiguous:
            raise DataError(
                f"{self.path} is not of float32 or float64 row by row, as what is mapped must be: "
                "save numpy.ascontiguousarray(X, dtype='float32'), or set mapped: false"
            )
        return self._with_targets(X)

    def opened(self) -> Data | None:
        """Return the samples where they are, their values not looked at; None: they are loaded."""
        if self.mapped is False or self.missing == "keep":
            return None
        X = _mapped(self.path)
        if X.ndim != 2 or X.size == 0 or X.dtype not in _FLOATS or not X.flags.c_contiguous:
            return None
        return self._with_targets(X)

    def _with_targets(self, X: NDArray[Any]) -> Data:
        y = None
        if self.target_path is not None:
            y = targets(_read_npy(self.target_path), len(X), self.target_path)
        return as_images(Data(X, y), self.image_shape, self.path)

    @property
    def _is_mapped(self) -> bool:
        if self.mapped is None:
            return _existing(self.path, fits=False).stat().st_size > memory() / 2
        return self.mapped


class Npz(Component):
    """Samples and targets in a .npz archive.

    float32 stays float32, other numbers become float64.
    """

    path: str = Field(min_length=1, description="the archive")
    x: str = Field(default="X", description="name of the samples in it, (samples, features)")
    y: str | None = Field(
        default="y",
        description="name of the targets in it, (samples,); null: none. An archive without the "
        "default 'y' has no targets",
    )
    ids: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="names of arrays in it that say what each sample belongs to, (samples,)",
    )
    missing: Missing = Field(default="error", description=MISSING)
    image_shape: ImageShape = Field(default=None, description=IMAGE_SHAPE)

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        """Write an archive into a folder, and return the fields that read it."""
        path = Path(folder) / "samples.npz"
        np.savez(path, X=np.sqrt(np.arange(12.0)).reshape(4, 3), y=np.arange(4) % 2)
        return {"path": str(path)}

    def load(self) -> Data:
        """Return the samples, and the targets where the archive has them.

        Raises
        ------
        DataError
            The archive is missing or damaged, lacks an array, or an array is no samples or targets.
        """
        file = _existing(self.path)
        if _first_bytes(file).startswith(_NPY_START):
            raise DataError(f"{self.path} is a .npy file: read it with the data set 'npy'")
        check_written(file, self.path)
        try:
            with zipfile.ZipFile(file) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
        except Exception:  # a damaged byte makes zipfile raise anything
            raise DataError(
                f"{self.path} is no .npz archive or is cut short: save it again with numpy.savez"
            ) from None
        where = f"{self.path}, array '{self.x}'"
        X = samples(self._array(file, self.x, names), where, self.missing)
        y = None
        if self.y is not None and (self.y != "y" or "y" in names):
            y = targets(self._array(file, self.y, names), len(X), f"{self.path}, array '{self.y}'")
        ids = {
            one: targets(self._array(file, one, names), len(X), f"{self.path}, array '{one}'")
            for one in self.ids
        }
        return as_images(Data(X, y, ids=ids or None), self.image_shape, where)

    def _array(self, file: Path, name: str, names: list[str]) -> NDArray[Any]:
        if name not in names:
            listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "") or "none"
            raise DataError(
                f"{self.path} has no array '{name}'{did_you_mean(name, names)} (it holds: {listed})"
            )
        where = f"{self.path}, array '{name}'"
        try:
            with zipfile.ZipFile(file) as archive:
                member = archive.getinfo(f"{name}.npy")
                size, most = member.file_size, unpacked_most(file.stat().st_size)
                if size > most:
                    raise DataError(
                        f"{where} would unpack to {size} bytes, more than {most}: "
                        "save it with numpy.savez, which packs nothing"
                    )
                with archive.open(member) as stream:
                    return _array(stream, size, where)
        except DataError:
            raise
        except Exception as error:
            raise _unreadable(where, error) from None


def _mapped(path: str) -> NDArray[Any]:
    file = _npy_file(path, fits=False)
    check_written(file, path)
    try:
        with open_regular(file) as stream:
            _header(stream, file.stat().st_size, path)
        X: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from None
    return X


def _read_npy(path: str) -> NDArray[Any]:
    file = _npy_file(path)
    check_written(file, path)
    try:
        with open_regular(file) as stream:
            return _array(stream, file.stat().st_size, path)
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from None


def _existing(path: str, fits: bool = True) -> Path:
    """Return the path of a file that exists, is not empty and, without ``fits=False``, fits."""
    with reading(path, "file"):
        file = Path(path).expanduser()
        with open_regular(file) as stream:
            size = os.fstat(stream.fileno()).st_size
    if not size:
        raise DataError(f"{path} is empty: give a file with data")
    if fits and size > memory():
        raise DataError(
            f"{path} has {size} bytes, more than this machine has memory: give a part of it"
        )
    return file


def _npy_file(path: str, fits: bool = True) -> Path:
    file = _existing(path, fits)
    start = _first_bytes(file)
    if start.startswith(_ZIP_START):
        raise DataError(f"{path} is a .npz archive: read it with the data set 'npz'")
    if not start.startswith(_NPY_START):
        raise DataError(f"{path} is no .npy file: save the array with numpy.save")
    return file


def _array(stream: IO[bytes], size: int, where: str) -> NDArray[Any]:
    needed = _header(stream, size, where)
    if needed > memory():
        raise DataError(f"{where} has {needed} bytes, more than this machine has memory")
    stream.seek(0)
    return np.asarray(npy.read_array(stream, allow_pickle=False))


def _header(stream: IO[bytes], size: int, where: str) -> int:
    # How many bytes the array takes; nothing is allocated before that is compared with what is
    # there.
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    needed = math.prod(shape) * dtype.itemsize
    if dtype.itemsize == 0 or (needed > size and not dtype.hasobject):
        raise DataError(
            f"{where} says that it holds {shape} values of {dtype}, which its {size} bytes do not: "
            "it is damaged or cut short, save it again"
        )
    return needed


def _first_bytes(file: Path) -> bytes:
    with open_regular(file) as stream:
        return stream.read(len(_NPY_START))


def _unreadable(where: str, error: BaseException) -> DataError:
    if isinstance(error, MemoryError):
        return DataError(f"{where} does not fit in memory: save fewer rows or use float32")
    if "allow_pickle" in str(error):
        return DataError(
            f"{where} holds Python objects, which need pickle: save it as numbers or text"
        )
    return DataError(f"{where} is damaged or cut short: save it again")
