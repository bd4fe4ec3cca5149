"""Directed growth: when a map grows and is pruned, where, and with which prototypes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property, lru_cache, reduce
from itertools import combinations
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from dbgsom_core.api import (
    Birth,
    DataSummary,
    Death,
    Grid,
    GrowthComponent,
    GrowthState,
    SomMap,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

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


# -------------------------------------------------------------------- directed growth

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


class Directed(ScheduledGrowth):
    """Directed growth (Vasighi & Amini 2017): boundary neurons with a large error get a neighbour.

    A neuron's error is the sum of the distances of its samples under the updated prototypes (with
    ``threshold: entropy`` the entropy of its classes where more neurons would tell them apart, see
    `significant_entropy`). Interior neurons pass half of a large error on to the boundary; then
    every boundary neuron whose error reaches the growing threshold gets one neighbour, largest
    error first.

    Fine-tuning is ours: with ``link_pull`` λ the samples x and their best-matching units b lower
    Σ |x - w_b|² + λ min over the linked neighbours n of b |x - w_n|², so both ends of a link come
    to lie at x and the second-best neuron is a neighbour of the best. A wide kernel pulls all
    neighbours instead, at the cost of a larger quantization error.

    With ``class_growth``, ours, growth goes on where classes meet, see `mixing_neurons`.

    Notes
    -----
    The paper's rules are for neurons with neighbours north, south, east and west. Here they are
    stated for a grid with any number of links, each with an opposite one; on the square grid they
    are the paper's.

    * A neuron is at the boundary while one of its links leads to a free cell, else it is interior.
    * An interior neuron gives half of its error, in equal parts, to the boundary neurons that it is
      linked with or, without any, to those nearest by hops.
    * The new neuron of a boundary neuron c takes the free cell beside c that lies nearest to the
      neighbour of c with the largest error. Its prototype is 2w_c - w_o, where o is the neighbour
      opposite to that cell; without one o is the neighbour with the least error.
    * Of the neurons two hops from c that touch a free cell beside c, s has the largest error. Where
      s touches the cell of the new neuron, the prototype is the mean of 2w_c - w_o and w_s.
    * Where c has one neighbour alone, at the end of an arm, and there is an s, the new neuron takes
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
        used = {"spreading_factor"}
        if self.threshold == "entropy":
            used = {"entropy_threshold"}
        elif self.threshold == "statistics_enhanced":
            is_scaled = self.lambda_ is None or self.scale == "spreading_factor"
            used = {"scale", "spreading_factor" if is_scaled else "lambda_"}
        for name in sorted(self.model_fields_set.intersection(_KNOBS) - used):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} has no effect with threshold '{self.threshold}' and what else is "
                    "given; leave it out"
                )
        return self

    @property
    def needs_classes(self) -> bool:
        return self.threshold == "entropy"

    @property
    def grows_in_line(self) -> bool:
        """Whether data of one column may grow a line; the reference program has squares only."""
        return not self.reference

    def growing_threshold(self, summary: DataSummary) -> float:
        if self.threshold == "entropy":
            return 0.5 if self.entropy_threshold is None else self.entropy_threshold
        if self.threshold == "classical":
            return classical(summary, self.spreading_factor)
        log = math.log(self.spreading_factor)
        if self.threshold == "statistics_enhanced":  # Qu et al. 2019, eq. 5; λ in [100, 120] there
            factor = 150.0 * -log if self.lambda_ is None else self.lambda_
            return factor * summary.deviation
        # Ours. In the Euclidean metric the spread is ‖std(X)‖. A map at rest has errors near the
        # threshold, and the error of a neuron is its hits times its mean distance, so the map grows
        # with the square root of n and does not depend on the scale of the data. The 4/3 makes room
        # for notches that are filled.
        return -4 / 3 * log * math.sqrt(summary.n_samples) * summary.spread

    def births(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth]:
        """Return the births of this epoch, largest error first, then those that fill notches.

        At most ``state.room`` + 1 births are computed: one too many tells that the map is full.
        """
        errors, counts = state.errors, state.class_counts
        if counts is not None and self.needs_classes:
            errors = significant_entropy(som_map, counts)
        elif counts is not None and self.class_growth:
            is_mixed = mixing_neurons(som_map, counts)
            errors = np.where(is_mixed, np.maximum(errors, state.threshold), errors)
        most = len(som_map) * som_map.grid.degree
        if state.room is not None:
            most = state.room + 1
        shared = share_errors(som_map, errors, state.threshold, self.reference)
        step = GrowthStep(som_map, shared, self.reference)
        births = step.grow_boundary(state.threshold, most)
        if self.notches is not None:
            births += step.fill_notches(self.notches * state.threshold, most - len(births))
        return births


# ------------------------------------------------------------------ the rules at the boundary

# The rules of directed growth are those of the paper; with ``reference`` those of the authors'
# program of 2017 where it differs, as observed in its results: the conformance vectors hold them.
# Its source was not read.
_REFERENCE_DEGREE = 4  # links of a neuron on its square grid


class Frontier(NamedTuple):
    """The F free cells beside a map of K neurons, sorted by x, then y; -1 stands for none."""

    cells: Integers  # (F, 2)
    touching: Integers  # (F, L): the neurons to which the links of each lead
    behind: Integers  # (K, L): the cell behind each link of a neuron
    is_notch: NDArray[np.bool_]  # (F,): half of its links or more lead to neurons


def _frontier(som_map: SomMap) -> Frontier:
    grid, links = som_map.grid.flat, som_map.links
    offsets, opposite, _ = _link_geometry(grid)
    neurons, directions = (links < 0).nonzero()
    cells = som_map.positions[neurons] + offsets[directions]
    # A number for each cell, ascending by x, then y: np.unique of rows is slow.
    y = cells[:, 1] - cells[:, 1].min(initial=0)
    keys = cells[:, 0] * (y.max(initial=0) + 1) + y
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    cells = cells[first]
    touching = np.full((len(cells), grid.degree), -1)
    touching[numbers, opposite[directions]] = neurons
    behind = np.full(links.shape, -1)
    behind[neurons, directions] = numbers
    n_neurons = (touching >= 0).sum(axis=1)
    is_notch = 2 * n_neurons >= grid.degree
    return Frontier(cells, touching, behind, is_notch)


@lru_cache(maxsize=4)
def _link_geometry(grid: Grid) -> tuple[Integers, Integers, list[list[float]]]:
    # Offsets of the links, the opposite links, and squared distances between the linked cells.
    offsets = np.array(grid.offsets, dtype=np.int64)
    squared = grid.squared_distances(offsets[:, None], offsets)
    return offsets, np.array(grid.opposite), squared.tolist()


def share_errors(
    som_map: SomMap, errors: NDArray[Any], threshold: float, reference: bool = False
) -> Floats:
    """Return the errors when interior neurons with at least ``threshold`` have given away half.

    Recipients are the boundary neurons nearest by hops, in equal parts. With ``reference`` each
    boundary neighbour gets an eighth, the rest of the half is lost; without one nothing changes.
    """
    shared = np.array(errors, dtype=np.float64)
    is_boundary = som_map.boundary()
    boundary, donors = np.flatnonzero(is_boundary), np.flatnonzero(~is_boundary)
    donors = donors[shared[donors] >= threshold]
    if not len(donors) or not len(boundary):
        return shared
    hops = som_map.hops[np.ix_(donors, boundary)]
    is_recipient = hops == hops.min(axis=1, keepdims=True)
    if reference:
        is_recipient = hops == 1
    n_recipients = is_recipient.sum(axis=1)
    halves = np.where(n_recipients > 0, shared[donors] / 2, 0.0)
    parts = halves / (som_map.grid.degree if reference else n_recipients)
    donor, recipient = np.nonzero(is_recipient)
    np.add.at(shared, boundary[recipient], parts[donor])
    shared[donors] -= halves
    return shared


class GrowthStep:
    """The births of one epoch: the map before them, and the free cells beside it.

    ``errors`` (K,) are those after `share_errors`. Neurons born in this step do not count as
    neighbours, but their cells are taken.
    """

    def __init__(self, som_map: SomMap, errors: NDArray[Any], reference: bool = False) -> None:
        self._map, self._reference = som_map, reference
        self._errors = np.asarray(errors, dtype=np.float64)
        self._taken: set[int] = set()

    def grow_boundary(self, threshold: float, most: int) -> list[Birth]:
        """Return a birth beside each boundary neuron whose error reaches the threshold.

        Largest error first, ties by row, at most ``most`` births.
        """
        growing = np.flatnonzero(self._map.boundary() & (self._errors >= threshold))
        growing = growing[np.argsort(-self._errors[growing], kind="stable")]
        sites: list[tuple[int, int, int, int]] = []
        for parent in growing.tolist():
            if len(sites) >= most:
                break
            site = self._birth_site(parent)
            if site is not None:
                self._taken.add(site[0])
                sites.append(site)
        if not sites:
            return []
        # The prototypes of all at once, by the notes of `Directed`; row -1 is read and not used.
        numbers, parents, opposite, second = np.array(sites).T
        prototypes = self._map.prototypes
        W = prototypes[parents]
        W = np.where(opposite[:, None] >= 0, 2 * W - prototypes[opposite], W)
        W = np.where(second[:, None] >= 0, (W + prototypes[second]) / 2, W)
        cells = self._front.cells[numbers].tolist()
        births = []
        for (x, y), w, parent in zip(cells, W, parents.tolist(), strict=True):
            births.append(Birth((x, y), w, parent))
        return births

    def fill_notches(self, least: float, most: int) -> list[Birth]:
        """Return at most ``most`` births in notches whose neurons' errors add up to ``least``.

        A notch is a free cell at least half of whose links lead to neurons, as in a corner between
        two. Boundary growth alone makes arms two neurons thick; a neuron in a notch adds two links
        or more instead of one. Largest sum first, ties by cell; the parent is the neuron with the
        largest error. Ours, not the paper's.
        """
        front = self._front
        errors = np.append(self._errors, 0.0)  # row -1, no neuron, has none
        sums = np.zeros(len(front.cells))
        for neurons in front.touching.T:
            sums += errors[neurons]
        notches = np.flatnonzero(front.is_notch & (sums >= least))
        notches = notches[np.argsort(-sums[notches], kind="stable")]
        births: list[Birth] = []
        for number in notches.tolist():
            if len(births) >= most:
                break
            if number in self._taken:
                continue
            x, y = front.cells[number].tolist()
            around = front.touching[number].tolist()
            neurons = [neuron for neuron in around if neuron >= 0]
            parent = max(neurons, key=errors.__getitem__)
            births.append(Birth((x, y), self._notch_prototype(around), parent))
        return births

    @cached_property
    def _front(self) -> Frontier:
        return _frontier(self._map)

    # Lists: single elements of arrays are slow to read.

    @cached_property
    def _links(self) -> list[list[int]]:
        return list(self._map.links.tolist())

    @cached_property
    def _ranks(self) -> list[int]:
        # Rank of each neuron by error: largest first, ties by row.
        ranks = np.empty(len(self._errors), dtype=np.int64)
        ranks[np.argsort(-self._errors, kind="stable")] = np.arange(len(ranks))
        return list(ranks.tolist())

    @cached_property
    def _cells(self) -> tuple[list[list[int]], list[list[int]]]:
        return self._front.behind.tolist(), self._front.touching.tolist()

    def _birth_site(self, parent: int) -> tuple[int, int, int, int] | None:
        """Return the number of a free cell, the parent, and the two neurons o and s; -1: none.

        The prototype is extrapolated away from o, opposite to the cell, and averaged with that of
        s, of the second ring: two hops from the parent; see the notes of `Directed`.
        """
        behind, touching = self._cells
        cells, links = behind[parent], self._links[parent]
        free = []
        for link, number in enumerate(cells):
            if number >= 0 and number not in self._taken:
                free.append(link)
        linked = [link for link, neuron in enumerate(links) if neuron >= 0]
        if not free or not linked:  # no cell, or nothing to extrapolate from
            return None
        if self._reference and len(free) + len(linked) < len(links):
            return None  # a birth of this step took one of its cells
        ranks, hops = self._ranks, self._map.hops
        linked.sort(key=lambda link: ranks[links[link]])
        second = -1  # the largest error of those that touch a free cell
        for link in free:
            for neuron in touching[cells[link]]:
                is_larger = neuron >= 0 and (second < 0 or ranks[neuron] < ranks[second])
                if is_larger and hops.item(parent, neuron) == 2:
                    second = neuron
        if len(linked) == 1 and second >= 0:  # at the end of an arm
            numbers = (cells[link] for link in free)
            number = next(number for number in numbers if second in touching[number])
            return number, parent, -1, second
        grid = self._map.grid.flat
        distances = _link_geometry(grid)[2][linked[0]]
        link = min(free, key=distances.__getitem__)  # nearest to the neighbour of largest error
        number, opposite = cells[link], links[grid.opposite[link]]
        if opposite < 0:  # no neuron there, as beside a straight border
            opposite = links[linked[-1]]
        touches = second in touching[number]
        if self._reference and len(linked) == 2:
            larger, smaller = links[linked[0]], links[linked[1]]
            if self._errors[larger] == self._errors[smaller]:
                opposite = larger  # ties: it is both the largest and the least error
            touches = second >= 0 and self._touches_in_reference(number, larger, second)
        elif self._reference and second >= 0:
            # The largest error of the second ring, wherever it lies.
            ring = np.flatnonzero(hops[parent] == 2)
            second = min(ring.tolist(), key=ranks.__getitem__)
            touches = True
        return number, parent, opposite, second if touches else -1

    def _touches_in_reference(self, number: int, larger: int, second: int) -> bool:
        if self._map.grid.degree != _REFERENCE_DEGREE:
            return bool((self._front.touching[number] == second).any())
        # Indexing bug of the reference, kept: one entry of x0, y0, x1, … stands for both axes.
        x, y = self._map.positions[second].tolist()
        c = self._map.positions.ravel()[larger]
        return bool((c - x) ** 2 + (c - y) ** 2 == 1)

    def _notch_prototype(self, around: list[int]) -> Floats:
        """Return the prototype of a cell whose links lead to the neurons ``around``.

        In a corner it completes the parallelogram w_a + w_b - w_diagonal; it is the mean over the
        cell's corners or, where there is none, of the neurons around it.
        """
        prototypes = self._map.prototypes
        near = [(link, neuron) for link, neuron in enumerate(around) if neuron >= 0]
        summands = []
        for (_, a), (link, b) in combinations(near, 2):
            # The way from the cell over a to the diagonal neuron is parallel to that to b.
            diagonal = self._links[a][link]
            if diagonal >= 0:
                summands.append(prototypes[a] + prototypes[b] - prototypes[diagonal])
        if not summands:
            summands = [prototypes[neuron] for _, neuron in near]
        return np.asarray(reduce(np.add, summands) / len(summands))
