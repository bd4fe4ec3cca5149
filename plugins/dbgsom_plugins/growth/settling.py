"""When a map has settled, so that its errors say where neurons are missing."""

from __future__ import annotations

from dbgsom_core.api import GrowthState, SomMap

_LEAST_WAVES = 16


def has_settled(som_map: SomMap, state: GrowthState, settled_at: float) -> bool:
    """Say whether the prototypes moved at most ``settled_at``, or have had their time.

    ``settled_at`` is a share of the data's deviation. A short training cannot wait for rest: there
    are at least sixteen waves of growth.
    """
    if state.movement <= settled_at:
        return True
    waited = state.epoch - int(som_map.birth_epochs[-1])  # rows are in order of birth
    return waited >= state.epochs // _LEAST_WAVES
