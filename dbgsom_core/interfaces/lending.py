"""What components get to see: arrays that they cannot write, and a map that stays as it was."""

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
class Loan:
    """What a component is lent for one call.

    An array becomes a read-only view, or without ``views`` is itself locked while the call lasts; a
    record of arrays becomes a copy with read-only views, so that what the component makes of it
    ends with the call. The map's own arrays go out as they are, since compiled loops would be
    compiled again for others: they are compared afterwards, and put back.
    """

    views: bool = True
    _locked: list[NDArray[Any]] = field(default_factory=list)
    _maps: list[Kept] = field(default_factory=list)
    _changed: bool = False

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
            self._maps.append(Kept.of(value))
            for child in value.children.values():
                self.of(child)
        elif kind is tuple:
            return tuple(self.of(part) for part in value)
        elif kind is dict and self.views:  # what it learnt
            return {name: self.of(part) for name, part in value.items()}
        elif kind.__module__.startswith(_HERE) and hasattr(value, "__dataclass_fields__"):
            own = object.__new__(kind)
            inside = vars(own)
            for name, part in vars(value).items():
                inside[name] = part if type(part) in _PLAIN else self.of(part)
            return own
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

    def give_back(self) -> None:
        """Unlock arrays and put maps back."""
        for array in self._locked:
            array.flags.writeable = True
        for kept in self._maps:
            self._changed |= kept.put_back()

    def check(self) -> None:
        """Raise UnfitError where the component had changed a map."""
        if self._changed:
            raise UnfitError("changes the map, which is not its to change")

    def _lock(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.flags.writeable:
            array.flags.writeable = False
            self._locked.append(array)
        return array


@dataclass(slots=True)
class Kept:
    """A map as it was."""

    som_map: SomMap
    attributes: dict[str, Any]
    prototypes: bytes
    children: dict[int, SomMap]

    @classmethod
    def of(cls, som_map: SomMap) -> Kept:
        """Remember a map."""
        prototypes, children = som_map.prototypes.tobytes(), dict(som_map.children)
        return cls(som_map, dict(vars(som_map)), prototypes, children)

    def put_back(self) -> bool:
        """Return whether the map is another one now, and make it what it was."""
        own, now = self.attributes, vars(self.som_map)
        same = own["children"] == self.children and own["prototypes"].tobytes() == self.prototypes
        for name in ("prototypes", "_positions", "children", "grid"):
            same = same and now.get(name) is own[name]
        if not same:
            now.clear()
            now.update(own)
            prototypes = own["prototypes"]
            prototypes[:] = np.frombuffer(self.prototypes).reshape(prototypes.shape)
            own["children"].clear()
            own["children"].update(self.children)
        return not same


def handed_out(value: Any) -> Any:
    """Return what a third party gets of a result: nothing that it changes is told to others.

    Arrays become read-only views, mappings, lists and records copies of such parts; maps, models
    and their transformers are copied whole. Figures, which are written already, stay as they are.
    """
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if type(value) is dict:
        return {key: handed_out(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(handed_out, value))
    if isinstance(value, SomMap) or hasattr(value, "get_params"):
        return copy.deepcopy(value)
    if is_dataclass(value) and hasattr(value, "__dict__") and not isinstance(value, type):
        own = copy.copy(value)
        for name, part in vars(value).items():
            object.__setattr__(own, name, handed_out(part))
        return own
    return value
