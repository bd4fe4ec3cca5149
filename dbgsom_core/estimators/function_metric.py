"""A metric that is a function of a Python program, as scikit-learn takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.guard import told
from dbgsom_core.interfaces.metrics import MetricComponent
from dbgsom_core.interfaces.verdicts import distances

CURE = (
    "write it as a plugin ('dbgsom plugins new NAME'), which also is faster, and give its name as "
    "the metric"
)


class FunctionMetric(MetricComponent):
    """A function of two samples (D,) that returns their distance; it is called for each pair."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    function: Callable[..., Any] = Field(description="takes two samples, returns their distance")

    def pairwise(self, X: NDArray[Any], prototypes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the distances (m, K)."""
        found = np.empty((len(X), len(prototypes)))
        try:
            for i, j in np.ndindex(found.shape):
                found[i, j] = self.function(X[i], prototypes[j])
            return np.asarray(distances(found, found.shape))
        except Exception as error:
            raise ComponentError(f"metric, {self!r}: {told(error)}") from error

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return f"the function {self.function.__module__}.{name}"
