"""Checks of neighbourhood kernels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.kernels import KernelAbilities
from dbgsom_core.som_map.grid import SQUARE
from dbgsom_core.testing.kit import Subject, ask, check

_WIDTHS = (0.2, 0.5, 1.0, 3.0, 20.0)


def _reads(kernel: Any) -> NDArray[np.float64]:
    # What a kernel may read, nearest first: hops, distances in the plane, ways in the plane.
    cells = SQUARE.plane(SQUARE.rectangle(5, 5) - 2)
    lengths = np.linalg.norm(cells, axis=1)
    ways = cells[np.argsort(lengths, kind="stable")]
    known = {"hops": np.arange(12.0), "plane": np.unique(lengths), "offsets": ways}
    return known[KernelAbilities.of(kernel).reads]


def _weights(kernel: Any, width: float, some: Any = slice(None)) -> NDArray[np.float64]:
    weight: Any = KernelAbilities.of(kernel).weight
    if not KernelAbilities.of(kernel).inhibits:
        return np.asarray(ask("kernel", kernel, "weight", _reads(kernel)[some], width))
    return np.asarray(weight(_reads(kernel)[some], width))


@check("kernel")
def check_weights(component: Any, subject: Subject) -> None:
    """Its weights are finite, not negative unless it inhibits, above 0 at the winner, each by its
    own hop count alone, the same again and in several threads.
    """
    for width in _WIDTHS:
        weights = _weights(component, width)
        assert weights.dtype.kind == "f", f"weights are {weights.dtype}"
        alone = [_weights(component, width, [0, hops])[1] for hops in (0, 1, 5)]
        same = np.array_equal(alone, weights[[0, 1, 5]])
        assert same, f"width {width}: a weight depends on the other hop counts"
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _: _weights(component, width), range(16)):  # noqa: B023
                assert np.array_equal(found, weights), "two calls differ"


def _falls(kernel: Any) -> bool:
    able = KernelAbilities.of(kernel)
    return not (able.rises or able.inhibits or able.reads == "offsets")


@check("kernel", _falls)
def check_weights_fall(component: Any, subject: Subject) -> None:
    """Its weights do not grow with the hops: who learns from afar says ``rises = True``."""
    for width in _WIDTHS:
        weights = _weights(component, width)
        rise = float(np.diff(weights).max())
        assert rise <= 1e-12 * weights[0], f"width {width}: a weight is {rise:g} above the nearer"
