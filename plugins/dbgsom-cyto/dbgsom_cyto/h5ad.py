"""h5ad files of AnnData (Virshup et al. 2024): a data set, and a table with answers in obs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import Component, Data, DataError, open_regular
from dbgsom_core.tables import Columns, TableFormat, TableReader, as_array, is_text, reading
from dbgsom_cyto.fcs import Names

_MOST = 8 << 30  # bytes of a dense matrix
_OBS = "obs_names"  # column of the names of observations


class H5ad(Component):
    """Observations of an h5ad file (AnnData), each a sample; needs ``dbgsom-cyto[h5ad]``.

    Features are the variables of ``X``; those of a layer are called ``layer.CD4``, the columns of
    an entry of obsm ``X_pca.0``. A sparse matrix becomes a dense one.
    """

    path: str = Field(min_length=1, examples=["cells.h5ad"], description="the file")
    layer: str | None = Field(default=None, description="a layer in place of X")
    obsm: str | None = Field(default=None, description="an entry of obsm in place of X: X_pca")
    variables: Names | None = Field(default=None, description="those that become features")
    target: str | None = Field(default=None, description="column of obs with classes or numbers")
    id: Names = Field(default=(), description="columns of obs that identify a sample")
    annotations: Names = Field(default=(), description="columns of obs that are kept beside")

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
        entry = f"layers/{self.layer}" if self.layer else f"obsm/{self.obsm}" if self.obsm else "X"
        reader = H5adReader.open(self.path)
        if entry not in reader.matrices:
            raise DataError(f"{self.path} has no {entry} (it has: {', '.join(reader.matrices)})")
        names = [reader.names[place] for place in reader.matrices[entry]]
        places = [*range(len(names))]
        if self.variables is not None:
            plain = [name.removeprefix(f"{entry.partition('/')[2]}.") for name in names]
            places = [plain.index(_known(one, plain, self.path)) for one in self.variables]
        with _opened(self.path) as file:
            X = np.ascontiguousarray(_dense(file[entry], slice(None), self.path)[:, places])
            kept = _columns_of_obs(file)
        for name in (*self.id, *self.annotations, *([self.target] if self.target else ())):
            _known(name, kept, self.path)
        features, ids = tuple(names[place] for place in places), (_OBS, *self.id)
        return Data(
            X,
            kept[self.target] if self.target else None,
            feature_names=features,
            columns=Columns(
                features,
                target=self.target,
                ids=ids,
                dropped=tuple(one for one in kept if one not in (*ids, self.target)),
                dtype=str(X.dtype),
                annotations=self.annotations,
            ),
            ids={name: kept[name] for name in ids},
            annotations={name: kept[name] for name in self.annotations},
        )

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        if find_spec("anndata") is None:
            raise SkipTest("anndata is not installed")
        import pandas as pd
        from anndata import AnnData

        X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
        obs = pd.DataFrame({"gate": ["T", "B"] * 15}, index=[f"cell {i}" for i in range(30)])
        path = Path(folder) / "cells.h5ad"
        AnnData(X, obs, pd.DataFrame(index=["CD3", "CD4", "CD8"])).write_h5ad(path)
        return {"path": str(path), "target": "gate"}


def _check_installed(path: object) -> None:
    if find_spec("anndata") is None:
        cure = 'pip install "dbgsom-cyto[h5ad]"'
        raise DataError(f"{path}: h5ad files need the package anndata: {cure}")


@contextmanager
def _opened(path: str, mode: str = "r") -> Iterator[Any]:
    """Open an h5ad file; raise `DataError` for what is none, also while it is read."""
    _check_installed(path)
    import h5py

    place = Path(path).expanduser()
    with reading(path, "h5ad file"):
        open_regular(place).close()
        with h5py.File(place, mode) as file:
            if "obs" not in file or "var" not in file:
                raise DataError(f"{path} is no h5ad file: it holds no obs and var")
            yield file


def _names(file: Any, entry: str, path: str) -> list[str]:
    """Return what the columns of a matrix are called; raise `DataError` where it is none."""
    from anndata.io import read_elem

    element, (kind, _, name) = file[entry], entry.partition("/")
    shape = tuple(element.attrs.get("shape", getattr(element, "shape", ())))
    if len(shape) != 2:
        raise DataError(f"{path}: {entry} is no table of numbers: choose another one")
    names = range(int(shape[1])) if kind == "obsm" else read_elem(file["var"]).index
    names = [f"{name}.{one}" if name else str(one).strip() for one in names]
    if not len(names) == len({*names}) == shape[1]:
        raise DataError(f"{path}: variables need names that differ, one for each column of {entry}")
    return names


def _dense(element: Any, rows: slice, path: str) -> NDArray[np.floating[Any]]:
    """Return rows (m, D) of a matrix, dense or sparse, as floats."""
    from anndata.io import sparse_dataset

    sparse = not hasattr(element, "dtype")
    n, d = (int(length) for length in (element.attrs["shape"] if sparse else element.shape))
    size = len(range(*rows.indices(n))) * d * 4
    if size > _MOST:
        raise DataError(
            f"{path}: {n} x {d} numbers take {size / 1e9:.0f} GB, and {_MOST / 1e9:.0f} is the "
            "most: choose an obsm such as X_pca, or write a smaller file"
        )
    part = sparse_dataset(element)[rows].toarray() if sparse else element[rows]
    return np.asarray(part, dtype=np.float32 if part.dtype == np.float32 else np.float64)


def _columns_of_obs(file: Any) -> dict[str, NDArray[Any]]:
    """Return the names of the observations, and the columns of obs (n,), numbers or texts."""
    from anndata.io import read_elem

    obs = read_elem(file["obs"])
    columns = {_OBS: obs.index.to_series(), **{str(name): obs[name] for name in obs}}
    return {name: _plain(column) for name, column in columns.items()}


def _plain(column: Any) -> NDArray[Any]:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return np.asarray(column)
    cells = zip(column.astype(object), column.isna(), strict=True)
    return np.array([None if gap else str(cell) for cell, gap in cells], dtype=object)


def _known(name: str, names: Any, path: str) -> str:
    if name not in names:
        near = get_close_matches(name, [*names], 1)
        hint = f"; did you mean '{near[0]}'?" if near else f" (it has: {', '.join([*names][:12])})"
        raise DataError(f"{path} has no '{name}'{hint}")
    return name


# ------------------------------------------------------------------------------------- a table


@dataclass
class H5adReader(TableReader):
    """Observations as a table: X, layers and obsm, obs, and the names of the observations."""

    matrices: dict[str, range] = field(default_factory=dict)  # and the places of their columns

    @classmethod
    def open(cls, path: str) -> H5adReader:
        names, matrices = list[str](), dict[str, range]()
        with _opened(path) as file:
            beside = _columns_of_obs(file)
            held = [f"{kind}/{one}" for kind in ("layers", "obsm") for one in file.get(kind, ())]
            for entry in ["X"] * ("X" in file) + held:
                if entry[:4] != "obsm" or getattr(file[entry], "ndim", 0) == 2:
                    found = _names(file, entry, path)
                    matrices[entry] = range(len(names), len(names) + len(found))
                    names += found
        numbers = [column.dtype.kind in "biuf" for column in beside.values()]
        types = [pa.float64()] * len(names) + [pa.float64() if n else pa.string() for n in numbers]
        place, n = Path(path).expanduser(), len(beside[_OBS])
        return cls(path, "h5ad", [*names, *beside], types, n, files=[place], matrices=matrices)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        with _opened(self.path) as file:
            beside = _columns_of_obs(file)
            n, first = len(beside[_OBS]), len(self.names) - len(beside)
            for start in range(0, n, rows):
                part = slice(start, min(start + rows, n))
                cells = {i: column[part] for i, column in enumerate(beside.values(), first)}
                for entry, own in self.matrices.items():
                    if wanted := [place for place in places if place in own]:
                        matrix = _dense(file[entry], part, self.path)
                        cells |= {place: matrix[:, place - own.start] for place in wanted}
                kinds = (pa.string() if cells[i].dtype == object else None for i in places)
                columns = map(pa.array, (cells[i] for i in places), kinds)
                yield pa.RecordBatch.from_arrays([*columns], names=[*map(str, places)])


class H5adWriter:
    """Writer of columns into obs of a copy of an h5ad file, or of a new one without a matrix."""

    def __init__(self, path: Path, schema: pa.Schema, source: str | None = None) -> None:
        _check_installed(path)
        self._path, self._schema, self._source = path, schema, source
        self._batches: list[pa.RecordBatch] = []
        self.write_batch = self._batches.append

    def close(self) -> None:
        if sys.exception() is not None:  # there is nothing to write
            return
        import pandas as pd
        from anndata import AnnData
        from anndata.io import read_elem, write_elem

        table = pa.Table.from_batches(self._batches, self._schema)
        new = {n: _for_obs(n, as_array(table[n])) for n in table.column_names if n != _OBS}
        if self._source is None:
            index = [str(i) for i in range(len(table))]
            AnnData(obs=pd.DataFrame(new, index=index)).write_h5ad(self._path)
            return
        shutil.copyfile(Path(self._source).expanduser(), self._path)
        with _opened(str(self._path), "r+") as file:
            held, obs = _columns_of_obs(file), read_elem(file["obs"])
            if len(obs) != len(table):
                raise DataError(f"{self._path}: {len(table)} answers for {len(obs)} observations")
            for name, column in new.items():
                same = [[*map(str, cells)] for cells in (held.get(name, ()), column)]
                if same[0] != same[1]:  # what was carried along stays as it is
                    obs[name] = column
            write_elem(file, "obs", obs)


def _for_obs(name: str, column: Any) -> Any:
    """Return a column as obs holds it: texts and labels as categories, as scanpy colours them."""
    import pandas as pd

    is_category = name == "label" or is_text(column)
    return pd.Categorical(column.to_pylist()) if is_category else column.to_numpy(False)


FORMAT = TableFormat("h5ad", (".h5ad",), H5adReader.open, H5adWriter, H5adWriter)
