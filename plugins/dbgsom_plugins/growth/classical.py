"""Fixed maps, GSOM, maps that grow by whole rows and columns, and hierarchies of maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dbgsom_core.api import (
    Birth,
    DataSummary,
    GrowthComponent,
    GrowthState,
    Insert,
    Nested,
    SomMap,
    VerticalState,
)
from dbgsom_plugins.growth.directed import (
    LINK_PULL,
    Floats,
    ScheduledGrowth,
    SpreadingFactor,
    classical,
)

_MOST = 10**5  # neurons of a fixed map, whose hops are 10**10 numbers


class Fixed(GrowthComponent):
    """No growth: a classical batch SOM of ``rows`` × ``columns`` neurons (Kohonen 2001).

    With ``fine_tuning`` and a ``link_pull`` it is fine-tuned as grown maps are. With ``wrap`` it is
    a torus, on which no neuron lies at an edge. Rows and columns are those of the map as it is
    drawn; on the hexagonal grid every second row lies half a cell to the right.
    """

    rows: int = Field(default=8, ge=1, le=_MOST, description="rows of the grid")
    columns: int = Field(default=10, ge=1, le=_MOST, description="columns of the grid")
    fine_tuning: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the epochs kept at the end for fine-tuning at the final width",
    )
    link_pull: float = Field(default=0.0, ge=0, le=1, description=LINK_PULL)
    wrap: bool = Field(
        default=False,
        description="close the map to a torus: neurons of the first and the last column, and of "
        "the first and the last row, are linked, too; at least 3 rows and columns, on the "
        "hexagonal grid an even number of rows",
    )

    @model_validator(mode="after")
    def _can_be_held(self) -> Self:
        if self.rows * self.columns > _MOST:
            raise ValueError(f"rows × columns must be at most {_MOST}")
        if self.link_pull > 0 and self.fine_tuning == 0:
            raise ValueError("link_pull has no effect without fine_tuning; give 0.2, say")
        return self

    def start_shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    def grow(self, som_map: Any, state: Any) -> Sequence[Birth]:
        return ()


class Gsom(ScheduledGrowth):
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
        default=0.5, gt=0, lt=1, description="between 0 and 1: the closer to 1, the larger the map"
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
        return classical(summary, self.spreading_factor)

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


def distributed(som_map: SomMap, errors: NDArray[Any], threshold: float, factor: float) -> Floats:
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


def newborn_prototype(som_map: SomMap, parent: int, cell: tuple[int, int]) -> Floats:
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


class GrowingGrid(GrowthComponent):
    """Growth by whole rows and columns, so that the map is always a rectangle (Fritzke 1995).

    The batch form of Growing Grid. Kept: the map begins with 2 x 2 neurons; every few epochs a row
    or column comes between the neuron q that won most samples and the one f of its neighbours whose
    prototype differs most, each new neuron the mean of its two neighbours; then hits are counted
    afresh. Not kept, since all samples are seen at once: the adaptation strength, and the paper's
    counting over (neurons × a constant) presentations: hits are those of one epoch. The constant
    neighbourhood range is the kernel's: ``kernel: {name: gaussian, start: 1, end: 1}``; without it
    the width follows the map. The paper's fine-tuning is ``fine_tuning``.

    With ``by: errors`` and ``tau_1`` it is how maps of a growing hierarchical SOM grow (Rauber,
    Merkl & Dittenbach 2002), and with ``hierarchical`` around it the whole algorithm, except that
    the error of a map's samples around their mean is their root mean square distance.

    Neighbours are those along a row or column: on the hexagonal grid links of the third axis do not
    count, and the map is a parallelogram.
    """

    in_rows: ClassVar[bool] = True

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
        return (self.tau_1 or 0.0) * summary.n_samples * summary.spread

    def grow(self, som_map: SomMap, state: GrowthState) -> Sequence[Insert]:
        hits, errors = np.asarray(state.hits), np.asarray(state.errors)
        is_fine = errors[hits > 0].mean() < state.threshold
        if state.epoch % self.every or is_fine:
            return ()
        amounts = hits if self.by == "hits" else errors
        neuron = int(np.argmax(amounts))
        positions, prototypes = som_map.positions, som_map.prototypes
        linked = np.array(som_map.neighbours(neuron), dtype=np.int64)
        steps = np.abs(positions[linked] - positions[neuron])
        is_straight = steps.sum(axis=1) == 1
        linked, steps = linked[is_straight], steps[is_straight]
        if not len(linked):
            return ()
        prototype = prototypes[[neuron]]
        if state.context is None:
            distances = np.linalg.norm(prototypes[linked] - prototype, axis=1)
        else:
            distances = state.context.distances(prototype, prototypes[linked])[0]
        farthest = int(distances.argmax())
        axis = int(steps[farthest].argmax())
        is_on_line = positions[:, axis] == positions[neuron, axis]
        if state.room is not None and is_on_line.sum() > state.room:
            return ()
        return [Insert(neuron, int(linked[farthest]))]


class Hierarchical(GrowthComponent):
    """Vertical growth around any strategy: neurons with a large error get a map of their own.

    When a map has been trained, each neuron whose quantization error is above tau_2*qe₀ gets a
    child map, which the base strategy grows on the samples that the neuron won (Rauber, Merkl &
    Dittenbach 2002; Qu et al. 2021). A neuron's quantization error is the sum of the distances of
    its samples; qe₀ is that sum for all training samples around their mean. Answers come from the
    neurons without a child map, the leaves.

    Child maps lie on the grid of their parent; where ``base`` is a ``fixed`` map with ``wrap`` each
    is a torus of its own. With ``base`` ``growing_grid``, its ``by: errors`` and ``tau_1``, maps
    grow as those of GHSOM do.
    """

    base: Annotated[Any, Nested("growth")] = Field(
        default="directed",
        validate_default=True,
        description="the growth strategy of every map, with its fields; the estimator's "
        "spreading_factor and max_neurons fill it",
    )
    tau_2: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="vertical threshold τ₂: a neuron with more than this share of the data's own "
        "quantization error qe₀ gets a child map; the smaller, the deeper",
    )
    max_depth: int = Field(
        default=3, ge=1, le=50, description="maps on the longest way down; 1: no child maps"
    )
    min_samples: int = Field(
        default=20,
        ge=4,
        le=10**12,
        description="samples that a neuron must hold to get a child map",
    )

    @field_validator("base")
    @classmethod
    def _grows_one_map(cls, base: Any) -> Any:
        if base.wants_children is not None:
            raise ValueError(
                "must be a strategy that grows a single map; for deeper trees raise max_depth"
            )
        return base

    @property
    def needs_classes(self) -> bool:
        return bool(self.base.needs_classes)

    def growing_threshold(self, summary: DataSummary) -> float:
        return float(self.base.growing_threshold(summary))

    def grow(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth]:
        births: Sequence[Birth] = self.base.grow(som_map, state)
        return births

    def wants_children(self, som_map: SomMap, state: VerticalState) -> NDArray[np.bool_]:
        if state.depth >= self.max_depth:
            return np.zeros(len(som_map), dtype=bool)
        large = state.errors > self.tau_2 * state.root_error
        return np.asarray(large & (state.hits >= self.min_samples))
