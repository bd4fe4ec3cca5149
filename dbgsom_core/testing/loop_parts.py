"""Checks of what shapes a training: how it starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.som_map.grid import HEXAGONAL, SQUARE, Grid
from dbgsom_core.testing import material
from dbgsom_core.testing.fitting import check_fit
from dbgsom_core.testing.kit import Subject, check


def _start(grid: Grid, seed: int = 0) -> Start:
    data = material.trained().evaluate(material.data()).data
    return Start(2, 3, grid, data, data.moments(), np.random.RandomState(seed))


@check("initialisation")
def check_prototypes(component: Any, subject: Subject) -> None:
    """It gives a finite prototype for each cell, on square and on hexagonal grids."""
    for grid in (SQUARE, HEXAGONAL):
        start = _start(grid)
        found = np.asarray(component.prototypes(start))
        expected = (len(start), start.n_features)
        assert found.shape == expected, f"prototypes of shape {found.shape}, not {expected}"
        assert found.dtype.kind in "fiu", f"prototypes are {found.dtype}"
        assert np.isfinite(found).all(), "prototypes must be finite"


@check("initialisation")
def check_start_determinism(component: Any, subject: Subject) -> None:
    """The same generator gives the same prototypes, and the samples stay as they were."""
    first, again = _start(SQUARE), _start(SQUARE)
    before = np.array(first.data.X)
    found = np.array(component.prototypes(first))
    assert np.array_equal(found, component.prototypes(again)), "two calls differ: draw from rng"
    assert np.array_equal(first.data.X, before), "it changes the samples"


@check("initialisation")
def check_initialisation_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained from it."""
    check_fit(material.data(), init=component)
