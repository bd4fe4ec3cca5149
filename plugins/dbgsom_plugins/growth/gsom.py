"""The growing self-organizing map of Alahakoon, Halgamuge & Srinivasan (2000)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import Birth, DataSummary, GrowthState, SomMap
from dbgsom_plugins.growth import thresholds
from dbgsom_plugins.growth.base import SettlingGrowth
from dbgsom_plugins.growth.thresholds import SpreadingFactor


class Gsom(SettlingGrowth):
    """Growth in all free cells of a boundary neuron (Alahakoon, Halgamuge & Srinivasan 2000).

    The batch form of GSOM, for data scaled to 0..1 by column. Kept: the growing threshold
    GT = -D*ln(SF); a boundary neuron whose error reaches it fills every free cell beside it; a
    newborn's prototype by the four cases of the paper; an interior neuron whose error reaches it
    spreads error by the factor of distribution instead. Not kept, since all samples are seen at
    once: the learning rate and its resets, and errors that pile up from one presentation to the
    next. An error here is the sum of the distances of a neuron's samples in one epoch, under the
    updated prototypes. The paper's smoothing phase is fine-tuning; neurons without hits stay
    without ``prune``.

    Notes
    -----
    On a grid with any number of links a neuron is at the boundary while one of them leads to a free
    cell. For the four cases see `newborn_prototype`: the neuron across the cell is the one to which
    the same link leads from the cell, that behind the parent the one to which the opposite link
    leads from the parent.
    """

    spreading_factor: SpreadingFactor = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="between 0 and 1: the closer to 1, the larger the map",
    )
    distribution_factor: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="share of its own error by which the error of each neighbour of an interior "
        "neuron over the growing threshold rises, while that of the interior neuron falls to half "
        "the threshold",
    )

    def growing_threshold(self, summary: DataSummary) -> float:
        """Return GT = -D*ln(SF), in units of the errors."""
        return thresholds.classical(summary, self.spreading_factor)

    def births(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth]:
        """Return the births of this epoch, those of the largest error first.

        Newborns of the same epoch do not count as neighbours, but their cells are taken.
        """
        errors = distributed(som_map, state.errors, state.threshold, self.distribution_factor)
        growing = np.flatnonzero(som_map.boundary() & (errors >= state.threshold))
        births: dict[tuple[int, int], Birth] = {}
        for neuron in growing[np.argsort(-errors[growing], kind="stable")].tolist():
            for cell in som_map.free_cells(neuron):
                if cell not in births:
                    prototype = newborn_prototype(som_map, neuron, cell)
                    births[cell] = Birth(cell, prototype, neuron)
        return list(births.values())


def distributed(
    som_map: SomMap, errors: NDArray[Any], threshold: float, factor: float
) -> NDArray[np.float64]:
    """Return the errors (K,) when interior neurons over the threshold GT have spread theirs.

    Largest error first, each once: its error becomes GT/2, that of its neighbours n rises from E_n
    to E_n + factor*E_n, so that growth nears the boundary in a few epochs (Alahakoon et al. 2000).
    """
    spread = np.array(errors, dtype=np.float64)
    interior = np.flatnonzero(~som_map.boundary() & (spread >= threshold))
    for neuron in interior[np.argsort(-spread[interior], kind="stable")].tolist():
        spread[som_map.neighbours(neuron)] *= 1.0 + factor
        spread[neuron] = threshold / 2
    return spread


def newborn_prototype(som_map: SomMap, parent: int, cell: tuple[int, int]) -> NDArray[np.float64]:
    """Return the prototype of a neuron born beside its parent (Alahakoon et al. 2000).

    With w1 of the parent, the first of the paper's four cases that applies:

    * between: a neuron w2 lies right across the cell: (w1 + w2)/2;
    * in line: w2 lies behind the parent: w1 + (w1 - w2);
    * at a corner: w2 is another neighbour of the parent, the oldest one: w1 + (w1 - w2);
    * alone: the middle of the range of all prototypes, column by column.
    """
    prototypes = som_map.prototypes
    x, y = som_map.positions[parent].tolist()
    across = som_map.neuron_at(som_map.grid.beyond((x, y), cell))
    if across is not None:
        return np.asarray((prototypes[parent] + prototypes[across]) / 2)
    other = som_map.neuron_at(som_map.grid.beyond(cell, (x, y)))
    if other is None:
        other = min(som_map.neighbours(parent), default=None)
    if other is None:
        return np.asarray((prototypes.min(axis=0) + prototypes.max(axis=0)) / 2)
    return np.asarray(2 * prototypes[parent] - prototypes[other])
