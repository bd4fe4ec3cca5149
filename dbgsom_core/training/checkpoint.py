"""The state of a training, which another process can go on with, and when it is written.

What goes from one epoch to the next is small: the map, the records, and what growth keeps. What the
last search found is found again from the prototypes, to the bit: units are those of the definition,
and sums and errors lie on a grid on which their order does not matter.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import SomMap, change_of

_ARRAYS = ("positions", "prototypes", "parents", "birth_epochs")  # of a map
_FIELDS = tuple(one.name for one in fields(EpochRecord))
_SHARE = 0.01  # of the time, which writing takes at most,
_OLD, _SHARE_IF_OLD = 0.05, 0.02  # but where so much of a training is not written down yet
_FIRST = 0.004  # seconds that the first writing is thought to take


@dataclass
class TrainingState:
    """The training of one map between two epochs.

    Attributes
    ----------
    som_map : SomMap
    history : list of EpochRecord
        Those that ran.
    epochs : int
        The upper bound, which a full map lowers; 0: that of the configuration.
    capped, converged : bool
        Growth wanted more than ``max_neurons``; the map has come to rest.
    growth : plain values or arrays
        What the growth strategy keeps; set where the state is written.
    stopped : str
        What ended the training early: a rule's name, a callback; empty: nothing did.
    watched : list of list of float
        What each stopping rule watched in each epoch.
    majority : bool array (K, C) or None
        The classes in the majority in each neuron, in fine-tuning by classes.
    best : (epoch, SomMap) or None
        The map that a rule wants to be kept; None: the last one.
    """

    som_map: SomMap
    history: list[EpochRecord] = field(default_factory=list)
    epochs: int = 0
    capped: bool = False
    converged: bool = False
    growth: Any = None
    stopped: str = ""
    watched: list[list[float]] = field(default_factory=list)
    majority: NDArray[np.bool_] | None = None
    best: tuple[int, SomMap] | None = None

    def plain(self) -> dict[str, Any]:
        """Return it in plain values and arrays."""
        return {
            **vars(self),
            "som_map": _plain_map(self.som_map),
            "best": None if self.best is None else [self.best[0], _plain_map(self.best[1])],
            "history": json.dumps(
                [{name: getattr(record, name) for name in _FIELDS} for record in self.history]
            ),
        }

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> Self:
        """Return what gave these values; ValueError, TypeError or KeyError where nothing did."""
        own = dict(values)
        own["som_map"] = _map_of_plain(own["som_map"])
        if own["best"] is not None:
            epoch, best = own["best"]
            own["best"] = int(epoch), _map_of_plain(best)
        own["watched"] = [list(values) for values in own["watched"]]
        own["history"] = list(map(record_of, json.loads(own["history"])))
        return cls(**own)


def record_of(plain: Mapping[str, Any]) -> EpochRecord:
    """Return the record of an epoch from JSON values."""
    births = tuple(GrowthEvent(epoch, at, (x, y)) for epoch, at, (x, y) in plain["births"])
    changes = tuple(map(change_of, plain.get("changes", ())))
    return EpochRecord(**{**plain, "births": births, "changes": changes})


def _plain_map(som_map: SomMap) -> dict[str, Any]:
    return {**som_map.grid.plain(), **{name: getattr(som_map, name) for name in _ARRAYS}}


def _map_of_plain(plain: Mapping[str, Any]) -> SomMap:
    arrays = {name: plain[name] for name in _ARRAYS}
    return SomMap.restored(**arrays, grid=Grid.of_plain(plain, arrays["positions"]))


# By the neurons that lead from the first map down to a map; () is the first one.
Path = tuple[int, ...]
States = dict[Path, TrainingState]


@dataclass
class Checkpointer:
    """The states of the trainings of a fit, and when they are written.

    Attributes
    ----------
    states : dict of tuple to TrainingState
        By the path down to the map: those that have ended, and the one that runs.
    write : callable, optional
        Takes the states to a safe place; None: nothing is written.
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
        """Return after each epoch of a map, of so many, whether it is time to write."""
        if self.write is None:
            return False
        self._passed += 1 / epochs
        since = time.monotonic() - self._ended
        if self.seconds == 0 or since >= max(self.seconds, self._took / _SHARE):
            return True
        return self._passed > _OLD - 1e-9 and since >= self._took / _SHARE_IF_OLD

    def save(self, path: Path, state: TrainingState) -> None:
        """Write the states, with that of the training of a map."""
        assert self.write is not None
        started = time.monotonic()
        self.states[path] = state
        self.write(self.states)
        self._ended = time.monotonic()
        self._took, self._passed = self._ended - started, 0.0
