"""What stored values of a NetCDF variable mean by the CF conventions."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError

_FILLS = ("_FillValue", "missing_value")
_COUNTS = {"valid_range": 2, "valid_min": 1, "valid_max": 1, "scale_factor": 1, "add_offset": 1}
_FLOAT_FILL = np.float32(9.969209968386869e36)
_DEFAULT_FILLS: dict[str, list[Any]] = {
    "i2": [-32767], "u2": [65535], "i4": [-2147483647], "u4": [4294967295],
    "i8": [-9223372036854775806], "u8": [18446744073709551614], "f4": [_FLOAT_FILL],
    "f8": [float(_FLOAT_FILL)],
}  # fmt: skip  # what the NetCDF library writes where nobody did; bytes have none


def decode(
    path: str, name: str, dims: tuple[str, ...], stored: NDArray[Any], attrs: dict[str, Any]
) -> tuple[Any, NDArray[np.bool_]]:
    """Return what stored values of a variable mean as a `DataArray`, and which are missing.

    Missing ones keep a value, which means nothing. DataError where attributes contradict the
    values, or each other.
    """
    xr = import_module("xarray")
    missing = np.zeros(stored.shape, dtype=np.bool_)
    if stored.dtype.kind in "iuf":
        _check_packing(path, name, attrs)
        missing = _missing(path, name, stored, attrs)
    kept = {attr: value for attr, value in attrs.items() if attr not in _FILLS}
    try:
        raw = xr.Variable(dims, stored, kept)
        decoded = xr.conventions.decode_cf_variable(name, raw, decode_timedelta=False)
        return xr.DataArray(decoded, name=name).load(), missing
    except Exception as error:  # pandas, cftime and xarray raise what they like
        reason = str(error).partition("\n")[0][:200]
        raise DataError(
            f"{path}: the attributes of '{name}' do not fit it: correct them ({reason})"
        ) from error


def _check_packing(path: str, name: str, attrs: dict[str, Any]) -> None:
    for attr, wanted in (("scale_factor", "a number but 0"), ("add_offset", "a number")):
        numbers = _numbers(path, name, attrs, attr)
        if not np.isfinite(numbers).all() or (attr == "scale_factor" and 0 in numbers):
            raise DataError(f"{path}: '{name}' has the {attr} {attrs[attr]}: give it {wanted}")


def _missing(
    path: str, name: str, stored: NDArray[Any], attrs: dict[str, Any]
) -> NDArray[np.bool_]:
    # Fills and limits are of the values as they are stored, before scale_factor and add_offset.
    unsigned = str(attrs.get("_Unsigned", "")).lower()
    kind = {("i", "true"): "u", ("u", "false"): "i"}.get((stored.dtype.kind, unsigned))
    if kind is not None:
        stored = stored.view(f"{stored.dtype.byteorder}{kind}{stored.dtype.itemsize}")

    def numbers_of(attr: str) -> NDArray[Any]:
        numbers = _numbers(path, name, attrs, attr)
        if stored.dtype.kind == "f":  # 1e20 as a double is another number than as a float
            with np.errstate(over="ignore"):
                return numbers.astype(stored.dtype)
        if kind is not None and (np.abs(numbers) < 2**62).all() and (numbers % 1 == 0).all():
            return numbers.astype(np.int64).astype(stored.dtype)  # -1 stands for 255
        return numbers

    fills = [*numbers_of("_FillValue"), *numbers_of("missing_value")]
    if "_FillValue" not in attrs and kind is None:
        fills += _DEFAULT_FILLS.get(f"{stored.dtype.kind}{stored.dtype.itemsize}", [])
    lowest, highest = numbers_of("valid_min"), numbers_of("valid_max")
    if "valid_range" in attrs:
        lowest, highest = np.split(numbers_of("valid_range"), 2)
    missing: NDArray[np.bool_] = np.isnan(stored)
    for fill in fills:
        missing |= stored == fill
    for limit in lowest:
        missing |= stored < limit
    for limit in highest:
        missing |= stored > limit
    return missing


def _numbers(path: str, name: str, attrs: dict[str, Any], attr: str) -> NDArray[Any]:
    # Of an attribute; none where it is not given.
    numbers = np.ravel(np.asarray(attrs.get(attr, [])))
    count = _COUNTS.get(attr, len(numbers))
    if numbers.dtype.kind not in "iuf" or (attr in attrs and len(numbers) != count):
        wanted = "two numbers" if count == 2 else "a number"
        raise DataError(f"{path}: '{name}' has the {attr} {attrs[attr]!r}: give it {wanted}")
    return numbers
