"""Kernels, grids, initialisations, schedules and stopping rules."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dbgsom_core.api import (
    HEXAGONAL,
    LINE,
    SQUARE,
    Grid,
    GridComponent,
    InitialisationComponent,
    KernelComponent,
    Nested,
    ScheduleComponent,
    Start,
    StoppingComponent,
    StopState,
    measured,
)


def _gaussian(distances: NDArray[Any], width: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(np.square(distances) / (-2.0 * width**2)))


class Gaussian(KernelComponent):
    """Gaussian kernel exp(-hops**2 / (2*width**2)) (Kohonen 2001, eq. 3.3)."""

    start: Annotated[float, Field(gt=0, le=1e6)] | Literal["auto"] | None = Field(
        default="auto", description=KernelComponent.model_fields["start"].description
    )
    end: float | None = Field(
        default=0.5,
        gt=0,
        le=1e6,
        description="width in hops at the last epoch; "
        "null: 0.5, or 0.3 where growth has a link_pull",
    )

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        return _gaussian(hops, width)


class CutGaussian(KernelComponent):
    """Gaussian kernel that is 0 beyond ``cutoff`` widths."""

    cutoff: float = Field(default=3.0, gt=0, le=1e6, description="reach in widths; 0 beyond")

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        is_within = hops <= self.cutoff * width
        return np.where(is_within, _gaussian(hops, width), 0.0)


class Triangular(KernelComponent):
    """Triangular kernel max(0, 1 - hops/(width + 1)) (Vasighi & Amini 2017).

    Its width runs linearly from 2 to 0.7 hops unless told otherwise, as in the paper's program.
    """

    start: Annotated[float, Field(gt=0, le=1e6)] | Literal["auto"] | None = Field(
        default=2.0, description="width in hops at the first epoch"
    )
    end: float | None = Field(
        default=0.7, gt=0, le=1e6, description="width in hops at the last epoch"
    )
    decay: Literal["linear", "exponential"] = Field(
        default="linear", description="how the width goes from start to end"
    )

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        return np.maximum(0.0, 1.0 - hops / (width + 1.0))


class Bubble(KernelComponent):
    """Bubble kernel: 1 within ``width`` hops, 0 beyond (Kohonen 2001, section 3.1)."""

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        return np.where(hops <= width, 1.0, 0.0)


class Epanechnikov(KernelComponent):
    """Epanechnikov kernel max(0, 1 - (hops/width)**2) (Epanechnikov 1969).

    The width is where it reaches 0: linked neighbours learn while it is above 1, and at 1 or below
    a neuron learns from its own samples alone. So it ends at 1.1 hops unless told otherwise, where
    linked neighbours weigh 0.17.
    """

    end: float | None = Field(
        default=1.1, gt=0, le=1e6, description="width in hops at the last epoch"
    )

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        return np.maximum(0.0, 1.0 - np.square(hops / width))


class PlaneGaussian(KernelComponent):
    """Gaussian of the plane distance, exp(-d**2 / (2*width**2)): the classical one (Kohonen 2001).

    Rings around a neuron are round, while those of hops are diamonds on squares.
    """

    reads = "plane"

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        return _gaussian(hops, width)


class MexicanHat(KernelComponent):
    """Gaussian of the plane distance less a wider one: near neurons attract, others push away.

    exp(-d**2 / (2*b**2)) - inhibition*exp(-d**2 / (2*(spread*b)**2)) at width b (Kohonen 1982;
    the difference of Gaussians of Marr & Hildreth 1980).
    """

    reads = "plane"
    inhibits = True

    inhibition: float = Field(
        default=0.05, ge=0, lt=1, description="weight of the wider one; 0: none"
    )
    spread: float = Field(default=3.0, gt=1, le=100, description="its width, in widths")

    @model_validator(mode="after")
    def _excites(self) -> Self:
        if self.inhibition * self.spread**2 >= 1:
            raise ValueError("inhibition * spread**2 must be below 1, or a map pushes all away")
        return self

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        exponent = np.square(hops) / (-2.0 * width**2)
        wider = np.exp(exponent / self.spread**2)
        return np.asarray(np.exp(exponent) - self.inhibition * wider)


class Line(GridComponent):
    """A row of square cells with two links each, to the left and to the right."""

    def lattice(self, rows: int, columns: int) -> Grid:
        return LINE


class Square(GridComponent):
    """Square cells with four links each (Kohonen 2001)."""

    def lattice(self, rows: int, columns: int) -> Grid:
        return SQUARE


class Hexagonal(GridComponent):
    """Hexagonal cells with six links each; every second row lies half a cell to the right."""

    def lattice(self, rows: int, columns: int) -> Grid:
        return HEXAGONAL


class Adaptive(Hexagonal):
    """Hexagons, or a line for one column; squares for growth by rows, and a torus of odd rows."""

    def suited_to(self, n_features: int) -> GridComponent:
        return Line() if n_features == 1 else self

    def in_rows(self, rows: int, columns: int, wrap: bool) -> Grid:
        return HEXAGONAL if wrap and rows % 2 == 0 else SQUARE


class Auto(Square):
    """A line for samples of one column, unless the growth strategy has rows; else squares.

    The former default.
    """

    def suited_to(self, n_features: int) -> GridComponent:
        return Line() if n_features == 1 else Square()


class SquareTorus(GridComponent):
    """The first map closed to a torus of square cells: no neuron lies at an edge, none is born."""

    def lattice(self, rows: int, columns: int) -> Grid:
        return SQUARE.closed(rows, columns)


class HexagonalTorus(GridComponent):
    """The first map closed to a torus of hexagons: no neuron lies at an edge, none is born."""

    def lattice(self, rows: int, columns: int) -> Grid:
        return HEXAGONAL.closed(rows, columns)


class Pca(InitialisationComponent):
    """Spread a grid untwisted over the plane of the first two principal axes.

    The longer side of the grid, as it lies in the plane, lies along the first axis; the grid
    reaches one standard deviation to either side of the mean. The sign of an axis is that of its
    largest entry. Where the covariance of all samples would take long, the axes are those of 8192
    of them, evenly spaced. A missing value counts as the mean of its column.
    """

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        longer, shorter = start.plane_positions.T
        if np.ptp(longer) < np.ptp(shorter):
            longer, shorter = shorter, longer
        first, second = start.principal_axes()
        offsets = np.outer(_centred(longer), first) + np.outer(_centred(shorter), second)
        return np.asarray(start.moments.mean + offsets)


class Random(InitialisationComponent):
    """Column means + ``scale`` * column range * N(0, 1), drawn with ``random_state``.

    On range-scaled data and at the default this is the start of Vasighi & Amini (2017).
    """

    scale: float = Field(
        default=0.1, gt=0, le=1e6, description="deviation of the noise, in ranges of the column"
    )

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        low, high = start.extremes()
        deviation = self.scale * (high - low)
        noise = start.rng.standard_normal((len(start), start.n_features))
        return np.asarray(start.moments.mean + deviation * noise)


def _centred(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    # From -1 to 1; a single row of them is 0.
    low, high = positions.min(), positions.max()
    length = (high - low) or 1.0
    return np.asarray((2.0 * positions - (low + high)) / length)


_EXAMPLE = tuple((0.5 * i, float(i), 1.0, -1.0) for i in range(6))  # 2 × 3 neurons, 4 features


class Sample(InitialisationComponent):
    """Training samples drawn by lot with ``random_state``, each once (Forgy 1965)."""

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        return np.asarray(start.samples(len(start)))


class Array(InitialisationComponent):
    """Prototypes that are given, in the space of the prepared samples."""

    values: tuple[tuple[float, ...], ...] = Field(
        examples=[_EXAMPLE],
        description="one list of numbers for each first neuron, in row-major order",
    )

    @field_validator("values")
    @classmethod
    def _is_a_table(cls, values: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        lengths = set(map(len, values))
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError("must be lists of numbers, all of the same length and none empty")
        return values

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        return np.array(self.values, dtype=np.float64)


class Linear(ScheduleComponent):
    """Down in equal steps: (start - end)*t + end, t from 1 to 0 (Vasighi & Amini 2017)."""

    def width(self, start: float, end: float, remaining: float) -> float:
        return (start - end) * remaining + end


class Exponential(ScheduleComponent):
    """Down by equal factors: start*(end/start)**(1 - t), t from 1 to 0."""

    def width(self, start: float, end: float, remaining: float) -> float:
        return float(start * (end / start) ** (1.0 - remaining))


class Constant(ScheduleComponent):
    """The start's width until the growing phase ends; give the kernel a ``start``."""

    def width(self, start: float, end: float, remaining: float) -> float:
        return start


class Cyclic(ScheduleComponent):
    """Down by equal factors again and again, each time from less (after Loshchilov & Hutter 2017).

    Cycle c of 0, 1, … begins at end*(start/end)**(damping**c), and all end at ``end``.
    """

    cycles: int = Field(default=3, ge=1, le=10**4, description="how often the width goes down")
    damping: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of the way up, in the width's logarithm, of each next cycle",
    )

    def width(self, start: float, end: float, remaining: float) -> float:
        gone = (1.0 - remaining) * self.cycles
        cycle = min(math.floor(gone), self.cycles - 1)
        height = self.damping**cycle * (1.0 - (gone - cycle))
        return float(end * (start / end) ** height)


class Converged(StoppingComponent):
    """The quantization error no longer goes anywhere at the final width.

    The means of the last ``epochs`` and of as many before them differ by less than ``change``. The
    parameter ``tol`` stops, besides, where the prototypes no longer move.
    """

    change: float = Field(default=0.02, gt=0, lt=1, description="share of the error")
    epochs: int = Field(default=4, ge=1, le=10**5, description="epochs of each of the two means")

    def stop(self, state: StopState) -> bool:
        errors = [record.quantization_error for record in state.history[-2 * self.epochs :]]
        if len(errors) < 2 * self.epochs or not state.is_final:
            return False
        before = np.mean(errors[: self.epochs])
        after = np.mean(errors[self.epochs :])
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
        fine_tunes = state.growing_epochs < state.history[-1].epochs
        if fine_tunes and not state.is_final:
            return float("nan")
        value = measured(self.measure, state.validation)
        if self.measure.zero_is_best:
            return abs(value)
        if self.measure.greater_is_better:
            return -value
        return value

    def is_best(self, state: StopState) -> bool:
        if not self.keep_best or np.isnan(state.watched[-1]):
            return False
        return self._since_best(state) == 0

    def stop(self, state: StopState) -> bool:
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
        gt=0, le=1e9, examples=[3600.0], description="seconds, those before an interruption too"
    )

    def stop(self, state: StopState) -> bool:
        return state.history[-1].seconds >= self.seconds


class EpochLimit(StoppingComponent):
    """So many epochs have run, of a schedule that is made for more."""

    epochs: int = Field(ge=1, le=10**6, examples=[10], description="the last epoch")

    def stop(self, state: StopState) -> bool:
        return state.history[-1].epoch >= self.epochs
