"""Damaged and forged NetCDF files, here and in netCDF4: ``python fuzz_netcdf.py FILES [SEED]``.

It needs the extra ``fuzz``. Files are written and read in other processes, so that a crash of the
interpreter is seen. Faults are crashes, hangs, exceptions other than DataError, numbers other than
those of netCDF4, and reads of a file that was not named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

FORMATS = ("NETCDF3", "NETCDF4")
BATCH, SECONDS, BYTES = 250, 5, 1 << 30
SECRET = 4242.0  # in files that no configuration names
PACKING = ("scale_factor", "add_offset")
AXES = {"time": "since", "lat": "north", "lon": "east"}


# ------------------------------------------------------------------------------------ writing


def write_valid(path: Path, kind: str, generator: np.random.Generator) -> dict[str, object]:
    """Write a valid file, and return what its configuration selects."""
    import netCDF4

    def choose(*options):
        return options[generator.integers(len(options))]

    packing = kind if kind == "NETCDF4" else choose("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET")
    further = choose(None, None, "level", "member")
    dtype = choose("f4", "f4", "f8", "i2", "i4", "i1")
    with netCDF4.Dataset(path, "w", format=packing) as file:
        sizes = {"time": 12, "lat": 4, "lon": 5} | ({further: 2} if further else {})
        for name, size in sizes.items():
            file.createDimension(name, choose(None, size) if name == "time" else size)
        axes = {
            "time": (choose("i4", "f8", "f4"), np.arange(12), "days since 2001-01-01"),
            "lat": (choose("f4", "f8"), choose([1, 2, 3, 4], [60, 50, 40, 30]), "degrees_north"),
            "lon": (choose("f4", "f8"), choose(range(-2, 3), [180, 0, 90, 45, 9]), "degrees_east"),
            "level": ("i4", [1000, 500], "hPa"),
        }  # fmt: skip
        for name in sizes:
            if name == "member":
                file.createDimension("letters", 4)
                texts = file.createVariable("member", "S1", ("member", "letters"))
                texts[:] = np.array([list("ctl "), list("pert")], "S1")
                continue
            axis = file.createVariable(name, axes[name][0], (name,))
            axis[:], axis.units = axes[name][1], axes[name][2]
        if generator.random() < 0.5:
            file["time"].calendar = choose("standard", "noleap", "360_day", "proleptic_gregorian")
        layout = {}
        if kind == "NETCDF4":
            layout = choose({}, {"zlib": True}, {"chunksizes": [2] * len(sizes)})
        dims = list(sizes) if generator.random() < 0.5 else [*sizes][::-1]
        dims = dims if kind == "NETCDF4" else ["time", *(one for one in dims if one != "time")]
        field = file.createVariable("z", dtype, dims, fill_value=choose(None, -100), **layout)
        field.set_auto_maskandscale(False)
        field[:] = generator.integers(-100, 100, [sizes[one] for one in dims])
        if dtype[0] == "i" and generator.random() < 0.7:
            field.scale_factor, field.add_offset = np.float32(0.5), np.float32(20)
    return {"level": {"level": 500}, "member": {"member": "pert"}}.get(further, {})


def flip_bits(content: bytearray, generator: np.random.Generator) -> None:
    end = len(content) if generator.random() < 0.3 else min(len(content), 3000)
    for place in generator.integers(0, end, generator.integers(1, 6)):
        content[place] ^= 1 << int(generator.integers(8))


def overwrite_fields(content: bytearray, generator: np.random.Generator) -> None:
    size = int(generator.choice([1, 2, 4, 8]))
    numbers = [0, 1, 2, 3, 4, 5, 8, 12, 13, 127, 255, 1000, 2**15, 2**31 - 1, 2**31, -1, -4, 2**40]
    for _ in range(generator.integers(1, 4)):
        place = int(generator.integers(0, min(len(content), 6000) // size)) * size
        number = numbers[generator.integers(len(numbers))] % 256**size
        order = "big" if content[:3] == b"CDF" else "little"
        content[place : place + size] = number.to_bytes(size, order)


def move_blocks(content: bytearray, generator: np.random.Generator) -> None:
    size = int(generator.choice([4, 8, 16, 64, 200]))
    source, target = 4 * generator.integers(0, (len(content) - size) // 4, 2)
    block = content[source : source + size]
    what = generator.integers(4)
    if what == 0:
        content[target : target + size] = block
    elif what == 1:
        del content[source : source + size]
    elif what == 2:
        content[target:target] = block
    else:
        del content[int(generator.integers(len(content))) :]


def forge_attributes(path: Path, generator: np.random.Generator) -> None:
    import netCDF4

    numbers = [0, 1, -1, 50, 10, -50, -70, 0.5, 2, 1e20, -100, 127, 2.0**40, np.nan, np.inf]
    texts = [
        "radians",
        "m",
        "",
        "days since 2001-01-01",
        "months since 1900-1-1",
        "noleap",
        "julian",
    ]
    texts += [
        "true",
        "hours since 0001-01-01",
        "seconds since 1-1-1",
        "none",
        "lat lon z",
        "\u00e9\0",
    ]
    names = ["valid_min", "valid_max", "valid_range", "missing_value", "scale_factor", "add_offset"]
    with netCDF4.Dataset(path, "a") as file:
        for _ in range(generator.integers(1, 3)):
            one = file[str(generator.choice(["z"] * 9 + ["time", "lat", "lon"]))]
            dtype = str(generator.choice([one.dtype.str[1:], "f8", "f4", "i2", "i4"]))
            with np.errstate(all="ignore"):
                values = generator.choice(numbers, generator.integers(1, 3)).astype(dtype)
            if generator.random() < 0.3:
                name = str(
                    generator.choice(["units", "calendar", "_Unsigned", "coordinates", *names])
                )
                one.setncattr(name, str(generator.choice(texts)))
            else:
                name = str(generator.choice(names))
                one.setncattr(name, values if len(values) > 1 else values[0])
        if generator.random() < 0.3:
            axis = file[str(generator.choice(["time", "lat", "lon"]))]
            axis.set_auto_maskandscale(False)
            axis[int(generator.integers(len(axis)))] = generator.choice([700, 1e8, -90.0001, 95, 0])


def forge_numbers(path: Path, generator: np.random.Generator) -> None:
    import netCDF4

    with netCDF4.Dataset(path, "a") as file:
        one = file[str(generator.choice(["z", "z", "time", "lat", "lon"]))]
        one.set_auto_maskandscale(False)
        values = one[:].ravel()
        whole = [-32767, -127, 255, 32767, 0, 2**31 - 1]
        other = (
            whole
            if one.dtype.kind == "i"
            else [*whole, np.nan, np.inf, 1e20, 9.969209968386869e36, 1e300]
        )
        with np.errstate(all="ignore"):
            made = generator.choice(np.array(other, dtype=float), 3).astype(one.dtype)
        values[generator.integers(0, len(values), 3)] = made
        one[:] = values.reshape(one.shape)


def forge_structure(path: Path, generator: np.random.Generator) -> None:
    """Change what the objects of a NetCDF-4 file are: all of it is legal HDF5."""
    import h5py

    secret = path.parent / "secret"
    with h5py.File(path, "a") as file:
        name = str(generator.choice(["z", "z", "lat", "time", "level"]))
        old = file[name] if name in file else file["z"]
        name, shape, dtype = old.name, old.shape, old.dtype
        scales = [[scale.name for scale in dim.values()] for dim in old.dims]
        field = file["z"]
        over = [dim for dim in field.dims if name in [scale.name for scale in dim.values()]]
        attrs = {
            key: old.attrs[key] for key in old.attrs if key in ("units", "calendar", "_FillValue")
        }
        for dim in over:
            dim.detach_scale(old)
        del file[name]
        longer = np.array(shape)
        longer[generator.integers(len(shape))] *= 10 ** generator.integers(1, 10)
        longer = tuple(longer.tolist())
        what = generator.integers(12)
        if what == 0:
            file[name] = h5py.ExternalLink(f"{secret}.nc", "/z")
        elif what == 1:
            n_bytes = int(np.prod(shape)) * dtype.itemsize
            file.create_dataset(name, shape, dtype, external=[(f"{secret}.bin", 0, n_bytes)])
        elif what == 2:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(f"{secret}.nc", "z", shape)
            file.create_virtual_dataset(name, layout)
        elif what == 3:
            file.create_dataset(name, longer, dtype)  # never written
        elif what == 4:
            made = file.create_dataset(
                name, longer, dtype, chunks=tuple(min(s, 100) for s in longer), compression=9
            )
            made[(0,) * made.ndim] = 1
        elif what == 5:
            file[name] = h5py.SoftLink(str(generator.choice([name, "/lat", "/none", "/"])))
        elif what == 6:
            file[name] = file["/"]
        elif what == 7:
            file.create_dataset(name, shape, h5py.string_dtype()).attrs["units"] = "a" * 20_000
        elif what == 8:
            file.create_dataset(name, shape, h5py.vlen_dtype(dtype))
        elif what == 9:
            file.create_dataset(name, shape, np.dtype([("real", "f4"), ("imag", "f4")]))
        elif what == 10:
            file.create_dataset(name, data=np.ones(shape[:-1], dtype))
        else:
            made = file.create_dataset(
                name, shape, dtype, maxshape=(None,) * len(shape), chunks=(3,) * len(shape)
            )
            made[...] = generator.integers(-100, 100, shape)
        made = file.get(name) if what not in (0, 5) else None
        if isinstance(made, h5py.Dataset):
            made.attrs.update(attrs)
            for dim in over:
                made.make_scale(name.strip("/"))
                dim.attach_scale(made)
            for dim, names in zip(made.dims, scales, strict=False):
                for scale in names:
                    if scale in file and generator.random() < 0.95:
                        dim.attach_scale(file[scale])


DAMAGES = {"bits": flip_bits, "fields": overwrite_fields, "blocks": move_blocks}
FORGERIES = {"attributes": forge_attributes, "numbers": forge_numbers, "structure": forge_structure}


def write_files(folder: Path, kind: str, files: int, seed: int) -> None:
    """Write files 0.nc …, and what is to be selected of each, cases.json."""
    import netCDF4

    with netCDF4.Dataset(folder / "secret.nc", "w") as file:
        file.createDimension("x", 4000)
        file.createVariable("z", "f4", ("x",))[:] = SECRET
    np.full(4000, SECRET, "f4").tofile(folder / "secret.bin")
    forgeries = [*FORGERIES][: 3 if kind == "NETCDF4" else 2]
    cases = []
    for number in range(files):
        generator = np.random.default_rng([seed, number])
        path = folder / f"{number}.nc"
        select = write_valid(path, kind, generator)
        damage = str(generator.choice([*DAMAGES, *forgeries, "none"], p=None))
        if damage in DAMAGES:
            content = bytearray(path.read_bytes())
            DAMAGES[damage](content, generator)
            path.write_bytes(content)
        elif damage in FORGERIES:
            FORGERIES[damage](path, generator)
        cases.append({"file": path.name, "damage": damage, "select": select})
    (folder / "cases.json").write_text(json.dumps(cases))


# ------------------------------------------------------------------------------------ reading


def read_file(folder: Path, case: dict[str, object]) -> str:
    """Read a file with the plugin, keep its samples, and return how it ended."""
    from dbgsom_core.api import DataError
    from dbgsom_geo.netcdf import NetCDF

    path, start = folder / str(case["file"]), time.process_time()
    try:
        data = NetCDF(path=str(path), variable="z", select=case["select"], missing="keep").load()
        if (data.X == SECRET).any():
            return "fault: it read a file that was not named"
        np.savez(
            path.with_suffix(".npz"),
            X=data.X,
            names=data.feature_names,
            times=data.annotations["time"],
        )
        end = "read"
    except DataError as error:
        end = "refused" if case["file"] in str(error) else f"fault: {error} names no file"
    except Exception as error:
        end = f"fault: {error!r}"
    took = time.process_time() - start
    return end if took < SECONDS else f"fault: it took {took:.0f} s"


def compare_file(folder: Path, case: dict[str, object]) -> str:
    """Return how what was read compares with what netCDF4 reads."""
    import netCDF4

    from dbgsom_geo.places import name_of

    path = folder / str(case["file"])
    if not path.with_suffix(".npz").exists():
        return "refused"
    kept = np.load(path.with_suffix(".npz"))
    try:
        with warnings.catch_warnings(record=True) as said, netCDF4.Dataset(path) as file:
            warnings.simplefilter("always")
            field, axes = file["z"], {}
            for dim in field.dimensions:
                units = str(getattr(file[dim], "units", "")) if dim in file.variables else ""
                found = [
                    axis for axis, word in AXES.items() if word in units.lower() or axis == dim
                ]
                axes |= dict.fromkeys(found[:1], dim)
            if len(axes) < 3:
                return "other axes"
            values, time_axis = field[...], file[axes["time"]]
            for dim in [one for one in field.dimensions if one not in axes.values()]:
                place = 1 if len(file.dimensions[dim]) > 1 else 0
                values = np.ma.take(values, [place], axis=field.dimensions.index(dim))
            order = [field.dimensions.index(axes[axis]) for axis in AXES]
            order += [place for place in range(values.ndim) if place not in order]
            values = np.ma.filled(values.transpose(order).astype(float), np.nan)
            values = values.reshape(values.shape[0], -1)
            calendar = getattr(time_axis, "calendar", "standard")
            dates = netCDF4.num2date(time_axis[:], time_axis.units, calendar)
            latitudes, longitudes = file[axes["lat"]][:], file[axes["lon"]][:]
            packing = [field.getncattr(one) for one in PACKING if one in field.ncattrs()]
            if any(np.asarray(one).dtype.kind == "i" for one in packing):
                return "netCDF4 computes in integers, which overflow"
            is_byte = field.dtype.itemsize == 1 and "_FillValue" not in field.ncattrs()
    except Exception:  # what it does not read, it does not contradict
        return "netCDF4 refused"
    if any("safely cast" in str(one.message) for one in said):
        return "netCDF4 ignored an attribute"
    names = [name_of(north, east) for north in latitudes for east in longitudes]
    days = [f"{date.year:04d}-{date.month:02d}-{date.day:02d}" for date in dates]
    shown = [
        text[: len(day)] for text, day in zip(sorted(kept["times"]), sorted(days), strict=False)
    ]
    if len(kept["times"]) != len(days) or shown != sorted(days):
        return f"fault: days {shown[:3]} and not {sorted(days)[:3]}"
    if {*kept["names"].tolist()} != {*names}:
        return f"fault: places {kept['names'][:3]} and not {names[:3]}"
    of_name = {name: column for column, name in reversed([*enumerate(names)])}
    expected = values[np.argsort(days, kind="stable")][:, [of_name[one] for one in kept["names"]]]
    X = kept["X"].astype(float)
    other = ~np.isclose(X, expected, rtol=1e-5, atol=1e-6, equal_nan=True)
    other &= ~(is_byte & np.isnan(expected))  # bytes have no default fill (NetCDF User's Guide)
    return f"fault: {X[other][:3]} and not {expected[other][:3]}" if other.any() else "same"


def peak_memory() -> int:
    """Return the most bytes that this process held, where the system tells."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def work(task: str, folder: Path, first: str, last: str) -> None:
    """Read or compare some files, with a line for each that begins and each that ends."""
    cases = json.loads((folder / "cases.json").read_text())
    for number in range(int(first), min(int(last), len(cases))):
        print(json.dumps([number, None]), flush=True)
        end = {"read": read_file, "compare": compare_file}[task](folder, cases[number])
        memory = peak_memory()
        if task == "read" and memory > BYTES:
            end = f"fault: it took {memory / 1e9:.1f} GB"
        print(json.dumps([number, end]), flush=True)


def run_batches(task: str, folder: Path, files: int) -> dict[int, str]:
    """Return how each file ended, in processes that may crash."""
    ends, start = dict[int, str](), 0
    while start < files:
        last = min(start + BATCH, files)
        command = [sys.executable, __file__, task, str(folder), str(start), str(last)]
        with (folder / "log").open("w+b") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.DEVNULL)
            try:
                code: object = process.wait(timeout=60 + 2 * SECONDS * BATCH)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait() and "timeout"
            log.seek(0)
            lines = [json.loads(line) for line in log.read().splitlines()]
        ends |= {number: end or f"fault: the interpreter ended ({code})" for number, end in lines}
        start = 1 + max((number for number, _ in lines), default=start)
    return ends


def fuzz(folder: Path, kind: str, files: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Return how many files ended how, by their damage, and the faults."""
    command = [sys.executable, __file__, "write", str(folder), kind, str(files), str(seed)]
    subprocess.run(command, check=True, timeout=60 + files)
    secrets = [folder / "secret.nc", folder / "secret.bin"]
    for secret in secrets:
        os.utime(secret, (0, secret.stat().st_mtime))  # the next read of it changes the first time
    ends = run_batches("read", folder, files)
    faults = [f"{one.name} was read" for one in secrets if one.stat().st_atime]
    compared = run_batches("compare", folder, files)
    counts: Counter[str] = Counter()
    for case, number in zip(
        json.loads((folder / "cases.json").read_text()), range(files), strict=True
    ):
        end = compared[number] if ends[number] == "read" else ends[number]
        if compared[number].startswith("fault: the interpreter"):
            end = "netCDF4 crashed"
        if end.startswith("fault"):
            faults.append(f"{kind} seed {seed}, file {number} ({case['damage']}): {end}")
            end = "fault"
        counts[f"{case['damage']}: {end}"] += 1
    return counts, faults


def main(files: str, seed: str = "0", *kinds: str) -> None:
    for kind in kinds or FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            counts, faults = fuzz(Path(folder), kind, int(files), int(seed))
        print(kind, files, "files, seed", seed)
        print(*(f"  {count:5d} {what}" for what, count in sorted(counts.items())), sep="\n")
        print(*([f"  {fault}" for fault in faults] or ["  no faults"]), sep="\n")


if __name__ == "__main__":
    task, *rest = sys.argv[1:] or ["2000"]
    if task == "write":
        write_files(Path(rest[0]), rest[1], int(rest[2]), int(rest[3]))
    elif task in ("read", "compare"):
        work(task, Path(rest[0]), *rest[1:])
    else:
        main(task, *rest)
