"""What stays the same during a training, and its state, from which another process goes on.

What goes from one epoch to the next is small: the map, the records, and what growth keeps. What the
last search found is found again from the prototypes, to the bit: units are those of the definition,
and sums and errors lie on a grid on which their order does not matter.
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
from dbgsom_core.interfaces.growth import GrowthAbilities, GrowthStrategy
from dbgsom_core.interfaces.kernels import Kernel, KernelAbilities
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import SomMap, change_of
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import Target

SETTINGS = ("epochs", "tol", "robust", "contamination", "random_state")


@dataclass(frozen=True)
class FitTask:
    """Everything on which the bits of a fit depend.

    ``start`` is a trained map that goes on, where the first ``new`` samples are new and the others
    stand for what it has seen. ``validation`` are samples held out for stopping rules, and their
    targets; of child maps there are none.
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
    """Everything that stays the same during the training of one map."""

    data: Samples  # the prepared training samples, with their classes where y gives some
    kernel: Kernel
    growth: GrowthStrategy
    epochs: int  # an upper bound
    tol: float  # share of the deviation; 0: run all epochs, also those that growth leaves
    deviation: float  # ‖std(X)‖
    threshold: float = float("nan")
    max_neurons: int | None = None
    cap_is_automatic: bool = False  # warn when it binds, since nobody chose it
    robust: float | None = None  # γ in the inverse of the squared distance's units; None: off
    continues: bool = False  # the map is trained: the kernel stays at its final width
    course: Any = None  # how the width goes down; None: as the kernel's ``decay`` says
    stopping: tuple[Any, ...] = ()
    validation: Samples | None = None
    monitor: Any = None  # a ValidationMonitor for stopping rules that need targets
    seed: tuple[int, ...] = (0,)

    @property
    def centre(self) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
        """How the metric forms a prototype from a mean, where it has a way of its own."""
        return self.data.metric.centre

    @cached_property
    def weighing(self) -> KernelAbilities:
        return KernelAbilities.of(self.kernel)

    @cached_property
    def growing(self) -> GrowthAbilities:
        return GrowthAbilities.of(self.growth)


_ARRAYS = ("positions", "prototypes", "parents", "birth_epochs")  # of a map
_FIELDS = tuple(field.name for field in fields(EpochRecord))


@dataclass
class TrainingState:
    """The training of one map between two epochs."""

    som_map: SomMap
    history: list[EpochRecord] = field(default_factory=list)
    epochs: int = 0  # an upper bound, which a full map lowers; 0: that of the configuration
    capped: bool = False  # growth wanted more than ``max_neurons``
    converged: bool = False
    growth: Any = None  # what the strategy keeps; set where the state is written
    stopped: str = ""  # what ended the training early: a rule's name or a callback
    watched: list[list[float]] = field(default_factory=list)  # by each rule in each epoch
    majority: NDArray[np.bool_] | None = None  # (K, C), in fine-tuning by classes
    best: tuple[int, SomMap] | None = None  # epoch and map to be kept; None: the last one

    def plain(self) -> dict[str, Any]:
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
        state = dict(values)
        state["som_map"] = _map_of_plain(state["som_map"])
        if state["best"] is not None:
            epoch, best = state["best"]
            state["best"] = int(epoch), _map_of_plain(best)
        state["watched"] = [list(values) for values in state["watched"]]
        state["history"] = list(map(record_of, json.loads(state["history"])))
        return cls(**state)


def record_of(plain: Mapping[str, Any]) -> EpochRecord:
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

_SHARE = 0.01  # of the time, which writing takes at most,
_OLD, _SHARE_IF_OLD = 0.05, 0.02  # but where so much of a training is not written down yet
_FIRST = 0.004  # seconds that the first writing is thought to take


@dataclass
class Checkpointer:
    """The states of the trainings of a fit, those that have ended and the one that runs.

    They are written after so many ``seconds``; later where writing takes more than a hundredth of
    the time, and earlier where a twentieth of the epochs have passed and writing takes a fiftieth
    of the time at most. 0: after every epoch.
    """

    states: States = field(default_factory=dict)
    write: Callable[[States], None] | None = None  # to a safe place; None: nothing is written
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
