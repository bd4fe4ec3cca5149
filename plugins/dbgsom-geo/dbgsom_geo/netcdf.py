"""Fields on a grid of latitudes and longitudes, from NetCDF files."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator, model_validator

from dbgsom_core.api import Component, Data, DataError, open_regular
from dbgsom_core.tables import reading
from dbgsom_geo.climatology import climatology, days_of_year
from dbgsom_geo.days import SEASONS
from dbgsom_geo.places import name_of

Paths = Annotated[
    str | tuple[str, ...],
    BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given),
]
Degrees = Annotated[tuple[float, float], Field(strict=False)]
_LETTERS = 2 * "JFMAMJJASOND"
_CURE = "choose a smaller region, or missing: drop leaves these grid points out"
_KNOWN = {
    "latitude": ("Y", ("degrees_north", "degree_north", "degrees_n"), ("lat", "latitude", "y")),
    "longitude": ("X", ("degrees_east", "degree_east", "degrees_e"), ("lon", "longitude", "x")),
    "time": ("T", (), ("time", "valid_time", "t", "date")),
}  # CF axis, CF units, usual names
_LEAST_BYTES, _RATIO = 1 << 30, 100  # of values that a file may claim, or times its own size


class Fields(NamedTuple):
    """Fields (n, R, C) with their dates (n, 5), year to minute, and degrees from north and west."""

    values: NDArray[Any]
    dates: NDArray[np.int64]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    calendar: str
    about: Mapping[str, str]


class NetCDF(Component):
    """Fields over time on a grid, from NetCDF files (3 and 4) that follow CF, through xarray.

    A sample is the field of one time, from north to south and from west to east; features are
    called by their places (``50.0N 10.0W``). ``time``, ``month`` and ``season`` are kept beside the
    samples. Means over time, other units and regridding are left to xarray.
    """

    path: Paths = Field(
        min_length=1,
        description="a file, a pattern such as slp.*.nc, or a list: parts along time",
    )
    variable: str | None = Field(default=None, description="null: the only one over this grid")
    select: Mapping[str, float | int | str] | None = Field(
        default=None, description="one value of each further dimension, as {level: 500}"
    )
    latitudes: Degrees | None = Field(default=None, description="[from, to] in degrees north")
    longitudes: Degrees | None = Field(
        default=None, description="[from, to] in degrees east, eastwards: [-80, 40] or [170, 200]"
    )
    months: Annotated[tuple[int, ...], Field(strict=False)] | None = Field(
        default=None, description="months to keep, as [1, 2]; null: all"
    )
    season: str | None = Field(
        default=None, description="months to keep by their initials, as DJF or MJJAS; null: all"
    )
    missing: Literal["error", "keep", "drop"] = Field(
        default="error",
        description="values that are missing: error, keep for metrics that take them, or drop the "
        "grid points that lack any (and times that lack all)",
    )
    anomalies: Literal["day_of_year"] | None = Field(
        default=None, description="day_of_year takes off the mean of the days around each day"
    )
    window: int = Field(default=31, ge=1, le=365, description="days of that mean, an odd number")
    climatology: Paths | None = Field(
        default=None,
        description="files whose mean is taken off, those of the training for new days; null: the "
        "same files",
    )

    @field_validator("window")
    @classmethod
    def _odd(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError(f"counts the day itself: {window - 1} or {window + 1}")
        return window

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.season is not None and self.months is not None:
            raise ValueError("months and season say the same: give one of them")
        if self.climatology is not None and self.anomalies is None:
            raise ValueError("a climatology is taken off for anomalies: day_of_year alone")
        if any(not 1 <= month <= 12 for month in self.months or ()):
            raise ValueError("months are numbers from 1 to 12")
        self._months()
        return self

    def load(self) -> Data:
        """Return the fields of all times as samples (n, R·C), float32 or float64."""
        fields = self._read(self.path)
        n, *shape = fields.values.shape
        X = fields.values.reshape(n, -1)
        if self.anomalies is not None:
            X = self._anomalies(X, fields)
        months = fields.dates[:, 1]
        if (wanted := self._months()) is not None:
            kept = np.isin(months, list(wanted))
            if not kept.any():
                raise DataError(f"{_shown(self.path)} has no day in the months {sorted(wanted)}")
            X, months, fields = X[kept], months[kept], fields._replace(dates=fields.dates[kept])
        X, rows, columns = self._complete(X)
        places = [
            name_of(latitude, longitude)
            for latitude in fields.latitudes.tolist()
            for longitude in fields.longitudes.tolist()
        ]
        names = [places[column] for column in np.flatnonzero(columns)]
        if len(set(names)) < len(names):
            raise DataError(f"{_shown(self.path)} has grid points closer than 0.0001 degrees")
        months = months[rows]
        return Data(
            np.ascontiguousarray(X),
            feature_names=names,
            image_shape=(shape[0], shape[1]) if columns.all() else None,
            details=fields.about,
            annotations={
                "time": _iso(fields.dates[rows]),
                "month": np.array([f"{month:02d}" for month in months.tolist()]),
                "season": np.array(SEASONS)[months % 12 // 3],
            },
        )

    def _months(self) -> set[int] | None:
        if self.season is None:
            return None if self.months is None else set(self.months)
        start = _LETTERS.find(self.season.upper())
        if not 2 <= len(self.season) <= 12 or start < 0:
            raise ValueError(f"season {self.season!r} is no row of initials such as DJF or MJJAS")
        return {(start + i) % 12 + 1 for i in range(len(self.season))}

    def _complete(
        self, X: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
        # Samples, and which times and grid points are left.
        rows, columns = np.ones(len(X), dtype=bool), np.ones(X.shape[1], dtype=bool)
        gaps = np.isnan(X)
        if not gaps.any() or self.missing == "keep":
            return X, rows, columns
        never, some = gaps.all(axis=0).sum(), gaps.any(axis=0).sum()
        what = f"of {X.shape[1]} grid points {never} have no value at any time, {some - never} lack"
        if self.missing == "error":
            raise DataError(f"{_shown(self.path)}: {what} some: {_CURE}")
        rows = ~gaps.all(axis=1)
        columns = ~gaps[rows].any(axis=0)
        if not columns.any():
            raise DataError(f"{_shown(self.path)}: {what} some, so none is left: fill them first")
        warnings.warn(
            f"{(~columns).sum()} of {len(columns)} grid points and {(~rows).sum()} of {len(rows)} "
            "times lack values and are left out",
            stacklevel=2,
        )
        return X[rows][:, columns], rows, columns

    def _anomalies(self, X: NDArray[Any], fields: Fields) -> NDArray[Any]:
        base = fields if self.climatology is None else self._read(self.climatology)
        if not _same_grid(base, fields):
            raise DataError(
                f"{_shown(self.climatology)} and {_shown(self.path)} have other grids: take both "
                "from the same region and grid"
            )
        if base.calendar != fields.calendar and "360_day" in (base.calendar, fields.calendar):
            raise DataError("a calendar of 360 days has no climatology for days of another one")
        _, months, days, *_ = base.dates.T
        day, n_days = days_of_year(months, days, base.calendar)
        means = climatology(base.values.reshape(len(day), -1), day, n_days, self.window)
        _, months, days, *_ = fields.dates.T
        wanted, _ = days_of_year(months, days, fields.calendar)
        if not np.isin(wanted, np.flatnonzero(~np.isnan(means).all(axis=1))).all():
            raise DataError(
                f"{_shown(self.climatology)} has no days near some of {_shown(self.path)}: give "
                "files of whole years, or a wider window"
            )
        return np.asarray(X - means[wanted].astype(X.dtype))

    def _read(self, path: str | Sequence[str] | None) -> Fields:
        files, parts = _files(path or ""), list[Fields]()
        for file in files:
            with reading(file, "NetCDF file"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of dates beyond 2262, of attributes
                parts.append(self._read_file(file))
            if not _same_grid(parts[0], parts[-1]) or parts[0].calendar != parts[-1].calendar:
                raise DataError(f"{files[0]} and {file} have other grids or calendars: regrid one")
        one, dates = parts[0], np.concatenate([part.dates for part in parts])
        order = np.lexsort(dates.T[::-1])
        twice = np.flatnonzero((np.diff(dates[order], axis=0) == 0).all(axis=1))
        if len(twice):
            day = _iso(dates[order[twice[:1]]])[0]
            raise DataError(f"{_shown(path)}: {day} stands there twice: give each time once")
        if len(parts) == 1 and (order == np.arange(len(order))).all():
            return one
        values = np.concatenate([part.values for part in parts])[order]
        return one._replace(values=values, dates=dates[order])

    def _read_file(self, path: str) -> Fields:
        xr, file = _xarray(), Path(path).expanduser()
        with open_regular(file) as stream:
            magic = stream.read(4)
            stream.seek(0)
            if magic not in (b"CDF\x01", b"CDF\x02", b"\x89HDF"):
                raise DataError(f"{path} is no NetCDF file of version 3 or 4: convert it first")
            engine: Any = "scipy"
            if magic == b"\x89HDF":
                import h5py

                engine = "h5netcdf"
                with h5py.File(stream) as plain:  # of what is damaged h5netcdf prints a traceback
                    dict(plain.attrs)
                stream.seek(0)
            with xr.open_dataset(stream, engine=engine, decode_timedelta=False) as dataset:
                field, dims = self._variable(path, dataset)
                field = self._selected(path, field, dims)
                dates, calendar = _dates(path, field[dims["time"]])
                latitudes, longitudes = (
                    _axis(path, field[dims[axis]]) for axis in ("latitude", "longitude")
                )
                north = np.flatnonzero(_between(latitudes, self.latitudes))
                north = north[np.argsort(-latitudes[north])]
                west, turned = _eastwards(longitudes, self.longitudes)
                if not len(north) or not len(west):
                    raise DataError(f"{path} has no grid point in this region: {_region(self)}")
                field = field.isel({dims["latitude"]: north, dims["longitude"]: west})
                if 8 * field.size > max(_LEAST_BYTES, _RATIO * file.stat().st_size):
                    raise DataError(f"{path} claims {field.size} values, and can hold no such many")
                values = field.transpose(*dims.values()).values
                if values.dtype.kind not in "fiub":
                    raise DataError(f"{path}: {field.name} holds no numbers")
                if values.dtype != np.float32:
                    values = values.astype(np.float64)
                if np.isinf(values).any():
                    raise DataError(f"{path}: {field.name} has infinite values: mask them first")
                names = ("long_name", "units")
                about = {name: str(field.attrs[name]) for name in names if name in field.attrs}
                about = {"variable": str(field.name)} | about
                return Fields(values, dates, latitudes[north], turned, calendar, about)

    def _variable(self, path: str, dataset: Any) -> tuple[Any, dict[str, Any]]:
        # The variable, and its dimensions by what they are.
        found = {}
        for name, field in dataset.data_vars.items():
            dims = {axis: _dimension(field, axis) for axis in ("time", "latitude", "longitude")}
            if None not in dims.values():
                found[str(name)] = (field, dims)
        if self.variable in found or (self.variable is None and len(found) == 1):
            return found[self.variable or next(iter(found))]
        if not found:
            raise DataError(
                f"{path} has no variable over time, latitude and longitude with one coordinate "
                f"each (it has {', '.join(map(str, dataset.data_vars)) or 'none'}): a grid in "
                "other coordinates is first regridded to latitudes and longitudes"
            )
        listed = ", ".join(found)
        if self.variable is None:
            raise DataError(f"{path} has several variables, {listed}: say which, variable: NAME")
        raise DataError(f"{path} has no variable '{self.variable}'{_near(self.variable, found)}")

    def _selected(self, path: str, field: Any, dims: Mapping[str, Any]) -> Any:
        # The variable at the one place in each further dimension.
        for name in self.select or {}:
            if name not in field.dims or name in dims.values():
                further = [str(one) for one in field.dims if one not in dims.values()]
                raise DataError(f"{path}: select names '{name}'{_near(name, further)}")
        for name in [one for one in field.dims if one not in dims.values()]:
            values = field[name].values if name in field.coords else np.arange(field.sizes[name])
            if name in (self.select or {}):
                wanted: Any = dict(self.select or {})[name]
                same = values.astype(str) == str(wanted)
                if values.dtype.kind in "fiu" and not isinstance(wanted, str):
                    same = np.isclose(values.astype(np.float64), wanted)
                place = np.flatnonzero(same)
            else:
                place = np.arange(len(values))
            if len(place) != 1:
                some = ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
                raise DataError(
                    f"{path}: {field.name} runs over {name} ({some}): say which, select: "
                    f"{{{name}: {values[0] if len(values) else 0}}}"
                )
            field = field.isel({name: int(place[0])})
        return field

    @classmethod
    def examples(cls, folder: Path) -> dict[str, Any]:
        """Write 40 days of a small field for the conformance kit; return the fields."""
        xr, generator = _xarray(), np.random.default_rng(0)
        days = np.datetime64("2001-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
        coords = {"time": days, "lat": np.arange(30.0, 50.0, 5.0), "lon": np.arange(0.0, 30.0, 5.0)}
        values = generator.normal(size=(40, 4, 6))
        data = xr.Dataset({"slp": (("time", "lat", "lon"), values)}, coords)
        data.to_netcdf(folder / "example.nc", engine="scipy")
        return {"path": str(folder / "example.nc")}


def _xarray() -> Any:
    try:
        import cftime  # noqa: F401 - xarray needs it for calendars of models
        import h5netcdf  # noqa: F401
        import h5py  # noqa: F401 - of which newer h5netcdf does not depend
        import xarray
    except ImportError as error:
        cure = "pip install 'dbgsom-geo[netcdf]'"
        raise DataError(f"NetCDF files need the package {error.name}: {cure}") from error
    return xarray


def _files(path: str | Sequence[str]) -> list[str]:
    files: list[str] = []
    for one in [path] if isinstance(path, str) else path:
        pattern = str(Path(one).expanduser())
        found = [one] if Path(pattern).exists() else sorted(glob.glob(pattern))  # noqa: PTH207
        if not found and glob.has_magic(one):
            raise DataError(f"no file is called {one}: patterns are those of a shell")
        files += found or [one]
    return files


def _shown(path: str | Sequence[str] | None) -> str:
    return path if isinstance(path, str) else ", ".join(path or ())


def _near(name: str, known: Any) -> str:
    near = get_close_matches(name, known, 1, 0.5)
    listed = ", ".join(known) or "none"
    return f": did you mean '{near[0]}'?" if near else f": there are {listed}"


def _dimension(field: Any, axis: str) -> Any:
    # The dimension that CF attributes or, failing that, its name say is this axis.
    letter, units, names = _KNOWN[axis]

    def by_attributes(name: Any) -> bool:
        attrs = field[name].attrs if name in field.coords else {}
        said = attrs.get("standard_name") == axis or attrs.get("axis") == letter
        return said or str(attrs.get("units", "")).lower() in units

    for fits in (by_attributes, lambda name: str(name).lower() in names):
        found = [name for name in field.dims if name in field.coords and fits(name)]
        if found:
            return found[0]
    return None


def _dates(path: str, time: Any) -> tuple[NDArray[np.int64], str]:
    if time.size == 0:
        raise DataError(f"{path} has no times")
    if time.dtype.kind not in "MO" or (time.dtype.kind == "M" and np.isnat(time.values).any()):
        raise DataError(
            f"{path}: '{time.name}' holds no dates: give it units as 'days since 1900-01-01'"
        )
    parts = [getattr(time.dt, part).values for part in ("year", "month", "day", "hour", "minute")]
    return np.stack(parts, axis=1).astype(np.int64), str(time.dt.calendar)


def _iso(dates: NDArray[np.int64]) -> NDArray[Any]:
    # Days alone where all are of the same hour.
    days = [f"{year:04d}-{month:02d}-{day:02d}" for year, month, day, *_ in dates.tolist()]
    if (dates[:, 3:] == dates[:1, 3:]).all():
        return np.array(days)
    hours = [f"T{hour:02d}:{minute:02d}" for *_, hour, minute in dates.tolist()]
    return np.array([day + hour for day, hour in zip(days, hours, strict=True)])


def _axis(path: str, axis: Any) -> NDArray[np.float64]:
    values = np.asarray(axis.values, dtype=np.float64)
    if np.abs(values).max(initial=0) > 720:
        raise DataError(f"{path}: '{axis.name}' holds no degrees: regrid to latitudes, longitudes")
    if not np.isfinite(values).all() or len(np.unique(values)) < len(values):
        raise DataError(f"{path}: '{axis.name}' has values that are missing or stand there twice")
    return values


def _between(latitudes: NDArray[np.float64], region: tuple[float, float] | None) -> Any:
    low, high = sorted(region or (-90.0, 90.0))
    return (latitudes >= low - 1e-6) & (latitudes <= high + 1e-6)


def _eastwards(
    longitudes: NDArray[np.float64], region: tuple[float, float] | None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    # Which longitudes lie in a region, from west to east, and their degrees without a jump.
    if region is None:
        order = np.argsort(longitudes)
        return order, longitudes[order]
    west, east = region
    width = 360.0 if abs(east - west) >= 360 else (east - west) % 360.0
    beyond = (longitudes - west + 1e-6) % 360.0 - 1e-6
    inside = np.flatnonzero(beyond <= width + 1e-6)
    order = inside[np.argsort(beyond[inside])]
    _, first = np.unique(np.round(beyond[order], 4), return_index=True)  # 0 and 360 are one
    return order[first], west + beyond[order[first]]


def _region(dataset: NetCDF) -> str:
    return f"latitudes {dataset.latitudes}, longitudes {dataset.longitudes}"


def _same_grid(one: Fields, other: Fields) -> bool:
    axes = zip(one[2:4], other[2:4], strict=True)
    return all(len(a) == len(b) and np.allclose(a, b, atol=1e-4) for a, b in axes)
