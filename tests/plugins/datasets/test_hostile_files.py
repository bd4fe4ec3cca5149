"""Data files that never end, unpack to gigabytes, or lie about their size are refused at once."""

import gzip
import io
import lzma
import os
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pytest

from dbgsom_core.engine import runtime
from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.numpy_files import Npy, Npz
from dbgsom_plugins.datasets.table_files import Csv


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Read a file that must be refused soon and in little memory; return the sentence."""
    monkeypatch.chdir(tmp_path)

    def read(kind, path, **fields):
        told = []

        def refuse():
            with pytest.raises(DataError) as caught:
                kind(path=path, **fields).load()
            told.append(str(caught.value))

        reader = Thread(target=refuse, daemon=True)
        tracemalloc.start()
        try:
            reader.start()
            reader.join(60)
            taken = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert told, "it was not refused"
        assert taken < 300e6
        return told[0]

    return read


@pytest.mark.parametrize("kind", [Csv, Npy, Npz])
def test_pipes_devices_and_files_larger_than_the_memory_are_refused(kind, refused):
    os.mkfifo("pipe")
    for path in ("pipe", "/dev/zero"):
        assert refused(kind, path) == f"{path} cannot be read: it is no regular file"
    with Path("holes").open("wb") as file:
        file.truncate(1 << 43)
    words = {Npy: "is no .npy file", Csv: "holds zero bytes", Npz: "is no .npz archive"}
    assert words[kind] in refused(kind, "holes")


@pytest.mark.parametrize(
    ("groups", "files", "most"),
    [
        ("0::/job/one\n", {"job/one/memory.max": "max", "job/memory.max": "5000"}, 5000),
        ("4:cpu,memory:/a\n", {"cpu,memory/a/memory.limit_in_bytes": "800"}, 800),
        ("0::/caf\udce9\n", {"memory.max": "600"}, 600),  # a container's, by no name in UTF-8
        ("torn\n0::/../../x\n", {}, None),
    ],
)
def test_memory_is_no_more_than_a_control_group_allows(tmp_path, monkeypatch, groups, files, most):
    whole = runtime.available_memory.__wrapped__()
    (tmp_path / "cgroup").write_text(groups, "utf-8", "surrogateescape")
    for name, text in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(f"{text}\n")
    limits = partial(runtime._group_limits, tmp_path / "cgroup", tmp_path / "fs")
    monkeypatch.setattr(runtime, "_group_limits", limits)
    assert runtime.available_memory.__wrapped__() == (whole if most is None else most)


def test_a_line_that_never_ends_is_refused_in_packed_text_as_well(refused):
    Path("bomb.csv.gz").write_bytes(gzip.compress(b"a" * (1 << 20)) * 10_000)  # 10 GB
    assert refused(Csv, "bomb.csv.gz").startswith(
        "bomb.csv.gz is no csv file, or damaged (field larger"
    )


@pytest.mark.parametrize(("dtype", "shape"), [("<f8", (10**12, 3)), ("<U0", (10**12, 1))])
@pytest.mark.parametrize("kind", [Npy, Npz])
def test_an_array_that_its_file_cannot_hold_is_refused(kind, dtype, shape, refused):
    header = io.BytesIO()
    told = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, told)
    if kind is Npy:
        Path("x").write_bytes(header.getvalue() + bytes(80))
    else:
        with zipfile.ZipFile("x", "w") as archive:
            archive.writestr("X.npy", header.getvalue() + bytes(80))
    assert "do not: it is damaged or cut short" in refused(kind, "x")


def test_names_that_steer_a_terminal_are_shown_as_text(refused):
    Path("x.csv").write_text("\x1b[31mred,b\n1,2\nx,3\n")
    assert r"column '\x1b[31mred'" in refused(Csv, "x.csv")


def zstd(content):
    return pa.compress(content, "zstd", asbytes=True)


def test_several_frames_of_zstd_are_one_text(tmp_path):
    path = tmp_path / "x.csv.zst"
    path.write_bytes(zstd(b"a,b\n1,2\n") + zstd(b"3,4\n"))
    assert Csv(path=str(path)).load().X.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("packed", [gzip.compress, lzma.compress])
def test_packed_text_that_is_cut_short_is_refused(packed, refused):
    Path("cut.csv").write_bytes(packed(b"a,b\n" + os.urandom(9999).hex().encode())[:-100])
    assert "cut.csv is no csv file, or damaged (Compressed file ended" in refused(Csv, "cut.csv")
