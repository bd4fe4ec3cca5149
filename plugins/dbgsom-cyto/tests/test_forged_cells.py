"""Files that lie: what is read is right, and all else is refused in a sentence."""

import os
import zlib
from importlib.util import find_spec

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from forged_cells import fuzz, rewrite, write_raw
from scipy.sparse import csc_matrix, csr_matrix

from dbgsom_core.api import DataError
from dbgsom_core.tables import open_table, write_table
from dbgsom_cyto.fcs import Fcs
from dbgsom_cyto.h5ad import H5ad

RAW = np.arange(1, 13).reshape(4, 3)
SPILL = "|SPILL|2,FL1,FL2,1,0.5,0,1|"


def load(path, values=RAW, keywords=None, supplement="", dtype="<f4"):
    values = values.astype(dtype)
    kind = {"f4": "F", "f8": "D"}.get(dtype[1:], "I")
    write_raw(path, values, {"$DATATYPE": kind} | (keywords or {}), supplement)
    return Fcs(path=str(path), channels="*").load()


@pytest.mark.parametrize("dtype", [">u2", ">u4", ">u8", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["4,3,2,1", "4, 3, 2, 1", " 4,3,2,1 ", "4321", "2,1"])
def test_orders_of_bytes_are_read_as_they_are_meant(tmp_path, order, dtype):
    found = load(tmp_path / "x.fcs", keywords={"$BYTEORD": order}, dtype=dtype)
    np.testing.assert_array_equal(found.X, RAW)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"$BYTEORD": "3,4,1,2"}, r"\$BYTEORD is '3,4,1,2', not 1,2,3,4 or 4,3,2,1"),
        ({"$BEGINDATA": 2004, "$TOT": 3, "$ENDDATA": 2039}, "2000 to 2047 .* 2004 to 2039"),
        ({"$ENDDATA": 2051}, "4 events of 3 channels are 48 bytes.* 2000 to 2047 .* 2000 to 2051"),
        ({"$TOT": 3}, "3 events of 3 channels are 36 bytes"),
        ({"$MODE": "C"}, r"holds histograms \(\$MODE\)"),
        ({"$MODE": "u"}, r"holds histograms \(\$MODE\)"),
        ({"$DATATYPE": "I", "$P2R": 0}, r"\$P2R is '0', not a number from 1"),
        ({"$P2E": "4,1", "$P2R": -5}, r"\$P2R is '-5', not a number from 1"),
        ({"$P2E": "4;1"}, r"\$P2E is '4;1', not 2 numbers from 0"),
        ({"$P2G": "nan"}, r"\$P2G is 'nan', not a number"),
        ({"$P2G": "2,5"}, r"\$P2G is '2,5', not a number"),
        ({"$P2B": 16}, r"channel 'FL2' has 16 bits of \$DATATYPE 'F'"),
        ({"$P3DATATYPE": "A"}, r"channel 'FL3' has 32 bits of \$DATATYPE 'A'"),
        ({"$P2N": " "}, r"channel 2 of 3 has no name \(\$P2N\)"),
        ({"$P2N": ""}, r"channel 2 of 3 has no name \(\$P2N\)"),
        ({"$P4N": "FL4"}, r"more channels than the 3 of \$PAR"),
        ({"$p2n": "FL9"}, r"keyword \$P2N is 'FL2' and 'FL9'"),
        ({"$NEXTDATA": 5000}, "several data sets"),
        ({"$BEGINSTEXT": 2000, "$ENDSTEXT": 2047}, "bytes 2000 to 2047 are not its text"),
        ({"$PAR": "3x"}, r"\$PAR is '3x', not a whole number"),
    ],
)
def test_fcs_files_that_contradict_themselves_are_refused(tmp_path, keywords, message):
    with pytest.raises(DataError, match=message) as raised:
        load(tmp_path / "x.fcs", keywords=keywords)
    assert "\n" not in str(raised.value)
    assert "x.fcs" in str(raised.value)


def test_an_end_that_is_wrong_by_one_byte_says_the_same(tmp_path):
    found = load(tmp_path / "x.fcs", keywords={"$ENDDATA": 2048})
    np.testing.assert_array_equal(found.X, RAW)


def test_types_of_single_channels_are_read(tmp_path):
    row = np.dtype([("a", "<f4"), ("b", "<u4"), ("c", "<f4")])
    values = np.array([*map(tuple, RAW)], dtype=row)
    found = load(tmp_path / "x.fcs", values.view("<f4").reshape(4, 3), {"$P2DATATYPE": "I"})
    np.testing.assert_array_equal(found.X, RAW)
    write_table(tmp_path / "y.fcs", [{"label": np.arange(4)}], beside=str(tmp_path / "x.fcs"))
    copy = Fcs(path=str(tmp_path / "y.fcs"), channels=["FL1", "FL2", "FL3", "label"]).load()
    np.testing.assert_array_equal(copy.X, np.column_stack([RAW, np.arange(4)]))


def test_supplemental_text_and_empty_values_are_read(tmp_path):
    found = load(tmp_path / "x.fcs", supplement=SPILL)
    assert found.feature_names == ["Comp-FL1", "Comp-FL2", "FL3"]
    np.testing.assert_allclose(found.X[:, 1], RAW[:, 1] - RAW[:, 0] / 2)
    found = load(tmp_path / "x.fcs", keywords={"$CYT": "", "$P2G": 2})
    np.testing.assert_array_equal(found.X, RAW / [1, 2, 1])


# --------------------------------------------------------------------------------------- h5ad


@pytest.fixture(params=[csr_matrix, csc_matrix], ids=["csr", "csc"])
def cells(request, tmp_path):
    """A path, and numbers that lie beside it."""
    X = np.random.default_rng(0).poisson(1.0, (80, 4)).astype(np.float32)
    kinds = pd.Categorical(["T", "B"] * 40)
    obs = pd.DataFrame({"kind": kinds, "age": np.arange(80.0)}, index=[f"{i}" for i in range(80)])
    table = anndata.AnnData(request.param(X), obs, pd.DataFrame(index=["a", "b", "c", "d"]))
    table.layers["raw"] = X
    table.write_h5ad(tmp_path / "x.h5ad")
    X.tofile(tmp_path / "outside.bin")
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file["x"] = X
    return tmp_path / "x.h5ad"


def refused(path, message, **fields):
    for read in (lambda: H5ad(path=str(path), **fields).load(), lambda: _all_of(path)):
        with pytest.raises(DataError, match=message) as raised:
            read()
        assert "\n" not in str(raised.value)


def _all_of(path):
    reader = open_table(str(path))
    return [*reader.batches([*range(len(reader.names))])]


WRAPPED = [0, 2**63 - 1, -(2**63), -1]  # rises, as differences of 64 bits


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        *(("indices", 3, value) for value in (-(10**6), 10**6, -1, 80)),
        *(("indptr", *change) for change in ((3, 10**6), (3, -1), (0, 5), (-1, 10**6), (-1, 3))),
        ("indptr", slice(0, 4), WRAPPED),
    ],
)
def test_places_outside_a_sparse_matrix_are_refused(cells, name, place, value):
    with h5py.File(cells, "r+") as file:
        values = file[f"X/{name}"][()].astype("i8")
        values[place] = value
        rewrite(file, f"X/{name}", data=values)
    refused(cells, rf"x\.h5ad: X/{name} ")


def _external_storage(file, folder):
    rewrite(file, "layers/raw", shape=(80, 4), dtype="f4", external=[("outside.bin", 0, 1280)])


def _external_link(file, folder):
    del file["layers/raw"]
    file["layers/raw"] = h5py.ExternalLink("outside.h5", "x")


def _soft_circle(file, folder):
    file["obs/loop"] = h5py.SoftLink("/obs/loop")


def _virtual(file, folder):
    layout = h5py.VirtualLayout((80, 4), "f4")
    layout[:] = h5py.VirtualSource("outside.h5", "x", (80, 4))
    del file["layers/raw"]
    file.create_virtual_dataset("layers/raw", layout)


def _virtual_pipe(file, folder):  # whoever asks for its shape waits for a writer
    os.mkfifo(folder / "pipe")
    layout = h5py.VirtualLayout((80, 4), "f4", maxshape=(None, 4))
    source = h5py.VirtualSource("pipe", "x", (80, 4), maxshape=(None, 4))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset("uns/pipe", layout)


def _never_written(file, folder):
    rewrite(file, "layers/raw", shape=(80, 10**8), dtype="f8", chunks=(1, 10**6))


def _long_axis(file, folder):
    rewrite(file, "obs/_index", shape=(10**9,), dtype=h5py.string_dtype(), chunks=(10**6,))


def _shared_texts(file, folder):
    """Let 200,000 names be the same text of 20 kB, as deflate packs what points at it."""
    n, data = 200_000, file["uns"].create_dataset("text", data=["a" * 20_000], chunks=(1,))
    _, reference = data.id.read_direct_chunk((0,))
    kind = {"dtype": h5py.string_dtype(), "chunks": (n,), "compression": "gzip"}
    for name, fields in (("obs/_index", kind), ("obs/age", {"dtype": "i1", "chunks": (n,)})):
        names = rewrite(file, name, shape=(n,), **fields)
        content = reference * n if name == "obs/_index" else bytes(n)
        names.id.write_direct_chunk((0,), zlib.compress(content) if fields is kind else content)
    rewrite(file, "obs/kind/codes", data=np.zeros(n, "i1"))
    del file["X"], file["layers/raw"]


def _large_chunk(file, folder):
    fields = {"dtype": "f8", "maxshape": (None,), "chunks": (10**7,), "compression": "gzip"}
    data = rewrite(file, "obs/age", shape=(80,), **fields)
    data.id.write_direct_chunk((0,), zlib.compress(bytes(80)))


def _packed_twice(file, folder):
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((80,))
    created.set_deflate(9)
    created.set_deflate(9)
    space = h5py.h5s.create_simple((80,))
    del file["obs/age"]
    kind = h5py.h5t.NATIVE_DOUBLE
    h5py.Dataset(h5py.h5d.create(file["obs"].id, b"age", kind, space, created))[:] = 0


def _many_columns(file, folder):
    file["obs"].attrs["column-order"] = ["age"] * 3000


def _same_column(file, folder):
    rewrite(file, "obs/age", data=np.zeros(80, "S90000"), compression="gzip", chunks=(80,))
    file["obs"].attrs["column-order"] = ["age"] * 50


def _circle(file, folder):
    file["layers/loop"] = file["layers"]


def _code(file, folder):
    file["obs/kind/codes"][3] = 5


def _short_column(file, folder):
    rewrite(file, "obs/age", data=np.zeros(79))


def _short_layer(file, folder):
    rewrite(file, "layers/raw", data=np.zeros((79, 4)))


FORGERIES = {
    _external_storage: "layers/raw lies in other files",
    _external_link: "layers/raw is a link to another place",
    _soft_circle: "obs/loop is a link to another place",
    _virtual: "layers/raw lies in other files",
    _virtual_pipe: "uns/pipe lies in other files",
    _never_written: "layers/raw was never written",
    _long_axis: "obs/_index was never written",
    _shared_texts: "obs/_index, with what else is read, would be more than 1100 times",
    _large_chunk: "obs/age, with what else is read, would be more than 1100 times",
    _packed_twice: "obs/age is packed twice",
    _many_columns: "obs has more than 2000 columns",
    _same_column: "obs/age, with what else is read, would be more than 1100 times",
    _circle: "layers/loop is of no type",
    _code: "obs/kind has codes beyond its 2",
    _short_column: "obs/age has 79 values for 80",
    _short_layer: "layers/raw is of 79 x 4",
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__[1:])
def test_h5ad_files_that_lie_are_refused(cells, forge, monkeypatch):
    monkeypatch.chdir(cells.parent)
    names = {*cells.parent.iterdir()}
    with h5py.File(cells, "r+") as file:
        forge(file, cells.parent)
    refused(cells, rf"x\.h5ad: {FORGERIES[forge]}")
    answers = [{"label": ["a"] * 80}]
    with pytest.raises(DataError, match=FORGERIES[forge]):
        write_table(cells.with_name("new.h5ad"), answers, beside=str(cells))
    assert {*cells.parent.iterdir()} <= names | {cells.with_name("pipe")}


def test_h5ad_files_with_a_hole_among_their_texts_are_refused(cells):
    content = bytearray(cells.read_bytes())
    hole = content.find(b"GCOL") + 16
    content[hole : hole + 64] = bytes(64)  # in which HDF5 would look for ever
    cells.write_bytes(content)
    refused(cells, f"is damaged: texts at byte {hole} are lost")


def test_h5ad_files_of_constants_are_read(tmp_path):
    obs = pd.DataFrame({"gate": pd.Categorical(["T"] * 3000)}, index=[f"{i}" for i in range(3000)])
    table = anndata.AnnData(np.zeros((3000, 2000), np.uint8), obs)
    table.uns["own"] = {}
    table.write_h5ad(tmp_path / "x.h5ad", compression="gzip", compression_opts=9)
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        file["uns/own/circle"] = file["uns"]  # which is not read
        file["layers/same"] = file["X"]
    data = H5ad(path=str(tmp_path / "x.h5ad"), target="gate", layer="same").load()
    assert (data.X.shape, np.ptp(data.X), {*data.y}) == ((3000, 2000), 0, {"T"})


def test_a_small_file_of_a_sparse_matrix_does_not_become_a_large_one(tmp_path):
    n, path = 20_000, tmp_path / "x.h5ad"
    names = pd.DataFrame(index=[f"{i}" for i in range(n)])
    anndata.AnnData(csr_matrix((n, n), dtype="f4"), names, names).write_h5ad(path)
    with h5py.File(path) as file, h5py.File(tmp_path / "y.h5ad", "w") as packed:
        packed.attrs.update(file.attrs)
        file.copy("X", packed)
        for kind in ("obs", "var"):
            packed.create_group(kind).attrs.update(file[kind].attrs)
            index = file[f"{kind}/_index"][()].astype("S")
            data = packed.create_dataset(f"{kind}/_index", data=index, compression="gzip")
            data.attrs.update(file[f"{kind}/_index"].attrs)
    assert len(open_table(str(tmp_path / "y.h5ad")).names) == n + 1
    with pytest.raises(
        DataError, match=r"X: 20000 x 20000 numbers take 1,600 MB, and .* is the most"
    ):
        H5ad(path=str(tmp_path / "y.h5ad")).load()


@pytest.mark.skipif(find_spec("readfcs") is None, reason="needs dbgsom-cyto[fuzz]")
@pytest.mark.parametrize("name", ["fcs", "h5ad"])
def test_fifty_damaged_files_are_read_as_by_others_or_refused(tmp_path, name):
    counts, wrong = fuzz(name, range(50), 47, tmp_path)
    assert wrong == {}
    assert counts["compared"] > 5, counts
