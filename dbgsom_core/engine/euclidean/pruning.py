"""What is kept from pass to pass of distances: panels of prototypes that need no comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean.blocks import NO_MARGINS, Margins
from dbgsom_core.engine.euclidean.layout import Laid, in_rows, patches
from dbgsom_core.engine.euclidean.packing import Packed, Room
from dbgsom_core.engine.llvm.tile import PANEL_ROWS, UNROLL

_UNSORTED = 0.25  # share of samples with another unit from which sorting may be of use
_LEAST_COMPARED = 2.0  # panels a block that a pass compares at best, about
_LEAST_PANELS = 4  # with fewer there is nothing to leave out
_MARGIN_BYTES = 2
_LARGER = 4.0  # times as long as at first prototypes may become before margins begin anew


class Pruning:
    """What a search knows of the distances of blocks of samples to panels of prototypes.

    For each block and panel there is a margin by which the panel is at least farther away from
    each sample than the nearest one; less how far panel and units moved since, it tells which
    panels need no comparison (after Ding et al. 2015, "Yinyang K-means", of single samples). What
    is found does not depend on it.

    Parameters
    ----------
    d : int
        Features.
    wanted : bool or None
        Keep margins always, never, or (None) while they pay.

    Attributes
    ----------
    ids : int32 array (G, PANEL_ROWS)
        Which prototypes share a panel.
    margins : Margins or None
        Of the first blocks, or of all.
    drift : float64 array (G,)
        How far panels moved since the margins began.
    begins : bool
        Whether they begin with this pass, for which they tell nothing yet.
    changed : float
        The share of the samples whose unit the last pass changed.
    """

    def __init__(self, d: int, wanted: bool | None = None) -> None:
        self.ids = np.empty((0, PANEL_ROWS), np.int32)
        self.margins: Margins | None = None
        self.drift = np.empty(0)
        self.changed = self._unsorted = 1.0  # the latter since samples were sorted
        self.begins = False
        self._wanted = wanted
        self._spare = 0  # panels that the margins still have room for
        self._grows = False
        self._d, self._sorting, self._patience = d, Sorting(d), Patience()

    def prepare(
        self, positions: NDArray[np.int64] | None, n_neurons: int, known: bool, room: Room
    ) -> bool:
        """Make ready for a pass; return whether samples have to be sorted by their units first.

        Parameters
        ----------
        positions : int array (K, 2) or None
            Grid cells; without them neighbours in the list count as neighbours.
        known : bool
            Whether units of the same number of prototypes are known.
        room : Room
            For the margins.
        """
        sorts = False
        if not known or self._spare < 0:
            self.regroup(positions, n_neurons)
        elif self.margins is not None and self._sort_is_due():
            if self._grows:  # newborns sit in panels of their own, far from each other on the map
                self.regroup(positions, n_neurons)
            self._sorting.before, self.margins, sorts = self._sorting.compared, None, True
        self.begins = self.margins is None and known and self._begin(n_neurons, room)
        if self.begins and self._unsorted > _UNSORTED:
            sorts = True
        if sorts:
            self._unsorted = 0.0
        return sorts

    def take(self, samples: Packed, laid: Laid) -> None:
        """Take how exact the pass over ``laid`` prototypes is, and without margins if too little.

        Where prototypes are longer values are less exact; margins allow for what they were made.
        """
        if self.margins is not None and self.begins:
            accuracy = samples.accuracy(_LARGER * laid.accuracy.largest)
            self.margins = self.margins._replace(accuracy=accuracy)
        elif self.margins is not None and laid.accuracy.largest > self.margins.accuracy.largest:
            self.margins = None

    def regroup(self, positions: NDArray[np.int64] | None, n_neurons: int) -> None:
        """Lay K prototypes out in panels anew, without margins."""
        if positions is None:
            self.ids = in_rows(np.arange(n_neurons), PANEL_ROWS)
        else:
            self.ids = patches(positions, PANEL_ROWS)
        self.margins = None
        self._spare = len(self.ids) // 4 + 2 if self._grows else 0

    def grown(self, known: int, n_neurons: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return ``ids`` and ``drift`` with panels for the prototypes from ``known`` on."""
        newborn = in_rows(np.arange(known, n_neurons), PANEL_ROWS)
        drift = np.concatenate([self.drift, np.zeros(len(newborn))])
        return np.concatenate([self.ids, newborn]), drift

    def grow(self, ids: NDArray[np.int32], drift: NDArray[np.float64]) -> None:
        """Go on with what `grown` returned."""
        self._spare -= len(ids) - len(self.ids)
        self.ids, self.drift, self._grows = ids, drift, True
        self._sorting.before, self._sorting.reluctance = 0.0, 1.0
        if self._spare < 0:
            self.margins = None

    def saw(self, changed: float) -> None:
        """Note which share of the samples a pass changed."""
        self.changed = changed
        self._unsorted += changed

    def judge(self, compared: float, n_neurons: int) -> None:
        """Keep the margins while they pay; ``compared`` are panels a block of the last pass."""
        self._sorting.saw(compared)
        share = compared / len(self.ids)
        paid = self._patience.pays(share, self._d, self.changed, n_neurons)
        if self._wanted is None and not paid:
            self.margins = None

    def _sort_is_due(self) -> bool:
        return self._unsorted > _UNSORTED and self._sorting.pays(len(self.ids))

    def _begin(self, n_neurons: int, room: Room) -> bool:
        if self._wanted is None:
            worth = self._patience.tries(self.changed, n_neurons)
        else:
            worth = self._wanted
        if not worth or len(self.ids) < _LEAST_PANELS:
            return False
        wide = len(self.ids) + max(self._spare, 0)
        n_blocks = room.blocks_with(wide * _MARGIN_BYTES + 4)
        if n_blocks == 0:
            return False
        least, slides = np.zeros((n_blocks, wide), np.uint16), np.zeros(n_blocks, np.float32)
        self.margins = NO_MARGINS._replace(least=least, slides=slides)
        self.drift, self._sorting.excess = np.zeros(len(self.ids)), 0.0
        return True


@dataclass
class Sorting:
    """Decides when samples are laid out anew, beside their like, and margins begin anew.

    Where a cost grows evenly it is least to pay for a fresh start when what was lost since the
    last one amounts to it: here sorting and a whole pass. A fresh start that saved little makes
    the next one wait twice as long.

    Attributes
    ----------
    d : int
        Features.
    compared : float
        Panels a block that the last pass compared.
    excess : float
        What passes since margins began compared beyond the least that they could.
    before : float
        What was compared before samples were sorted last.
    """

    d: int
    compared: float = math.inf
    excess: float = 0.0
    before: float = 0.0
    reluctance: float = 1.0

    def saw(self, compared: float) -> None:
        """Note how many panels a block were compared."""
        self.compared = compared
        self.excess += compared - _LEAST_COMPARED
        if self.before > 0:
            helped = compared < 0.75 * self.before
            self.reluctance, self.before = 1.0 if helped else 2 * self.reluctance, 0.0

    def pays(self, n_panels: int) -> bool:
        """Say whether to sort now."""
        cost = 9 + 180 / self.d + n_panels  # in panels, as measured
        return self.excess > self.reluctance * cost


@dataclass
class Patience:
    """Decides from the share of panels compared whether margins are worth keeping.

    After a pass that did not pay, the next try waits until a third as many samples change their
    unit, or the map has grown by a quarter. One such pass after some that did is forgiven: what it
    compared, it has margins anew.
    """

    changed: float = math.inf  # what the share of samples must fall below
    neurons: float = 0.0  # or how many there must be
    forgives: bool = False

    def tries(self, changed: float, n_neurons: int) -> bool:
        """Say whether to begin margins now, after a pass that changed a share of the units."""
        return changed < self.changed or n_neurons > self.neurons

    def pays(self, share_compared: float, d: int, changed: float, n_neurons: int) -> bool:
        """Say whether a pass that compared this share of the panels was worth its margins."""
        comparison = PANEL_ROWS * (-(-d // UNROLL) * UNROLL)
        # Measured on AVX-512: writing a margin and looking at one, in steps of a comparison.
        if share_compared * (comparison + 16) + 2 < comparison:
            self.changed, self.neurons, self.forgives = math.inf, 0.0, True
            return True
        if self.forgives:
            self.forgives = False
            return True
        self.changed, self.neurons = changed / 3, 1.25 * n_neurons
        return False
