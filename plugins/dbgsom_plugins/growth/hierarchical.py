"""Child maps for neurons whose samples one map does not tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from dbgsom_core.api import (
    Birth,
    DataSummary,
    GrowthAbilities,
    GrowthComponent,
    GrowthState,
    Nested,
    SomMap,
    VerticalState,
)


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
        if GrowthAbilities.of(base).wants_children is not None:
            raise ValueError(
                "must be a strategy that grows a single map; for deeper trees raise max_depth"
            )
        return base

    @property
    def needs_classes(self) -> bool:
        """Whether growth depends on class labels."""
        return GrowthAbilities.of(self.base).needs_classes

    def growing_threshold(self, summary: DataSummary) -> float:
        """Return the base's growing threshold, nan where it has none."""
        return GrowthAbilities.of(self.base).threshold(summary)

    def grow(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth]:
        """Return the births that the base wants."""
        births: Sequence[Birth] = self.base.grow(som_map, state)
        return births

    def wants_children(self, som_map: SomMap, state: VerticalState) -> NDArray[np.bool_]:
        """Return which neurons (K,) have samples enough and an error above tau_2*qe₀."""
        if state.depth >= self.max_depth:
            return np.zeros(len(som_map), dtype=bool)
        large = state.errors > self.tau_2 * state.root_error
        return np.asarray(large & (state.hits >= self.min_samples))
