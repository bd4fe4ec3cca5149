"""NetCDF files that are damaged, forged or unusual: read right, or refused in a sentence."""

import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import fuzz_netcdf
import h5py
import numpy as np
import pytest
import xarray as xr

from dbgsom_core.api import DataError
from dbgsom_geo.netcdf import NetCDF

NETCDF3_AND_4 = pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
SECRET = 4242.0
SIZES = {"time": 40, "lat": 3, "lon": 4}
RAW = np.arange(480.0).reshape(40, 3, 4) % 100


def dataset(raw=RAW, lat=(60.0, 50.0, 40.0), time=None, **attrs):
    """Stored values over axes whose attributes are as CF wants them."""
    time = np.arange(40) if time is None else time
    axes = {
        "time": ("time", time, {"units": "days since 2000-01-01"}),
        "lat": ("lat", np.array(lat), {"units": "degrees_north"}),
        "lon": ("lon", np.array([-20.0, -10.0, 0.0, 10.0]), {"units": "degrees_east"}),
    }
    return xr.Dataset({"z": (tuple(SIZES), raw, attrs)}, axes)


def write(folder, data, engine="h5netcdf"):
    path = folder / "a.nc"
    plain = {
        name: {"_FillValue": None}
        for name in data.variables
        if "_FillValue" not in data[name].attrs
    }
    data.to_netcdf(path, engine=engine, encoding=plain, unlimited_dims=["time"])
    return str(path)


def load(path, **fields):
    return NetCDF(path=path, variable="z", missing="keep", **fields).load()


def with_some(value, dtype):
    raw = RAW.astype(dtype)
    raw[::7, 1] = value
    return raw


# ----------------------------------------------------------------------------- values of CF


@NETCDF3_AND_4
@pytest.mark.parametrize(
    ("raw", "attrs", "missing"),
    [
        (RAW.astype("f4"), {"valid_max": np.float32(50)}, RAW > 50),
        (RAW, {"valid_min": 50.0, "valid_max": 60.0}, (RAW < 50) | (RAW > 60)),
        (RAW.astype("f4"), {"valid_range": [10.5, 20.0]}, (RAW < 10.5) | (RAW > 20)),
        (RAW.astype("f4") / 10, {"valid_min": 0.7}, RAW < 7),
        (RAW.astype("i2"), {"valid_range": np.array([10, 20], "i2"), "scale_factor": 0.5},
         (RAW < 10) | (RAW > 20)),
        (RAW.astype("i2"), {"_FillValue": np.int16(7), "add_offset": 5.0}, RAW == 7),
        (RAW.astype("i4"), {"missing_value": np.array([7, 8], "i4"), "scale_factor": 2.0},
         (RAW == 7) | (RAW == 8)),
        (RAW.astype("i1"), {"valid_max": np.int8(50), "_FillValue": np.int8(3)},
         (RAW > 50) | (RAW == 3)),
        (with_some(1e20, "f4"), {"missing_value": 1e20}, with_some(1e20, "f4") > 1e19),
        (with_some(1e20, "f4"), {"missing_value": 1e20, "_FillValue": np.float32(1)},
         (with_some(1e20, "f4") > 1e19) | (with_some(1e20, "f4") == 1)),
        (with_some(9.969209968386869e36, "f4"), {}, with_some(9.969209968386869e36, "f4") > 1e36),
        (with_some(-32767, "i2"), {"scale_factor": 0.1}, with_some(-32767, "i2") < 0),
        (with_some(-127, "i1"), {}, RAW < 0),
    ],
)  # fmt: skip
def test_fills_and_values_outside_their_limits_are_missing(tmp_path, engine, raw, attrs, missing):
    X = load(write(tmp_path, dataset(raw, **attrs), engine)).X.reshape(RAW.shape)
    np.testing.assert_array_equal(np.isnan(X), missing)
    expected = raw * float(attrs.get("scale_factor", 1)) + attrs.get("add_offset", 0)
    np.testing.assert_allclose(X[~missing], expected[~missing], rtol=1e-6)


@pytest.mark.parametrize("limits", [[0, -56], [0, 200], [0.0, 200.0]])
def test_limits_of_unsigned_bytes(tmp_path, limits):
    raw = np.where(RAW > 70, 250, RAW + 100).astype("u1")
    attrs = {"_Unsigned": "true", "valid_range": np.array(limits, "i2" if 200 in limits else "i1")}
    X = load(write(tmp_path, dataset(raw.view("i1"), **attrs), "scipy")).X.reshape(RAW.shape)
    np.testing.assert_array_equal(X, np.where(raw > 200, np.nan, raw.astype(float)))


@NETCDF3_AND_4
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scale_factor": 0.0}, r"a\.nc: 'z' has the scale_factor 0.0: give it a number but 0"),
        ({"scale_factor": np.inf}, r"'z' has the scale_factor inf"),
        ({"scale_factor": "a half"}, r"'z' has the scale_factor 'a half': give it a number"),
        ({"add_offset": np.nan}, r"'z' has the add_offset nan"),
        ({"valid_range": [1, 2, 3]}, r"'z' has the valid_range .*: give it two numbers"),
        ({"valid_max": [1, 2]}, r"'z' has the valid_max .*: give it a number"),
        ({"valid_min": "0 K"}, r"'z' has the valid_min '0 K': give it a number"),
        ({"lat": (700.0, 50.0, 40.0)}, r"'lat' goes beyond the poles"),
        ({"lat": (91.0, 50.0, 40.0)}, r"'lat' goes beyond the poles"),
        ({"lat": (np.nan, 50.0, 40.0)}, r"'lat' has values that its attributes call missing"),
        ({"time": np.r_[np.arange(39.0), np.inf]}, r"'time' has infinite values"),
        ({"time": np.r_[np.arange(39.0), np.nan]}, r"'time' holds no dates, or lacks some"),
        ({"time": np.r_[np.arange(39.0), 1e8]}, r"'time' goes to the year 275790"),
        ({"time": np.r_[np.arange(39.0), 1e18]}, r"a\.nc: the attributes of 'time' do not fit it"),
        ({"time": np.r_[np.arange(39.0), 1e300]}, r"a\.nc: .*'time'"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(tmp_path, engine, change, sentence):
    path = write(tmp_path, dataset(**change), engine)
    with pytest.raises(DataError, match=sentence):
        load(path)


@NETCDF3_AND_4
@pytest.mark.parametrize("units", ["radians", "radian", "Radians_North"])
@pytest.mark.parametrize("axis", ["lat", "lon"])
def test_axes_in_radians_are_refused(tmp_path, engine, axis, units):
    data = dataset()
    data[axis].attrs["units"] = units
    with pytest.raises(DataError, match=f"'{axis}' is in radians: convert it to degrees"):
        load(write(tmp_path, data, engine))


@NETCDF3_AND_4
def test_values_of_an_axis_that_are_missing_are_refused(tmp_path, engine):
    for name, value in (("time", 39), ("lat", 40.0), ("lon", 10.0)):
        data = dataset()
        data[name].attrs["missing_value"] = value
        with pytest.raises(DataError, match=f"'{name}' (has values .* missing|.* lacks some)"):
            load(write(tmp_path, data, engine))


def test_poles_rounded_to_float32_are_kept(tmp_path):
    lat = np.array([90.00001, 0, -90.00001], "f4")
    assert load(write(tmp_path, dataset(lat=lat))).feature_names[::4] == [
        "90.0N 20.0W", "0.0N 20.0W", "90.0S 20.0W",
    ]  # fmt: skip


# ---------------------------------------------------------------------------------- NetCDF-4


@pytest.fixture
def forge(tmp_path):
    """Return a function that writes a NetCDF-4 file and has it changed by another function."""
    secret = dataset(np.full(RAW.shape, SECRET))
    secret.to_netcdf(tmp_path / "secret.nc", engine="h5netcdf")
    np.full(RAW.size, SECRET).tofile(tmp_path / "secret.bin")

    def make(change, *arguments):
        path = write(tmp_path, dataset())
        with h5py.File(path, "a") as file:
            change(file, *arguments)
        return path

    return make


def replace(file, name, **how):
    """Create a data set in the place of another, with its dimensions."""
    users = [dim for dim in file["z"].dims if file[name] in dim.values()]
    scales = [scale for dim in file[name].dims for scale in dim.values()]
    kept = ("units", "_Netcdf4Dimid", "_Netcdf4Coordinates")
    attrs = {key: file[name].attrs[key] for key in kept if key in file[name].attrs}
    for dim in users:
        dim.detach_scale(file[name])
    del file[name]
    made = file.create_dataset(name, **{"dtype": "f8"} | how)
    made.attrs.update(attrs)
    for dim in users:
        made.make_scale(name)
        dim.attach_scale(made)
    for dim, scale in zip(made.dims, scales, strict=False):
        dim.attach_scale(scale)
    return made


def shape_of(name):
    return RAW.shape if name in ("z", "beside") else (SIZES[name],)


def store_elsewhere(file, name):
    folder, shape = Path(file.filename).parent, shape_of(name)
    file.require_dataset(name, shape, "f8")
    replace(
        file, name, shape=shape, external=[(str(folder / "secret.bin"), 0, 8 * int(np.prod(shape)))]
    )


def link_elsewhere(file, name):
    if name in file:
        del file[name]
    file[name] = h5py.ExternalLink(str(Path(file.filename).parent / "secret.nc"), "/z")


def map_elsewhere(file, name):
    layout = h5py.VirtualLayout(shape := shape_of(name), "f8")
    secret = str(Path(file.filename).parent / "secret.nc")
    layout[...] = h5py.VirtualSource(secret, name if name in SIZES else "z", shape)
    scales = [scale for dim in file[name].dims for scale in dim.values()] if name in file else []
    if name in file:
        del file[name]
    for dim, scale in zip(file.create_virtual_dataset(name, layout).dims, scales, strict=False):
        dim.attach_scale(scale)


@pytest.mark.parametrize("name", ["z", "lat", "beside"])
@pytest.mark.parametrize("how", [store_elsewhere, link_elsewhere, map_elsewhere])
def test_other_files_are_not_read(forge, how, name):
    sentence = rf"a\.nc: '{name}' is (a link to another file|stored in other files)"
    with pytest.raises(DataError, match=sentence):
        load(forge(how, name))


def test_links_to_other_files_in_a_group_are_refused(forge):
    with pytest.raises(DataError, match="'group/lat' is a link to another file"):
        load(forge(lambda file: link_elsewhere(file, "group/lat")))


@pytest.mark.parametrize("name", ["z", "time", "lat", "lon"])
def test_values_never_written_are_refused(forge, name):
    path = forge(lambda file: replace(file, name, shape=shape_of(name)))
    with pytest.raises(DataError, match=rf"a\.nc: '{name}' was never written"):
        load(path)


def test_a_level_never_written_is_refused(forge):
    def add_level(file):
        level = file.create_dataset("level", (2,), "f8")
        level.make_scale("level")
        made = replace(file, "z", data=np.ones((*RAW.shape, 2)))
        made.dims[3].attach_scale(level)

    with pytest.raises(DataError, match="'level' was never written"):
        load(forge(add_level), select={"level": 0})


def test_what_is_not_needed_is_not_read(forge, tmp_path):
    def add(file):
        names = {"other": "other", "n": "This is a netCDF dimension but not a netCDF variable"}
        for name, label in names.items():
            file.create_dataset(name, (500_000_000,), "f8").make_scale(label)
        file.create_dataset("texts", (500_000_000,), h5py.string_dtype()).make_scale("texts")

    Path(forge(add)).rename(tmp_path / "0.nc")
    total, peak = run_python(READ_ALL, tmp_path, 1).split()
    assert float(total) == RAW.sum()
    assert int(peak) < 1 << 30


@pytest.mark.parametrize("shape", [(100, 200, 100), (400, 200, 100), (100, 100, 1000)])
@pytest.mark.parametrize("dtype", ["f4", "i1"])
def test_constant_fields_are_read_however_small_they_are_packed(tmp_path, shape, dtype):
    axes = {
        "time": np.arange("2000-01-01", shape[0], dtype="M8[D]").astype("M8[ns]"),
        "lat": np.linspace(-80, 80, shape[1]),
        "lon": np.linspace(0, 359, shape[2]),
    }
    data = xr.Dataset({"z": (tuple(axes), np.full(shape, 7, dtype))}, axes)
    packing = {"zlib": True, "complevel": 9, "chunksizes": (100, *shape[1:])}
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding={"z": packing})
    assert (load(str(tmp_path / "a.nc")).X == 7).all()


def write_grid(path, shape, chunks, member=None, variables=0):
    """Write one value of a field over axes of these lengths, packed to next to nothing."""
    names, packed = ("time", "lat", "lon"), {"compression": 9, "shuffle": True}
    units = ("days since 2000-01-01", "degrees_north", "degrees_east")
    factors = (1, 90 / max(90, shape[1]), 359 / max(359, shape[2]))
    twice = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    twice.set_chunk(chunks)
    for _ in range(2):
        twice.set_deflate(9)
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(shape, (h5py.h5s.UNLIMITED,) * len(shape))
        h5py.h5d.create(file.id, b"z", h5py.h5t.STD_I8LE, space, twice)
        file["z"][(0,) * len(shape)] = 1
        for name, size, unit, factor in zip(names, shape, units, factors, strict=False):
            values = np.arange(size, dtype="i4")
            axis = file.create_dataset(name, data=values, chunks=(size,), **packed)
            axis.attrs.update({"units": unit, "scale_factor": factor})
        if member is not None:
            member(file)
        for dim, name in zip(file["z"].dims, (*names, "member"), strict=False):
            file[name].make_scale(name)
            dim.attach_scale(file[name])
        for number in range(variables):
            file.create_dataset(f"v{number}", (), "i1")


def one_text_for_all(file):
    # A data set of texts holds their places: here the place of the first one stands for all.
    made = file.create_dataset("member", (50_000,), h5py.string_dtype())
    made[:2] = ["long" * 5_000, "short"]
    place = made.id.get_offset()
    file.flush()
    with Path(file.filename).open("r+b") as stream:
        stream.seek(place)
        first = stream.read(16)
        stream.seek(place)
        stream.write(50_000 * first)


def unwritten_texts(file):
    file.create_dataset("member", (999_999,), h5py.string_dtype())


BOMBS = [  # what they are refused for, their shape and chunks, and what is in them beside
    ("claims 60", (60_000, 1000, 1000), (1, 1000, 1000), {}),
    ("claims 900000 times", (900_000, 1, 1), (900_000, 1, 1), {}),
    ("claims 16000000 grid points", (1, 4000, 4000), (1, 4000, 4000), {}),
    ("claims 100", (40, 3, 4), (500, 500, 400), {}),
    ("more than 2000 variables", (4, 3, 4), (4, 3, 4), {"variables": 2001}),
    ("texts of more", (4, 3, 4, 50_000), (1, 1, 1, 50_000), {"member": one_text_for_all}),
    ("never written", (4, 3, 4, 999_999), (1, 1, 1, 999_999), {"member": unwritten_texts}),
]


def test_bombs_are_refused_in_little_memory(tmp_path):
    for number, (_, shape, chunks, more) in enumerate(BOMBS):
        write_grid(tmp_path / f"{number}.nc", shape, chunks, **more)
    lines = run_python(READ_ALL, tmp_path, len(BOMBS)).splitlines()
    for number, (line, (sentence, *_)) in enumerate(zip(lines[:-1], BOMBS, strict=True)):
        assert f"{number}.nc" in line, line
        assert sentence in line, line
    assert int(lines[-1]) < 1 << 30


READ_ALL = """
import sys
from fuzz_netcdf import peak_memory
from dbgsom_core.api import DataError
from dbgsom_geo.netcdf import NetCDF
for number in range(int(sys.argv[2])):
    try:
        print(NetCDF(path=f"{sys.argv[1]}/{number}.nc", variable="z").load().X.sum())
    except DataError as error:
        print(error)
print(peak_memory())
"""


def run_python(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    here = Path(__file__).parent
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, cwd=here).stdout


@pytest.mark.parametrize(
    "links",
    [
        {"a": h5py.SoftLink("/b"), "b": h5py.SoftLink("/a")},
        {"group/up": h5py.SoftLink("/"), "self": h5py.SoftLink("/")},
        {"group/up": "/", "again": "/group"},
        {"none": h5py.SoftLink("/nowhere")},
    ],
)
def test_links_in_a_circle_end(forge, links):
    def add(file):
        for name, link in links.items():
            file.require_group("group")
            file[name] = file[link] if isinstance(link, str) else link

    path = forge(add)
    if "group" in links or "again" in links or "self" in links:
        assert load(path).X.shape == (40, 12)
    else:
        with pytest.raises(DataError, match=r"a\.nc"):
            load(path)


def test_attributes_of_many_values_are_refused(forge):
    path = forge(lambda file: file["z"].attrs.create("missing_value", np.arange(4000.0)))
    with pytest.raises(DataError, match="'z' has more than 100 values as missing_value"):
        load(path)
    path = forge(lambda file: file["z"].attrs.create("units", "K" * 20_000))
    with pytest.raises(DataError, match="'z' has more than 10000 letters as units"):
        load(path)


@pytest.mark.parametrize("texts", [["control", "warm"], ["\u00e9t\u00e9", "hiver"]])
@NETCDF3_AND_4
def test_texts_select(tmp_path, engine, texts):
    data = xr.concat([dataset(), dataset() + 1], xr.DataArray(texts, dims="member", name="member"))
    path = write(tmp_path, data.transpose("time", ...), engine)
    X = load(path, select={"member": texts[1]}).X
    np.testing.assert_array_equal(X.reshape(RAW.shape), RAW + 1)
    with pytest.raises(DataError, match=f"member has no cold: there are {texts[0]}, {texts[1]}"):
        load(path, select={"member": "cold"})


# ---------------------------------------------------------------------------------- NetCDF-3


def patch(path, old, new):
    content = Path(path).read_bytes()
    assert old in content
    Path(path).write_bytes(content.replace(old, new, 1))


def of_header(*parts):
    return b"".join(part if isinstance(part, bytes) else struct.pack(">i", part) for part in parts)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ((b"CDF\x02", 40), (b"CDF\x02", 25), "its header counts 25 records, and there are 40"),
        ((b"CDF\x02", 40), (b"CDF\x02", 41), r"'\w+' would lie from byte \d+ to \d+ of \d+"),
        ((b"CDF\x02", 40), (b"CDF\x02", 2**31 - 1), r"'\w+' would lie from byte"),
        ((b"CDF\x02", 40), (b"CDF\x02", -2), "its header counts -2 records"),
        ((b"lat\0", 3), (b"lat\0", 2**31 - 1), r"'\w+' would lie from byte"),
        ((b"lat\0", 3), (b"lat\0", -3), "a dimension has a negative length"),
        ((b"lat\0", 3), (b"lon\0", 3), "two variables or dimensions have one name"),
        ((b"lat\0", 3), (b"lat\0", 0), "a variable has its records not as its first dimension"),
        ((3, b"lon\0"), (2**31 - 1, b"lon\0"), "its header is cut short or damaged"),
        ((b"z\0\0\0", 3), (b"z\0\0\0", 1000), "a variable has 1000 dimensions"),
        ((b"z\0\0\0", 3, 0), (b"z\0\0\0", 3, 9), "a variable has a dimension that there is not"),
    ],
)
def test_headers_of_netcdf3_are_held_against_the_file(tmp_path, old, new, sentence):
    path = write(tmp_path, dataset(), "scipy")
    patch(path, of_header(*old), of_header(*new))
    with pytest.raises(DataError, match=rf"a\.nc: {sentence}"):
        load(path)


def test_a_netcdf3_file_cut_short_is_refused(tmp_path):
    path = Path(write(tmp_path, dataset(), "scipy"))
    content = path.read_bytes()
    for size in (len(content) - 4, len(content) - 560, 300, 20):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match="cut short"):
            load(str(path))


def test_netcdf3_records_are_counted_where_the_writer_did_not(tmp_path):
    path = write(tmp_path, dataset(), "scipy")
    patch(path, of_header(b"CDF\x02", 40), of_header(b"CDF\x02", -1))
    np.testing.assert_array_equal(load(path).X.reshape(RAW.shape), RAW)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("unlimited", [[], ["time"]])
@pytest.mark.parametrize("version", ["NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_netcdf3_values_are_those_of_xarray(tmp_path, dtype, unlimited, version):
    data = dataset(RAW.astype(dtype)).isel(lon=slice(0, 3))  # 9 values, so that records are padded
    data["other"] = ("time", "lat"), RAW[..., 0].astype("i2")
    data.to_netcdf(tmp_path / "a.nc", engine="scipy", format=version, unlimited_dims=unlimited)
    read = load(str(tmp_path / "a.nc"), latitudes=(45, 90))
    np.testing.assert_array_equal(read.X.reshape(40, 2, 3), RAW[:, :2, :3])


def test_netcdf3_with_many_variables_is_refused(tmp_path):
    data = dataset().assign({f"v{number}": ((), np.int8(1)) for number in range(2001)})
    with pytest.raises(DataError, match=r"a\.nc has more than 2000 variables"):
        load(write(tmp_path, data, "scipy"))


# ------------------------------------------------------------------------------------ both


@pytest.mark.skipif(find_spec("netCDF4") is None, reason="it needs the extra 'fuzz'")
@pytest.mark.parametrize("version", fuzz_netcdf.FORMATS)
def test_damaged_and_forged_files_are_read_as_by_netcdf4_or_refused(tmp_path, version):
    counts, faults = fuzz_netcdf.fuzz(tmp_path, version, files=50, seed=4)
    assert faults == []
    assert counts["none: same"] > 0
    assert sum(counts.values()) == 50
