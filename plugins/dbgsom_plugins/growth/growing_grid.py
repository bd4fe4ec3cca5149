"""Maps that grow by whole rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import DataSummary, GrowthComponent, GrowthState, Insert, SomMap
from dbgsom_plugins.growth.base import LINK_PULL


class GrowingGrid(GrowthComponent):
    """Growth by whole rows and columns, so that the map is always a rectangle (Fritzke 1995).

    The batch form of Growing Grid. Kept: the map begins with 2 x 2 neurons; every few epochs a row
    or column comes between the neuron q that won most samples and the one f of its neighbours whose
    prototype differs most, each newborn the mean of its two neighbours; then the count begins anew.
    Not kept, since all samples are seen at once: the adaptation strength, and a count over as many
    presentations as the map has neurons times a constant: it is that of one epoch. The constant
    neighbourhood range is the kernel's: ``kernel: {name: gaussian, start: 1, end: 1}``; without it
    the width follows the map. The paper's fine-tuning is ``fine_tuning``.

    With ``by: errors`` and ``tau_1`` it is how maps of a growing hierarchical SOM grow (Rauber,
    Merkl & Dittenbach 2002), and with ``hierarchical`` around it that as a whole, but that the
    error of a map's samples around their mean is told from their root mean square distance.

    Neighbours are those along a row or column. On the hexagonal grid the third axis counts for
    none, and the map is a parallelogram.
    """

    every: int = Field(
        default=2, ge=1, le=10**6, description="epochs from one row or column to the next"
    )
    by: Literal["hits", "errors"] = Field(
        default="hits",
        description="beside which neuron a row or column comes: that with most hits, as Growing "
        "Grid has it, or with the largest error, as GHSOM does",
    )
    tau_1: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="growth ends when the mean error of neurons is below this share of the error "
        "of all samples around their mean; null: not before max_neurons",
    )
    max_neurons: Annotated[int, Field(ge=4, le=10**6)] | Literal["auto"] | None = Field(
        default="auto",
        description="growth ends where a whole row or column would exceed it; auto: "
        "5*sqrt(samples); null: no cap",
    )
    fine_tuning: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="share of the epochs kept for fine-tuning without growth at the final width",
    )
    link_pull: float = Field(default=0.0, ge=0, le=1, description=LINK_PULL)

    def growing_threshold(self, summary: DataSummary) -> float:
        """Return tau_1 times the error of all samples around their mean, 0 without it."""
        return (self.tau_1 or 0.0) * summary.n_samples * summary.spread

    def grow(self, som_map: SomMap, state: GrowthState) -> Sequence[Insert]:
        """Return the row or column that comes after this epoch, if any does."""
        hits, errors = np.asarray(state.hits), np.asarray(state.errors)
        settled = errors[hits > 0].mean() < state.threshold
        if state.epoch % self.every or settled:
            return ()
        neuron = int(np.argmax(hits if self.by == "hits" else errors))
        positions, prototypes = som_map.positions, som_map.prototypes
        near = np.array(som_map.neighbours(neuron), dtype=np.int64)
        steps = np.abs(positions[near] - positions[neuron])
        near, steps = near[steps.sum(axis=1) == 1], steps[steps.sum(axis=1) == 1]
        if not len(near):
            return ()
        own = prototypes[neuron][None]
        if state.context is None:
            apart = np.linalg.norm(prototypes[near] - own, axis=1)
        else:
            apart = state.context.distances(own, prototypes[near])[0]
        most = int(apart.argmax())
        axis = int(steps[most].argmax())
        line = int((positions[:, axis] == positions[neuron, axis]).sum())
        if state.room is not None and line > state.room:
            return ()
        return [Insert(neuron, int(near[most]))]
