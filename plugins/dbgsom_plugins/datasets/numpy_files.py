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

from dbgsom_core.api import Data, DataError, DatasetComponent, available_memory, open_regular
from dbgsom_core.errors import did_you_mean
from dbgsom_core.tables import reading
from dbgsom_plugins.datasets._arrays import (
    IMAGE_SHAPE,
    MISSING,
    ImageShape,
    Missing,
    as_images,
    samples,
    targets,
)

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_LISTED = 20  # names in a message: about three lines


class Npy(DatasetComponent):
    """Samples in a .npy file, and targets in another.

    The samples are an array (samples, features). float32 stays float32, other numbers become
    float64. The engine dask leaves the samples in their file.
    """

    path: str = Field(min_length=1, description="file with the samples, (samples, features)")
    target_path: str | None = Field(
        default=None, min_length=1, description="file with the targets, (samples,); null: none"
    )
    missing: Missing = Field(default="error", description=MISSING)
    mapped: bool | None = Field(
        default=None,
        description="leave the samples in their file; null: where the engine is dask, or they are "
        "larger than half of the memory",
    )
    image_shape: ImageShape = Field(default=None, description=IMAGE_SHAPE)

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        path = Path(folder) / "samples.npy"
        np.save(path, np.sqrt(np.arange(12.0)).reshape(4, 3))
        return {"path": str(path)}

    def load(self) -> Data:
        stored = _read_npy(self.path, self.mapped)
        X = samples(stored, self.path, self.missing)
        if not isinstance(stored, np.memmap):
            return self._with_targets(X)
        if not _can_stay(stored):
            raise DataError(
                f"{self.path} is not of float32 or float64 row by row, as what is mapped must be: "
                "save numpy.ascontiguousarray(X, dtype='float32'), or set mapped: false"
            )
        return self._with_targets(stored)

    def opened(self) -> Data | None:
        """Return the samples where they are, their values not looked at; None: they are loaded."""
        if self.mapped is False or self.missing == "keep":
            return None
        X = _read_npy(self.path, mapped=True)
        if X.ndim != 2 or not X.size or not _can_stay(X):
            return None
        return self._with_targets(X)

    def _with_targets(self, X: NDArray[Any]) -> Data:
        y = None
        if self.target_path is not None:
            y = targets(_read_npy(self.target_path), len(X), self.target_path)
        return as_images(Data(X, y), self.image_shape, self.path)


class Npz(DatasetComponent):
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
        path = Path(folder) / "samples.npz"
        np.savez(path, X=np.sqrt(np.arange(12.0)).reshape(4, 3), y=np.arange(4) % 2)
        return {"path": str(path)}

    def load(self) -> Data:
        file, y, ids = Path(self.path).expanduser(), None, {}
        with (
            reading(self.path, ".npz archive"),
            open_regular(file) as stream,
            zipfile.ZipFile(stream) as archive,
        ):
            X = samples(self._array(archive, self.x), self._where(self.x), self.missing)
            is_default = self.y == "y"
            if self.y is not None and not (is_default and "y.npy" not in archive.namelist()):
                y = self._targets(archive, self.y, len(X))
            for name in self.ids:
                ids[name] = self._targets(archive, name, len(X))
        data = Data(X, y, ids=ids or None)
        return as_images(data, self.image_shape, self._where(self.x))

    def _array(self, archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if name not in names:
            listed = ", ".join(names[:_LISTED]) or "none"
            if len(names) > _LISTED:
                listed += ", …"
            hint = did_you_mean(name, names)
            raise DataError(f"{self.path} has no array '{name}'{hint} (it holds: {listed})")
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as stream:
            _check_header(stream, member.file_size, self._where(name), available_memory())
            return np.asarray(npy.read_array(stream, allow_pickle=False))

    def _targets(self, archive: zipfile.ZipFile, name: str, n_samples: int) -> NDArray[Any]:
        return targets(self._array(archive, name), n_samples, self._where(name))

    def _where(self, name: str) -> str:
        return f"{self.path}, array '{name}'"


def _can_stay(X: NDArray[Any]) -> bool:
    return X.dtype in _FLOATS and X.flags.c_contiguous


def _read_npy(path: str, mapped: bool | None = False) -> NDArray[Any]:
    """Return the array of a file, mapped; None: where it is larger than half of the memory."""
    file = Path(path).expanduser()
    with reading(path, ".npy file"), open_regular(file) as stream:
        size, most = os.fstat(stream.fileno()).st_size, available_memory()
        if mapped is None:
            mapped = size > most / 2
        _check_header(stream, size, path, math.inf if mapped else most)
        if mapped:
            return np.asanyarray(np.load(file, mmap_mode="r", allow_pickle=False))
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _check_header(stream: IO[bytes], size: int, where: str, most: float) -> None:
    """Refuse an array that its ``size`` bytes cannot hold, before memory is taken for it."""
    read_header = npy.read_array_header_2_0
    if npy.read_magic(stream) == (1, 0):
        read_header = npy.read_array_header_1_0
    shape, _, dtype = read_header(stream)
    left = size - stream.tell()
    stream.seek(0)
    needed = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise DataError(
            f"{where} holds Python objects, which need pickle: save it as numbers or text"
        )
    if dtype.itemsize == 0 or needed > left:
        raise DataError(
            f"{where} says that it holds {shape} values of {dtype}, which its {size} bytes do not: "
            "it is damaged or cut short, save it again"
        )
    if needed > most:
        raise DataError(f"{where} has {needed} bytes, more than this machine has memory")
