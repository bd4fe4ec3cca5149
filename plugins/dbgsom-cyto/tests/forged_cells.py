"""Damaged and forged FCS and h5ad files: ``python forged_cells.py h5ad --files 2000 --seed 1``.

Files are made from valid ones, in bits, fields and structure. Each is read by dbgsom_cyto in a
process of its own kind, so that a crash is seen, and where that reads it by the reference as well:
readfcs for FCS, anndata for h5ad (``pip install "dbgsom-cyto[fuzz]"``). A file may be refused in a
sentence; whatever is read has to be what the reference reads, if that says nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

OUTSIDE = b"S" * 3840  # of a file that is not named, and the numbers that it would be read as
SECRETS = {repr(float(np.frombuffer(OUTSIDE, kind)[0])) for kind in ("i4", "i8", "f4", "f8")}
_SECONDS, _BYTES = 5.0, 1 << 30  # at most for a file
_SPACE = 6 << 30  # of addresses, so that a bomb ends with its reader


def write_raw(path, values, keywords, supplement=""):
    """Write an FCS file of any type, whose texts are divided by |, as flowio does not."""
    text = {"$PAR": values.shape[1], "$TOT": len(values), "$MODE": "L", "$NEXTDATA": 0}
    text |= {"$BEGINDATA": 2000, "$ENDDATA": 1999 + values.nbytes, "$BYTEORD": "1,2,3,4"}
    for n in range(1, values.shape[1] + 1):
        text |= {f"$P{n}N": f"FL{n}", f"$P{n}B": 8 * values.itemsize, f"$P{n}R": 1024}
        text |= {f"$P{n}E": "0,0"}
    end = 1999 + values.nbytes
    text |= {"$BEGINSTEXT": end + 1, "$ENDSTEXT": end + len(supplement)} if supplement else {}
    content = "|" + "".join(f"{key}|{value}|" for key, value in (text | keywords).items())
    places = (58, 57 + len(content.encode()), 2000, end, 0, 0)
    head = "FCS3.0    " + "".join(f"{n:>8}" for n in places) + content
    path.write_bytes(head.encode().ljust(2000) + values.tobytes() + supplement.encode())
    return path


# ---------------------------------------------------------------------------------------- FCS

_VALUES = [
    "",
    " ",
    "0",
    "1",
    "-1",
    "2",
    "7",
    "8",
    "10",
    "16",
    "24",
    "32",
    "33",
    "64",
    "1024",
    "1e9",
]
_VALUES += [
    "99999999",
    "-5",
    "4,1",
    "0,0",
    "4.0,0",
    "nan",
    "inf",
    "1e-400",
    "x",
    "I",
    "F",
    "D",
    "A",
]
_VALUES += ["L", "C", "U", "c", "1,2,3,4", "4,3,2,1", " 4,3,2,1", "4321", "3,4,1,2", "2000", "2004"]
_KEYS = ["$PAR", "$TOT", "$MODE", "$NEXTDATA", "$BEGINDATA", "$ENDDATA", "$BYTEORD", "$DATATYPE"]
_KEYS += ["$BEGINSTEXT", "$ENDSTEXT", "$TIMESTEP", "SPILL", "$CYT", "CYT", "$P1S", "$P4N", "$P9N"]
_KEYS += [f"$P{n}{letter}" for n in (1, 2, 3) for letter in "NBREG"]


def forge_fcs(rng, path, folder):
    """Write a valid FCS file of any type, with a field or two that are not its own."""
    dtype = rng.choice(["<u1", "<u2", ">u2", "<u4", ">u4", "<f4", ">f4", "<f8", ">f8"])
    raw = rng.integers(0, 250, (20, 3)).astype(dtype)
    text = {"$DATATYPE": {"u": "I", "f": "F"}[dtype[1]] if dtype[1:] != "f8" else "D"}
    text |= {"$BYTEORD": "4,3,2,1" if dtype[0] == ">" else "1,2,3,4"}
    text |= {"$P1E": rng.choice(["0,0", "4,1", "3,0"]), "$P2G": rng.choice(["1", "2.5"])}
    text |= {"$P3N": "Time", "$TIMESTEP": "0.01", "$P2R": rng.choice(["256", "200", "1024"])}
    for _ in range(rng.integers(3)):
        text[rng.choice(_KEYS)] = rng.choice(_VALUES)
    supplement = rng.choice(["", "", "", "", "|SPILL|2,FL1,FL2,1,0.1,0,1|", "nothing"])
    write_raw(path, raw, text, supplement)
    return path.read_bytes()


def read_fcs(path):
    from dbgsom_cyto.fcs_files import FcsFile

    file = FcsFile.open(str(path))
    return {"names": [*file.channels], "raw": np.stack([*file.raw()]), "values": file.linear()}


def reference_fcs(path):
    from readfcs import ReadFCS

    found = ReadFCS(str(path))
    names = [name.strip() for name in found.channels["PnN"]]
    values = found._flow_data.as_array().T  # logarithms and gains
    return {"names": names, "raw": found.data.to_numpy().T, "values": values}


def is_misread_fcs(path):
    """Return whether flowio, and so readfcs, reads a file wrong and says nothing.

    It takes an empty value for a doubled delimiter, and knows no types of single channels.
    """
    content = path.read_bytes()[:4000].upper().replace(b"$DATATYPE|", b"")
    return b"||" in content or b"DATATYPE|" in content


# --------------------------------------------------------------------------------------- h5ad


def write_h5ad(path, rng):
    """Write a valid h5ad file of one of several kinds."""
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csc_matrix, csr_matrix

    X = rng.poisson(1.0, (30, 4)).astype(rng.choice(["f4", "f8", "i4", "u1"]))
    make = [csr_matrix, csc_matrix, np.asarray][rng.integers(3)]
    obs = {"batch": ["x", "y"] * 15, "age": np.arange(30) / 2, "gap": ["a", None] * 15}
    obs |= {"kind": pd.Categorical(["T", "B", None] * 10), "old": [True, False] * 15}
    obs["count"] = pd.array([1, None, 3] * 10, dtype="Int64")
    table = pd.DataFrame(obs, index=[f"cell {i}" for i in range(30)])
    data = AnnData(make(X), table, pd.DataFrame(index=["CD3", "CD4", "CD8", "DNA"]))
    data.layers["raw"], data.obsm["X_pca"] = make(X + X), X[:, :2] / 3
    data.uns["note"] = "kept"
    data.write_h5ad(path, compression=rng.choice([None, "gzip"]))


def rewrite(file, name, **fields):
    """Replace a data set and keep its attributes."""
    attributes = dict(file[name].attrs)
    del file[name]
    data = file.create_dataset(name, **fields)
    data.attrs.update(attributes)
    return data


def forge_h5ad(rng, path, folder):
    """Write a valid h5ad file, and change its structure in one place or two."""
    import h5py

    write_h5ad(path, rng)
    (folder / "outside.bin").write_bytes(OUTSIDE)
    with h5py.File(folder / "outside.h5", "w") as file:
        file["x1"] = np.frombuffer(OUTSIDE, "f8")[:30]
        file["x2"] = np.frombuffer(OUTSIDE, "f8")[:120].reshape(30, 4)
    with h5py.File(path, "r+") as file:
        for _ in range(rng.integers(3)):
            names = list[str]()
            file.visit(names.append)
            name = str(rng.choice([one for one in names if isinstance(file[one], h5py.Dataset)]))
            with suppress(TypeError, ValueError, OSError, RuntimeError):  # h5py refuses, too
                _change_h5ad(rng, file, name, str(rng.choice(names)), folder)
    return path.read_bytes()


def _change_h5ad(rng, file, name, other, folder):
    import h5py

    data = file[name]
    if data.size and data.size > 10**6:  # grown by the change before
        return
    shape, dtype = data.shape, data.dtype
    extreme = rng.choice([0, -1, 1, 3, 4, 30, 127, -(10**6), 10**6, 2**31 - 1, 2**62])
    kind = rng.integers(12)
    if kind < 4 and dtype.kind in "iuf" and data.size:
        with np.errstate(all="ignore"):
            values = data[()].ravel()
            values[rng.integers(values.size)] = np.int64(extreme).astype(dtype)
            data[...] = values.reshape(shape)
    elif kind == 4 and data.ndim:
        rewrite(file, name, data=data[()][: rng.integers(shape[0] + 1)])
    elif kind == 5:
        grown = (max(1, abs(int(extreme)) % 10**9), *shape[1:])
        rewrite(file, name, shape=grown, dtype=dtype, chunks=tuple(1 for _ in grown))
    elif kind == 6 and dtype.kind in "iuf":
        rewrite(file, name, shape=shape, dtype=dtype, external=[(f"{folder}/outside.bin", 0, 3840)])
    elif kind == 7 and dtype.kind in "iuf" and data.size:
        layout = h5py.VirtualLayout(shape, "f8")
        layout[:] = h5py.VirtualSource(f"{folder}/outside.h5", f"x{data.ndim}", shape)
        attributes = dict(data.attrs)
        del file[name]
        file.create_virtual_dataset(name, layout).attrs.update(attributes)
    elif kind == 8:
        outside = h5py.ExternalLink(f"{folder}/outside.h5", f"x{data.ndim}")
        del file[name]
        links = [outside, h5py.SoftLink(f"/{name}"), h5py.SoftLink(f"/{other}")]
        file[name] = links[rng.integers(3)]
    elif kind == 9:
        del file[name]
        if other in file:
            file[name] = file[other]  # a second name, or a circle
    elif kind == 10:
        rewrite(file, name, data=np.asarray(data[()]).astype("S" if dtype.kind == "O" else "f4"))
    else:
        attributes = file[other].attrs
        if len(attributes):
            key = str(rng.choice([*attributes]))
            wrong = [extreme, "x", "csr_matrix", "categorical", [30, int(extreme)], ["age", "age"]]
            attributes[key] = wrong[rng.integers(len(wrong))]


def read_h5ad(path):
    from dbgsom_core.tables import open_table

    reader = open_table(str(path))
    (batch,) = reader.batches([*range(len(reader.names))])
    return _as_texts(zip(reader.names, batch.columns, strict=True))


def reference_h5ad(path):
    import anndata
    import h5py

    data = anndata.read_h5ad(path)
    with h5py.File(path) as file:  # what is no matrix is no part of a table
        matrices = [one for one in data.obsm if getattr(file[f"obsm/{one}"], "ndim", 0) == 2]
    columns = dict(zip((name.strip() for name in data.var_names), _dense(data.X), strict=True))
    for name, layer in data.layers.items():
        columns |= {
            f"{name}.{one.strip()}": x for one, x in zip(data.var_names, _dense(layer), strict=True)
        }
    for name in matrices:
        columns |= {f"{name}.{i}": x for i, x in enumerate(_dense(data.obsm[name]))}
    columns |= {"obs_names": data.obs_names} | {name: data.obs[name] for name in data.obs}
    return _as_texts(columns.items())


def _dense(matrix):
    matrix = getattr(matrix, "toarray", lambda: matrix)()
    return () if matrix is None else np.asarray(matrix).T


def _as_texts(columns):
    """Return columns as texts, numbers to the last bit of a double, gaps as None."""
    import pandas as pd

    found = {}
    for name, column in columns:
        cells = pd.Series(column.to_pylist() if hasattr(column, "to_pylist") else [*column])
        found[str(name)] = [
            None if gap else _as_text(cell)
            for cell, gap in zip(cells.astype(object), cells.isna(), strict=True)
        ]
    return found


def _as_text(cell):
    try:
        return repr(float(cell))
    except ValueError:
        return str(cell)


def is_misread_h5ad(path):
    return False


# ------------------------------------------------------------------------------------- damage

FORMATS = {
    "fcs": (forge_fcs, read_fcs, reference_fcs, is_misread_fcs),
    "h5ad": (forge_h5ad, read_h5ad, reference_h5ad, is_misread_h5ad),
}


def damage(rng, content):
    """Return bytes with some that are changed, moved or cut off."""
    content, kind = bytearray(content), rng.integers(6)
    end = len(content) if rng.integers(2) else min(len(content), 1200)
    for _ in range(rng.integers(1, 9)):
        place = int(rng.integers(end))
        if kind < 2:
            content[place] ^= 1 << rng.integers(8)
        elif kind == 2:
            content[place] = rng.choice([0, 1, 32, 48, 57, 124, 127, 128, 255])
        elif kind == 3:
            start, length = int(rng.integers(len(content))), int(rng.integers(1, 64))
            content[place : place + length] = content[start : start + length]
        elif kind == 4:
            content[place : place + 8] = int(rng.choice([0, 1, 2**31, 2**63 - 1])).to_bytes(
                8, "little"
            )
    return bytes(content[: rng.integers(len(content))] if kind == 5 else content)


def make(name, seed, number, folder):
    """Write the file of a number: half are forged, half are damaged, some of these both."""
    rng = np.random.default_rng([seed, number])
    path = folder / f"{number}.{name}"
    content = FORMATS[name][0](rng, path, folder)
    if number % 2:
        path.write_bytes(damage(rng, content))
    return path


# ------------------------------------------------------------------------- in other processes


def work(name, reader, folder, numbers):
    """Read files one after another; say in a line what became of each."""
    import resource
    from pickle import dumps

    import anndata  # noqa: F401 - is no part of what a file takes

    from dbgsom_core.api import DataError
    from dbgsom_core.tables import open_table  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (_SPACE, _SPACE))

    read = FORMATS[name][1 if reader == "ours" else 2]
    if reader == "reference":
        warnings.simplefilter("error")  # what is said is no silence
    most = _BYTES
    for number in numbers:
        print(json.dumps({"begins": number}), flush=True)
        path, start = folder / f"{number}.{name}", time.process_time()
        told = {"number": number, "read": False, "wrong": ""}
        try:
            (folder / f"{number}.{reader}").write_bytes(dumps(read(path)))
            told["read"] = True
        except DataError as error:
            if "\n" in str(error) or str(path) not in str(error):
                told["wrong"] = f"no sentence with its path: {error}"
            told["said"] = str(error).replace(str(path), "")
        except Exception as error:
            told["wrong"] = f"raised {error!r}" if reader == "ours" else ""
        seconds = time.process_time() - start
        used = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if reader == "ours" and (seconds > _SECONDS or used > most):
            told["wrong"] += f" {seconds:.1f} s and {used >> 20} MiB"
        most = max(most, used)  # the peak is of the process
        print(json.dumps(told), flush=True)


def work_elsewhere(name, reader, folder, numbers):
    """Return what became of each file, by its number; a crash ends with its file alone."""
    found, left = {}, [*numbers]
    while left:
        command = [sys.executable, __file__, name, "--read", reader, "--folder", str(folder)]
        command += ["--numbers", ",".join(map(str, left))]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=60 + len(left))
            said, how = run.stdout, f"ended with {run.returncode}: {run.stderr[-300:]}"
        except subprocess.TimeoutExpired as error:
            said, how = (error.stdout or b"").decode(), "does not end"
        lines = [json.loads(line) for line in said.splitlines() if line.endswith("}")]
        found |= {line["number"]: line for line in lines if "number" in line}
        begun = [line["begins"] for line in lines if "begins" in line]
        if begun and begun[-1] not in found:
            found[begun[-1]] = {"read": False, "wrong": how}
        elif not begun:
            raise RuntimeError(how)
        left = [number for number in left if number not in found]
    return found


def differences(ours, theirs):
    """Return the names of what is not alike."""
    names = {*ours} ^ {*theirs}
    for name in {*ours} & {*theirs}:
        one, other = np.asarray(ours[name]), np.asarray(theirs[name])
        if one.shape != other.shape or not np.all(
            (one == other) | ((one != one) & (other != other))
        ):
            names.add(name)
    return sorted(names)


def fuzz(name, numbers, seed, folder):
    """Make and read the files of some numbers; return counts, and what is wrong by number."""
    from pickle import loads

    paths = {number: make(name, seed, number, folder) for number in numbers}
    ours = work_elsewhere(name, "ours", folder, numbers)
    wrong = {number: told["wrong"] for number, told in ours.items() if told["wrong"]}
    taken = [number for number in numbers if ours[number]["read"]]
    theirs = work_elsewhere(name, "reference", folder, taken)
    is_misread = FORMATS[name][3]
    compared = [n for n in taken if theirs[n]["read"] and not is_misread(paths[n])]
    for number in taken:
        found = loads((folder / f"{number}.ours").read_bytes())
        if any(secret in repr(found) for secret in SECRETS):
            wrong[number] = "read another file"
        if number in compared:
            expected = loads((folder / f"{number}.reference").read_bytes())
            names = differences(found, expected)
            if names:
                wrong[number] = f"other numbers than the reference: {', '.join(names)[:200]}"
    counts = {"files": len(numbers), "read": len(taken), "compared": len(compared)}
    return counts | {"refused": len(numbers) - len(taken)}, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("format", choices=[*FORMATS])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where files stay; else they are removed")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--numbers", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        work(given.format, given.read, given.folder, map(int, given.numbers.split(",")))
        return 0
    total, wrong = {}, {}
    for start in range(0, given.files, 500):
        numbers = range(start, min(start + 500, given.files))
        with tempfile.TemporaryDirectory() as folder:
            counts, found = fuzz(given.format, numbers, given.seed, given.folder or Path(folder))
        total = {key: total.get(key, 0) + count for key, count in counts.items()}
        wrong |= found
        print(total, *(f"\n{number}: {what}" for number, what in found.items()), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
