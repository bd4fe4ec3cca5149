"""The rules of directed growth at the boundary of a map (Vasighi & Amini 2017), and notches.

They are told as the paper means them; ``as_program`` says where the authors' program of 2017
differs, whose observed behaviour the conformance vectors hold. Its source was not read.
"""

from __future__ import annotations

from functools import cached_property, lru_cache, reduce
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Birth, Grid, SomMap

_PROGRAMS_LINKS = 4  # its grid is square


class Frontier(NamedTuple):
    """The F free cells beside a map of K neurons, sorted by x, then y; -1 stands for none."""

    cells: NDArray[np.int64]  # (F, 2)
    touching: NDArray[np.int64]  # (F, L): the neurons to which the links of each lead
    beside: NDArray[np.int64]  # (K, L): the cell behind each link of a neuron
    is_boundary: NDArray[np.bool_]  # (K,): the neurons that a free cell is beside
    is_notch: NDArray[np.bool_]  # (F,): half of its links or more lead to neurons


@lru_cache(maxsize=2)  # a map is asked about in many epochs in which nothing is born
def _frontier(grid: Grid, positions: bytes, linked: bytes) -> Frontier:
    links = np.frombuffer(linked, np.int32).reshape(-1, grid.degree)
    offsets, opposite, _ = _lattice(grid)
    neurons, ways = (links < 0).nonzero()
    cells = np.frombuffer(positions, np.int64).reshape(-1, 2)[neurons] + offsets[ways]
    y = cells[:, 1] - cells[:, 1].min(initial=0)
    keys = cells[:, 0] * (y.max(initial=0) + 1) + y
    order = keys.argsort(kind="stable")
    keys, is_first = keys[order], np.ones(len(keys), dtype=bool)
    is_first[1:] = keys[1:] != keys[:-1]
    numbers = np.empty(len(keys), dtype=np.int64)
    numbers[order] = is_first.cumsum() - 1
    cells = cells[order[is_first]]
    touching, beside = np.full((len(cells), grid.degree), -1), np.full(links.shape, -1)
    touching[numbers, opposite[ways]] = neurons
    beside[neurons, ways] = numbers
    is_boundary = np.zeros(len(links), dtype=bool)
    is_boundary[neurons] = True
    is_notch = 2 * (touching >= 0).sum(axis=1) >= grid.degree
    return Frontier(cells, touching, beside, is_boundary, is_notch)


@lru_cache(maxsize=4)
def _lattice(grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64], list[list[float]]]:
    # The offsets of the links, those that lead the other way, and squared distances of the cells.
    around = np.array(grid.offsets, dtype=np.int64)
    apart = grid.squared_distances(around[:, None], around)
    return around, np.array(grid.opposite), apart.tolist()


def share_errors(
    som_map: SomMap, errors: NDArray[Any], threshold: float, as_program: bool = False
) -> NDArray[np.float64]:
    """Let interior neurons with an error of at least ``threshold`` pass half of it on.

    It goes in equal parts to the boundary neurons nearest by hops. The program hands an eighth to
    each boundary neighbour: the rest of the half vanishes, and without one nothing changes.
    """
    shared = np.array(errors, dtype=np.float64)
    is_boundary = som_map.boundary()
    boundary, givers = np.flatnonzero(is_boundary), np.flatnonzero(~is_boundary)
    givers = givers[shared[givers] >= threshold]
    if not len(givers) or not len(boundary):
        return shared
    hops = som_map.hops[np.ix_(givers, boundary)]
    is_heir = hops == (1 if as_program else hops.min(axis=1, keepdims=True))
    heirs = is_heir.sum(axis=1)
    halves = np.where(heirs > 0, shared[givers] / 2, 0.0)
    parts = halves / (som_map.grid.degree if as_program else heirs)
    giver, heir = np.nonzero(is_heir)
    np.add.at(shared, boundary[heir], parts[giver])
    shared[givers] -= halves
    return shared


class GrowthStep:
    """A map as it is when growth begins, and the free cells beside it.

    ``errors`` (K,) are those after interior neurons have shared theirs. Newborns of the step do not
    count as neighbours, but their cells are taken.
    """

    def __init__(self, som_map: SomMap, errors: NDArray[Any], as_program: bool = False) -> None:
        self._map, self._as_program = som_map, as_program
        self._errors = np.asarray(errors, dtype=np.float64)
        self._front = _frontier(
            som_map.grid.flat, som_map.positions.tobytes(), som_map.links.tobytes()
        )
        self._taken: set[int] = set()

    def serve(self, threshold: float, most: int) -> list[Birth]:
        """Serve every boundary neuron whose error reaches the threshold, once.

        Largest error first, ties by row, at most ``most`` newborns.
        """
        enough = np.flatnonzero(self._front.is_boundary & (self._errors >= threshold))
        order = enough[np.argsort(-self._errors[enough], kind="stable")]
        placed: list[tuple[int, int, int, int]] = []
        for candidate in order.tolist():
            if len(placed) >= most:
                break
            found = self._placed(candidate)
            if found is not None:
                self._taken.add(found[0])
                placed.append(found)
        if not placed:
            return []
        numbers, parents, away, second = np.array(placed).T
        known = self._map.prototypes
        W = known[parents]
        W = np.where(away[:, None] >= 0, 2 * W - known[away], W)
        W = np.where(second[:, None] >= 0, (W + known[second]) / 2, W)
        cells = self._front.cells[numbers].tolist()
        return [
            Birth((x, y), w, parent)
            for (x, y), w, parent in zip(cells, W, parents.tolist(), strict=True)
        ]

    def fill(self, least: float, most: int) -> list[Birth]:
        """Fill notches whose neurons' errors add up to ``least``: at most ``most`` births.

        A notch is a free cell at least half of whose links lead to neurons, as in a corner between
        two. Neurons that grow alone send out arms two neurons thick; a cell in a notch adds two
        links or more instead of one. Largest sum first, ties by cell; the parent is the neuron with
        the largest error. Ours, not the paper's.
        """
        cells, touching = self._front.cells, self._front.touching
        known, claims = np.append(self._errors, 0.0), np.zeros(len(cells))
        for neurons in touching.T:
            claims += known[neurons]
        notches = np.flatnonzero(self._front.is_notch & (claims >= least))
        births: list[Birth] = []
        for number in notches[np.argsort(-claims[notches], kind="stable")].tolist():
            if len(births) >= most:
                break
            if number not in self._taken:
                (x, y), around = cells[number].tolist(), touching[number].tolist()
                parent = max((one for one in around if one >= 0), key=known.__getitem__)
                births.append(Birth((x, y), self._between(around), parent))
        return births

    # What is taken out one number at a time is a list, for which arrays are slow.

    @cached_property
    def _links(self) -> list[list[int]]:
        links: list[list[int]] = self._map.links.tolist()
        return links

    @cached_property
    def _ranks(self) -> list[int]:
        # Of the neurons: largest error first, ties by row.
        ranks = np.empty(len(self._errors), dtype=np.int64)
        ranks[np.argsort(-self._errors, kind="stable")] = np.arange(len(ranks))
        found: list[int] = ranks.tolist()
        return found

    @cached_property
    def _cells(self) -> tuple[list[list[int]], list[list[int]]]:
        return self._front.beside.tolist(), self._front.touching.tolist()

    def _placed(self, candidate: int) -> tuple[int, int, int, int] | None:
        """Return the cell of a newborn of the candidate, its parent, and what it extrapolates from.

        The latter are the neuron that it goes away from, and the one that it meets; -1: none.
        """
        (beside, touching), links = self._cells, self._links[candidate]
        free = [
            link
            for link, number in enumerate(beside[candidate])
            if number >= 0 and number not in self._taken
        ]
        linked = [link for link, other in enumerate(links) if other >= 0]
        if not free or not linked:  # no cell, or nothing to extrapolate from
            return None
        if self._as_program and len(free) + len(linked) < len(links):
            return None  # a newborn took one of its cells
        ranks, hops = self._ranks, self._map.hops
        linked.sort(key=lambda link: ranks[links[link]])
        # The neuron two hops away that touches a free cell, largest error first.
        second = -1
        for link in free:
            for other in touching[beside[candidate][link]]:
                if other >= 0 and (second < 0 or ranks[other] < ranks[second]):
                    second = other if hops.item(candidate, other) == 2 else second
        if len(linked) == 1 and second >= 0:  # at the end of an arm
            numbers = (beside[candidate][link] for link in free)
            return next(n for n in numbers if second in touching[n]), candidate, -1, second
        grid = self._map.grid.flat
        apart = _lattice(grid)[2][linked[0]]
        link = min(free, key=apart.__getitem__)  # nearest to the largest
        number, away = beside[candidate][link], links[grid.opposite[link]]
        if away < 0:  # on a straight line there is none on the other side of the cell
            away = links[linked[-1]]
        if not self._as_program:
            return number, candidate, away, second if second in touching[number] else -1
        if len(linked) == 2:
            larger, smaller = (links[link] for link in linked)
            if self._errors[larger] == self._errors[smaller]:
                away = larger  # with tied errors one neuron plays both parts
            meets = second >= 0 and self._meets(number, larger, second)
            return number, candidate, away, second if meets else -1
        if second >= 0:  # the largest of the second ring, whether or not it touches the cell
            second = min(np.flatnonzero(hops[candidate] == 2).tolist(), key=ranks.__getitem__)
        return number, candidate, away, second

    def _meets(self, number: int, larger: int, second: int) -> bool:
        if self._map.grid.degree != _PROGRAMS_LINKS:  # its slip is of its own grid
            return bool((self._front.touching[number] == second).any())
        # One number stands for both axes: entry ``larger`` of the flat list x0, y0, x1, y1, …
        x, y = self._map.positions[second].tolist()
        c = self._map.positions.ravel()[larger]
        return bool((c - x) ** 2 + (c - y) ** 2 == 1)

    def _between(self, around: list[int]) -> NDArray[np.float64]:
        """Return the prototype of a cell whose links lead to the neurons ``around``.

        In a corner it completes the parallelogram w_a + w_b - w_diagonal; it is the mean over the
        cell's corners or, where there is none, of the neurons around it.
        """
        known, near = self._map.prototypes, [(w, o) for w, o in enumerate(around) if o >= 0]
        corners = [
            known[a] + known[b] - known[self._links[a][link]]
            for (_, a), (link, b) in combinations(near, 2)
            if self._links[a][link] >= 0
        ]
        summands = corners or [known[neuron] for _, neuron in near]
        return np.asarray(reduce(np.add, summands) / len(summands))
