"""When a map has settled, so that its errors say where neurons are missing, and when for good."""

from __future__ import annotations

from dbgsom_core.api import GrowthState
from dbgsom_core.som_map import SomMap

_LEAST_WAVES = 16
_LEAST_QUIET = 4  # epochs without births after which a short training may count as grown


def has_settled(som_map: SomMap, state: GrowthState, settled_at: float) -> bool:
    """Say whether the prototypes moved at most ``settled_at``, or have had their time.

    ``settled_at`` is a share of the data's deviation. A short training cannot wait for rest: there
    are at least sixteen waves of growth.
    """
    return state.movement <= settled_at or _waited(som_map, state) >= state.epochs // _LEAST_WAVES


def has_grown(som_map: SomMap, state: GrowthState) -> bool:
    """Say whether two waves of growth have passed in which no neuron was born."""
    return _waited(som_map, state) >= max(2 * (state.epochs // _LEAST_WAVES), _LEAST_QUIET)


def _waited(som_map: SomMap, state: GrowthState) -> int:
    return state.epoch - int(som_map.birth_epochs.max())
