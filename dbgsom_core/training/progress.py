"""How far a fit has come, for those who write it down so that another process can go on.

What goes from one epoch to the next is small: the map, the records, and what growth and search
remember. What the last search found is found again from the prototypes, to the bit: units are those
of the definition, and sums lie on a grid on which their order does not matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent
from dbgsom_core.som_map.changes import change_of
from dbgsom_core.som_map.grid import SQUARE, Grid
from dbgsom_core.som_map.som_map import SomMap

_SHARE = 0.01  # of the time, which writing takes at most,
_OLD, _SHARE_IF_OLD = 0.05, 0.02  # but where so much of a training is not written down yet
_FIRST = 0.004  # seconds that the first writing is thought to take

# The neurons that lead from the first map down to a map; () is the first one.
Way = tuple[int, ...]


@dataclass(frozen=True)
class TrainingState:
    """What goes from one epoch of the training of one map to the next.

    Attributes
    ----------
    positions : int64 array (K, 2)
    prototypes : float64 array (K, D)
    parents, birth_epochs : int64 arrays (K,)
    history : tuple of EpochRecord
        Those that ran.
    epochs : int
        The upper bound, which a full map lowers.
    capped, converged : bool
        Growth wanted more than ``max_neurons``; the map has come to rest.
    growth, search : plain values or arrays
        What the growth strategy and the search remember; None: nothing.
    stopped : str
        What ended the training early; empty: nothing did.
    watched : tuple of tuple of float
        What each stopping rule noted of each epoch.
    leads : bool array (K, C) or None
        Which classes lead in each neuron in fine-tuning by classes.
    best : plain values and arrays, or None
        The map that a rule wants to be kept, and its epoch; see `kept`.
    """

    positions: NDArray[np.int64]
    prototypes: NDArray[np.float64]
    parents: NDArray[np.int64]
    birth_epochs: NDArray[np.int64]
    history: tuple[EpochRecord, ...]
    epochs: int
    capped: bool = False
    converged: bool = False
    growth: Any = None
    search: Any = None
    stopped: str = ""
    watched: tuple[tuple[float, ...], ...] = ()
    leads: NDArray[np.bool_] | None = None
    best: Mapping[str, Any] | None = None

    def kept(self, grid: Grid = SQUARE) -> tuple[int, SomMap] | None:
        """Return the epoch whose map is to be kept, and that map; None: the last one's."""
        if self.best is None:
            return None
        values = dict(self.best)
        return int(values.pop("epoch")), SomMap.restored(**values, grid=grid)

    def som_map(self, grid: Grid = SQUARE) -> SomMap:
        """Return the map as it was."""
        return SomMap.restored(
            self.positions, self.prototypes, self.parents, self.birth_epochs, grid
        )

    def plain(self) -> dict[str, Any]:
        """Return it in plain values and arrays."""
        records = [
            (r.epoch, r.epochs, r.phase == "fine", r.width, r.neurons, r.quantization_error,
             r.movement, r.seconds)
            for r in self.history
        ]  # fmt: skip
        births = [(b.epoch, b.parent, *b.position) for r in self.history for b in r.births]
        return {
            **vars(self),
            "history": np.array(records, dtype=np.float64).reshape(-1, 8),
            "births": np.array(births, dtype=np.int64).reshape(-1, 4),
            "changes": [(r.epoch, *r.changes) for r in self.history if r.changes],
        }

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> TrainingState:
        """Return what gave these values; ValueError, TypeError or KeyError where nothing did."""
        own = dict(values)
        births: dict[int, list[GrowthEvent]] = {}
        for epoch, parent, x, y in own.pop("births").tolist():
            births.setdefault(epoch, []).append(GrowthEvent(epoch, parent, (x, y)))
        changes = {epoch: tuple(map(change_of, those)) for epoch, *those in own.pop("changes")}
        own["history"] = tuple(
            EpochRecord(
                int(epoch), int(epochs), "fine" if fine else "growing", width, int(neurons),
                tuple(births.get(int(epoch), ())), error, movement, seconds,
                changes.get(int(epoch), ()),
            )
            for epoch, epochs, fine, width, neurons, error, movement, seconds in np.asarray(
                own["history"]
            ).tolist()
        )  # fmt: skip
        return cls(**own)


States = dict[Way, TrainingState]


@dataclass
class Book:
    """What is known of every training of a fit, and when it is written down.

    Attributes
    ----------
    states : dict of tuple to TrainingState
        By the way down to the map: those that have ended, and the one that runs.
    write : callable, optional
        Takes the states to a safe place; None: nobody does.
    seconds : float
        After which it is written; later where writing takes more than a hundredth of the time, and
        earlier where a twentieth of the epochs have passed and writing takes a fiftieth of the time
        at most. 0: after every epoch.
    """

    states: States = field(default_factory=dict)
    write: Callable[[States], None] | None = None
    seconds: float = 1.0

    def __post_init__(self) -> None:
        self._ended, self._took, self._passed = time.monotonic(), _FIRST, 0.0

    def is_due(self, epochs: int) -> bool:
        """Say after each epoch of a map, one of so many, whether it is time to write."""
        if self.write is None:
            return False
        self._passed += 1 / epochs
        since = time.monotonic() - self._ended
        if self.seconds == 0 or since >= max(self.seconds, self._took / _SHARE):
            return True
        return self._passed > _OLD - 1e-9 and since >= self._took / _SHARE_IF_OLD

    def note(self, way: Way, state: TrainingState) -> None:
        """Write down where the training of a map is."""
        assert self.write is not None
        started = time.monotonic()
        self.states[way] = state
        self.write(self.states)
        self._ended = time.monotonic()
        self._took, self._passed = self._ended - started, 0.0


@dataclass(frozen=True)
class Progress:
    """The page of a book that tells of one map."""

    book: Book = field(default_factory=Book)
    way: Way = ()

    def below(self, neuron: int) -> Progress:
        """Return that of the child map of a neuron."""
        return replace(self, way=(*self.way, neuron))

    @property
    def state(self) -> TrainingState | None:
        """Where the training was when it was last heard of; None: it has not begun."""
        return self.book.states.get(self.way)

    def is_due(self, epochs: int) -> bool:
        """Say after each epoch, one of so many, whether to `note` where the training is."""
        return self.book.is_due(epochs)

    def note(self, state: TrainingState) -> None:
        """Write down where the training is."""
        self.book.note(self.way, state)

    @property
    def is_written(self) -> bool:
        """Whether anybody writes it down."""
        return self.book.write is not None

    def ended(self, state: TrainingState) -> None:
        """Keep how the training ended, to be written together with what comes next."""
        self.book.states[self.way] = state
