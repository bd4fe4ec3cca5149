"""Archives of arrays and a JSON header: bounds on memory, an allow-list, no pickle and no code.

Model files and checkpoints are such archives. Nothing in them is compressed, so that what is read
is never larger than the file; the checksums of the zip detect damage.

*Plain* values can be stored: None, bool, int, float, str, lists, tuples and mappings of them,
dtypes and numpy arrays of numbers, text or dates; and objects of the classes on the allow-list,
attribute by attribute. The allow-list describes attributes in the type language of `StoredType`.
"""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import comb
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DbgsomError, did_you_mean
from dbgsom_core.files import open_regular, write_atomically
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.tables import is_unit

_MAGIC = b"\x93NUMPY\x01\x00"
_NPY_HEADER = re.compile(  # numpy's own reader evaluates the header as Python, which takes longer
    rb"\{'descr': '([<>|][biufSUMm][1-9]\d{0,8}(?:\[\w+\])?)', 'fortran_order': (False|True), "
    rb"'shape': \((\d{0,18}(?:, \d{1,18}){0,3}),?\), \} *\n"
)


class ArchiveError(ValueError):
    """A file cannot be used; the message is a sentence without its subject, the file's name."""


def write_archive(
    path: Path, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write header and arrays to ``path``, replacing an older file atomically."""
    text = json.dumps(header).encode()
    members = {**arrays, "header": np.frombuffer(text, dtype=np.uint8)}

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, **members)  # type: ignore[arg-type]

    write_atomically(path, write)


class Archive:
    """An open archive; each array can be read once."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file)
        members = self._zip.infolist()
        self._members = {member.filename: member for member in members}
        if len(self._members) < len(members):
            raise ArchiveError("holds a member twice")
        # A zip bomb is compressed, or lets many members stand on the same bytes.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ArchiveError("is compressed, which no model file is")
        if sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
            raise ArchiveError("says that it holds more bytes than it has: it is cut short")
        if "header.npy" not in self._members:
            raise ArchiveError("was not written by dbgsom-core: it has no header")
        self.header: dict[str, Any] = json.loads(self.take("header").tobytes())

    def take(self, name: str) -> NDArray[Any]:
        """Return the array of this name, once: a header refers to each array at most once."""
        member = self._members.pop(f"{name}.npy", None)
        if member is None:
            raise ArchiveError(f"has no array {name!r}, or refers to it twice")
        with self._zip.open(member) as stream:
            start = stream.read(len(_MAGIC) + 2)
            header = _NPY_HEADER.fullmatch(stream.read(int.from_bytes(start[-2:], "little")))
            if start[:-2] != _MAGIC or header is None:
                raise ArchiveError(f"holds {name!r}, which is no array of plain values")
            dtype, order = np.dtype(header[1].decode()), "F" if header[2] == b"True" else "C"
            shape = tuple(int(n) for n in header[3].decode().split(", ") if n)
            size = math.prod(shape) * dtype.itemsize
            if size != member.file_size - stream.tell():
                raise ArchiveError(f"says that {name!r} has shape {shape}, unlike its size")
            content = np.empty(size, dtype=np.uint8)
            if stream.readinto(content.data) < size or stream.read(1):  # type: ignore[attr-defined]
                raise ArchiveError(f"is cut short within {name!r}")
        array: NDArray[Any] = content.view(dtype).reshape(shape, order=order)  # type: ignore[call-overload]
        array = array.astype(dtype.newbyteorder("="), copy=False)
        largest = {"U": 0x10FFFF, "b": 1}.get(dtype.kind)  # beyond which numpy itself fails
        if largest is not None:
            codes = array.ravel(order="K").view(np.uint8 if dtype.kind == "b" else np.uint32)
            if codes.max(initial=0) > largest:
                raise ArchiveError(f"holds {name!r}, whose bytes are no {dtype.name}")
        return array


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a file that `write_archive` wrote; any error in it is raised as `ArchiveError`."""
    with open_regular(path) as file, raise_archive_errors():
        yield Archive(file)


@contextmanager
def raise_archive_errors() -> Iterator[None]:
    """Turn errors of zip, zlib, JSON, numpy and classes on a bad file into `ArchiveError`."""
    try:
        yield
    except (ArchiveError, DbgsomError, Warning):
        raise
    except Exception as error:
        why = printable_line(f"{type(error).__name__}: {error}")
        raise ArchiveError(
            f"is damaged, cut short, or of a format that this version cannot read ({why})"
        ) from error


def printable_line(message: object) -> str:
    """Return a message with text of a file as at most 500 printable characters."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(message))
    return text if len(text) <= 500 else f"{text[:499]}…"


Take = Callable[[str], NDArray[Any]]  # `Archive.take`
Types = Mapping[str, StoredType]
NO_OBJECTS: Types = {}
_DTYPE = re.compile(r"[<>|=]?[biuf]\d{1,2}")


class NotPlainError(TypeError):
    """A value has no plain form, or a plain form is of a value that files may not hold."""


# --------------------------------------------------------------------------- the allow-list

CORE_TYPES = {
    "columns": StoredType(
        "dbgsom_core.tables.columns:Columns",
        {
            "names ids dropped na_values": "tuple of text",
            "categories dates": "mapping of tuple of text",
            "target": "text | none",
            "decimal": "'.' | ','",
            "dtype": "'float64' | 'float32'",
            "thousands?": "text",
            "units?": "mapping of text | none",
            "annotations?": "tuple of text",
        },
        fits=lambda columns: (
            0 < len(set(columns.names)) == len(columns.names)
            and {*columns.categories, *columns.dates} <= {*columns.names}
            and all(map(is_unit, (columns.units or {}).values()))
        ),
    ),
    "summaries": StoredType(  # so named in model files
        "dbgsom_core.training.groups:MicroClusters",
        {
            "X": "float[M, D]",
            "weights": "finite[M]",
            "scatter": "number[M]",
            "labels": "any[M] | none",
            "labelled": "flag[M] | none",
            "units?": "int[M] | none",
            "limits?": "finite[2] | none",
        },
        fits=lambda clusters: bool((clusters.weights > 0).all()),
    ),
    "calibration": StoredType(
        "dbgsom_core.training.groups:Calibration",
        {"scores weights": "number[Q]", "offset": "number"},
        fits=lambda it: bool((it.weights >= 0).all() and (np.diff(it.scores) >= 0).all()),
    ),
}


def _bounds_polynomials(step: Any) -> bool:  # limits memory, which grows with the degrees
    low, high, columns = step._min_degree, step._max_degree, step.n_features_in_
    if not 0 <= low <= high <= 99:
        return False
    more = 0 if step.interaction_only else 1
    count = [comb(columns + more * (degree - 1), degree) for degree in range(1, high + 1)]
    full, output = sum(count), sum(count[max(low, 1) - 1 :])
    stored = step._n_out_full - step.include_bias, step.n_output_features_ - step.include_bias
    return full <= 10**6 and stored == (full, output)


def _encodes_within_columns(step: Any) -> bool:  # scipy's compiled loops do not check indices
    lengths = [len(categories) for categories in step.categories_]
    return (
        lengths == list(step._n_features_outs)
        and len(lengths) == step.n_features_in_
        and not step._infrequent_enabled
        and step.drop is step.drop_idx_ is step._drop_idx_after_grouping is None
        and all(
            categories.dtype.kind in "OUS"
            or np.array_equal(categories, np.unique(categories), equal_nan=True)
            for categories in step.categories_
        )
    )


# Transformers that only do arithmetic with their attributes: these are no functions, estimators,
# paths, connections or numbers of processes.
_SKLEARN_NAMES = {
    "preprocessing": (
        "StandardScaler MinMaxScaler MaxAbsScaler RobustScaler Normalizer Binarizer "
        "QuantileTransformer PowerTransformer PolynomialFeatures OrdinalEncoder OneHotEncoder"
    ),
    "impute": "SimpleImputer MissingIndicator KNNImputer",
    "decomposition": "PCA IncrementalPCA TruncatedSVD FactorAnalysis FastICA",
    "feature_selection": "VarianceThreshold",
    "random_projection": "GaussianRandomProjection",
    "kernel_approximation": "RBFSampler",
}
_SKLEARN_CHECKS: dict[str, Callable[[Any], bool]] = {  # not checked by scikit-learn itself
    "PolynomialFeatures": _bounds_polynomials,
    "OneHotEncoder": _encodes_within_columns,
    "FactorAnalysis": lambda step: len(step.components_) <= 4096,
}
SCIKIT_LEARN = {
    (where := f"sklearn.{module}:{name}"): StoredType(where, None, fits=_SKLEARN_CHECKS.get(name))
    for module, names in _SKLEARN_NAMES.items()
    for name in names.split()
}
CORE_TYPES["range_scale"] = StoredType("dbgsom_core.estimators.samples:RangeScaler", None)
CORE_TYPES["standardize_joint"] = StoredType("dbgsom_core.estimators.samples:JointScaler", None)


def stored_types() -> dict[str, StoredType]:
    """Return the allow-list of classes in model files, by the names used there."""
    return {**get_registry().stored_types, **SCIKIT_LEARN, **CORE_TYPES}


# --------------------------------------------------------------------------- values as JSON


def to_plain(
    value: Any, arrays: dict[str, NDArray[Any]], where: str = "state", types: Types = NO_OBJECTS
) -> Any:
    """Return ``value`` as JSON data; arrays are moved to ``arrays`` and referred to by name."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        key, text = f"a{len(arrays)}", value.dtype == object
        known = value.dtype.kind in "biufSUMm"
        if not (known or (text and all(isinstance(item, str) for item in value.ravel()))):
            raise NotPlainError(f"{where} is an array of objects other than numbers, text or dates")
        arrays[key] = value.astype(str) if text else value
        return {"$objects" if text else "$array": key}
    if isinstance(value, np.dtype):
        return {"$dtype": value.str}
    if isinstance(value, type) and issubclass(value, np.generic):
        return {"$dtype": np.dtype(value).str, "$type": True}
    if isinstance(value, np.generic):
        return to_plain(np.asarray(value), arrays, where, types) | {"$scalar": True}
    if isinstance(value, (list, tuple)):
        items = [to_plain(item, arrays, f"{where}[]", types) for item in value]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        inside = {k: to_plain(item, arrays, f"{where}.{k}", types) for k, item in value.items()}
        return {"$map": inside}
    cls = type(value)
    name = next((name for name, stored in types.items() if stored.means(cls)), None)
    if name is None:
        raise NotPlainError(
            f"{where} is a {cls.__module__}.{cls.__qualname__}, which is not on the list of what "
            "model files hold; use a class on the list, prepare the data before, or add the "
            "class in a plugin's dbgsom_transformers"
        )
    if problem := types[name].mismatch(value, types):
        raise NotPlainError(f"{where}{problem}")
    state = {key: to_plain(it, arrays, f"{where}.{key}", types) for key, it in vars(value).items()}
    return {"$object": name, "state": state}


def from_plain(value: Any, take: Take, types: Types = NO_OBJECTS, where: str = "state") -> Any:
    """Return the value of `to_plain`; raises `NotPlainError` where files may not hold it."""
    if isinstance(value, list):
        return [from_plain(item, take, types, where) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        array = take(value["$array"])
        return array[()] if value.get("$scalar") else array
    if "$objects" in value:
        return take(value["$objects"]).astype(str).astype(object)
    if "$dtype" in value:
        if not _DTYPE.fullmatch(value["$dtype"]):
            raise NotPlainError(f"the file has a dtype that is not numeric: {value}")
        dtype = np.dtype(value["$dtype"])
        return dtype.type if value.get("$type") else dtype
    if "$tuple" in value:
        return tuple(from_plain(item, take, types, where) for item in value["$tuple"])
    if "$map" in value:
        return {k: from_plain(it, take, types, f"{where}.{k}") for k, it in value["$map"].items()}
    name = str(value.get("$object"))
    if name not in types:
        raise NotPlainError(
            f"the file holds a '{name}', which is not on the list of what model files hold"
            f"{did_you_mean(name, types)}; install a plugin that adds it only if you trust the file"
        )
    made: Any = object.__new__(types[name].load())
    for key, item in value["state"].items():
        vars(made)[key] = from_plain(item, take, types, f"{where}.{key}")
    if problem := types[name].mismatch(made, types):
        raise NotPlainError(f"the file holds a '{name}' that is wrong: {where}{problem}")
    return made
