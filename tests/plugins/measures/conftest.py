"""What tests of measures share."""

import pytest

from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.metrics.norms import Euclidean


@pytest.fixture(scope="session")
def evaluate():
    """Return an evaluation of samples on a map."""

    def evaluate(X, som_map, metric=None, **more):
        return Evaluation(som_map, LocalEngine().over(X, metric or Euclidean()), **more)

    return evaluate
