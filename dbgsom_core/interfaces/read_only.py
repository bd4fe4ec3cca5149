"""What components get to see: arrays that they cannot write, and maps that are looked at after."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.errors import UnfitError
from dbgsom_core.som_map.som_map import SomMap

_HERE = "dbgsom_core.interfaces"
_PLAIN = frozenset((int, float, bool, str, type(None)))


@dataclass
class ReadOnly:
    """Makes what a component gets read-only for one call.

    An array becomes a read-only view, or without ``views`` is itself locked while the call lasts,
    as those of maps, samples and sparse tables are; a record of arrays becomes a copy with
    read-only views, so that what the component makes of it ends with the call.
    """

    views: bool = True
    _locked: list[NDArray[Any]] = field(default_factory=list)
    _maps: list[MapSnapshot] = field(default_factory=list)

    def of(self, value: Any) -> Any:
        """Return a value as a component gets it."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is np.ndarray or isinstance(value, np.ndarray):
            if not self.views:
                return self._lock(value)
            view = value.view()
            view.setflags(False)  # a word costs as much again
            return view
        if kind is SomMap:
            self._maps.append(MapSnapshot(value))
            self._lock(value.prototypes)
            for child in value.children.values():
                self.of(child)
        elif kind is tuple:
            return tuple(self.of(part) for part in value)
        elif kind is dict and self.views:  # what it learnt
            return {name: self.of(part) for name, part in value.items()}
        elif kind.__module__.startswith(_HERE) and hasattr(value, "__dataclass_fields__"):
            copied = object.__new__(kind)
            fields = vars(copied)
            for name, part in vars(value).items():
                fields[name] = part if type(part) in _PLAIN else self.of(part)
            return copied
        elif issparse(value):
            for name in ("data", "indices", "indptr"):
                self._lock(getattr(value, name))
        elif hasattr(value, "sample_weights"):  # samples, wherever they are
            for part in (value.X, value.weights):
                if isinstance(part, np.ndarray):
                    self._lock(part)
                elif issparse(part):
                    self.of(part)
        return value

    def end(self) -> None:
        """Unlock what was locked."""
        for array in self._locked:
            array.flags.writeable = True

    def check(self) -> None:
        """Raise UnfitError where a map is another one than before the call."""
        if any(snapshot.has_changed for snapshot in self._maps):
            raise UnfitError("changes the map, which is not its to change")

    def _lock(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.flags.writeable:
            array.flags.writeable = False
            self._locked.append(array)
        return array


class MapSnapshot:
    """Tells whether a map is another one than it was."""

    def __init__(self, som_map: SomMap) -> None:
        self._map, self._before = som_map, dict(vars(som_map))
        self._prototypes = som_map.prototypes.tobytes()
        self._children = dict(som_map.children)

    @property
    def has_changed(self) -> bool:
        """Whether cells, prototypes or child maps are other ones now."""
        now = vars(self._map)
        names = ("prototypes", "_positions", "children", "grid")
        return (
            any(now.get(name) is not self._before[name] for name in names)
            or now["children"] != self._children
            or now["prototypes"].tobytes() != self._prototypes
        )


def private_copy(value: Any) -> Any:
    """Return what a third party gets of a result: nothing that it changes is seen by others.

    Arrays become read-only views, mappings, lists and records copies of such parts; maps, models
    and their transformers are copied whole. Figures, which are written already, stay as they are.
    """
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if type(value) is dict:
        return {key: private_copy(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(private_copy, value))
    if isinstance(value, SomMap) or hasattr(value, "get_params"):
        return copy.deepcopy(value)
    if is_dataclass(value) and hasattr(value, "__dict__") and not isinstance(value, type):
        copied = copy.copy(value)
        for name, part in vars(value).items():
            object.__setattr__(copied, name, private_copy(part))
        return copied
    return value
