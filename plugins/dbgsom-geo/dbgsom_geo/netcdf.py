"""Fields on a grid of latitudes and longitudes, from NetCDF files."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self
from unittest import SkipTest

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from dbgsom_core.api import Data, DataError, DatasetComponent
from dbgsom_core.tables import Columns, reading
from dbgsom_geo.cf import decode
from dbgsom_geo.days import SEASONS, climatology, days_of_year, lacks_days, winters
from dbgsom_geo.netcdf_files import Variable, open_variables
from dbgsom_geo.places import name_of

_as_tuple = BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given)
Paths = Annotated[str | tuple[str, ...], _as_tuple]
Months = Annotated[str | tuple[int, ...] | None, _as_tuple]
Years = Annotated[tuple[int, int] | None, _as_tuple]
Degrees = Annotated[tuple[float, float], Field(strict=False)]
_YEARS = 10  # of a climatology, below which one day weighs too much in it
_MOST_TIMES, _MOST_POINTS = 200_000, 1_000_000  # that a file of fewer bytes may claim
_SHOWN = 40  # letters of a text in a message
_LAST_YEAR = 9999  # of four digits
_ROUNDED = 5e-5  # degrees by which float32 may miss 90, too few to be seen in the name of a place
_LETTERS = 2 * "JFMAMJJASOND"
_KNOWN = {
    "time": ("T", (), ("time", "valid_time", "t", "date")),
    "latitude": ("Y", ("degrees_north", "degree_north", "degrees_n"), ("lat", "latitude", "y")),
    "longitude": ("X", ("degrees_east", "degree_east", "degrees_e"), ("lon", "longitude", "x")),
}  # CF axis, CF units, usual names


class Fields(NamedTuple):
    """Fields (n, R, C) with their dates (n, 5), year to minute, and degrees from north and west."""

    values: NDArray[Any]
    dates: NDArray[np.int64]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    calendar: str


class NetCDF(DatasetComponent):
    """Fields over time on a grid, from NetCDF files (3 and 4) that follow CF, decoded by xarray.

    A sample is the field of one time, from north to south and from west to east; features are
    called by their places (``50.0N 10.0W``). ``time``, ``month``, ``season`` and ``year`` are kept
    beside the samples; with winters alone (``months: DJF``) a December counts to the next year.
    Months and years choose samples and not the climatology, which is of all days of its files, the
    same ones unless others are given. Means over time, other units and grids are left to xarray.
    """

    file_fields: ClassVar[tuple[str, ...]] = ("path", "climatology")

    path: Paths = Field(
        min_length=1, description="a file, a pattern such as slp.*.nc, or a list: parts along time"
    )
    variable: str | None = Field(default=None, description="null: the only one over this grid")
    select: Mapping[str, float | int | str] = Field(
        default={}, description="one value of each further dimension, as {level: 500}"
    )
    latitudes: Degrees = Field(default=(-90, 90), description="[from, to] in degrees north")
    longitudes: Degrees | None = Field(
        default=None, description="[from, to] in degrees east, eastwards: [-80, 40] or [170, 200]"
    )
    months: Months = Field(default=None, description="to keep, as DJF or [12, 1, 2]; null: all")
    years: Years = Field(default=None, description="[first, last], winters by January; null: all")
    missing: Literal["error", "keep", "drop"] = Field(
        default="error",
        description="of values: keep is for metrics that take them, drop for others",
    )
    anomalies: Literal["day_of_year"] | None = Field(
        default=None, description="day_of_year takes off the mean of the days around each day"
    )
    window: int = Field(default=31, ge=1, le=365, description="days of that mean, an odd number")
    climatology: Paths | None = Field(
        default=None, description="files of it, all their days, as the training's for new days"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.window % 2 == 0:
            odd = f"{self.window - 1} or {self.window + 1}"
            raise ValueError(f"window counts the day itself and as many on each side: write {odd}")
        if self.climatology is not None and self.anomalies is None:
            raise ValueError("a climatology is taken off for anomalies: day_of_year alone")
        if not self._kept() <= set(range(1, 13)):
            raise ValueError(f"months are initials in a row or numbers, and not {self.months!r}")
        return self

    def _kept(self) -> set[int]:
        if not isinstance(self.months, str):
            return set(range(1, 13) if self.months is None else self.months)
        start, count = _LETTERS.find(self.months.upper()), len(self.months) or 12
        return {(start + i) % 12 + 1 for i in range(count)} if start >= 0 and count > 1 else {0}

    def load(self) -> Data:
        """Return the fields of all times as samples (n, R·C), float32 or float64."""
        fields = self._read(self.path)
        kept = self._kept() & set(fields.dates[:, 1].tolist())
        _, years = winters(fields.dates[:, 0], fields.dates[:, 1], kept)
        rows = np.isin(fields.dates[:, 1], [*kept])
        if self.years is not None:
            rows &= (self.years[0] <= years) & (years <= self.years[1])
            if not rows.any():
                has = f"{years.min()} to {years.max()}: choose of these"
                raise DataError(f"{_shown(self.path)} has none of years {self.years}, but {has}")
        X = fields.values.reshape(len(rows), -1)[rows]
        X = X if self.anomalies is None else self._anomalies(X, fields, rows)
        complete, columns = self._complete(X)
        X, dates, years = X[complete], fields.dates[rows][complete], years[rows][complete]
        places = [name_of(north, east) for north in fields.latitudes for east in fields.longitudes]
        # Models find columns by name, and refuse anomalies for values and other grids.
        end = "" if self.anomalies is None else " anomaly"
        names = [places[column] + end for column in np.flatnonzero(columns)]
        months = np.array([f"{month:02d}" for month in dates[:, 1].tolist()])
        season = np.array(SEASONS)[dates[:, 1] % 12 // 3]
        beside = {"time": _iso(dates), "month": months, "season": season, "year": years.astype(str)}
        return Data(
            np.ascontiguousarray(X[:, columns]),
            feature_names=names,
            image_shape=fields.values.shape[1:] if columns.all() else None,
            columns=Columns(tuple(names), dtype=str(X.dtype)),
            annotations=beside,
        )

    def for_new(self, path: str) -> NetCDF:
        base = self.climatology or self.path if self.anomalies else None
        return self.model_copy(update={"path": path, "years": None, "climatology": base})

    def _complete(self, X: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        # Which times (n,) and grid points (D,) stay.
        gaps = np.isnan(X)
        if not gaps.any() or self.missing == "keep":
            return np.ones(len(X), dtype=bool), np.ones(X.shape[1], dtype=bool)
        rows = ~gaps.all(axis=1)
        columns = ~gaps[rows].any(axis=0)
        never, some = gaps.all(axis=0).sum(), gaps.any(axis=0).sum()
        what = f"of {len(columns)} grid points {never} have no value at any time, {some - never} "
        if self.missing == "error" or not columns.any():
            cure = "leave such points out (missing: drop), choose another region, or fill them"
            raise DataError(f"{_shown(self.path)}: {what}lack some: {cure}")
        left = f"{(~columns).sum()} of {len(columns)} grid points, {(~rows).sum()} of {len(rows)} "
        warnings.warn(f"{left}times lack values and are left out", stacklevel=2)
        return rows, columns

    def _anomalies(self, X: NDArray[Any], fields: Fields, rows: NDArray[np.bool_]) -> NDArray[Any]:
        # Of the samples X (n, D), which are those rows of the fields.
        base = fields if self.climatology is None else self._read(self.climatology)
        day, n_days = days_of_year(base.dates, base.calendar)
        wanted, _ = days_of_year(fields.dates[rows], fields.calendar)
        both = f"{_shown(self.climatology or '')} and {_shown(self.path)}"
        if not _alike(base, fields):
            raise DataError(f"{both} have other grids or calendars: take the same region and grid")
        means = climatology(base.values.reshape(len(day), -1), day, n_days, self.window)
        if np.isnan(means[wanted]).all(axis=1).any() and not np.isnan(X).all(axis=1).any():
            raise DataError(f"{both}: the first has no days near some of the second; add its years")
        years = len(np.unique(base.dates[:, :2], axis=0)) / len(np.unique(base.dates[:, 1]))
        if years < _YEARS or lacks_days(day, wanted, n_days, self.window):
            has = "lacks days of the year near some that are used"
            has = has if years >= _YEARS else f"holds {years:.3g} years, fewer than {_YEARS}"
            cure = "take whole years, for new days those of the training (climatology: FILES)"
            warnings.warn(f"the climatology taken off {has}: {cure}", stacklevel=2)
        return np.asarray(X - means[wanted].astype(X.dtype))

    def _read(self, path: Any) -> Fields:
        parts = list[Fields]()
        for file in (files := _files(path)):
            with reading(file, "NetCDF file"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of dates beyond 2262, of attributes
                parts.append(self._read_file(file))
            if not _alike(parts[0], parts[-1]):
                raise DataError(f"{files[0]} and {file} have other grids or calendars: regrid one")
        dates = np.concatenate([part.dates for part in parts])
        order = np.lexsort(dates.T[::-1])
        dates = dates[order]
        twice = np.flatnonzero((np.diff(dates, axis=0) == 0).all(axis=1))
        if len(twice):
            raise DataError(f"{_shown(path)}: {_iso(dates[twice])[0]} stands there twice")
        values = parts[0].values if len(parts) == 1 else np.concatenate([p.values for p in parts])
        values = values if (np.diff(order) == 1).all() else values[order]
        return parts[0]._replace(values=values, dates=dates)

    def _read_file(self, path: str) -> Fields:
        import_xarray()
        with open_variables(path) as variables:
            name, dims = self._variable(path, variables)
            field = variables[name]
            time, latitude, longitude = dims
            _check_count(path, "times", field.shape[field.dims.index(time)], _MOST_TIMES)
            _check_count(path, "values along a dimension", max(field.shape), _MOST_POINTS)
            dates, calendar = _dates(path, time, variables[time])
            latitudes = _degrees(path, latitude, variables[latitude])
            if (np.abs(latitudes) > 90 + _ROUNDED).any():
                raise DataError(f"{path}: '{latitude}' goes beyond the poles: correct its values")
            latitudes = latitudes.clip(-90, 90)
            longitudes = _degrees(path, longitude, variables[longitude])
            south, north = sorted(self.latitudes)
            inside = (latitudes >= south - 1e-6) & (latitudes <= north + 1e-6)
            rows = np.flatnonzero(inside)[np.argsort(-latitudes[inside])]
            columns, eastwards = _eastwards(longitudes, self.longitudes)
            if not len(rows) or not len(columns):
                raise DataError(f"{path} has no grid point in these latitudes and longitudes")
            _check_count(path, "grid points", len(rows) * len(columns), _MOST_POINTS)
            places = {time: np.arange(len(dates)), latitude: rows, longitude: columns}
            stored = _read_at(field, dims, places | self._selected(path, name, variables, dims))
            values, missing = decode(path, name, dims, stored, field.attrs)
        if values.dtype.kind not in "iufb":
            raise DataError(f"{path}: {name} holds no numbers: choose another variable")
        X = values.values.astype(np.promote_types(values.dtype, np.float32), copy=False)
        X[missing] = np.nan
        if np.isinf(X).any():
            raise DataError(f"{path}: {name} has infinite values: write missing ones as such")
        return Fields(X, dates, latitudes[rows], eastwards, calendar)

    def _variable(
        self, path: str, variables: Mapping[str, Variable]
    ) -> tuple[str, tuple[str, str, str]]:
        # The variable, and its dimensions of time, latitude and longitude.
        found, beside = dict[str, tuple[str, str, str]](), set[str]()
        for name, field in variables.items():
            coordinates = {
                dim: variables[dim].attrs for dim in field.dims if _is_axis(dim, variables)
            }
            time, latitude, longitude = (_dimension(coordinates, axis) for axis in _KNOWN)
            if time is not None and latitude is not None and longitude is not None:
                found[name] = time, latitude, longitude
                beside |= {*str(field.attrs.get("coordinates", "")).split()}
        found = {name: dims for name, dims in found.items() if name not in beside}
        wanted = next(iter(found)) if self.variable is None and len(found) == 1 else self.variable
        if wanted in found:
            return wanted, found[wanted]
        if not found:
            names = ", ".join(name for name in variables if not _is_axis(name, variables)) or "none"
            over = "over time, latitude and longitude with a coordinate each"
            raise DataError(f"{path} has no variable {over} (it has {names}): regrid it to these")
        if wanted is None:
            raise DataError(f"{path} has several variables, {', '.join(found)}: name one")
        raise DataError(f"{path} has no variable '{wanted}'{_near(wanted, found)}")

    def _selected(
        self, path: str, field: str, variables: Mapping[str, Variable], dims: tuple[str, ...]
    ) -> dict[str, NDArray[np.intp]]:
        # The place of the field in each further dimension.
        lengths = dict(zip(variables[field].dims, variables[field].shape, strict=True))
        further = [one for one in lengths if one not in dims]
        for name in self.select:
            if name not in further:
                raise DataError(f"{path}: select names '{name}'{_near(name, further)}")
        places = {}
        for name in further:
            place = np.arange(lengths[name])
            values: NDArray[Any] = place
            if name in variables and variables[name].dims[:1] == (name,):
                found = _decoded(path, name, variables[name])[0].values
                values = found if found.ndim == 1 else values
                if values.dtype.kind == "S":
                    values = np.char.decode(values, "utf-8", "replace")
            wanted = self.select.get(name)
            if wanted is not None:
                numbers = values.dtype.kind in "fiu" and not isinstance(wanted, str)
                texts = [] if numbers else [str(value) == str(wanted) for value in values]
                place = np.flatnonzero(np.isclose(values, wanted) if numbers else texts)
            if len(place) != 1:
                shown = [str(value)[:_SHOWN] for value in values[:8]]
                some = ", ".join(shown) + (", …" if len(values) > 8 else "")
                if wanted is not None:
                    raise DataError(f"{path}: {name} has no {wanted}: there are {some}")
                cure = f"say which, select: {{{name}: {shown[0]}}}"
                raise DataError(f"{path}: {field} runs over {name} ({some}): {cure}")
            places[name] = place
        return places

    @classmethod
    def examples(cls, folder: Path) -> dict[str, Any]:
        """Write 40 days of a small field for the conformance kit; return the fields."""
        if find_spec("h5netcdf") is None:
            raise SkipTest("it needs the extra 'netcdf'")
        days = np.datetime64("2001-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
        coords = {"time": days, "lat": np.arange(30.0, 50.0, 5.0), "lon": np.arange(0.0, 30.0, 5.0)}
        values = np.random.default_rng(0).normal(size=(40, 4, 6))
        data = import_xarray().Dataset({"slp": (("time", "lat", "lon"), values)}, coords)
        data.to_netcdf(folder / "example.nc", engine="scipy")
        return {"path": str(folder / "example.nc")}


def import_xarray() -> Any:
    """Import xarray and what it reads with; DataError names what is missing."""
    try:  # cftime has the calendars of models; newer h5netcdf does not depend on h5py
        *_, xarray = map(import_module, ("cftime", "h5py", "h5netcdf", "xarray"))
    except ImportError as error:
        cure = 'pip install "dbgsom-geo[netcdf]"'
        raise DataError(f"NetCDF files need the package {error.name}: {cure}") from error
    return xarray


def _alike(one: Fields, other: Fields) -> bool:
    axes = [*zip(one[2:4], other[2:4], strict=True)]
    usual = {one.calendar, other.calendar} <= {"standard", "gregorian", "proleptic_gregorian"}
    same = all(len(a) == len(b) and np.allclose(a, b, atol=1e-4) for a, b in axes)
    return same and (usual or one.calendar == other.calendar)


def _files(path: Any) -> list[str]:
    named = [path] if isinstance(path, str) else path
    found = [sorted(glob.glob(str(Path(one).expanduser()))) or [one] for one in named]  # noqa: PTH207
    return [file for some in found for file in some]


def _shown(path: Any) -> str:
    return path if isinstance(path, str) else ", ".join(path)


def _near(name: str, known: Any) -> str:
    known = list(known)
    near = get_close_matches(name, known, 1, 0.5)
    return f": did you mean '{near[0]}'?" if near else f": there are {', '.join(known) or 'none'}"


def _check_count(path: str, what: str, count: int, most: int) -> None:
    size = Path(path).expanduser().stat().st_size
    if count > max(most, size):
        raise DataError(f"{path} claims {count} {what} in {size} bytes: write their real values")


def _is_axis(name: str, variables: Mapping[str, Variable]) -> bool:
    return name in variables and variables[name].dims == (name,)


def _dimension(coordinates: Mapping[str, Mapping[str, Any]], axis: str) -> str | None:
    # The dimension that CF attributes or, failing that, its name say is this axis.
    letter, units, names = _KNOWN[axis]
    for name, attrs in coordinates.items():
        said = attrs.get("standard_name") == axis or attrs.get("axis") == letter
        if said or str(attrs.get("units", "")).lower() in units:
            return name
    return next((name for name in coordinates if name.lower() in names), None)


def _read_at(
    field: Variable, dims: tuple[str, str, str], places: Mapping[str, NDArray[np.intp]]
) -> NDArray[Any]:
    # Stored values (n, R, C) at places of all dimensions. HDF5 is slow for lists of places, so
    # neighbours are read as one slice; longitudes on both sides of a border are two.
    longitude, ordered = field.dims.index(dims[2]), np.sort(places[dims[2]])
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    runs = runs if len(runs) <= 2 else [np.arange(ordered[0], ordered[-1] + 1)]
    box = [slice(int(places[dim].min()), int(places[dim].max()) + 1) for dim in field.dims]
    parts = list[NDArray[Any]]()
    for run in runs:
        box[longitude] = slice(int(run[0]), int(run[-1]) + 1)
        parts.append(field.read(tuple(box)))
    stored = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=longitude)
    further = [dim for dim in field.dims if dim not in dims]  # of which one place is left
    stored = stored.transpose([field.dims.index(dim) for dim in (*dims, *further)])
    rows = places[dims[1]] - places[dims[1]].min()
    columns = np.searchsorted(np.concatenate(runs), places[dims[2]])
    return stored.reshape(stored.shape[:3])[:, rows[:, None], columns]


def _decoded(path: str, name: str, axis: Variable) -> tuple[Any, NDArray[np.bool_]]:
    stored = axis.read()
    if stored.dtype.kind == "f" and np.isinf(stored).any():
        raise DataError(f"{path}: '{name}' has infinite values: correct them")
    return decode(path, name, axis.dims, stored, axis.attrs)


def _dates(path: str, name: str, time: Variable) -> tuple[NDArray[np.int64], str]:
    dates, missing = _decoded(path, name, time)
    lacking = missing.any() or dates.isnull().any()
    if not dates.size or dates.dtype.kind not in "MO" or lacking:
        cure = "give it units as 'days since 1900-01-01'"
        raise DataError(f"{path}: '{name}' holds no dates, or lacks some: {cure}")
    parts = [getattr(dates.dt, part).values for part in ("year", "month", "day", "hour", "minute")]
    if (farthest := np.abs(parts[0]).max()) > _LAST_YEAR:
        raise DataError(
            f"{path}: '{name}' goes to the year {farthest}: correct its values or units"
        )
    return np.stack(parts, axis=1).astype(np.int64), str(dates.dt.calendar)


def _iso(dates: NDArray[np.int64]) -> NDArray[Any]:
    # Days alone where all are of the same hour.
    form = "{:04d}-{:02d}-{:02d}"
    form += "" if (dates[:, 3:] == dates[:1, 3:]).all() else "T{:02d}:{:02d}"
    return np.array([form.format(*date) for date in dates.tolist()])


def _degrees(path: str, name: str, axis: Variable) -> NDArray[np.float64]:
    if str(axis.attrs.get("units", "")).lower().startswith("rad"):
        raise DataError(f"{path}: '{name}' is in radians: convert it to degrees")
    values, missing = _decoded(path, name, axis)
    numbers = values.values if values.dtype.kind in "iuf" else np.full(1, np.nan)
    degrees = numbers.astype(np.float64)
    if missing.any():
        raise DataError(f"{path}: '{name}' has values that its attributes call missing: correct it")
    if not (np.abs(degrees) <= 720).all() or len(np.unique(degrees)) < len(degrees):
        raise DataError(f"{path}: '{name}' holds no degrees, or one twice: regrid it to these")
    return degrees


def _eastwards(
    longitudes: NDArray[np.float64], region: tuple[float, float] | None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    # Which longitudes lie in a region, from west to east, and their degrees without a jump.
    west, east = region or (longitudes.min(), longitudes.min() + 360.0)
    width = 360.0 if abs(east - west) >= 360 else (east - west) % 360.0
    beyond = (longitudes - west + 1e-6) % 360.0 - 1e-6
    inside = np.flatnonzero(beyond <= width + 1e-6)
    _, first = np.unique(np.round(beyond[inside], 4), return_index=True)  # 0 and 360 are one
    chosen = inside[first]
    return chosen, west + beyond[chosen]
