"""Checks of neighbourhood kernels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.kernels import KernelAbilities
from dbgsom_core.som_map.grid import SQUARE
from dbgsom_core.testing import material
from dbgsom_core.testing.fitting import check_fit
from dbgsom_core.testing.kit import Subject, check

# What kernels may read, nearest first: hops, distances in the plane, ways in the plane.
_WAYS = SQUARE.plane(SQUARE.rectangle(5, 5) - 2)[
    np.argsort(
        SQUARE.squared_distances(SQUARE.rectangle(5, 5) - 2, np.zeros((25, 2))), kind="stable"
    )
]
_READS = {
    "hops": np.arange(12, dtype=np.float64),
    "plane": np.unique(np.linalg.norm(_WAYS, axis=1)),
    "offsets": _WAYS,
}
_WIDTHS = (0.2, 0.5, 1.0, 3.0, 20.0)


def _values(kernel: Any) -> NDArray[np.float64]:
    return _READS[KernelAbilities.of(kernel).reads]


def _weights(kernel: Any, width: float) -> NDArray[np.float64]:
    return np.asarray(kernel.weight(material.frozen(_values(kernel)), width))


def _falls(kernel: Any, subject: Subject) -> bool:
    able = KernelAbilities.of(kernel)
    return not (able.rises or able.inhibits or able.reads == "offsets")


@check("kernel")
def check_weights(component: Any, subject: Subject) -> None:
    """Its weights are floats, one a hop count, finite, not negative, and above 0 at the winner.

    Those of a kernel that inhibits may be negative, but for the winner.
    """
    expected, signed = _values(component).shape[:1], KernelAbilities.of(component).inhibits
    for width in _WIDTHS:
        weights = _weights(component, width)
        assert weights.shape == expected, f"shape {weights.shape}, not {expected}"
        assert weights.dtype.kind == "f", f"weights are {weights.dtype}"
        assert np.isfinite(weights).all(), f"width {width}: weights must be finite"
        assert signed or (weights >= 0).all(), f"width {width}: a weight is {weights.min()}"
        assert weights[0] > 0, f"width {width}: the winner itself learns nothing"


@check("kernel", applies=_falls)
def check_weights_fall(component: Any, subject: Subject) -> None:
    """Its weights do not grow with the hops: who learns from afar says ``rises = True``."""
    for width in _WIDTHS:
        weights = _weights(component, width)
        rise = float(np.diff(weights).max())
        assert rise <= 1e-12 * weights[0], f"width {width}: a weight is {rise:g} above the nearer"


@check("kernel")
def check_weights_stand_alone(component: Any, subject: Subject) -> None:
    """A weight does not depend on the other hop counts: it is looked up."""
    for width in _WIDTHS:
        alone = np.concatenate(
            [np.atleast_1d(component.weight(_values(component)[[h]], width)) for h in (0, 1, 5)]
        )
        assert np.array_equal(alone, _weights(component, width)[[0, 1, 5]]), f"width {width}"


@check("kernel")
def check_kernel_determinism(component: Any, subject: Subject) -> None:
    """Asked twice, or by several threads, it answers the same."""
    expected = _weights(component, 1.5)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: _weights(component, 1.5), range(16)):
            assert np.array_equal(found, expected), "two calls differ"


@check("kernel")
def check_kernel_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained with it."""
    check_fit(material.data(), kernel=component)
