"""Ways to change a model file: what disks, networks and hands do to it, and what somebody forges.

Each takes the content of a real file and a source of chance; `model_files` judges what they make.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import reduce
from operator import getitem
from typing import Any

import numpy as np

# ------------------------------------------------------------------------------------- damage


def members(content: bytes) -> dict[str, bytes]:
    """Return what is in a zip, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(parts: list[tuple[str, bytes]]) -> bytes:
    """Return a zip of these members, checksums and all."""
    target = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        warnings.simplefilter("ignore")  # a name may come twice
        for name, part in parts:
            file.writestr(name, part)
    return target.getvalue()


def flipped(content: bytes, chance: random.Random) -> bytes:
    """Flip one bit."""
    damaged = bytearray(content)
    damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def smeared(content: bytes, chance: random.Random) -> bytes:
    """Overwrite up to 64 bytes."""
    start = chance.randrange(len(content))
    damage = chance.choice([b"\x00", b"\xff", chance.randbytes(1)]) * chance.randint(1, 64)
    return content[:start] + damage + content[start + len(damage) :]


def cut(content: bytes, chance: random.Random) -> bytes:
    """Cut the file short, or a piece out of it."""
    start = chance.randrange(len(content))
    return content[:start] + (chance.choice([b"", content[start + chance.randint(1, 500) :]]))


def shuffled(content: bytes, chance: random.Random) -> bytes:
    """Swap, drop, double or rename members, whose checksums stay right."""
    parts = list(members(content).items())
    one, other = chance.sample(range(len(parts)), 2)
    how = chance.randrange(4)
    if how == 0:
        (a, x), (b, y) = parts[one], parts[other]
        parts[one], parts[other] = (a, y), (b, x)
    elif how == 1:
        del parts[one]
    elif how == 2:
        parts.append((parts[one][0], parts[other][1]))
    else:
        parts[one] = (chance.choice(["a99.npy", "../../up.npy", "x"]), parts[one][1])
    return zipped(parts)


def edited(content: bytes, chance: random.Random) -> bytes:
    """Change a byte within a member and set its checksum right."""
    parts = members(content)
    name = chance.choice(list(parts))
    return zipped(list({**parts, name: flipped(parts[name], chance)}.items()))


DAMAGE = (flipped, flipped, flipped, smeared, cut, shuffled, edited)

# ------------------------------------------------------------------------------------ forgery

_VALUES = (
    None, True, -1, 0, 2, 3, 10**6, 2**63, 10**400, 0.5, -1.5, float("nan"), float("inf"), 1e308,
    "", "x", "a0", "\x1b[31m", "os:system", "x" * 5000, [], {}, [[]],
    {"$array": "a0"}, {"$array": "a1"},
    {"$objects": "a1"}, {"$tuple": [1, 2]}, {"$map": {}}, {"$dtype": "<f8"}, {"$dtype": "O"},
    {"$dtype": "V999999999"}, {"$object": "sklearn.preprocessing:StandardScaler", "state": {}},
    {"$object": "sklearn.pipeline:Pipeline", "state": {"steps": [], "memory": "elsewhere"}},
    {"$object": "builtins:eval", "state": {}}, {"$state": "novelty", "version": 1, "state": {}},
)  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*path, key))


def forged_header(header: dict[str, Any], chance: random.Random) -> None:
    """Change one to three places of the header to something else."""
    for _ in range(chance.randint(1, 3)):
        # Many places are those of the history: a shorter path comes as often as a longer one.
        places = list(_places(header))
        depth = chance.choice(sorted({len(path) for path in places}))
        path = chance.choice([path for path in places if len(path) == depth])
        holder = reduce(getitem, path[:-1], header)
        how = chance.randrange(5)
        if how == 0:
            del holder[path[-1]]
        elif how == 1:
            holder[path[-1]] = copy.deepcopy(reduce(getitem, chance.choice(places), header))
        elif how == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        elif how == 3 and type(holder[path[-1]]) in (int, float):
            holder[path[-1]] = holder[path[-1]] * chance.choice([-1, 0, 2, 10**9]) + chance.choice(
                [0, 1, -1]
            )
        else:
            holder[path[-1]] = copy.deepcopy(chance.choice(_VALUES))


def forged_array(array: np.ndarray, chance: random.Random) -> np.ndarray:
    """Return an array of another shape, dtype or with other values."""
    how = chance.randrange(6)
    if how == 0:
        return array[: chance.randint(0, max(len(array) - 1, 0))] if array.ndim else array[None]
    if how == 1:
        return np.concatenate([array, array]) if array.ndim else array
    if how == 2:
        return array.T[..., None]
    if how == 3:
        kind = chance.choice(["<i8", "<f4", ">f8", "<u2", "|b1", "<U3", "<M8[s]", "|S2", "<f2"])
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                return array.astype(kind)
            except (ValueError, TypeError):
                return array.astype(str)
    if array.dtype.kind not in "fiu" or not array.size:
        return array[::-1]
    changed = np.array(array)
    numbers = [-1, 0, 1, 2**31, 1e18] + [np.nan, np.inf, 1e308, -1e308] * (array.dtype.kind == "f")
    with np.errstate(all="ignore"):
        value = np.array(chance.choice(numbers)).astype(array.dtype)
    changed.flat[chance.randrange(array.size)] = value
    if how == 5:
        changed[...] = value
    return changed


def _digest(array: np.ndarray) -> str:
    told = f"{array.dtype.str} {array.shape}".encode()
    return hashlib.sha256(told + array.tobytes()).hexdigest()


def written(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """Return a file of header and arrays, with digests as they should be."""
    header = {**header, "digests": {name: _digest(array) for name, array in arrays.items()}}
    text = json.dumps(header).encode()
    parts = {
        **arrays,
        "header": np.frombuffer(text, np.uint8),
        "digest": np.frombuffer(hashlib.sha256(text).digest(), np.uint8),
    }
    target = io.BytesIO()
    np.savez_compressed(target, **parts)  # type: ignore[arg-type]
    return target.getvalue()


def read(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays of a file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "digest"}
    header = json.loads(bytes(arrays.pop("header")))
    header.pop("digests", None)
    return header, arrays


def forged(content: bytes, chance: random.Random) -> bytes:
    """Change header or arrays and write digests that agree."""
    header, arrays = read(content)
    if chance.random() < 0.5:
        forged_header(header, chance)
    else:
        name = chance.choice(list(arrays))
        arrays[name] = forged_array(arrays[name], chance)
    return written(header, arrays)


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (*DAMAGE, *[forged] * len(DAMAGE))
