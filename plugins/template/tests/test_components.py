"""Every component keeps the promises of its kind, and can be used by its name."""

import pytest
from sklearn.datasets import load_iris

from dbgsom_core import SomClassifier
from dbgsom_core.testing import parametrize_with_checks
from dbgsom_example.grid import Corners
from dbgsom_example.growth import Greedy
from dbgsom_example.kernel import Plateau
from dbgsom_example.labeller import Confident
from dbgsom_example.metric import Weighted
from dbgsom_example.schedule import Steps
from dbgsom_example.start import Diagonal
from dbgsom_example.stopping import SmallEnough


@parametrize_with_checks(
    [Weighted(), Plateau(), Greedy(), Diagonal(), Corners(), Steps(), SmallEnough(), Confident()]
)
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
    ],
)
def test_each_component_is_used_by_its_name(part):
    X, y = load_iris(return_X_y=True)
    assert SomClassifier(**part, random_state=0).fit(X, y).score(X, y) > 0.7
