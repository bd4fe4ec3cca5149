"""The great-circle distance."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import MetricComponent
from dbgsom_geo.sphere import on_sphere, to_degrees, to_sphere


def _great_circle(x: NDArray[Any], w: NDArray[Any], params: NDArray[Any]) -> float:
    # From the chord: exact for neighbours, where the arc cosine of a product is not.
    square = 0.0
    for axis in range(3):
        square += (x[axis] - w[axis]) ** 2
    half: float = min(1.0, 0.5 * math.sqrt(square))
    arc: float = 2.0 * params[0] * math.asin(half)
    return arc


class Haversine(MetricComponent):
    """Great-circle distance between places given as latitude and longitude in degrees.

    The map lives on the unit sphere: a prototype is the kernel-weighted mean of its places, pulled
    to the surface, so that places on both sides of the date line meet where they should.
    """

    claims: ClassVar[tuple[str, ...]] = ("identity", "symmetry", "triangle")
    scalar: ClassVar[Any] = staticmethod(numba.njit(_great_circle))

    radius: float = Field(default=6371.0088, gt=0, description="of the globe; its unit is yours")

    def prepare(self, X: NDArray[Any]) -> NDArray[Any]:
        return to_sphere(X)

    def centre(self, means: NDArray[Any]) -> NDArray[Any]:
        return on_sphere(means)

    def pairwise(self, X: NDArray[Any], prototypes: NDArray[Any]) -> NDArray[np.float64]:
        chords = np.linalg.norm(X[:, None].astype(np.float64) - prototypes[None], axis=2)
        return 2.0 * self.radius * np.arcsin(np.minimum(1.0, chords / 2.0))

    @staticmethod
    def examples(generator: np.random.Generator, n: int) -> NDArray[np.float64]:
        return to_degrees(generator.standard_normal((n, 3)))
