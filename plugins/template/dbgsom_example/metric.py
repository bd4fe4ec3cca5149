"""A distance metric in plain numpy."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from dbgsom_core.api import MetricComponent


class Weighted(MetricComponent):
    """Mean absolute difference raised to a power: small differences count less than large ones."""

    claims: ClassVar[tuple[str, ...]] = ("identity", "symmetry")

    power: float = Field(default=1.5, ge=1, description="1: as they are; above: large ones more")

    def pairwise(self, X, prototypes):
        """Return the distances (m, K) of samples X (m, D) to prototypes (K, D)."""
        differences = np.abs(X[:, None, :].astype(np.float64) - prototypes[None, :, :])
        return (differences**self.power).mean(axis=2)
