"""Archives of arrays and a JSON header: bounds on memory, an allow-list, no pickle and no code.

Model files and checkpoints are such archives. Nothing in them is compressed, so that what is read
is never larger than the file; the checksums of the zip detect damage.

*Plain* values can be stored: None, bool, int, float, str, lists, tuples and mappings of them,
dtypes and numpy arrays of numbers, text or dates; and objects of the classes on the allow-list,
attribute by attribute. A class has one description, a `StoredType`, which `to_plain` and
`from_plain` both ask.
"""

from __future__ import annotations

import json
import math
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dbgsom_core.errors import DbgsomError, did_you_mean
from dbgsom_core.files import open_regular, write_atomically
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.training.targets import TRANSFORMS

_KINDS = "biufSUMm"  # numbers, text and dates, in numpy's letters
_MOST_POLYNOMIALS = 10**6  # columns of a prepare step, each of which takes memory


class ArchiveError(ValueError):
    """A file cannot be used; the message is a sentence without its subject, the file's name."""


class NotPlainError(ArchiveError):
    """A value has no plain form."""


# ----------------------------------------------------------------------------------- files


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
        # A zip bomb is compressed, or lets many members stand on the same bytes.
        stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not stored or len(self._members) < len(members):
            raise ArchiveError("is compressed or holds a member twice, as no model file does")
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
            npy.read_magic(stream)
            shape, is_fortran, dtype = npy.read_array_header_1_0(stream)
            content = bytearray(stream.read())  # at most as long as the file
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in _KINDS or not dtype.itemsize or size != len(content):
            raise ArchiveError(f"says that {name!r} is {dtype}, shape {shape}, unlike its bytes")
        array = np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")
        array = array.astype(dtype.newbyteorder("="), copy=False)
        if dtype.kind == "U":  # numpy itself fails at characters beyond Unicode's
            codes = array.ravel(order="K").view(np.uint32)
            if codes.max(initial=0) > sys.maxunicode:
                raise ArchiveError(f"says that {name!r} is text, which cannot be used")
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
        why = f"{type(error).__name__}: {error}"
        raise ArchiveError(
            f"is damaged, cut short, or of a format that this version cannot read ({why})"
        ) from error


def printable_line(message: object) -> str:
    """Return a message with text of a file as at most 500 printable characters."""
    text = str(message)[:500]
    return "".join(letter if letter.isprintable() else " " for letter in text)


# --------------------------------------------------------------------------- the allow-list

# The closed list of classes of this package in model files, by the names used there. Packages above
# add theirs when they are imported.
STORED_CLASSES = {
    "summaries": StoredType(
        "dbgsom_core.training.groups:MicroClusters",
        {
            "X": "float[M, D]",
            "weights": "finite[M]",
            "scatter": "number[M]",
            "labels": "any[M] | none",
            "labelled": "flag[M] | none",
            "units": "int[M]",
            "limits": "finite[2] | none",
        },
        fits=lambda clusters: bool((clusters.weights > 0).all()),
    ),
    "calibration": StoredType(
        "dbgsom_core.training.groups:Calibration",
        {"scores weights": "number[Q]", "offset": "number"},
        fits=lambda it: bool((it.weights >= 0).all() and (np.diff(it.scores) >= 0).all()),
    ),
    "target_transform": StoredType(
        "dbgsom_core.training.targets:TargetTransform",
        {"name": "text | none", "power": "number"},
        fits=lambda it: it.name in (None, *TRANSFORMS) and 0 <= it.power <= 2,
    ),
}


def _bounds_polynomials(step: Any) -> bool:  # which take time and memory
    return bool(step._max_degree <= 99 and step._n_out_full <= _MOST_POLYNOMIALS)


def _encodes_within_columns(step: Any) -> bool:  # scipy's compiled loops do not check indices
    if step._infrequent_enabled or step._drop_idx_after_grouping is not None:
        return False
    lengths = []
    for categories in step.categories_:
        is_text = categories.dtype.kind in "OUS"  # numbers are looked up by bisection
        if not (is_text or np.array_equal(categories, np.unique(categories), equal_nan=True)):
            return False
        lengths.append(len(categories))
    return lengths == list(step._n_features_outs) and len(lengths) == step.n_features_in_


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
SCIKIT_LEARN: dict[str, StoredType] = {}
for _module, _names in _SKLEARN_NAMES.items():
    for _name in _names.split():
        _where = f"sklearn.{_module}:{_name}"
        SCIKIT_LEARN[_where] = StoredType(_where, None, fits=_SKLEARN_CHECKS.get(_name))


def stored_types() -> dict[str, StoredType]:
    """Return the allow-list of classes in model files, by the names used there."""
    return {**get_registry().stored_types, **SCIKIT_LEARN, **STORED_CLASSES}


# --------------------------------------------------------------------------- values as JSON

Take = Callable[[str], NDArray[Any]]  # `Archive.take`
Types = Mapping[str, StoredType]
NO_OBJECTS: Types = {}


def to_plain(
    value: Any, arrays: dict[str, NDArray[Any]], where: str = "state", types: Types = NO_OBJECTS
) -> Any:
    """Return ``value`` as JSON data; arrays are moved to ``arrays`` and referred to by name."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        return _plain_array(value, arrays, where)
    if isinstance(value, np.generic):
        return {**_plain_array(np.asarray(value), arrays, where), "$scalar": True}
    is_type = isinstance(value, type) and issubclass(value, np.generic)
    if is_type or isinstance(value, np.dtype):
        return {"$dtype": np.dtype(value).str}
    if isinstance(value, (list, tuple)):
        items = [to_plain(item, arrays, where, types) for item in value]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping):
        return {"$map": _plain_items(value, arrays, where, types)}
    cls = type(value)
    for name, stored in types.items():
        if stored.means(cls):
            return {"$object": name, "state": _plain_items(vars(value), arrays, where, types)}
    raise NotPlainError(
        f"holds {where}, a {cls.__module__}.{cls.__qualname__}, which is not on the list of what "
        "model files hold; use a class on the list, prepare the data before, or add the class in a "
        "plugin's dbgsom_transformers"
    )


def _plain_array(value: NDArray[Any], arrays: dict[str, NDArray[Any]], where: str) -> Any:
    form = "$array"
    if value.dtype == object and all(isinstance(item, str) for item in value.flat):
        form, value = "$objects", value.astype(str)
    if value.dtype.kind not in _KINDS:
        raise NotPlainError(f"holds {where}, an array not of numbers, text or dates")
    key = f"a{len(arrays)}"
    arrays[key] = value
    return {form: key}


def _plain_items(
    items: Mapping[Any, Any], arrays: dict[str, NDArray[Any]], where: str, types: Types
) -> dict[str, Any]:
    plain = {}
    for key, item in items.items():
        if not isinstance(key, str):
            raise NotPlainError(f"holds {where}, a mapping with a key that is no text: {key!r}")
        plain[key] = to_plain(item, arrays, f"{where}.{key}", types)
    return plain


def from_plain(value: Any, take: Take, types: Types = NO_OBJECTS, where: str = "state") -> Any:
    """Return the value of `to_plain`; raises `ArchiveError` where files may not hold it."""
    if isinstance(value, list):
        return [from_plain(item, take, types, where) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        array = take(value["$array"])
        return array[()] if "$scalar" in value else array
    if "$objects" in value:
        return take(value["$objects"]).astype(str).astype(object)
    if "$dtype" in value:
        dtype = np.dtype(value["$dtype"])
        if dtype.kind not in "biuf":
            raise ArchiveError(f"holds {where}: a dtype that is not numeric")
        return dtype
    if "$tuple" in value:
        return tuple(from_plain(value["$tuple"], take, types, where))
    name = str(value.get("$object"))
    if "$map" not in value and name not in types:
        raise ArchiveError(
            f"holds {where}: a {name!r}, which is not on the list of what model files hold"
            f"{did_you_mean(name, types)}; if you trust the file, give the folder of its class, "
            "'--steps FOLDER', or load(path, steps=[CLASS]), or install a plugin that adds it"
        )
    items = {}
    for key, item in value["$map" if "$map" in value else "state"].items():
        items[key] = from_plain(item, take, types, f"{where}.{key}")
    if "$map" in value:
        return items
    made: Any = object.__new__(types[name].load())
    vars(made).update(items)
    problem = types[name].problem(made)
    if problem:
        raise ArchiveError(f"holds {where}: {problem}")
    return made
