"""What tests of growth share."""

import numpy as np
import pytest

from dbgsom_core.api import GrowthState


@pytest.fixture(scope="session")
def state_of():
    """Return what a strategy is asked with in an epoch."""

    def state_of(errors, threshold=1.0, **changes):
        errors = np.asarray(errors, float)
        given = {
            "epoch": 2,
            "epochs": 50,
            "hits": np.ones(len(errors), int),
            "class_counts": None,
            "movement": 0.0,
            "room": None,
        }
        return GrowthState(errors=errors, threshold=threshold, **given | changes)

    return state_of
