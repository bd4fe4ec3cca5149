"""When a training counts as come to rest, and when that is said."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from dbgsom_core import SomClassifier, SomVQ, presets
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.stopping import is_stationary
from dbgsom_plugins.training import Exponential

FINE = Schedule(epochs=20, fine_epochs=12, start=None, end=0.5, width_schedule=Exponential().width)


def history(errors):
    return [
        EpochRecord(i, 20, "fine" if i > 8 else "growing", 0.5, 4, (), error, 0.1, 0.0)
        for i, error in enumerate([9.0] * 8 + list(errors), start=1)
    ]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([5.0] * 4 + [1.2] * 4 + [1.0] * 4, True),  # the last four count
        ([1.0] * 10 + [0.9] * 2, False),
        (np.linspace(1.0, 0.8, 12), False),  # it still falls
        ([1.0, 1.1] * 6, True),  # it swings, and goes nowhere
        ([1.0] * 4, True),
        ([1.0] * 3, False),  # too few to say so
    ],
)
def test_a_map_is_stationary_when_its_error_goes_nowhere(errors, expected):
    assert is_stationary(history(errors), FINE) is expected


def test_epochs_of_growth_say_nothing(iris):
    shrinking = Schedule(20, fine_epochs=0, start=2.0, end=0.5, width_schedule=Exponential().width)
    assert not is_stationary(history([1.0] * 12), shrinking)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        assert not SomVQ(growth="fixed", epochs=10).fit(iris[0]).converged_
        assert not presets.paper(0.5, 10).fit(iris[0]).converged_


@pytest.mark.parametrize("made", [SomVQ, SomClassifier])
def test_too_few_epochs_are_told_once(iris, made):
    with pytest.warns(ConvergenceWarning, match="has not converged in 12 epochs") as told:
        assert not made(epochs=12).fit(*iris).converged_
    assert len(told) == 1
    assert told[0].filename == __file__


def test_who_asks_for_all_epochs_and_who_goes_on_hears_nothing(iris):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        SomVQ(epochs=12, tol=0).fit(iris[0])
        going_on = SomVQ().fit(iris[0])
        going_on.partial_fit(iris[0][:20])
