"""Every component keeps the promises of its kind, and can be used by its name."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

from dbgsom_core import SomClassifier
from dbgsom_core.testing import parametrize_with_checks
from dbgsom_example.engine import Device
from dbgsom_example.grid import Corners
from dbgsom_example.growth import Greedy
from dbgsom_example.kernel import Plateau
from dbgsom_example.labeller import Confident
from dbgsom_example.metric import Weighted
from dbgsom_example.schedule import Steps
from dbgsom_example.start import Diagonal
from dbgsom_example.stopping import SmallEnough

COMPONENTS = [
    Weighted(), Plateau(), Greedy(), Diagonal(), Corners(), Steps(), SmallEnough(), Confident(),
    Device(),
]  # fmt: skip


@parametrize_with_checks(COMPONENTS)
def test_each_component_keeps_its_promises(component, check):
    check(component)


@pytest.mark.parametrize(
    "part",
    [
        {"metric": {"name": "example_weighted", "power": 2.0}},
        {"kernel": "example_plateau"},
        {"growth": "example_greedy"},
        {"init": "example_diagonal"},
        {"grid": "example_corners"},
        {"schedule": "example_steps"},
        {"stopping": "example_small_enough"},
        {"labeller": "example_confident"},
        {"engine": "example_device"},
    ],
)
def test_each_component_is_used_by_its_name(part):
    X, y = load_iris(return_X_y=True)
    assert SomClassifier(**part, random_state=0).fit(X, y).score(X, y) > 0.7


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_device_gives_the_map_of_the_built_in_engine_to_the_bit(dtype):
    X, y = load_digits(return_X_y=True)
    mine, usual = (
        SomClassifier(engine=engine, max_neurons=60, random_state=0).fit(X.astype(dtype), y)
        for engine in (Device(), "local")
    )
    for name in ("weights_", "hit_counts_", "errors_", "labels_"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(usual, name), name)
    np.testing.assert_array_equal(mine.predict_proba(X), usual.predict_proba(X))
