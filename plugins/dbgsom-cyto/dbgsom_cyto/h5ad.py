"""h5ad files of AnnData (Virshup et al. 2024): a data set, and a table with answers in obs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csc_matrix, csr_matrix

from dbgsom_core.api import Data, DataError, DatasetComponent, open_regular
from dbgsom_core.tables import Columns, TableFormat, TableReader, as_array, is_text, reading
from dbgsom_cyto.fcs import Names, one_of
from dbgsom_cyto.fcs_files import WriterAtEnd, distinct
from dbgsom_cyto.h5ad_checks import AGAIN, check_h5ad, matrices_of, most_decoded

_MOST = 8 << 30  # bytes of a dense matrix
_OBS = "obs_names"  # column of the names of observations


class H5ad(DatasetComponent):
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
        one_of(reader.matrices, entry, f"{self.path} has no matrix")
        names = [reader.names[place] for place in reader.matrices[entry]]
        places = [*range(len(names))]
        if self.variables is not None:
            plain = [name.removeprefix(f"{entry.partition('/')[2]}.") for name in names]
            lacking = f"{self.path} has no variable"
            places = [plain.index(one_of(plain, one, lacking)) for one in self.variables]
        with _opened(self.path) as file:
            X = _dense(file, entry, slice(None), self.path)
        X = np.ascontiguousarray(X if places == [*range(X.shape[1])] else X[:, places])
        kept = reader.obs
        for name in (*self.id, *self.annotations, *([self.target] if self.target else ())):
            one_of(kept, name, f"{self.path} has no column of obs")
        features, ids = tuple(names[place] for place in places), (_OBS, *self.id)
        dropped = tuple(one for one in kept if one not in (*ids, self.target))
        table = Columns(features, target=self.target, ids=ids, dropped=dropped, dtype=str(X.dtype))
        table = replace(table, annotations=self.annotations)
        y, of_ids = kept[self.target] if self.target else None, {name: kept[name] for name in ids}
        beside = {name: kept[name] for name in self.annotations}
        return Data(X, y, features, columns=table, ids=of_ids, annotations=beside)

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
        raise DataError(f'{path} needs the package anndata: pip install "dbgsom-cyto[h5ad]"')


@contextmanager
def _opened(path: str, mode: str = "r") -> Iterator[Any]:
    """Open an h5ad file that is safe to read; raise `DataError` also while it is read."""
    _check_installed(path)
    import h5py

    place = Path(path).expanduser()
    with reading(path, "h5ad file"):
        open_regular(place).close()
        # Texts are read in pieces, of chunks that are to be unpacked once.
        with h5py.File(place, mode, rdcc_nbytes=1 << 26) as file:
            check_h5ad(file, path, place.stat().st_size)
            yield file


def _names(file: Any, entry: str, variables: Sequence[str], path: str) -> list[str]:
    """Return what the columns of a matrix are called; raise `DataError` where names are alike."""
    kind, _, name = entry.partition("/")
    if kind == "obsm":
        return [f"{name}.{one}" for one in range(file[entry].shape[1])]
    if len({*variables}) < len(variables):
        raise DataError(f"{path}: variables need names that differ")
    return [f"{name}.{one}" for one in variables] if name else [*variables]


def _dense(file: Any, entry: str, rows: slice, path: str) -> NDArray[np.floating[Any]]:
    """Return rows (m, D) of a matrix, dense or sparse, as floats."""
    element, where = file[entry], f"{path}: {entry}"
    is_sparse = not hasattr(element, "dtype")
    n, d = (int(length) for length in (element.attrs["shape"] if is_sparse else element.shape))
    size = len(range(*rows.indices(n))) * d * 4
    most = min(_MOST, most_decoded(Path(path).expanduser().stat().st_size)) if is_sparse else _MOST
    if size > most:
        raise DataError(
            f"{where}: {n} x {d} numbers take {size / 1e6:,.0f} MB, and {most / 1e6:,.0f} is the "
            "most for this file: choose an obsm such as X_pca, or write a smaller file"
        )
    part = _sparse(element, rows, where).toarray() if is_sparse else element[rows]
    return np.asarray(part, dtype=np.float32 if part.dtype == np.float32 else np.float64)


def _sparse(element: Any, rows: slice, where: str) -> Any:
    """Return rows of a sparse matrix; raise `DataError` for places outside of it.

    scipy writes wherever they say.
    """
    n, d = (int(length) for length in element.attrs["shape"])
    is_csr = element.attrs["encoding-type"] == "csr_matrix"
    make, minor = (csr_matrix, d) if is_csr else (csc_matrix, n)
    start, stop, _ = rows.indices(n) if is_csr else (0, d, 1)
    indptr, length = element["indptr"][()], len(element["data"])
    if indptr[0] != 0 or indptr[-1] != length or (indptr[1:] < indptr[:-1]).any():
        raise DataError(f"{where}/indptr does not rise from 0 to {length}: {AGAIN}")
    first, last = int(indptr[start]), int(indptr[stop])
    indices = element["indices"][first:last]
    if len(indices) and not 0 <= indices.min() <= indices.max() < minor:
        wrong = indices.min() if indices.min() < 0 else indices.max()
        raise DataError(f"{where}/indices has {wrong}, and {minor} are there: {AGAIN}")
    shape = (stop - start, minor) if is_csr else (minor, d)
    part = make(
        (element["data"][first:last], indices, indptr[start : stop + 1] - indptr[start]), shape
    )
    return part if is_csr else part[rows]


def _columns_of_obs(file: Any, path: str) -> dict[str, NDArray[Any]]:
    """Return the names of the observations, and the columns of obs (n,), numbers or texts."""
    obs = _frame(file, "obs", path)
    return {_OBS: _plain(obs.index.to_series()), **{str(name): _plain(obs[name]) for name in obs}}


def _frame(file: Any, kind: str, path: str) -> Any:
    """Return obs or var as a frame of pandas."""
    from anndata.io import read_elem

    with reading(f"{path}: {kind}", "table"):
        return read_elem(file[kind])


def _plain(column: Any) -> NDArray[Any]:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return np.asarray(column)
    if column.dtype == "category":  # codes are few bytes; -1 is a gap
        texts = [*map(str, column.cat.categories), None]
        return np.array(texts, dtype=object)[column.cat.codes]
    cells = zip(column.astype(object), column.isna(), strict=True)
    return np.array([None if gap else str(cell) for cell, gap in cells], dtype=object)


# ------------------------------------------------------------------------------------- a table


@dataclass
class H5adReader(TableReader):
    """Observations as a table: X, layers and obsm, obs, and the names of the observations."""

    matrices: dict[str, range] = field(default_factory=dict)  # and the places of their columns
    obs: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str) -> H5adReader:
        names, matrices = list[str](), dict[str, range]()
        with _opened(path) as file:
            beside = _columns_of_obs(file, path)
            variables = [str(one).strip() for one in _frame(file, "var", path).index]
            for entry in matrices_of(file):
                found = _names(file, entry, variables, path)
                matrices[entry] = range(len(names), len(names) + len(found))
                names += found
        numbers = [column.dtype.kind in "biuf" for column in beside.values()]
        types = [pa.float64()] * len(names) + [pa.float64() if n else pa.string() for n in numbers]
        place, n = Path(path).expanduser(), len(beside[_OBS])
        names += beside
        return cls(path, "h5ad", names, types, n, files=[place], matrices=matrices, obs=beside)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        beside = self.obs
        n, first = len(beside[_OBS]), len(self.names) - len(beside)
        with _opened(self.path) as file:
            for start in range(0, n, rows):
                part = slice(start, min(start + rows, n))
                cells = {i: column[part] for i, column in enumerate(beside.values(), first)}
                for entry, own in self.matrices.items():
                    if wanted := [place for place in places if place in own]:
                        matrix = _dense(file, entry, part, self.path)
                        cells |= {place: matrix[:, place - own.start] for place in wanted}
                kinds = (pa.string() if cells[i].dtype == object else None for i in places)
                columns = map(pa.array, (cells[i] for i in places), kinds)
                yield pa.RecordBatch.from_arrays([*columns], names=[*map(str, places)])


def write_h5ad(path: Path, table: pa.Table, source: str | None) -> None:
    """Write columns into obs of a copy of the h5ad file ``source``, or of a new one without X."""
    _check_installed(path)
    import pandas as pd
    from anndata import AnnData
    from anndata.io import write_elem

    new = dict[str, Any]()
    for name in table.column_names:
        column = as_array(table[name])
        # Texts and labels are categories, as scanpy colours them.
        is_category = name == "label" or is_text(column)
        new[name] = pd.Categorical(column.to_pylist()) if is_category else column.to_numpy(False)
    new.pop(_OBS, None)
    if source is None:
        obs = pd.DataFrame(new, index=[str(i) for i in range(len(table))])
        AnnData(obs=obs).write_h5ad(path)
        return
    shutil.copyfile(Path(source).expanduser(), path)
    with _opened(str(path), "r+") as file:
        held, obs = _columns_of_obs(file, f"{path}"), _frame(file, "obs", f"{path}")
        if len(obs) != len(table):
            raise DataError(f"{path}: {len(table)} answers for {len(obs)} observations")
        for name, column in new.items():
            cells = pd.Series(_plain(pd.Series(column)), dtype=object)
            if not cells.equals(pd.Series(held.get(name, ()), dtype=object)):  # else carried along
                obs[distinct([name], obs)[0]] = column
        write_elem(file, "obs", obs)


_WRITER = partial(WriterAtEnd, write_h5ad)
FORMAT = TableFormat("h5ad", (".h5ad",), H5adReader.open, _WRITER, _WRITER)
