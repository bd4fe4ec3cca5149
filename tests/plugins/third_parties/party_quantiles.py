"""A third party's labeller that answers with quantiles of the target (Koenker & Bassett 1978)."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dbgsom_core.api import LabellerComponent, hookimpl

DBGSOM_API_VERSION = 1
Share = Annotated[float, Field(gt=0, lt=1)]


class Quantiles(LabellerComponent):
    """Each neuron answers with quantiles of the targets of its samples."""

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)

    shares: tuple[Share, ...] = Field(default=(0.1, 0.5, 0.9), min_length=1, description="which")

    @property
    def columns(self):
        """What the quantiles are called."""
        return tuple(f"q{100 * share:g}" for share in self.shares)

    @property
    def point_column(self):
        """The one nearest to the median."""
        return int(np.abs(np.array(self.shares) - 0.5).argmin())

    def label(self, evidence):
        """Return the quantiles (K, Q)."""
        found = np.empty((len(evidence.som_map), len(self.shares)))
        bmu, y = np.asarray(evidence.bmu), np.asarray(evidence.y)
        for neuron in range(len(found)):
            own = y[bmu == neuron]
            found[neuron] = np.quantile(own if len(own) else y, self.shares)
        return found


@hookimpl
def dbgsom_labellers():
    """Offer it."""
    return {"quantiles": Quantiles}
