"""Rules by which a training ends before its last epoch."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from dbgsom_core.api import MeasureAbilities, Nested, StoppingComponent, StopState, measured


class Converged(StoppingComponent):
    """The quantization error no longer goes anywhere at the final width.

    The means of the last ``epochs`` and of as many before them differ by less than ``change``. The
    parameter ``tol`` stops, besides, where the prototypes no longer move.
    """

    change: float = Field(default=0.02, gt=0, lt=1, description="share of the error")
    epochs: int = Field(default=4, ge=1, le=10**5, description="epochs of each of the two means")

    def stop(self, state: StopState) -> bool:
        """Return whether the map has come to rest."""
        final = [r.quantization_error for r in state.history[-2 * self.epochs :]]
        if len(final) < 2 * self.epochs or not state.is_final:
            return False
        before, after = np.mean(final[: self.epochs]), np.mean(final[self.epochs :])
        return bool(abs(after - before) <= self.change * before)


class Patience(StoppingComponent):
    """A measure has not got better for some epochs, on samples that training does not see.

    Where there is a fine-tuning phase it is asked at the final width alone: until then a map gets
    better by design. A measure of answers, accuracy say, is asked what the estimator would answer
    if the training ended now.
    """

    measure: Annotated[Any, Nested("measure")] = Field(
        default="quantization_error", validate_default=True, description="what is to get better"
    )
    epochs: int = Field(default=5, ge=1, le=10**5, description="how long it may get no better")
    min_change: float = Field(
        default=0.0, ge=0, description="by how much it has to be better, in its own units"
    )
    validation: float = Field(
        default=0.1,
        ge=0,
        le=0.9,
        description="share of the samples, drawn by lot, that is measured and does not train; 0: "
        "measure what trains",
    )

    keep_best: bool = Field(
        default=False, description="whether training leaves the map of the best epoch, not the last"
    )

    def watch(self, state: StopState) -> float:
        """Return the measure so that less is better, nan where it is not asked."""
        fine_tunes = state.growing_epochs < state.history[-1].epochs
        if fine_tunes and not state.is_final:
            return float("nan")
        value = measured(self.measure, state.validation)
        if MeasureAbilities.of(self.measure).zero_is_best:
            return abs(value)
        return -value if self.measure.greater_is_better else value

    def is_best(self, state: StopState) -> bool:
        """Return whether this epoch's map is the best so far, where that is to be kept."""
        now = state.watched[-1]
        return self.keep_best and not np.isnan(now) and self._since_best(state) == 0

    def stop(self, state: StopState) -> bool:
        """Return whether the best value is too long ago."""
        return self._since_best(state) >= self.epochs

    def _since_best(self, state: StopState) -> int:
        best, since = np.inf, 0
        for value in state.watched:
            if np.isnan(value):
                continue
            since += 1
            if value < best - self.min_change:
                best, since = value, 0
        return since


class TimeLimit(StoppingComponent):
    """The training of the map has taken so long; what it gives then depends on the machine."""

    seconds: float = Field(
        gt=0,
        le=1e9,
        examples=[3600.0],
        description="seconds, those before an interruption too",
    )

    def stop(self, state: StopState) -> bool:
        """Return whether the time is over."""
        return state.history[-1].seconds >= self.seconds


class EpochLimit(StoppingComponent):
    """So many epochs have run, of a schedule that is made for more."""

    epochs: int = Field(ge=1, le=10**6, examples=[10], description="the last epoch")

    def stop(self, state: StopState) -> bool:
        """Return whether this was the last one."""
        return state.history[-1].epoch >= self.epochs
