"""Constants and state of a training, from which another process can resume.

The state between epochs is small: the map, the records, and the growth strategy's state. The last
search is repeated from the prototypes, to the bit: units are exact, and sums and errors are exact
integers on a grid.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dbgsom_core.engine.results import Flags
from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.context import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.growth import GrowthComponent
from dbgsom_core.interfaces.kernels import KernelComponent
from dbgsom_core.interfaces.labellers import LabellerComponent
from dbgsom_core.interfaces.stopping import StoppingComponent
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import SomMap, change_of
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.targets import Target

SETTINGS = ("epochs", "tol", "contamination", "random_state")


@dataclass(frozen=True)
class FitTask:
    """All inputs of a fit.

    ``start`` is a trained map that continues: the first ``new`` samples are new, the others are
    micro-clusters of former ones. ``validation`` are held-out samples and targets for the stopping
    rules of the first map.
    """

    parts: Parts
    samples: Samples
    target: Target | None
    settings: Mapping[str, Any]  # the parameters of `SomVQ` that `SETTINGS` names
    start: SomMap | None = None
    new: int | None = None
    validation: tuple[Samples, Target | None] | None = None


@dataclass(frozen=True)
class TrainingConfig:
    """Constants of the training of one map."""

    data: Samples  # the prepared training samples, with classes if any
    kernel: KernelComponent  # this and the next as the core calls them
    growth: GrowthComponent
    schedule: Schedule  # of a map that is not full before its last growing epoch
    tol: float  # share of the deviation; 0: run all epochs
    deviation: float  # ‖std(X)‖
    threshold: float = float("nan")
    max_neurons: int | None = None
    rules: tuple[StoppingComponent, ...] = ()  # with what they measure: the next three
    validation: tuple[Samples, Target | None] | None = None
    target: Target | None = None
    labeller: LabellerComponent | None = None
    seed: tuple[int, ...] = (0,)


# ------------------------------------------------------------------------------- state


@dataclass
class TrainingState:
    """The training of one map between two epochs: all that a checkpoint holds of it."""

    som_map: SomMap
    epochs: int  # an upper bound, lowered when the map is full
    history: list[EpochRecord] = field(default_factory=list)
    capped: bool = False  # growth requested more than ``max_neurons``
    converged: bool = False
    growth: Any = None  # what the growth strategy keeps between epochs
    stopped: str = ""  # reason of an early end: a rule's name or a callback
    watched: list[list[float]] = field(default_factory=list)  # values by rule and epoch
    majority: Flags | None = None  # (K, C), in fine-tuning by classes
    best: tuple[int, SomMap] | None = None  # epoch and map to keep; None: the last one

    @property
    def next_epoch(self) -> int:
        """The number of the epoch that runs next, or is running, from 1."""
        return len(self.history) + 1

    @property
    def is_finished(self) -> bool:
        return self.converged or bool(self.stopped) or len(self.history) >= self.epochs


def write_state(state: TrainingState) -> dict[str, Any]:
    """Return a state in plain values and arrays, for `read_state`."""
    plain = dict(vars(state))
    plain["som_map"] = _write_map(state.som_map)
    if state.best is not None:
        epoch, som_map = state.best
        plain["best"] = [epoch, _write_map(som_map)]
    plain["history"] = json.dumps([asdict(record) for record in state.history])
    return plain


def read_state(plain: Mapping[str, Any]) -> TrainingState:
    """Return the state that `write_state` wrote; raises ValueError, TypeError or KeyError."""
    values = dict(plain)
    values["som_map"] = _read_map(values["som_map"])
    if values["best"] is not None:
        epoch, som_map = values["best"]
        values["best"] = int(epoch), _read_map(som_map)
    values["watched"] = [list(watched) for watched in values["watched"]]
    values["history"] = [parse_record(record) for record in json.loads(values["history"])]
    return TrainingState(**values)


def parse_record(plain: Mapping[str, Any]) -> EpochRecord:
    """Return the record of an epoch from the plain values of its fields."""
    births = tuple(GrowthEvent(epoch, at, (x, y)) for epoch, at, (x, y) in plain["births"])
    changes = tuple(change_of(change) for change in plain["changes"])
    return EpochRecord(**{**plain, "births": births, "changes": changes})


_ARRAYS = ("positions", "prototypes", "parents", "birth_epochs")  # of a map


def _write_map(som_map: SomMap) -> dict[str, Any]:
    return {**som_map.grid.plain(), **{name: getattr(som_map, name) for name in _ARRAYS}}


def _read_map(plain: Mapping[str, Any]) -> SomMap:
    arrays = {name: plain[name] for name in _ARRAYS}
    return SomMap.restored(**arrays, grid=Grid.of_plain(plain, arrays["positions"]))


# ------------------------------------------------------------------- when to write it

# The neurons from the first map down to a map; () is the first map.
Path = tuple[int, ...]
States = dict[Path, TrainingState]

_MAX_SHARE = 0.01  # of the time for writing


@dataclass
class Checkpointer:
    """The states of all trainings of a fit, finished and running, and when to write them.

    Every ``seconds`` (0: after every epoch), and less often where writing would take more than 1 %
    of the time.
    """

    states: States = field(default_factory=dict)
    write: Callable[[States], None] | None = None  # None: no checkpoints
    seconds: float = 1.0

    def __post_init__(self) -> None:
        self._saved = time.monotonic()
        self._save_seconds = 0.0

    def take(self, path: Path, state: TrainingState) -> None:
        """Take the state of the map at ``path`` after an epoch, and write all states when due."""
        if self.write is None:
            return
        self.states[path] = state
        now = time.monotonic()
        wait = max(self.seconds, self._save_seconds / _MAX_SHARE)
        if state.is_finished or (self.seconds > 0 and now - self._saved < wait):
            return
        self.write(self.states)
        self._saved = time.monotonic()
        self._save_seconds = self._saved - now
