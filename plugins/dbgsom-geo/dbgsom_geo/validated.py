"""Growth that stops when places outside the training data come no closer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from dbgsom_core.api import Birth, GrowthComponent, GrowthState
from dbgsom_geo.sphere import on_sphere, to_sphere

Place = tuple[float, float]


class Validated(GrowthComponent):
    """Give the neurons with the largest errors neighbours, in waves, while validation improves.

    The validation error is the mean angle between each place and its nearest prototype. A wave
    whose neurons lower it by less than ``least_gain`` was the last one. Needs metric ``haversine``.
    """

    places: tuple[Place, ...] = Field(
        min_length=1, description="in degrees", examples=[((60.0, 10.0), (-30.0, 150.0))]
    )
    least_gain: float = Field(default=0.01, ge=0, lt=1, description="share of the error")
    every: int = Field(default=4, ge=2, description="epochs in which a wave settles")
    share: float = Field(default=0.25, gt=0, le=1, description="of neurons that a wave grows at")
    max_neurons: int | Literal["auto"] | None = Field(default="auto", description="null: no cap")

    @field_validator("places")
    @classmethod
    def _on_the_globe(cls, places: tuple[Place, ...]) -> tuple[Place, ...]:
        to_sphere(np.array(places))
        return places

    def grow(self, som_map: Any, state: GrowthState) -> Sequence[Birth]:
        if state.epoch % self.every or not self._worth_it(som_map):
            return ()
        wanted = max(1, int(self.share * len(som_map)))
        births: list[Birth] = []
        taken: set[tuple[int, int]] = set()
        for neuron in np.argsort(-np.asarray(state.errors), kind="stable").tolist():
            free = [cell for cell in som_map.free_cells(neuron) if cell not in taken]
            if free and len(births) < wanted:
                taken.add(free[0])
                births.append(Birth(free[0], _beyond(som_map, neuron), neuron))
        return births

    def error(self, prototypes: NDArray[Any]) -> float:
        """Return the mean angle in radians between the places and their nearest prototypes."""
        chords = np.linalg.norm(to_sphere(np.array(self.places))[:, None] - prototypes, axis=2)
        return float((2.0 * np.arcsin(np.minimum(1.0, chords.min(axis=1) / 2.0))).mean())

    def _worth_it(self, som_map: Any) -> bool:
        # What the last wave brought is read from the map itself, so nothing must be remembered.
        if som_map.prototypes.shape[1] != 3:
            return True  # not on the sphere: places cannot be compared
        births = som_map.birth_epochs
        if births.max() == 0:
            return True
        before = self.error(som_map.prototypes[births < births.max()])
        return self.error(som_map.prototypes) <= (1.0 - self.least_gain) * before


def _beyond(som_map: Any, neuron: int) -> NDArray[Any]:
    mean = som_map.prototypes[som_map.neighbours(neuron)].mean(axis=0)
    prototype = np.asarray(2.0 * som_map.prototypes[neuron] - mean)
    return on_sphere(prototype[None])[0] if len(prototype) == 3 else prototype
