"""Growth: what a strategy wants of an epoch, applied to the map: deaths, moves, inserts, births."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Centre, Search, SearchResult
from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.context import Context
from dbgsom_core.interfaces.epochs import GrowthEvent
from dbgsom_core.interfaces.growth import Birth, GrowthState
from dbgsom_core.interfaces.guard import who
from dbgsom_core.som_map.som_map import CHANGES, Change, Death, SomMap, changed_map
from dbgsom_core.training.checkpoint import TrainingState
from dbgsom_core.training.config import TrainingConfig
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.update import smoothed_before_growth


@dataclass(frozen=True)
class GrowthResult:
    """What became of what a strategy wanted.

    Attributes
    ----------
    som_map : SomMap
        The one that was given, unless more than births changed it.
    rows : int64 array (K,)
        The row before of each neuron that there is now, -1 for new ones.
    births : tuple of GrowthEvent
    changes : tuple of Death, Move or Insert
    is_cut : bool
        There was no room for everything.
    """

    som_map: SomMap
    rows: NDArray[np.int64]
    births: tuple[GrowthEvent, ...] = ()
    changes: tuple[Change, ...] = ()
    is_cut: bool = False


class Growth:
    """The growth of one training, up to ``max_neurons`` neurons."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config, self.max_neurons = config, config.max_neurons

    def is_full(self, state: TrainingState) -> bool:
        """Return whether nothing more can come of growth.

        A strategy that removes neurons makes room itself.
        """
        full = state.capped and len(state.som_map) == self.max_neurons
        return full and not self.config.growing.removes

    def step(
        self,
        state: TrainingState,
        schedule: Schedule,
        search: Search,
        found: SearchResult,
        width: float,
        movement: float,
    ) -> tuple[GrowthResult | None, Search, SearchResult]:
        """Let the map of ``state`` grow, after an epoch whose search ``found`` its units.

        Returned are also a search and what it found of the map that there is now; None where
        nothing is wanted.
        """
        config, som_map, known = self.config, state.som_map, len(state.som_map)
        wanted = self._wanted(state, schedule, found, movement)
        if config.growing.smooth_before_growth and parted(wanted)[1]:
            hits = self._counted(found).hits
            som_map.prototypes = smoothed_before_growth(som_map, config, hits, width)
            found = search.assign(som_map.prototypes, som_map.positions)
            wanted = self._wanted(state, schedule, found, movement)
        if not wanted:
            return None, search, found
        try:
            grown = apply_growth(
                som_map,
                wanted,
                len(state.history) + 1,
                self._free_slots(known),
                config.centre,
                config.growing.may_disconnect,
            )
        except ValueError as error:
            raise ComponentError(f"{who('growth', config.growth)}: {error}") from error
        state.capped = state.capped or grown.is_cut
        if not (grown.births or grown.changes):
            return grown, search, found
        if config.growing.renumber is not None:
            config.growing.renumber(grown.rows)
        state.som_map = som_map = grown.som_map
        if any(isinstance(one, Death) for one in grown.changes):
            search = config.data.search()  # what the other one keeps is of other rows
            found = search.assign(som_map.prototypes, som_map.positions)
        else:
            found = search.admit(found, som_map.prototypes, som_map.positions, known)
        return grown, search, found

    def _counted(self, found: SearchResult) -> SearchResult:
        robust = self.config.robust
        return found if robust is None else found.reweighed(robust)

    def _free_slots(self, n_neurons: int) -> int | None:
        return None if self.max_neurons is None else max(0, self.max_neurons - n_neurons)

    def _wanted(
        self, state: TrainingState, schedule: Schedule, found: SearchResult, movement: float
    ) -> list[Any]:
        config, counted = self.config, self._counted(found)
        seen = GrowthState(
            epoch=len(state.history) + 1,
            epochs=schedule.growing_epochs,
            threshold=config.threshold,
            errors=counted.errors,
            hits=counted.hits,
            class_counts=counted.class_counts,
            movement=movement,
            room=self._free_slots(len(state.som_map)),
            context=Context(config.data, found, config.seed, state.history),
        )
        return list(config.growing.grow(state.som_map, seen))


def parted(wanted: Sequence[Any]) -> tuple[tuple[Change, ...], list[Birth]]:
    """Return the changes and the births among what a strategy wants."""
    changes = tuple(one for one in wanted if isinstance(one, CHANGES))
    births = [one for one in wanted if not isinstance(one, CHANGES)] if changes else wanted
    return changes, [one if isinstance(one, Birth) else Birth(*one) for one in births]


def apply_growth(
    som_map: SomMap,
    wanted: Sequence[Any],
    epoch: int,
    room: int | None = None,
    centre: Centre | None = None,
    may_disconnect: bool = False,
) -> GrowthResult:
    """Change a map as wanted, as far as there is ``room`` for births beside those who die.

    ``centre`` makes prototypes of what strategies add and subtract, which leaves their space.

    Raises
    ------
    ValueError
        The changes or births cannot be, or take the map apart; it is then as before.
    """
    known = len(som_map)
    rows = np.arange(known)
    changes, births = parted(wanted)
    if changes:
        changed, rows, newborn = changed_map(som_map, changes)
        room = None if room is None else room + known - len(rows)
        if room is not None and len(newborn) > room:  # half a row would be none
            return GrowthResult(som_map, np.arange(known), is_cut=True)
        if changed.is_apart and not (may_disconnect or newborn):
            raise ValueError(
                "the deaths and moves take the map apart; a strategy that may do so has "
                "may_disconnect = True"
            )
        number = {row: new for new, row in enumerate(rows.tolist())}
        births = [b._replace(parent=number.get(int(b.parent), -1)) for b in births]
        births = [*map(Birth._make, newborn), *births]
        som_map = changed
    wanted_births, births = len(births), births[:room]
    if births and centre is not None:
        births = [
            b._replace(prototype=centre(np.asarray(b.prototype, float)[None])[0]) for b in births
        ]
    som_map.add(births, epoch)
    return GrowthResult(
        som_map,
        np.concatenate([rows, np.full(len(births), -1)]),
        tuple(
            GrowthEvent(epoch, int(b.parent), (int(b.position[0]), int(b.position[1])))
            for b in births
        ),
        changes,
        len(births) < wanted_births,
    )
