"""What a growth strategy wants for a map, carried out: deaths, moves, inserts and births."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Centre
from dbgsom_core.interfaces.epochs import GrowthEvent
from dbgsom_core.interfaces.growth import Birth
from dbgsom_core.som_map.changes import CHANGES, Change, Death, changed_map
from dbgsom_core.som_map.som_map import SomMap


@dataclass(frozen=True)
class Grown:
    """What came of it.

    Attributes
    ----------
    som_map : SomMap
        The one that was given, unless more than births changed it.
    rows : int64 array (K,)
        The row before of each neuron that there is now, -1 for newborns.
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

    @property
    def renumbers(self) -> bool:
        """Whether neurons have other rows than before."""
        return any(isinstance(one, Death) for one in self.changes)


def parted(wanted: Sequence[Any]) -> tuple[tuple[Change, ...], list[Birth]]:
    """Return the changes and the births among what a strategy wants."""
    changes = tuple(one for one in wanted if isinstance(one, CHANGES))
    births = [one for one in wanted if not isinstance(one, CHANGES)] if changes else wanted
    return changes, [one if isinstance(one, Birth) else Birth(*one) for one in births]


def carry_out(
    som_map: SomMap,
    wanted: Sequence[Any],
    epoch: int,
    room: int | None = None,
    centre: Centre | None = None,
    may_disconnect: bool = False,
) -> Grown:
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
            return Grown(som_map, np.arange(known), is_cut=True)
        if changed.is_apart and not (may_disconnect or newborn):
            raise ValueError(
                "the deaths and moves take the map apart; a strategy that may do so has "
                "may_disconnect = True"
            )
        births = [*map(Birth._make, newborn), *_renumbered(births, rows)]
        som_map = changed
    wanted_births, births = len(births), births[:room]
    if births and centre is not None:
        births = [
            b._replace(prototype=centre(np.asarray(b.prototype, float)[None])[0]) for b in births
        ]
    som_map.add(births, epoch)
    return Grown(
        som_map,
        np.concatenate([rows, np.full(len(births), -1)]),
        tuple(
            GrowthEvent(epoch, int(b.parent), (int(b.position[0]), int(b.position[1])))
            for b in births
        ),
        changes,
        len(births) < wanted_births,
    )


def _renumbered(births: list[Birth], rows: NDArray[np.int64]) -> list[Birth]:
    # With parents as rows of the changed map, in which there is no -1.
    number = {row: new for new, row in enumerate(rows.tolist())}
    return [b._replace(parent=number.get(int(b.parent), -1)) for b in births]
