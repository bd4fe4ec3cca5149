"""Constants and state of a training, from which another process can resume.

The state between epochs is small: the map, the records, and the growth strategy's state. The last
search is repeated from the prototypes, to the bit: units are exact, and sums and errors are exact
integers on a grid.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.growth import GrowthComponent
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.kernels import KernelComponent
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import SomMap, change_of
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import Target

SETTINGS = ("epochs", "tol", "robust", "contamination", "random_state")


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
    kernel: KernelComponent
    growth: GrowthComponent
    epochs: int  # an upper bound
    tol: float  # share of the deviation; 0: run all epochs
    deviation: float  # ‖std(X)‖
    threshold: float = float("nan")
    max_neurons: int | None = None
    cap_is_automatic: bool = False  # warn when growth reaches it
    robust: float | None = None  # γ in the inverse of the squared distance's units; None: off
    continues: bool = False  # the map is trained: the kernel stays at its final width
    width_schedule: Any = None  # a schedule component of the width; None: the kernel's ``decay``
    stopping: tuple[Any, ...] = ()
    validation: Samples | None = None
    monitor: Any = None  # a ValidationMonitor for stopping rules that need targets
    seed: tuple[int, ...] = (0,)

    @property
    def centre(self) -> Any:
        """The metric's function from means to prototypes, if it has one."""
        return self.data.metric.centre

    @cached_property
    def guarded_kernel(self) -> KernelComponent:
        """The kernel as the core calls it."""
        kernel: KernelComponent = guarded(self.kernel)
        return kernel

    @cached_property
    def growing(self) -> GrowthComponent:
        """The growth strategy as the core calls it."""
        growth: GrowthComponent = guarded(self.growth)
        return growth


_ARRAYS = ("positions", "prototypes", "parents", "birth_epochs")  # of a map
_FIELDS = tuple(field.name for field in fields(EpochRecord))


@dataclass
class TrainingState:
    """The training of one map between two epochs."""

    som_map: SomMap
    history: list[EpochRecord] = field(default_factory=list)
    epochs: int = 0  # an upper bound, lowered when the map is full; 0: that of the configuration
    capped: bool = False  # growth requested more than ``max_neurons``
    converged: bool = False
    growth: Any = None  # the strategy's state; set before writing
    stopped: str = ""  # reason of an early end: a rule's name or a callback
    watched: list[list[float]] = field(default_factory=list)  # values by rule and epoch
    majority: NDArray[np.bool_] | None = None  # (K, C), in fine-tuning by classes
    best: tuple[int, SomMap] | None = None  # epoch and map to keep; None: the last one

    def to_dict(self) -> dict[str, Any]:
        return {
            **vars(self),
            "som_map": _map_to_dict(self.som_map),
            "best": None if self.best is None else [self.best[0], _map_to_dict(self.best[1])],
            "history": json.dumps(
                [{name: getattr(record, name) for name in _FIELDS} for record in self.history]
            ),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the state of `to_dict`; raises ValueError, TypeError or KeyError."""
        state = dict(values)
        state["som_map"] = _map_from_dict(state["som_map"])
        if state["best"] is not None:
            epoch, best = state["best"]
            state["best"] = int(epoch), _map_from_dict(best)
        state["watched"] = [list(values) for values in state["watched"]]
        state["history"] = list(map(parse_record, json.loads(state["history"])))
        return cls(**state)


def parse_record(plain: Mapping[str, Any]) -> EpochRecord:
    births = tuple(GrowthEvent(epoch, at, (x, y)) for epoch, at, (x, y) in plain["births"])
    changes = tuple(map(change_of, plain.get("changes", ())))
    return EpochRecord(**{**plain, "births": births, "changes": changes})


def _map_to_dict(som_map: SomMap) -> dict[str, Any]:
    return {**som_map.grid.plain(), **{name: getattr(som_map, name) for name in _ARRAYS}}


def _map_from_dict(plain: Mapping[str, Any]) -> SomMap:
    arrays = {name: plain[name] for name in _ARRAYS}
    return SomMap.restored(**arrays, grid=Grid.of_plain(plain, arrays["positions"]))


# The neurons from the first map down to a map; () is the first map.
Path = tuple[int, ...]
States = dict[Path, TrainingState]

_MAX_SHARE = 0.01  # of the time for writing
_UNSAVED, _UNSAVED_SHARE = 0.05, 0.02  # the same where this share of a training is not saved
_FIRST_SECONDS = 0.004  # estimated time of the first write


@dataclass
class Checkpointer:
    """The states of all trainings of a fit, finished and running, and when to write them.

    Every ``seconds`` (0: after every epoch); less often where writing takes more than 1 % of the
    time, and sooner after 5 % of the epochs if writing takes at most 2 % of the time.
    """

    states: States = field(default_factory=dict)
    write: Callable[[States], None] | None = None  # None: no checkpoints
    seconds: float = 1.0

    def __post_init__(self) -> None:
        self._saved, self._save_seconds, self._progress = time.monotonic(), _FIRST_SECONDS, 0.0

    def is_due(self, epochs: int) -> bool:
        """Return, after each of a map's ``epochs`` epochs, whether to write."""
        if self.write is None:
            return False
        self._progress += 1 / epochs
        since = time.monotonic() - self._saved
        if self.seconds == 0 or since >= max(self.seconds, self._save_seconds / _MAX_SHARE):
            return True
        return self._progress > _UNSAVED - 1e-9 and since >= self._save_seconds / _UNSAVED_SHARE

    def save(self, path: Path, state: TrainingState) -> None:
        """Write all states, with that of the map at ``path``."""
        assert self.write is not None
        started = time.monotonic()
        self.states[path] = state
        self.write(self.states)
        self._saved = time.monotonic()
        self._save_seconds, self._progress = self._saved - started, 0.0
