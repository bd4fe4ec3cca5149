"""Schedules of births, pruning, growing thresholds, and tests for neurons that mix classes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from dbgsom_core.api import Birth, DataSummary, Death, GrowthComponent, GrowthState, SomMap

# Growth has 16 intervals, each with one wave of births at most, so that the size hardly depends on
# epochs; they end after 80, so that from there on more epochs do not grow another map.
_INTERVALS = 16
_MAX_INTERVAL = 5  # epochs
_LINE_NEURONS = 8  # on a line of more the interval is shorter, as only its two ends grow
LINK_PULL = (
    "fine-tuning: how much a sample weighs in the linked neighbour of its best-matching unit that "
    "lies nearest to it; more lowers the topographic error and raises the quantization error; "
    "0: the plain batch update, as on a line of one column, which is in order"
)


class ScheduledGrowth(GrowthComponent):
    """Base of strategies that grow in intervals, prune where growth ends, and then fine-tune.

    With ``prune``, neurons without hits for so many epochs are removed where growth ends, longest
    without hits first. Fritzke (1994) removes the cells of a growing cell structure
    whose share of the samples, for their size, is below a threshold: this is the threshold 0.
    """

    when: Literal["waves", "settled", "every_epoch"] = Field(
        default="waves",
        description="waves: when a sixteenth of the growing phase has passed since the last birth, "
        "which with fine_tuning is 80 epochs at most, so that from 100 epochs on the size does not "
        "depend on epochs, and on a line of K neurons, born at two ends alone, 8/K of that; "
        "settled: also when the map has settled, so that more epochs let it grow more often; or "
        "every_epoch",
    )
    settled_at: float = Field(
        default=0.02,
        gt=0,
        description="settled: the prototypes moved less than this share of the data's deviation; "
        "given alone it means when: settled",
    )
    smooth_before_growth: bool = Field(
        default=False,
        description="before neurons are born each prototype becomes the mean of its own and its "
        "linked neighbours', weighted by hits and kernel",
    )
    max_neurons: Annotated[int, Field(ge=4, le=10**6)] | Literal["auto"] | None = Field(
        default="auto",
        description="the map never exceeds it; auto: 5*sqrt(samples), at most 10000; null: no cap",
    )
    fine_tuning: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="share of the epochs kept for fine-tuning without growth at the final width; "
        "with when: waves it takes what is left after 80 epochs, too",
    )
    link_pull: float = Field(default=0.0, ge=0, le=1, description=LINK_PULL)
    prune: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        description="where growth ends, before fine-tuning, neurons die that won no sample for so "
        "many epochs; null: none",
    )
    may_disconnect: bool = Field(
        default=False,
        description="prune: neurons die, too, without which the map falls apart; parts of it then "
        "show clusters",
    )
    _won: NDArray[np.int64] | None = PrivateAttr(None)  # epoch of each neuron's last hit

    @model_validator(mode="after")
    def _disconnects_by_pruning(self) -> Self:
        if self.may_disconnect and self.prune is None:
            raise ValueError("may_disconnect has no effect without prune; give prune: 5, say")
        return self

    @model_validator(mode="after")
    def _settled_at_means_settled(self) -> Self:
        given = self.model_fields_set
        if "settled_at" in given and "when" not in given:
            self.__dict__["when"] = "settled"
        return self

    @property
    def removes(self) -> bool:
        return self.prune is not None

    @property
    def growing_epochs(self) -> int | None:
        return _INTERVALS * _MAX_INTERVAL if self.when == "waves" else None

    def grow(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth | Death]:
        if self.prune is not None:
            deaths = self._deaths(som_map, state)
            if deaths:
                return deaths
        if self.waits(som_map, state):
            return ()
        return self.births(som_map, state)

    @abstractmethod
    def births(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth]:
        """Return the births of an epoch."""

    def remembered(self) -> Any:
        return self._won

    def remember(self, value: Any) -> None:
        self._won = value

    def renumber(self, rows: NDArray[np.int64]) -> None:
        if self._won is not None:
            self._won = np.where(rows < 0, self._won.max(), self._won[rows])

    def _deaths(self, som_map: SomMap, state: GrowthState) -> list[Death]:
        won = self._won
        if won is None:
            won = som_map.birth_epochs
        self._won = won = np.where(np.asarray(state.hits) > 0, state.epoch, won)
        if self.prune is None or state.epoch < state.epochs - 1:
            return []
        idle = np.flatnonzero(state.epoch - won >= self.prune)
        idle = idle[np.argsort(won[idle], kind="stable")]
        if self.may_disconnect:
            return [Death(int(neuron)) for neuron in idle]
        components = int(som_map.parts().max())
        alive = np.ones(len(som_map), dtype=bool)
        n_before = -1
        while n_before != alive.sum():  # removing a neuron may make another removable
            n_before = int(alive.sum())
            for neuron in idle[alive[idle]].tolist():
                alive[neuron] = False
                alive[neuron] = som_map.parts(alive).max() > components
        return [Death(int(neuron)) for neuron in np.flatnonzero(~alive)]

    def waits(self, som_map: SomMap, state: GrowthState) -> bool:
        if self.when == "every_epoch" or state.movement == 0:  # waiting would change nothing
            return False
        if self.when == "settled" and state.movement <= self.settled_at:
            return False
        waited = state.epoch - int(som_map.birth_epochs[-1])  # rows are in order of birth
        interval = state.epochs // _INTERVALS
        if som_map.grid.is_line:  # it grows at two ends only, however long it is
            interval = min(interval, _LINE_NEURONS * interval // len(som_map))
        return waited < interval


# ---------------------------------------------------------------------- thresholds and classes

LEAST_BITS = 0.5  # of a neuron's class entropy, as Qu et al. (2021)
LEAST_SAMPLES = 8  # fewer tell no border from chance
LEAST_NEURONS = 16  # before an entropy is tested: on fewer two hops are most of the map
_REACH = 2  # hops: a border is seen from its neuron and from the next one
_DEVIATIONS = 4.0  # by chance less than one neuron in a hundred is above, whatever the freedom


def _check_number(value: Any) -> Any:
    if value == "auto":
        raise ValueError(
            "must be a number: 'auto' is for the estimator's own spreading_factor, beside growth"
        )
    return value


# A number, while estimators know a word besides.
SpreadingFactor = Annotated[float, BeforeValidator(_check_number)]


def classical(summary: DataSummary, spreading_factor: float) -> float:
    """Return the growing threshold -D*ln(SF) (Alahakoon et al. 2000; Vasighi & Amini 2017)."""
    return -summary.n_features * math.log(spreading_factor)


def class_entropy(class_counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Shannon entropy (K,) in bits of class counts (K, C); 0 without a sample."""
    totals = class_counts.sum(axis=1, keepdims=True)
    shares, logs = np.zeros((2, *class_counts.shape))
    np.divide(class_counts, totals, out=shares, where=totals > 0)
    np.log2(shares, out=logs, where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=1) + 0.0)


def mixing_neurons(som_map: SomMap, class_counts: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which neurons (K,) mix classes, where the classes around them change.

    A neuron mixes classes when it won eight samples with a class or more and their entropy is at
    least half a bit (Qu et al. 2021). More neurons help where the shares of the classes differ
    between the neurons up to two hops away: Pearson's χ² of their counts, r live neurons by c
    classes, is then above its expectation f = (r - 1)(c - 1) by four standard deviations √(2f).
    Where labels are drawn by lot it hardly ever is, and the map does not grow on them.
    """
    counts = np.asarray(class_counts, dtype=np.float64)
    return _at_borders(som_map, counts, class_entropy(counts) >= LEAST_BITS)


def significant_entropy(som_map: SomMap, class_counts: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the class entropy (K,) of neurons in bits, 0 where more neurons would not help.

    The guard is that of `mixing_neurons`; a map of less than 16 neurons, which may be too coarse,
    grows without it.
    """
    counts = np.asarray(class_counts, dtype=np.float64)
    entropy = class_entropy(counts)
    if len(som_map) < LEAST_NEURONS:
        return entropy
    return np.where(_at_borders(som_map, counts, entropy > 0), entropy, 0.0)


def _at_borders(
    som_map: SomMap, counts: NDArray[np.float64], mixed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    # Which of the mixed neurons have samples enough, and classes around them that change.
    won = counts.sum(axis=1)
    mixed = mixed & (won >= LEAST_SAMPLES)
    rows = np.flatnonzero(mixed)
    if not len(rows):
        return mixed
    near = (som_map.hops[rows] <= _REACH).astype(np.float64)
    around = near @ counts
    total = around.sum(axis=1)
    # χ² = Σ T²/(n p) - N over neurons and classes, with n of a neuron and p = N_c/N of a class.
    live = won > 0
    squares, ratios = np.zeros_like(counts), np.zeros_like(around)
    np.divide(counts**2, won[:, None], out=squares, where=live[:, None])
    np.divide(near @ squares, around, out=ratios, where=around > 0)
    statistic = total * (ratios.sum(axis=1) - 1)
    n_classes = (around > 0).sum(axis=1)
    freedom = (near @ live - 1) * (n_classes - 1)
    mixed[rows] = statistic > freedom + _DEVIATIONS * math.sqrt(2) * np.sqrt(freedom)
    return mixed
