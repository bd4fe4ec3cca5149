"""Fields: read, taken as anomalies, weighted, compared, drawn and counted."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from simulated import TYPES, simulate

from dbgsom_core import SomVQ, run
from dbgsom_core.api import DataError, Evaluation, MapView
from dbgsom_core.testing import parametrize_with_checks
from dbgsom_geo.composites import Composites, mean_fields
from dbgsom_geo.days import (
    climatology,
    days_of,
    days_of_year,
    lacks_days,
    transition_counts,
    winters,
)
from dbgsom_geo.frequencies import SeasonalFrequency, Transitions
from dbgsom_geo.netcdf import NetCDF
from dbgsom_geo.places import grid_of, name_of, places_of
from dbgsom_geo.season_table import SeasonTable, season_table
from dbgsom_geo.ssim import Ssim
from dbgsom_geo.steps import AreaWeights, Eof

LATITUDES, LONGITUDES = np.array([60.0, 50.0, 40.0]), np.array([-20.0, -10.0, 0.0, 10.0])
SHORT = pytest.mark.filterwarnings("ignore:the climatology taken off holds")


def dataset(days=400, start="2000-01-01", calendar="standard", seed=0):
    """Daily fields of a variable ``z``, as xarray has them."""
    values = np.random.default_rng(seed).normal(size=(days, 3, 4)).astype(np.float32)
    time = xr.date_range(start, periods=days, calendar=calendar, use_cftime=calendar != "standard")
    coords = {"time": time, "lat": LATITUDES, "lon": LONGITUDES}
    return xr.Dataset({"z": (("time", "lat", "lon"), values)}, coords)


@pytest.fixture
def wrote(tmp_path):
    """Return a function that writes a data set, as NetCDF 3 or 4, and returns its path."""

    def write(data, name="a.nc", engine="h5netcdf", **more):
        data.to_netcdf(tmp_path / name, engine=engine, **more)
        return str(tmp_path / name)

    return write


@pytest.fixture
def example(tmp_path):
    return NetCDF(**NetCDF.examples(tmp_path))


PARTS = [
    Ssim(), Ssim(luminance=False, c2=0.1), Ssim(update="similarity"), Eof(), Eof(components=2),
    AreaWeights(latitudes=(10.0, -20.0, 60.0, 80.0)), Composites(),
    Composites(of="prototypes", difference=True), SeasonalFrequency(), Transitions(), SeasonTable(),
]  # fmt: skip


@parametrize_with_checks(PARTS)
def test_each_component_keeps_its_promises(component, check):
    check(component)


def test_the_data_set_keeps_its_promises(example):
    for check in parametrize_with_checks([example]).args[1]:
        component, one = getattr(check, "values", check)
        one(component)


# ------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_what_xarray_wrote_is_read(wrote, engine):
    data = dataset(40)
    read = NetCDF(path=wrote(data, engine=engine)).load()
    assert read.X.dtype == np.float32
    np.testing.assert_array_equal(read.X.reshape(40, 3, 4), data.z.values)
    assert read.image_shape == (3, 4)
    assert read.feature_names[:2] == ["60.0N 20.0W", "60.0N 10.0W"]
    assert read.annotations["time"][31] == "2000-02-01"
    assert (read.annotations["month"][31], read.annotations["season"][31]) == ("02", "DJF")


def test_cf_attributes_find_axes_of_any_name_and_order(wrote):
    data = dataset(10).rename(lat="j", lon="i", time="step").transpose("i", "step", "j")
    data.j.attrs["units"], data.i.attrs["standard_name"] = "degrees_north", "longitude"
    data.step.attrs["axis"] = "T"
    turned = data.isel(j=slice(None, None, -1), i=[2, 3, 0, 1])
    read = NetCDF(path=wrote(turned)).load()
    expected = dataset(10).z.values.reshape(10, -1)
    np.testing.assert_array_equal(read.X, expected)


def test_packed_values_and_fills_are_those_of_xarray(wrote):
    data = dataset(30)
    data.z[3, 1, 2] = np.nan
    packing = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 1.0, "_FillValue": -32768}
    path = wrote(data, encoding={"z": packing})
    read = NetCDF(path=path, missing="keep").load().X.reshape(30, 3, 4)
    assert np.isnan(read[3, 1, 2])
    np.testing.assert_allclose(read, data.z.values, atol=0.0051)
    with pytest.raises(DataError, match="0 have no value at any time, 1 lack"):
        NetCDF(path=path).load()
    with pytest.warns(UserWarning, match="1 of 12 grid points, 0 of 30 times"):
        left = NetCDF(path=path, missing="drop").load()
    assert left.X.shape == (30, 11)
    assert left.image_shape is None
    field = grid_of(left.feature_names).fields(left.X)[0]
    assert np.isnan(field[1, 2])
    assert field[2, 3] == left.X[0, -1]


@SHORT
@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard"])
def test_calendars(wrote, calendar):
    data = dataset(800, calendar=calendar)
    read = NetCDF(path=wrote(data), months="DJF", anomalies="day_of_year", window=11).load()
    months = data.time.dt.month.values
    assert len(read.X) == np.isin(months, [12, 1, 2]).sum()
    days = days_of(read.annotations, "test")
    _, spells, step = transition_counts(np.zeros(len(read.X), int), days, 1)
    assert step == 1
    assert len(spells) == 3  # a winter each


def test_regions_cross_greenwich_and_the_date_line(wrote):
    data = dataset(5).assign_coords(lon=[0.0, 90.0, 180.0, 270.0])
    path = wrote(data)
    around = NetCDF(path=path, longitudes=[-90, 90], latitudes=[55, 45]).load()
    assert around.feature_names == ["50.0N 90.0W", "50.0N 0.0E", "50.0N 90.0E"]
    np.testing.assert_array_equal(around.X, data.z.values[:, 1, [3, 0, 1]])
    pacific = NetCDF(path=path, longitudes=[90, 270]).load()
    np.testing.assert_array_equal(grid_of(pacific.feature_names).longitudes, [90, 180, 270])
    assert NetCDF(path=path, longitudes=[0, 360]).load().X.shape == (5, 12)


def test_levels_members_and_several_files(wrote, tmp_path):
    data = dataset(60)
    deep = xr.concat([data, data + 1], xr.DataArray([1000, 500], dims="level", name="level"))
    wrote(deep.isel(time=slice(0, 31)), "z.01.nc")
    wrote(deep.isel(time=slice(31, 60)), "z.02.nc")
    read = NetCDF(path=str(tmp_path / "z.*.nc"), select={"level": 500}).load()
    np.testing.assert_allclose(read.X.reshape(60, 3, 4), data.z.values + 1)
    listed = NetCDF(path=[str(tmp_path / f"z.0{i}.nc") for i in (2, 1)], select={"level": 500})
    np.testing.assert_array_equal(listed.load().X, read.X)
    with pytest.raises(DataError, match=r"runs over level \(1000, 500\): say which"):
        NetCDF(path=str(tmp_path / "z.01.nc")).load()
    with pytest.raises(DataError, match="level has no 501: there are 1000, 500"):
        NetCDF(path=str(tmp_path / "z.01.nc"), select={"level": 501}).load()
    with pytest.raises(DataError, match="2000-01-01 stands there twice"):
        NetCDF(path=[str(tmp_path / "z.01.nc")] * 2, select={"level": 500}).load()


def test_several_variables_are_asked_for(wrote):
    data = dataset(10)
    path = wrote(data.assign(height=data.z + 1, area=data.z[0]))
    with pytest.raises(DataError, match="several variables, z, height: name one"):
        NetCDF(path=path).load()
    with pytest.raises(DataError, match="no variable 'heigt': did you mean 'height'"):
        NetCDF(path=path, variable="heigt").load()
    np.testing.assert_allclose(
        NetCDF(path=path, variable="height").load().X, 1 + NetCDF(path=path, variable="z").load().X
    )


def test_projected_grids_and_numbers_for_times_are_refused(wrote):
    metres = dataset(5).rename(lat="y", lon="x").assign_coords(y=[0.0, 5e4, 1e5])
    with pytest.raises(DataError, match="no degrees"):
        NetCDF(path=wrote(metres)).load()
    with pytest.raises(DataError, match="holds no dates"):
        NetCDF(path=wrote(dataset(5).assign_coords(time=np.arange(5)), "b.nc")).load()


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_damaged_files_give_a_sentence(wrote, tmp_path, engine):
    whole = Path(wrote(dataset(40), engine=engine)).read_bytes()
    generator, path, raised = np.random.default_rng(0), tmp_path / "b.nc", 0
    for trial in range(60):
        damaged = bytearray(whole[: len(whole) // 2] if trial < 5 else whole)
        places = generator.integers(0, min(len(damaged), 4000), 8)
        damaged[int(places[0])] ^= 0xFF
        for place in places[1:]:
            damaged[int(place)] = int(generator.integers(256))
        path.write_bytes(damaged)
        try:
            NetCDF(path=str(path), missing="keep").load()
        except DataError:
            raised += 1
    assert raised > 10
    for content in (b"", b"CDF\x01", b"\x89HDF\r\n\x1a\n", b"GRIB"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"b\.nc"):
            NetCDF(path=str(path)).load()
    with pytest.raises(DataError, match="there is no such file"):
        NetCDF(path=str(tmp_path / "c.nc")).load()


def test_fields_that_do_not_fit_are_refused():
    for wrong in (
        {"months": "DJX"},
        {"months": "D"},
        {"window": 30},
        {"climatology": "b.nc"},
        {"months": [13]},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            NetCDF(path="a.nc", **wrong)
    with pytest.raises(ValueError, match="write 29 or 31"):
        NetCDF(path="a.nc", window=30)


# ---------------------------------------------------------------------------------- anomalies


@SHORT
def test_the_climatology_is_that_of_a_brute_force_twin(wrote):
    data = dataset(1500)
    read = NetCDF(path=wrote(data), anomalies="day_of_year", window=31).load()
    frame = pd.DataFrame(data.z.values.reshape(1500, -1), index=data.time.to_index())
    # Every date as a day of a leap year, whose distances are those around a circle of 366 days.
    of_year = pd.to_datetime("2000-" + frame.index.strftime("%m-%d")).day_of_year.to_numpy()
    for row in (0, 58, 59, 60, 365, 900, 1499):
        apart = np.abs(of_year - of_year[row])
        near = np.minimum(apart, 366 - apart) <= 15
        expected = frame.to_numpy(float)[row] - frame.to_numpy(float)[near].mean(axis=0)
        np.testing.assert_allclose(read.X[row], expected, atol=1e-5)


def test_a_window_of_one_day_is_a_groupby():
    time = pd.date_range("2001-01-01", periods=2000)
    X = np.random.default_rng(0).normal(size=(2000, 3)) + 1e5
    X[[5, 700], [1, 2]] = np.nan
    dates = np.stack([time.year, time.month, time.day], axis=1)
    day, n_days = days_of_year(dates, "standard")
    means = climatology(X, day, n_days, 1)
    grouped = pd.DataFrame(X).groupby([time.month, time.day]).transform("mean").to_numpy()
    np.testing.assert_allclose(means[day], grouped, rtol=1e-12)


@SHORT
def test_new_days_are_anomalies_from_the_trainings_climatology(wrote):
    data = dataset(1000)
    old, new = wrote(data), wrote(data.isel(time=slice(700, 720)), "new.nc")
    trained = NetCDF(path=old, anomalies="day_of_year").load()
    section = {"path": new, "anomalies": "day_of_year"}
    np.testing.assert_allclose(NetCDF(**section, climatology=old).load().X, trained.X[700:720])
    assert not np.allclose(NetCDF(**section).load().X, trained.X[700:720])
    other = wrote(data.isel(lat=slice(1, 3)), "other.nc")
    with pytest.raises(DataError, match="other grids"):
        NetCDF(**section, climatology=other).load()
    winter = wrote(data.isel(time=slice(0, 60)), "winter.nc")
    with pytest.raises(DataError, match="no days near"):
        NetCDF(**section, climatology=winter).load()


def test_a_short_or_one_sided_climatology_is_told(wrote, recwarn):
    long = dataset(366 * 10 + 2, "2001-01-01")
    wrote(long)
    winters = long.isel(time=long.time.dt.month.isin([12, 1, 2]))
    wrote(winters, "winters.nc")
    folder = Path(wrote(dataset(31, "2012-01-01"), "new.nc")).parent
    section = {"anomalies": "day_of_year", "path": str(folder / "new.nc")}
    NetCDF(**section, climatology=str(folder / "a.nc")).load()
    NetCDF(**section | {"path": str(folder / "a.nc")}, months="DJF").load()
    inner = {"climatology": str(folder / "winters.nc"), "window": 1}
    NetCDF(**section, **inner).load()
    NetCDF(**section, **inner | {"window": 31}).load()  # all January lies within
    assert not recwarn.list
    with pytest.warns(UserWarning, match="holds 1 years, fewer than 10: take whole years"):
        NetCDF(**section).load()
    with pytest.warns(UserWarning, match="lacks days of the year near some"):
        NetCDF(**section, **inner | {"window": 65}).load()
    with pytest.warns(UserWarning, match="lacks days of the year near some"):
        NetCDF(path=str(folder / "winters.nc"), anomalies="day_of_year").load()


def test_holes_of_the_year_are_those_of_a_brute_force_twin():
    generator = np.random.default_rng(0)
    for _ in range(30):
        day = np.flatnonzero(np.convolve(generator.random(366) < 0.03, np.ones(40), "same") > 0.5)
        used, window = generator.choice(day, 5), int(2 * generator.integers(0, 40) + 1)
        daily = np.isin(np.arange(366), day)
        near = [daily[np.arange(i - 1, i + 2) % 366].any() for i in range(366)]
        reach = {int(d + k) % 366 for d in used for k in range(-(window // 2), window // 2 + 1)}
        assert lacks_days(day, used, 366, window) == any(not near[i] for i in reach)
    middle = np.array([15, 45, 75, 106, 136, 167, 197, 228, 259, 289, 320, 350])
    assert not lacks_days(middle, middle, 366, 31)  # months


# --------------------------------------------------------------------- months, winters and years


def test_winters_count_to_the_year_of_their_january():
    years, months = np.array([2000, 2000, 2001, 2001]), np.array([11, 12, 1, 3])
    for kept, order, counted in (
        ({12, 1, 2}, [12, 1, 2], [2000, 2001, 2001, 2001]),
        ({11, 12, 1, 2, 3}, [11, 12, 1, 2, 3], [2001, 2001, 2001, 2001]),
        ({6, 7, 8}, [6, 7, 8], years),
        ({1, 2}, [1, 2], years),
        ({10, 11, 12}, [10, 11, 12], years),
        (set(range(1, 13)), list(range(1, 13)), years),
    ):
        found, of_year = winters(years, months, kept)
        assert found == order
        np.testing.assert_array_equal(of_year, counted)


def test_years_keep_whole_winters_and_choose_no_climatology(wrote):
    data = dataset(366 * 3, "2000-01-01")
    path = wrote(data)
    read = NetCDF(path=path, months="DJF", years=[2001, 2002]).load()
    assert read.annotations["time"][[0, -1]].tolist() == ["2000-12-01", "2002-02-28"]
    assert read.annotations["year"].tolist() == ["2001"] * 90 + ["2002"] * 90
    whole = NetCDF(path=path, years=[2001, 2001]).load()
    assert whole.annotations["time"][[0, -1]].tolist() == ["2001-01-01", "2001-12-31"]
    assert len(NetCDF(path=path, months=None).load().X) == 366 * 3
    with pytest.warns(UserWarning, match="holds 3"):
        less = NetCDF(path=path, months="DJF", years=[2001, 2002], anomalies="day_of_year").load()
    with pytest.warns(UserWarning, match="holds 3"):
        all_days = NetCDF(path=path, anomalies="day_of_year").load()
    kept = np.isin(all_days.annotations["time"], less.annotations["time"])
    np.testing.assert_array_equal(less.X, all_days.X[kept])
    with pytest.raises(DataError, match=r"none of years .1981, 1990., but 2000 to 2003"):
        NetCDF(path=path, months="DJF", years=[1981, 1990]).load()


def test_winters_are_left_out_whole_and_reported(wrote, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrote(dataset(366 * 4, "2000-01-01"))
    section = {"name": "netcdf", "path": "a.nc", "months": "DJF", "years": [2001, 2003]}
    growth = {"name": "fixed", "rows": 2, "columns": 2}
    config = {"experiment": "x", "dataset": section, "model": {"growth": growth}, "figures": []}
    config |= {"split": {"name": "GroupKFold", "groups": "year", "n_splits": 3}}
    found = run(config | {"report": {"by": "year"}, "tracking": []})
    groups = pd.read_csv(found.folder / "groups.csv").groupby("group").rows.sum()
    assert groups.to_dict() == {2001: 90, 2002: 90, 2003: 90}
    table = pd.read_csv(found.folder / "assignments.csv")
    assert (table.groupby("year").fold.nunique() == 1).all()
    assert table.fold.nunique() == 3


# -------------------------------------------------------------------------------- steps, places


def test_names_of_places_come_back():
    assert name_of(-0.25, 350) == "0.25S 10.0W"
    assert name_of(0, 180) == "0.0N 180.0W"
    assert places_of(["0.25S 10.0W", "12.5N 1.0E anomaly"]).tolist() == [[-0.25, -10], [12.5, 1]]
    assert places_of(["0.25S 10.0W", "EOF 1"]) is None
    names = [name_of(lat, lon) for lat in (10, 0) for lon in (170, 180, 190)]
    grid = grid_of(names[::-1])
    np.testing.assert_array_equal(grid.longitudes, [170, 180, 190])
    np.testing.assert_array_equal(grid.cells, [5, 4, 3, 2, 1, 0])
    assert grid_of(["a", "b"]) is None


@pytest.mark.parametrize("shape", [(80, 12), (12, 80)])
def test_functions_are_those_of_a_singular_value_decomposition(shape):
    X = np.random.default_rng(1).normal(size=shape) * np.linspace(3, 1, shape[1]) + 5
    _, sizes, functions = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    step = Eof(components=4).fit(X)
    overlaps = np.abs(step.functions_ @ functions[:4].T)
    np.testing.assert_allclose(overlaps, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(step.explained_variance_ratio_, (sizes**2 / (sizes**2).sum())[:4])
    whole = Eof(components=min(shape) - (shape[0] < shape[1])).fit(X)
    np.testing.assert_allclose(whole.inverse_transform(whole.transform(X)), X)
    enough = Eof(components=0.7).fit(X).explained_variance_ratio_
    assert enough.sum() >= 0.7 > enough[:-1].sum()
    with pytest.raises(ValueError, match="components is 99"):
        Eof(components=99).fit(X)


def test_weights_are_roots_of_cosines_and_names_are_asked_for():
    step = AreaWeights()
    step.set_feature_names(["60.0N 0.0E", "0.0N 0.0E"])
    np.testing.assert_allclose(step.fit(np.ones((2, 2))).weights_, [np.sqrt(0.5), 1])
    with pytest.raises(ValueError, match="say no latitudes"):
        AreaWeights().set_feature_names(["EOF 1"])
    with pytest.warns(UserWarning, match="knows no latitudes"):
        AreaWeights().fit(np.ones((2, 2)))
    with pytest.raises(ValueError, match="2 numbers"):
        AreaWeights(latitudes=[1.0]).fit(np.ones((2, 2)))


# ------------------------------------------------------------------------------------------ ssim


def twin(x, y, c1=0.0, c2=0.0, luminance=True):
    """The similarity as Eq. (13) of Wang et al. (2004) has it, one pair at a time."""
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    found = (2 * covariance + c2) / (x.var() + y.var() + c2)
    level = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
    return found * level if luminance else found


@pytest.mark.parametrize(
    "fields", [{}, {"c1": 2.0, "c2": 3.0}, {"luminance": False}, {"luminance": False, "c2": 0.5}]
)
def test_similarity_is_that_of_a_twin(fields):
    generator = np.random.default_rng(2)
    X, W = generator.gamma(3, 1, (20, 30)), generator.gamma(3, 1, (6, 30))
    expected = [[1 - twin(x, w, **fields) for w in W] for x in X]
    metric = Ssim(**fields)
    np.testing.assert_allclose(metric.pairwise(X, W), expected, atol=1e-13)


def test_similarity_by_hand_and_of_constants():
    X = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 2.0], [2.0, 6.0]])
    # Means 2, 2, 2, 4 and variances 1, 1, 0, 4.
    expected = [0.0, 2.0, 1.0, 1 - (2 * 2 / 5) * (2 * 8 / 20)]
    np.testing.assert_allclose(Ssim().pairwise(X[:1], X)[0], expected)
    assert Ssim().pairwise(X[2:3], X[2:3])[0, 0] == 0
    with pytest.raises(DataError, match="set luminance: false"):
        Ssim().pairwise(X - 3, X)


@pytest.mark.parametrize("c2", [0.0, 2.0])
def test_the_most_similar_field_cannot_be_improved(c2):
    generator = np.random.default_rng(4)
    X = (
        5
        + generator.normal(size=(1, 12))
        + generator.gamma(1, 1, (30, 1)) * generator.normal(size=(30, 12))
    )
    metric, weights = Ssim(update="similarity", luminance=False, c2=c2), generator.random(30) + 0.1
    shares = np.ones((1, 1)), weights
    w = X.mean(axis=0)[None]
    before = weights @ metric.pairwise(X, w)
    for _ in range(300):
        w = metric.form(X, np.zeros(30, int), *shares, w)
    least = weights @ metric.pairwise(X, w)
    assert least < before
    nearby = w + 1e-3 * generator.normal(size=(50, 12))
    assert (weights @ metric.pairwise(X, nearby) >= least - 1e-9).all()
    assert w.mean() == pytest.approx(np.average(X.mean(axis=1), weights=weights))


def test_one_window_of_skimage_is_the_same():
    metrics = pytest.importorskip("skimage.metrics")
    x, y = np.random.default_rng(3).gamma(3, 1, (2, 7, 7))
    options = {"win_size": 7, "data_range": 10, "use_sample_covariance": False}
    similarity = metrics.structural_similarity(x, y, **options)
    ours = Ssim(c1=0.01, c2=0.09).pairwise(x.reshape(1, -1), y.reshape(1, -1))
    assert 1 - ours[0, 0] == pytest.approx(similarity)


# ------------------------------------------------------------------------- figures and the table


def view_of(units, days, fields=None, metric="euclidean", **more):
    """A map in a row, of one neuron a unit, whose days are these."""
    n = max(units) + 1
    fields = np.eye(n)[units] if fields is None else fields
    growth = {"name": "fixed", "rows": 1, "columns": n}
    som = SomVQ(growth=growth, metric=metric, epochs=1, tol=0).fit(fields)
    evaluation = Evaluation(som.som_map_, som.evaluate(fields).data)
    vars(evaluation)["bmu"] = np.asarray(units)
    vars(evaluation)["hits"] = np.bincount(units, minlength=n)
    time = {} if days is None else {"time": np.array(days)}
    labels, more = np.arange(n), {"title": "a $x$ title"} | more
    return MapView(evaluation, labels, (), annotations=time, **more)


DAYS = ["2001-02-27", "2001-02-28", "2001-03-01", "2001-03-03", "2001-03-04", "2001-12-31"]
UNITS = [0, 0, 1, 1, 0, 1]


def test_transitions_by_hand():
    # 0 → 0 → 1, a gap, 1 → 0, a gap, 1.
    counts, spells, step = transition_counts(np.array(UNITS), days_of({"time": DAYS}, "x"), 2)
    np.testing.assert_array_equal(counts, [[1, 1], [1, 0]])
    assert spells == [(0, 2), (1, 1), (1, 1), (0, 1), (1, 1)]
    assert step == 1
    shuffled = np.random.default_rng(0).permutation(6)
    days = days_of({"time": np.array(DAYS)[shuffled]}, "x")
    again, _, _ = transition_counts(np.array(UNITS)[shuffled], days, 2)
    np.testing.assert_array_equal(again, counts)


def test_the_calendar_is_seen_from_the_days():
    year = ["2000-02-28", "2000-03-01", "2000-12-31"]
    assert np.diff(days_of({"time": year}, "x").numbers).tolist() == [1, 305]
    assert np.diff(days_of({"time": [*year, "2004-02-29"]}, "x").numbers)[0] == 2
    months = ["2000-02-30", "2000-03-01T12:00"]
    assert np.diff(days_of({"time": months}, "x").numbers).tolist() == [1.5]


def test_the_season_table_by_hand():
    table = season_table(np.array(UNITS), days_of({"time": DAYS}, "x"))
    assert table["samples"].tolist() == [3, 3]
    assert table["share"].tolist() == [0.5, 0.5]
    assert table["DJF"].tolist() == pytest.approx([0.6667, 0.3333])
    assert table["MAM"].tolist() == pytest.approx([0.3333, 0.6667])
    assert table["mean_spell_days"].tolist() == [1.5, 1.0]
    assert table["successor"].tolist() == ["1", "0"]
    assert table["successor_share"].tolist() == [1.0, 1.0]


def drawn(figure, view):
    page = figure.draw(view)
    page.savefig("page.png", dpi=60)
    return page


def test_figures_show_what_was_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    view = view_of(UNITS, DAYS)
    image = drawn(Transitions(), view).axes[0].images[0].get_array()
    np.testing.assert_allclose(image, [[50, 50], [100, 0]])
    months = drawn(SeasonalFrequency(), view).axes[0].images[0].get_array()
    np.testing.assert_allclose(months, [[100, 100 / 3, 0], [0, 200 / 3, 100]])  # 2, 3, 12


WINTERS = ["2000-01-31", "2000-12-01", "2000-12-31", "2001-01-01", "2001-02-28", "2002-02-01"]


def test_frequencies_are_those_of_winters_and_of_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    view = view_of([0, 1, 2, 0, 2, 1], WINTERS)
    page = drawn(SeasonalFrequency(), view)
    months, years = (axes.images[0].get_array() for axes in page.axes[:2])
    assert [text.get_text() for text in page.axes[0].get_xticklabels()] == ["12", "1", "2"]
    np.testing.assert_allclose(months, [[0, 100, 0], [50, 0, 50], [50, 0, 50]])
    np.testing.assert_allclose(years, [[100, 25, 0], [0, 25, 100], [0, 50, 0]])  # 2000 to 2002
    two = replace(view, neuron_labels=np.array([7, 5, 5]), label_names={5: "a $5$ bill"})
    page = drawn(SeasonalFrequency(by="label"), two)
    np.testing.assert_allclose(page.axes[1].images[0].get_array(), [[0, 75, 100], [100, 25, 0]])
    assert [text.get_text() for text in page.axes[0].get_yticklabels()].count("7") == 1
    followed = drawn(Transitions(by="label"), two).axes[0].images[0].get_array()
    np.testing.assert_allclose(followed.filled(np.nan), [[0, 100], [np.nan, np.nan]])


def test_the_trend_says_its_unit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = [f"{year}-06-{day:02d}" for year in range(2001, 2011) for day in range(1, 11)]
    units = [int(day < year % 2000) for year in range(2001, 2011) for day in range(10)]
    page = drawn(SeasonalFrequency(), view_of(units, days))
    texts = [text.get_text() for text in page.axes[1].texts]
    assert texts == ["trend, points\na decade", "-100.0", "+100.0"]


@pytest.mark.parametrize("figure", [Transitions(), SeasonalFrequency()])
def test_figures_ask_for_time(figure):
    with pytest.raises(DataError, match="needs the 'time' of each sample"):
        figure.draw(view_of(UNITS, None))
    with pytest.raises(DataError, match="'yesterday' is none"):
        figure.draw(view_of(UNITS, ["yesterday"] * 6))


@pytest.mark.parametrize("metric", ["euclidean", Ssim(luminance=False)])
def test_composites_are_means_of_days_in_own_units(tmp_path, monkeypatch, metric):
    monkeypatch.chdir(tmp_path)
    names = [name_of(lat, lon) for lat in (50, 40) for lon in (0, 10, 20)]
    raw = np.random.default_rng(0).normal(size=(6, 6))
    step = AreaWeights(latitudes=places_of(names)[:, 0]).fit(raw)
    eof = Eof(components=5).fit(step.transform(raw))
    X = eof.transform(step.transform(raw))
    view = view_of(UNITS, None, X, metric, raw_names=names)
    view = replace(view, restore=lambda made: step.inverse_transform(eof.inverse_transform(made)))
    fields, _, grid, _ = mean_fields(view, np.arange(2))
    for unit in (0, 1):
        expected = raw[np.array(UNITS) == unit].mean(axis=0).reshape(2, 3)
        np.testing.assert_allclose(fields[unit], expected, atol=1e-12)
    np.testing.assert_array_equal(grid.latitudes, [50, 40])
    drawn(Composites(), view)
    whole, hits, _, _ = mean_fields(view, np.zeros(2, int))  # of a label that both have
    np.testing.assert_allclose(whole[0].ravel(), raw.mean(axis=0))
    assert hits.tolist() == [6]
    drawn(Composites(by="label"), replace(view, neuron_labels=np.array(["a", "a"])))
    with pytest.raises(DataError, match="name no places"):
        Composites().draw(view_of(UNITS, None))


def test_the_configuration_in_the_package_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulated = Path(__file__).with_name("simulated.py")
    command = [sys.executable, "-W", "error", str(simulated), "slp.nc"]
    subprocess.run([*command, "2"], check=True)
    found = run(
        str(Path(__file__).parents[1] / "weather.yaml"),
        overrides={"tracking": [{"name": "season_table"}]},
    )
    figures = {path.name for path in (found.folder / "figures").iterdir()}
    assert figures == {"composites.png", "seasonal_frequency.png", "transitions.png"}
    table = pd.read_csv(found.folder / "artifacts" / "season_table.csv")
    assert table.samples.sum() == 731
    assert len(table) == 12
    truth = xr.open_dataset("slp.nc")["type"].values
    assert set(truth) == set(range(len(TYPES)))


def test_written_composites_are_those_of_a_twin(wrote, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = dataset(200)
    data.z[:, 0] += np.arange(200)[:, None] % 5
    wrote(data)
    growth = {"name": "fixed", "rows": 2, "columns": 3}
    model = {"growth": growth, "labeller": {"name": "clusters", "n_clusters": 2}}
    config = {"experiment": "x", "dataset": {"name": "netcdf", "path": "a.nc"}, "model": model}
    config["prepare"] = [{"name": "area_weights"}, {"name": "eof", "components": 12}]
    found = run(config | {"tracking": {"name": "season_table"}, "figures": []})
    table = pd.read_csv(found.folder / "assignments.csv")
    with xr.open_dataset(found.folder / "artifacts" / "composites.nc") as made:
        np.testing.assert_array_equal(made.latitude, LATITUDES)
        np.testing.assert_array_equal(made.longitude, LONGITUDES)
        for by in ("unit", "label"):
            for one, mean in zip(made[by].values, made[f"mean_of_{by}"].values, strict=True):
                days = table[by].astype(str) == str(one)
                assert made[f"hits_of_{by}"].sel({by: one}) == days.sum() > 0
                np.testing.assert_allclose(mean, data.z.values[days].mean(axis=0), atol=1e-5)
        labels = table.drop_duplicates("unit").set_index("unit").label.astype(str)
        assert dict(zip(made.unit.values, made.label_of_unit.values.astype(str), strict=True)) == (
            labels.to_dict()
        )
        assert len(made.label) == 2


def test_composites_without_places_are_left_out_with_a_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    frame["time"] = pd.date_range("2001-01-01", periods=60).strftime("%Y-%m-%d")
    only = {"tracking": {"name": "season_table"}, "figures": [], "dataset.id": "time"}
    with pytest.warns(UserWarning, match=r"composites\.nc is left out: composites: features name"):
        found = run(frame, overrides=only)
    assert [path.name for path in (found.folder / "artifacts").iterdir()] == ["season_table.csv"]


@SHORT
def test_models_refuse_other_grids_and_values_for_anomalies(wrote, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrote(dataset(400))
    growth = {"name": "fixed", "rows": 2, "columns": 2}
    section = {"name": "netcdf", "path": "a.nc", "anomalies": "day_of_year"}
    config = {"experiment": "x", "dataset": section, "model": {"growth": growth, "grid": "square"}}
    config["prepare"] = [{"name": "area_weights"}]
    model = run(config | {"tracking": [], "figures": []}).model
    read = {"anomalies": "day_of_year", "climatology": "a.nc"}

    def frame(data, **fields):
        new = NetCDF(path=wrote(data, "new.nc"), **fields).load()
        return pd.DataFrame(new.X, columns=new.feature_names)

    new = dataset(10, "2001-05-01", seed=3)
    assert model.predict(frame(new, **read)).shape == (10,)
    assert model.predict(frame(new.isel(lat=slice(None, None, -1)), **read)).shape == (10,)
    for wrong in (frame(new), frame(new.assign_coords(lon=LONGITUDES + 10))):
        with pytest.raises(DataError, match=r"60\.0N"):
            model.predict(wrong)


@SHORT
def test_new_days_are_read_as_those_of_the_run(wrote, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old = wrote(dataset(800))
    section = {"name": "netcdf", "path": old, "anomalies": "day_of_year", "months": "DJF"}
    config = {"experiment": "x", "dataset": section, "tracking": ["run_folder"], "figures": []}
    done = run(config)
    new = wrote(dataset(60, "2003-01-01", seed=3), "new.nc")
    script = Path(sys.executable).with_name("dbgsom")
    subprocess.run([script, "predict", "x", new, "-o", "answers.csv"], check=True)
    answers = pd.read_csv("answers.csv")
    read = {"anomalies": "day_of_year", "climatology": old, "months": "DJF"}
    data = NetCDF(path=new, **read).load()
    assert answers["time"].tolist() == data.annotations["time"].tolist()
    frame = pd.DataFrame(data.X, columns=data.feature_names)
    assert answers["label"].tolist() == done.model.predict(frame).tolist()


def test_simulated_types_persist_and_have_their_season():
    fields, types = simulate(2000, seed=4)
    assert fields.shape[0] == len(types) == 2000
    assert 0.7 < np.mean(types[1:] == types[:-1]) < 0.9
    assert 980 < fields.mean() < 1040
