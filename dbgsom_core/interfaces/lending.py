"""What components get to see: arrays that they cannot write, and a map that stays as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.errors import UnfitError
from dbgsom_core.som_map.som_map import SomMap

_HERE = "dbgsom_core.interfaces"


@contextmanager
def lent(given: tuple[Any, ...], views: bool = True) -> Iterator[list[Any]]:
    """Lend arguments to a component for one call.

    An array becomes a read-only view, or without ``views`` is itself locked while the call lasts; a
    record of arrays becomes a copy of read-only views, so that what the component makes of it ends
    with the call. The map's own arrays go out as they are, since compiled loops would be compiled
    again for others: they are compared afterwards, and put back.

    Raises
    ------
    UnfitError
        The component changed the map.
    """
    loan = _Loan(views, [], [])
    try:
        yield [loan.of(one) for one in given]
    finally:
        for array in loan.locked:
            array.flags.writeable = True
        changed = [kept.put_back() for kept in loan.maps]
    if any(changed):
        raise UnfitError("changes the map, which is not its to change")


@dataclass(frozen=True)
class _Loan:
    """What is locked, and which maps are watched."""

    views: bool
    locked: list[NDArray[Any]]
    maps: list[Kept]

    def of(self, value: Any) -> Any:
        """Return a value as a component gets it."""
        if isinstance(value, np.ndarray):
            return _read_only(value) if self.views else self._lock(value)
        if isinstance(value, SomMap):
            self.maps.append(Kept.of(value))
            for child in value.children.values():
                self.of(child)
        elif type(value) is tuple:
            return tuple(self.of(part) for part in value)
        elif type(value).__module__.startswith(_HERE) and hasattr(value, "__dataclass_fields__"):
            own = copy.copy(value)
            vars(own).update({name: self.of(part) for name, part in vars(own).items()})
            return own
        elif issparse(value):
            for part in ("data", "indices", "indptr"):
                self._lock(getattr(value, part))
        elif hasattr(value, "sample_weights"):  # samples, wherever they are
            for part in (value.X, value.weights):
                if isinstance(part, np.ndarray):
                    self._lock(part)
                elif issparse(part):
                    self.of(part)
        return value

    def _lock(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.flags.writeable:
            array.flags.writeable = False
            self.locked.append(array)
        return array


@dataclass(frozen=True)
class Kept:
    """A map as it was."""

    som_map: SomMap
    attributes: dict[str, Any]
    prototypes: NDArray[np.float64]
    children: dict[int, SomMap]

    @classmethod
    def of(cls, som_map: SomMap) -> Kept:
        """Remember a map."""
        prototypes = som_map.prototypes.copy()
        return cls(som_map, dict(vars(som_map)), prototypes, dict(som_map.children))

    def put_back(self) -> bool:
        """Return whether the map is another one now, and make it what it was."""
        own, now = self.attributes, vars(self.som_map)
        same = own["children"] == self.children and all(
            now.get(name) is own[name] for name in ("prototypes", "_positions", "children", "grid")
        )
        same = same and np.array_equal(own["prototypes"], self.prototypes, equal_nan=True)
        if not same:
            now.clear()
            now.update(own)
            own["prototypes"][:] = self.prototypes
            own["children"].clear()
            own["children"].update(self.children)
        return not same


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
