"""Compiled loops that find the few nearest prototypes of each sample."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, inner_loop, loop
from dbgsom_core.engine.llvm.bounds import count_of, lowest_bit
from dbgsom_core.engine.llvm.coarse_tile import LANES, MANY, NONE, ends_of, up_to, write_values
from dbgsom_core.engine.llvm.few import (
    RANKED,
    TOLD,
    move_to_ranks,
    write_distances_of_few,
    write_keys,
    write_ranks,
)
from dbgsom_core.engine.llvm.panel import LINE, PANEL_ROWS, TOGETHER
from dbgsom_core.engine.loops import insert

LONGEST = 24000  # of the packed prototypes, but for rounding
_FARTHEST = 32767  # that a packed sample may be, so that int16 holds it and int32 its values
_USUAL = 4  # columns of MANY that are written down at once
COMPARED = 2 * RANKED  # prototypes that are compared one by one; more of them all at once
_HALVINGS = 40  # of an interval, at most
_INTERPOLATED = 5  # of them by what is known of its ends


class Packed(NamedTuple):
    """Prototypes w (K, D), as they are and in whole numbers: less a centre (D,) times ``scale``.

    ``prototypes`` (K, depth of TOLD) have features of zeros behind, and ``by_feature`` (D, K) are
    the same once more; ``blocks`` (B, pairs, LANES, 2) are -w and ``norms`` (B, LANES) ‖w‖²/2,
    rounded down, of the packed ones, NONE where there is none. Packing changed no distance of a
    sample and a prototype by more than ``moved``.
    """

    prototypes: NDArray[np.float64]
    by_feature: NDArray[np.float64]
    centre: NDArray[np.float64]
    blocks: NDArray[np.int16]
    norms: NDArray[np.int32]
    scale: float
    moved: float


class Room(NamedTuple):
    """Memory of one worker for PANEL_ROWS samples (m).

    ``samples`` (m, depth of TOLD) are as given and ``panel`` (pairs, m, 2) packed, ``squares`` (m,)
    their ‖x‖², negative for one that is too far away. ``values`` (m, W) are ‖w‖²/2 - x·w, NONE for
    columns that no prototype has, and ``lows`` (m, L) the lowest of them in every L-th column; W
    and L are multiples of MANY. ``few`` and ``apart`` (2, K + RANKED) are what is found of one
    sample, ``keys`` (COMPARED + RANKED,) and ``ranks`` (RANKED,) what brings it in order.
    """

    samples: NDArray[np.float64]
    panel: NDArray[np.int16]
    squares: NDArray[np.float64]
    values: NDArray[np.int32]
    lows: NDArray[np.int32]
    few: NDArray[np.int64]
    apart: NDArray[np.float64]
    keys: NDArray[np.uint32]
    ranks: NDArray[np.int32]


@loop
def pack_prototypes(packed: Packed) -> None:
    """Fill blocks and norms."""
    d, n_neurons = packed.by_feature.shape
    for j in range(n_neurons):
        total = 0.0
        for k in range(d):
            whole = np.rint((packed.by_feature[k, j] - packed.centre[k]) * packed.scale)
            packed.blocks[j // LANES, k // 2, j % LANES, k % 2] = -np.int16(whole)
            total += whole * whole
        packed.norms[j // LANES, j % LANES] = np.int32(total) >> 1


@loop
def nearest_few(
    X: NDArray[Any],
    packed: Packed,
    room: Room,
    columns: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """Fill columns and values (n, k) with the k nearest of K prototypes to each of X (n, D).

    By definition, in order, the first of equal ones. k is at most K. Only those are compared that
    may be among them: packed ones are c apart, and |c - distance| <= moved, in packed units. If
    k of them have c <= t, those are at most t + moved away; one with c > t + 2 moved is farther.
    """
    n, k, n_neurons = X.shape[0], columns.shape[1], packed.prototypes.shape[0]
    n_blocks, pairs = packed.blocks.shape[0], packed.blocks.shape[1]
    width, n_lows = room.values.shape[1], room.lows.shape[1]
    # Asked for once: it costs as much as a tile.
    block_at, norms_at = packed.blocks.ctypes.data, packed.norms.ctypes.data
    panel_at, values_at, lows_at = (
        room.panel.ctypes.data,
        room.values.ctypes.data,
        room.lows.ctypes.data,
    )
    share, usual = 0.5, 2 * (1 + k * MANY // width)
    for first in range(0, n, PANEL_ROWS):
        rows = min(PANEL_ROWS, n - first)
        _pack_samples(X, first, rows, packed, room)
        room.lows[:] = NONE
        for g in range(0, n_blocks, TOGETHER):
            write_values(
                min(TOGETHER, n_blocks - g),
                block_at + g * pairs * LINE,
                panel_at,
                pairs,
                norms_at + g * LINE,
                values_at + g * LINE,
                width * 4,
                lows_at + (g * LANES % n_lows) * 4,
                n_lows * 4,
            )
        for r in range(rows):
            square = room.squares[r]
            if square >= 0.0:
                limit, share = _limit_of_lowest(lows_at + r * n_lows * 4, n_lows, k, share)
                # c² is ‖x‖² + 2 value, or 1 more where ‖w‖² is odd
                farthest = np.sqrt(max(square + 2.0 * limit + 1.0, 0.0))
                farthest += 2.0 * packed.moved
                limit = 0.5 * (farthest * farthest - square)
                highest = int(limit) + 1 if limit < NONE - 2 else NONE - 1
                at = values_at + r * width * 4
                found = _columns_up_to(at, width, highest, usual, room.few[0])
            else:
                found = n_neurons
                for j in range(n_neurons):
                    room.few[0, j] = j
            if found <= COMPARED:
                _nearest_of_few(room, r, packed.prototypes, found, k)
                for rank in range(k):
                    columns[first + r, rank] = room.few[1, rank]
                    values[first + r, rank] = room.apart[1, rank]
            else:
                apart = room.apart[0]
                _distances_of_all(room.samples[r], packed.by_feature, apart)
                for held in range(found):
                    column = room.few[0, held]
                    insert(apart[column], column, held, columns[first + r], values[first + r])


@inner_loop
def _pack_samples(X: NDArray[Any], first: int, rows: int, packed: Packed, room: Room) -> None:
    for r in range(rows):
        total = 0.0
        for k in range(X.shape[1]):
            given = np.float64(X[first + r, k])
            whole = np.rint((given - packed.centre[k]) * packed.scale)
            room.samples[r, k] = given
            room.panel[k // 2, r, k % 2] = np.int16(whole if abs(whole) <= _FARTHEST else 0.0)
            total += whole * whole
        room.squares[r] = total if total <= _FARTHEST * _FARTHEST else -1.0


@inner_loop
def _limit_of_lowest(at: int, n_lows: int, k: int, share: float) -> tuple[int, float]:
    # A number that at least k of the lows do not exceed, and few more; and which share it is of the
    # way from the lowest to the highest, where it may lie in the next row, too.
    least, most = ends_of(at)
    for j in range(MANY, n_lows, MANY):
        lower, higher = ends_of(at + 4 * j)
        least, most = min(least, lower), max(most, higher)
    low, limit, below, reaching = int(least), int(most), 1, n_lows
    step, wanted = float(limit - low), k + (k >> 4)
    between = low + int(step * share)
    for halving in range(_HALVINGS):
        reached = 0
        for j in range(0, n_lows, MANY):
            reached += count_of(up_to(at + 4 * j, np.int32(between)))
        if reached < k:
            low, below = between, reached
        else:
            limit, reaching = between, reached
            if reached <= k + (k >> 3):
                break
        if limit - low <= 1:
            break
        if halving < _INTERPOLATED:
            part = (wanted - below) / (reaching - below)
            between = min(max(low + int((limit - low) * part), low + 1), limit - 1)
        else:
            between = (low + limit) >> 1
    return limit, (limit - least) / step if step > 0.0 else share


@inner_loop
def _columns_up_to(at: int, width: int, limit: int, usual: int, few: NDArray[np.int64]) -> int:
    # Which values are at most the limit. As many of MANY as usual are written down without a
    # branch that a processor would have to guess, and then written over if there were fewer.
    found, highest = 0, np.int32(limit)
    for j in range(0, width, MANY):
        bits = up_to(at + 4 * j, highest)
        count = count_of(bits)
        bits = _written(bits, j, few, found)
        written = _USUAL
        if usual > _USUAL:
            bits = _written(bits, j, few, found + _USUAL)
            written = 2 * _USUAL
        while bits:
            few[found + written] = j + lowest_bit(bits)
            written += 1
            bits &= bits - 1
        found += count
    return found


@inlined
def _written(bits: int, first: int, few: NDArray[np.int64], at: int) -> int:
    # The lowest _USUAL bits, and what is left.
    for i in range(_USUAL):
        few[at + i] = first + lowest_bit(bits)
        bits &= bits - 1
    return bits


@inner_loop
def _nearest_of_few(
    room: Room, r: int, prototypes: NDArray[np.float64], found: int, k: int
) -> None:
    # Second rows of few and apart: the k nearest of those that were found, in order.
    few, apart, depth = room.few, room.apart, prototypes.shape[1]
    few[0, found : found + TOLD] = few[0, 0]
    sample_at = room.samples.ctypes.data + r * depth * 8
    prototypes_at, ranks_at = prototypes.ctypes.data, room.ranks.ctypes.data
    few_at, apart_at = few.ctypes.data, apart.ctypes.data
    for c in range(0, found, TOLD):
        write_distances_of_few(sample_at, depth, prototypes_at, few_at + c * 8, apart_at + c * 8)
    apart[0, found : found + TOLD] = np.inf  # who is not there is before nobody
    keys_at, told = room.keys.ctypes.data, (found + TOLD - 1) // TOLD * TOLD
    write_keys(apart_at, told, keys_at)
    total = 0
    for start in range(0, found, RANKED):
        write_ranks(keys_at, told, start, ranks_at)
        total += move_to_ranks(
            min(RANKED, found - start),
            ranks_at,
            few_at + start * 8,
            apart_at + start * 8,
            few_at + few.strides[0],
            apart_at + apart.strides[0],
        )
    if 2 * total != found * (found - 1):  # ties, or nearly
        for held in range(found):
            insert(apart[0, held], few[0, held], held, few[1, :k], apart[1, :k])


@inner_loop
def _distances_of_all(
    sample: NDArray[np.float64], by_feature: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    # As `euclidean_distance` adds them up.
    out[:] = 0.0
    for k in range(by_feature.shape[0]):
        x = sample[k]
        for j in range(by_feature.shape[1]):
            step = x - by_feature[k, j]
            out[j] += step * step
    for j in range(by_feature.shape[1]):
        out[j] = np.sqrt(out[j])
