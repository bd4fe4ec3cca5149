"""Arrays that somebody stored, and texts of tables, as samples and targets."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import Data, DataError
from dbgsom_core.tables import as_array, parse_numbers

Missing = Literal["error", "keep"]
CURE = "drop or fill such cells, or set missing: keep where the metric takes missing values"
MISSING = "missing values: error, or keep for metrics that take them"
# Rows and columns, as a list of two in YAML.
ImageShape = Annotated[
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None, Field(strict=False)
]
IMAGE_SHAPE = "[rows, columns] of samples that are images, which figures then draw; null: none"
_TEXTS = 1 << 18  # texts that become objects of Python at a time: about 16 MiB
INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_NO_NUMBER = re.compile(r"[+-]?0\d|(true|false)\Z", re.IGNORECASE)  # codes, and truth values


def samples(
    array: NDArray[Any], where: str, missing: Missing = "error"
) -> NDArray[np.floating[Any]]:
    """Return a stored array as samples, (n, D), C-contiguous.

    float32 stays float32; other floats, integers and booleans become float64.
    """
    from sklearn.utils import check_array  # is slow to import

    if array.dtype.kind not in "fiub":
        raise DataError(f"{where} holds {_kind(array)}, not numbers: encode it as numbers first")
    finite: Any = "allow-nan" if missing == "keep" else True
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    dtypes = [np.float64, np.float32]
    try:
        X = check_array(native, dtype=dtypes, order="C", ensure_all_finite=finite)
    except (TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{where} holds no samples (n, features): {reason}") from error
    return np.asarray(X)


def targets(array: NDArray[Any], n_samples: int, where: str) -> NDArray[Any]:
    """Return a stored array as targets, (n,), of its own type; bytes become text."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"{where} has shape {array.shape}, not (samples,): give one target a sample"
        )
    if len(array) != n_samples:
        raise DataError(
            f"{where} has {len(array)} targets for {n_samples} samples: give one target a sample"
        )
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise DataError(
                f"{where} holds bytes that are no UTF-8 text: save it as text"
            ) from None
    if array.dtype.kind not in "fiubU":
        raise DataError(f"{where} holds {_kind(array)}: save it as numbers or text")
    if array.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(array))
        if len(bad):
            raise DataError(
                f"{where}, row {bad[0]} (counted from 0): the target is missing or infinite: "
                "drop such samples"
            )
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _kind(array: NDArray[Any]) -> str:
    if array.dtype.names:
        return f"records with the fields {', '.join(array.dtype.names)}"
    kinds = {"U": "text", "S": "bytes", "M": "dates", "m": "time spans", "O": "Python objects"}
    return kinds.get(array.dtype.kind, f"values of type {array.dtype}")


def as_images(data: Data, shape: tuple[int, int] | None, where: str) -> Data:
    """Return the data as images of ``shape``, row after row of each, or as they are for None."""
    if shape is None:
        return data
    given: Any = data.X.shape[1]
    if math.prod(shape) != given:
        raise DataError(
            f"{where}: image_shape {list(shape)} is of {math.prod(shape)} values, and samples have "
            f"{given}: set [rows, columns] of one image"
        )
    return replace(data, image_shape=shape)


def numbers_or_text(texts: pa.Array, decimal: str = ".", thousands: str = "") -> NDArray[Any]:
    """Return texts (n,) as int64 where all are integers, else float64 where all are numbers.

    Otherwise, and where a number has a leading zero (a code, no quantity), they stay text.
    """
    encoded = as_array(texts).dictionary_encode()
    words = encoded.dictionary.to_pylist()
    values, bad = parse_numbers(encoded.dictionary, decimal, thousands, words=())
    distinct: NDArray[Any] = np.array(words, dtype=np.str_)
    if not bad.any() and not any(map(_NO_NUMBER.match, words)):
        if not all(map(INTEGER.fullmatch, words)):
            distinct = values
        elif all(abs(int(word)) < 2**63 for word in words):
            distinct = distinct.astype(np.int64)
    return np.asarray(distinct[np.asarray(encoded.indices)])


def text_array(texts: pa.Array) -> NDArray[np.str_]:
    known = pc.fill_null(texts, "")
    parts = []
    for start in range(0, max(1, len(known)), _TEXTS):  # as objects they take much memory
        part = known.slice(start, _TEXTS).to_pylist()
        parts.append(np.array(part, dtype=np.str_))
    return np.concatenate(parts)
