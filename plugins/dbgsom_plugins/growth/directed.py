"""Directed growth at the boundary of the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from dbgsom_core.api import Birth, DataSummary, GrowthState, SomMap
from dbgsom_plugins.growth import thresholds
from dbgsom_plugins.growth.base import LINK_PULL, SettlingGrowth
from dbgsom_plugins.growth.boundary import GrowthStep, share_errors
from dbgsom_plugins.growth.thresholds import SpreadingFactor, mixing_neurons, significant_entropy


class Directed(SettlingGrowth):
    """Directed growth (Vasighi & Amini 2017): boundary neurons with a large error get a neighbour.

    A neuron's error is the sum of the distances of its samples under the updated prototypes (with
    ``threshold: entropy`` the entropy of its classes where more neurons would tell them apart, see
    `significant_entropy`). Interior neurons pass half of a large error on to the boundary; then
    every boundary neuron whose error reaches the growing threshold is served once, largest error
    first.

    Fine-tuning is ours: with ``link_pull`` λ the samples x and their best-matching units b lower
    Σ |x - w_b|² + λ min over the linked neighbours n of b |x - w_n|², so both ends of a link come
    to lie at x and the second-best neuron is a neighbour of the best. A wide kernel pulls all
    neighbours instead, and pays for those that need not come.

    With ``class_growth``, ours, growth goes on where classes meet, see `mixing_neurons`.

    Notes
    -----
    The paper tells of neurons with neighbours north, south, east and west. Here it is told of a
    grid with any number of links, each with one that leads the other way; on the square grid it is
    the paper's.

    * A neuron is at the boundary while one of its links leads to a free cell, else it is interior.
    * An interior neuron hands half of its error, in equal parts, to the boundary neurons that it is
      linked with or, without any, to those nearest by hops.
    * The newborn of a boundary neuron c takes the free cell beside c that lies nearest to the
      neighbour of c with the largest error. Its prototype is 2w_c - w_o, where o is the neighbour
      opposite to that cell; without one o is the neighbour with the least error.
    * Of the neurons two hops from c that touch a free cell beside c, s has the largest error. Where
      s touches the cell of the newborn, the prototype is the mean of 2w_c - w_o and w_s.
    * Where c has one neighbour alone, at the end of an arm, and there is an s, the newborn takes
      the first cell that touches it, and its prototype is the mean of w_c and w_s.
    * Ties go to the first link in the order of the grid, and to the oldest neuron.
    * ``notches``, ours: a free cell at least half of whose links lead to neurons, two of four or
      three of six. Its prototype completes parallelograms of the grid, w_a + w_b - w_d, on average.
      On a line the cell beyond an end is one, of one link of two; its prototype is that of the end.
    """

    spreading_factor: SpreadingFactor = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="between 0 and 1: the closer to 1, the larger the map; "
        "for the rules auto, classical and statistics_enhanced",
    )
    threshold: Literal["auto", "classical", "statistics_enhanced", "entropy"] = Field(
        default="auto", description="how the growing threshold follows from the data"
    )
    scale: Literal["lambda", "spreading_factor"] | None = Field(
        default=None,
        description="for statistics_enhanced: what multiplies the deviation of the data; "
        "null: lambda where lambda_ is given, else spreading_factor",
    )
    lambda_: float | None = Field(
        default=None, gt=0, description="λ of statistics_enhanced; Qu et al. use 100 to 120"
    )
    entropy_threshold: float | None = Field(
        default=None, gt=0, description="bits, for threshold: entropy; null: 0.5"
    )
    reference: bool = Field(
        default=False,
        description="grow exactly as the authors' program; what is not given then follows it: "
        "threshold classical, when every_epoch, max_neurons null, fine_tuning 0, link_pull 0, "
        "class_growth false, class_tuning false, notches null",
    )
    notches: float | None = Field(
        default=0.6,
        gt=0,
        description="a free cell half of whose links or more lead to neurons is filled, too, where "
        "their errors add up to this share of the growing threshold, which keeps the map compact; "
        "null: never",
    )
    link_pull: float = Field(default=0.7, ge=0, le=1, description=LINK_PULL)
    class_growth: bool = Field(
        default=True,
        description="with class labels: a neuron that mixes classes grows, too, whatever its "
        "error, where the classes around it change by more than chance; for the rules auto, "
        "classical and statistics_enhanced",
    )
    class_tuning: bool = Field(
        default=True,
        description="fine-tuning with class labels: a sample trains the nearest neuron in which "
        "its class is in the majority, so that neurons keep to one side of a class border; which "
        "classes these are stays once width and pull have reached their ends",
    )

    @model_validator(mode="after")
    def _knobs_fit_the_rule(self) -> Self:
        if self.reference:
            for name, value in _REFERENCE.items():
                if name not in self.model_fields_set:
                    self.__dict__[name] = value
        if self.scale == "lambda" and self.lambda_ is None:
            raise ValueError("scale 'lambda' needs lambda_, for example lambda_=110")
        used, by_lambda = {"spreading_factor"}, False
        if self.threshold == "entropy":
            used = {"entropy_threshold"}
        elif self.threshold == "statistics_enhanced":
            by_lambda = self.scale == "lambda" or (self.scale is None and self.lambda_ is not None)
            used = {"scale", "lambda_" if by_lambda else "spreading_factor"}
        given = {name for name in _KNOBS if getattr(self, name) is not None}
        idle = sorted((given & self.model_fields_set) - used)
        if idle:
            rule = f"threshold '{self.threshold}'" + (" with lambda_" if by_lambda else "")
            raise ValueError(f"{' and '.join(idle)} has no effect with {rule}; leave it out")
        return self

    @property
    def needs_classes(self) -> bool:
        """Whether growth depends on class labels."""
        return self.threshold == "entropy"

    @property
    def grows_in_line(self) -> bool:
        """Whether one column may make it a line: the program knows squares alone."""
        return not self.reference

    def growing_threshold(self, summary: DataSummary) -> float:
        """Return the growing threshold, in units of the errors (bits for entropy)."""
        if self.threshold == "entropy":
            return 0.5 if self.entropy_threshold is None else self.entropy_threshold
        if self.threshold == "classical":
            return thresholds.classical(summary, self.spreading_factor)
        if self.threshold == "auto":
            return thresholds.auto(summary, self.spreading_factor)
        return thresholds.statistics_enhanced(summary, self.lambda_, self.spreading_factor)

    def births(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth]:
        """Return the births of this epoch, largest error first, then those that fill notches.

        Where there is room for fewer, one more than that is returned: the rest is not worked out.
        """
        errors, counts = state.errors, state.class_counts
        if self.needs_classes and counts is not None:
            errors = significant_entropy(som_map, counts)
        elif self.class_growth and counts is not None:
            mixed = mixing_neurons(som_map, counts)
            errors = np.where(mixed, np.maximum(errors, state.threshold), errors)
        most = len(som_map) * som_map.grid.degree if state.room is None else state.room + 1
        shared = share_errors(som_map, errors, state.threshold, self.reference)
        step = GrowthStep(som_map, shared, self.reference)
        births = step.serve(state.threshold, most)
        if self.notches is not None:
            births += step.fill(self.notches * state.threshold, most - len(births))
        return births


_KNOBS = ("spreading_factor", "scale", "lambda_", "entropy_threshold")
_REFERENCE: dict[str, Any] = {
    "threshold": "classical",
    "when": "every_epoch",
    "max_neurons": None,
    "fine_tuning": 0.0,
    "link_pull": 0.0,
    "class_growth": False,
    "class_tuning": False,
    "notches": None,
}
