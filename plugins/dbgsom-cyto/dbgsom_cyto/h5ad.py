"""h5ad files of AnnData (Virshup et al. 2024): a data set, and a table with answers in obs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from dbgsom_core.api import Component, Data, DataError, open_regular
from dbgsom_core.tables import Columns, TableFormat, TableReader, as_array, as_batch, reading

_MOST = 8 << 30  # bytes of a dense matrix
_OBS = "obs_names"  # column of the names of observations

Names = Annotated[
    str | tuple[str, ...],
    BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given),
]


class H5ad(Component):
    """Observations of an h5ad file (AnnData), each a sample; needs ``dbgsom-cyto[h5ad]``.

    Features are variables of ``X`` or of a layer, or the columns of an ``obsm``, as ``X_pca.0``. A
    layer's are called ``LAYER.NAME``. A sparse matrix becomes a dense one.
    """

    path: str = Field(min_length=1, examples=["cells.h5ad"], description="the file")
    layer: str | None = Field(default=None, description="a layer in place of X")
    obsm: str | None = Field(default=None, description="an entry of obsm in place of X: X_pca")
    variables: Names | None = Field(
        default=None, description="names of variables that become features; null: all"
    )
    target: str | None = Field(
        default=None, description="column of obs that holds the class, or a number, to predict"
    )
    id: Names = Field(default=(), description="columns of obs that identify a sample")
    annotations: Names = Field(
        default=(), description="columns of obs that are kept beside each sample: batch, donor"
    )

    def load(self) -> Data:
        """Return the observations as samples; the names of the observations are an id.

        Raises
        ------
        DataError
            The file is missing or damaged, has not what is named, is too large when it is dense,
            or anndata is not installed.
        """
        if self.layer is not None and self.obsm is not None:
            raise DataError("layer and obsm are both in place of X: leave one out")
        with _opened(self.path) as file:
            matrix = _Matrix.of(file, self.path, self.layer, self.obsm)
            names = matrix.names
            if self.variables is not None:
                plain = dict(zip(matrix.plain, names, strict=True)) | {name: name for name in names}
                names = [plain[_known(one, plain, self.path)] for one in _several(self.variables)]
            places = [matrix.names.index(name) for name in names]
            X = matrix.read(self.path, slice(None))[:, places]
            obs = _elements(file["obs"])
        ids, beside = _several(self.id), _several(self.annotations)
        for name in (*ids, *beside, *(() if self.target is None else (self.target,))):
            _known(name, obs.columns, self.path)
        columns = Columns(
            tuple(names),
            target=self.target,
            ids=(_OBS, *ids),
            dropped=tuple(str(one) for one in obs.columns if one not in (*ids, self.target)),
            dtype=str(X.dtype),
            annotations=beside,
        )
        kept = {name: _plain(obs[name]) for name in (*ids, *beside)}
        return Data(
            np.ascontiguousarray(X),
            None if self.target is None else _plain(obs[self.target]),
            feature_names=names,
            columns=columns,
            ids={_OBS: _plain(obs.index.to_series())} | {name: kept[name] for name in ids},
            annotations={name: kept[name] for name in beside},
        )

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        from anndata import AnnData

        rng = np.random.default_rng(0)
        table = AnnData(rng.normal(size=(30, 3)).astype(np.float32))
        table.var_names = ["CD3", "CD4", "CD8"]
        table.obs["gate"] = np.array(["T cell", "B cell"])[np.arange(30) % 2]
        path = Path(folder) / "cells.h5ad"
        table.write_h5ad(path)
        return {"path": str(path), "target": "gate"}


@contextmanager
def _opened(path: str, mode: str = "r") -> Iterator[Any]:
    """Open an h5ad file; raise `DataError` for what is none, also while it is read."""
    try:
        import anndata  # noqa: F401
        import h5py
    except ImportError:
        cure = 'pip install "dbgsom-cyto[h5ad]"'
        raise DataError(f"{path}: h5ad files need the package anndata: {cure}") from None
    place = Path(path).expanduser()
    with reading(path, "h5ad file"):
        open_regular(place).close()
        with h5py.File(place, mode) as file:
            if "obs" not in file or "var" not in file:
                raise DataError(f"{path} is no h5ad file: it holds no obs and var")
            yield file


def _elements(group: Any) -> Any:
    from anndata.io import read_elem

    return read_elem(group)


@dataclass(frozen=True)
class _Matrix:
    """A matrix of an h5ad file: an element, its shape, and the names of its columns."""

    element: Any
    shape: tuple[int, int]
    names: list[str]
    plain: list[str]  # names of variables

    @classmethod
    def of(cls, file: Any, path: str, layer: str | None, obsm: str | None) -> _Matrix:
        entry = ("layers", layer) if layer else ("obsm", obsm) if obsm else ("", "X")
        held = file.get(entry[0], {}) if entry[0] else file
        element = held.get(entry[1])
        if element is None:
            known = ", ".join([*held]) if entry[0] else "choose a layer or an obsm"
            what = f"'{entry[1]}' among its {entry[0]}" if entry[0] else "X"
            raise DataError(f"{path} has no {what} ({known or 'it has none'})")
        sparse = "shape" in element.attrs and not hasattr(element, "dtype")
        shape = tuple(element.attrs["shape"] if sparse else getattr(element, "shape", ()))
        if len(shape) != 2:
            raise DataError(f"{path}: {entry[1]} is no table of numbers: choose another one")
        if obsm:
            plain = [str(i) for i in range(shape[1])]
        else:
            plain = [str(name).strip() for name in _elements(file["var"]).index]
        names = plain if not layer and not obsm else [f"{entry[1]}.{name}" for name in plain]
        if len(names) != shape[1] or len({*names}) < len(names):
            raise DataError(f"{path}: the names of variables must be different, one a column")
        return cls(element, (int(shape[0]), int(shape[1])), names, plain)

    def read(self, path: str, rows: slice) -> NDArray[np.floating[Any]]:
        """Return rows (m, D) as a dense matrix of floats."""
        from anndata.io import sparse_dataset

        start, stop, _ = rows.indices(self.shape[0])
        size = (stop - start) * self.shape[1] * 4
        if size > _MOST:
            shape = f"{self.shape[0]} x {self.shape[1]}"
            raise DataError(
                f"{path}: its matrix of {shape} would take {size / 1e9:.0f} GB, more than "
                f"{_MOST / 1e9:.0f}: choose an obsm such as X_pca, or write a smaller file"
            )
        if hasattr(self.element, "dtype"):
            part = self.element[rows]
        else:
            part = sparse_dataset(self.element)[rows].toarray()
        return np.asarray(part, dtype=np.float32 if part.dtype == np.float32 else np.float64)


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _known(name: str, names: Any, path: str) -> str:
    if name not in names:
        near = get_close_matches(name, [*map(str, names)], 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(f"{path} has no '{name}'{hint}")
    return name


def _plain(column: Any) -> NDArray[Any]:
    """Return a column of obs (n,) as numbers or texts, None for what is missing."""
    if column.dtype.kind in "biuf":
        return np.asarray(column)
    texts = column.astype(object)
    return np.array(
        [None if gap else str(cell) for cell, gap in zip(texts, column.isna(), strict=True)],
        dtype=object,
    )


# ------------------------------------------------------------------------------------- a table


@dataclass
class H5adReader(TableReader):
    """Observations as a table: X, the layers and obsm by names of their own, obs, and its names."""

    matrices: Sequence[tuple[str | None, str | None, int]] = ()  # layer, obsm, columns

    @classmethod
    def open(cls, path: str) -> H5adReader:
        with _opened(path) as file:
            obs = _elements(file["obs"])
            entries = [(None, None)] if "X" in file else []
            entries += [(name, None) for name in file.get("layers", {})]
            entries += [(None, name) for name in file.get("obsm", {})]
            names, matrices = [], []
            for layer, obsm in entries:
                try:
                    found = _Matrix.of(file, path, layer, obsm)
                except DataError:
                    continue  # a data frame in obsm, say
                names += found.names
                matrices.append((layer, obsm, len(found.names)))
        names = [*names, _OBS, *map(str, obs.columns)]
        types = [pa.float64()] * (len(names) - len(obs.columns)) + [
            pa.from_numpy_dtype(kind) if kind.kind in "biuf" else pa.string() for kind in obs.dtypes
        ]
        file_path = Path(path).expanduser()
        return cls(path, "h5ad", names, types, len(obs), files=[file_path], matrices=matrices)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        with _opened(self.path) as file:
            obs = _elements(file["obs"])
            beside = {_OBS: obs.index.to_series()} | {str(name): obs[name] for name in obs}
            columns = {name: _plain(column) for name, column in beside.items()}
            for start in range(0, len(obs), rows):
                part = slice(start, min(start + rows, len(obs)))
                cells = {name: column[part] for name, column in columns.items()}
                first, found = 0, dict[int, Any]()
                for layer, obsm, width in self.matrices:
                    chosen = [place for place in places if first <= place < first + width]
                    if chosen:
                        matrix = _Matrix.of(file, self.path, layer, obsm).read(self.path, part)
                        found |= {place: matrix[:, place - first] for place in chosen}
                    first += width
                named = {
                    str(place): found[place] if place in found else cells[self.names[place]]
                    for place in places
                }
                yield as_batch(named)


class H5adWriter:
    """Writer of columns into obs of a copy of an h5ad file, or of a new one without a matrix."""

    def __init__(self, path: Path, schema: pa.Schema, source: str | None = None) -> None:
        self._path, self._source, self._schema = path, source, schema
        self._batches: list[pa.RecordBatch] = []
        self.write_batch = self._batches.append

    def close(self) -> None:
        if sys.exception() is not None:  # what raised is told; there is nothing to write
            return
        from anndata import AnnData
        from anndata.io import write_elem

        table = pa.Table.from_batches(self._batches, self._schema)
        new = {name: _obs_column(name, table[name]) for name in table.column_names if name != _OBS}
        if self._source is None:
            import pandas as pd

            index = [str(i) for i in range(len(table))]
            AnnData(obs=pd.DataFrame(new, index=index)).write_h5ad(self._path)
            return
        shutil.copyfile(Path(self._source).expanduser(), self._path)
        with _opened(str(self._path), "r+") as file:
            obs = _elements(file["obs"])
            if len(obs) != len(table):
                raise DataError(
                    f"{self._source} has {len(obs)} observations, and the answers are for "
                    f"{len(table)}: write them to a .csv file"
                )
            for name, column in new.items():
                if name not in obs or not _same(obs[name], column):  # what was carried along stays
                    obs[name] = column
            write_elem(file, "obs", obs)


def _same(held: Any, column: Any) -> bool:
    texts = [[str(cell) for cell in cells] for cells in (_plain(held).tolist(), column)]
    return texts[0] == texts[1]


def _obs_column(name: str, column: Any) -> Any:
    """Return a column as obs holds it: texts and labels as categories, as scanpy colours them."""
    import pandas as pd

    plain = as_array(column)
    if name == "label" or pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type):
        return pd.Categorical(plain.to_pylist())
    return plain.to_numpy(zero_copy_only=False)


FORMAT = TableFormat(
    "h5ad",
    (".h5ad",),
    H5adReader.open,
    H5adWriter,
    lambda path, schema, source: H5adWriter(path, schema, source),
)
