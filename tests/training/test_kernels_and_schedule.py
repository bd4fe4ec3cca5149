"""Kernels are what their formulas say; widths follow the stated schedules."""

import numpy as np
import pytest

from dbgsom_core.interfaces.component import guarded
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.schedule import DEFAULT_FINE_END, Schedule
from dbgsom_plugins.growth.classical import Fixed
from dbgsom_plugins.growth.directed import Directed
from dbgsom_plugins.training import Bubble, CutGaussian, Epanechnikov, Gaussian, Triangular


def fine(growth):
    return guarded(growth)


HOPS = np.arange(7.0)
MAP = SomMap.rectangle(8, 8, np.zeros((64, 1)))


def test_epanechnikov_reaches_linked_neighbours_to_the_end():
    widths = [
        Schedule.from_parts(Epanechnikov(), fine(Fixed()), 30).width(e, MAP) for e in range(1, 31)
    ]
    assert widths[-1] == 1.1
    assert all(np.diff(widths) < 0)


def test_linear_decay_is_the_papers_formula():
    schedule = Schedule.from_parts(Triangular(), fine(Fixed()), 40)
    expected = [(2 - 0.7) * ((40 - e) / 39) + 0.7 for e in range(1, 41)]
    assert [schedule.width(e, MAP) for e in range(1, 41)] == expected


def test_fine_tuning_keeps_the_final_width_and_allows_no_growth():
    schedule = Schedule.from_parts(
        Gaussian(start=3.0, end=0.5), fine(Directed(fine_tuning=0.25)), 40
    )
    assert schedule.growing_epochs == 30
    assert {schedule.width(e, MAP) for e in range(31, 41)} == {0.5}
    assert [e for e in range(1, 41) if schedule.may_grow(e)] == list(range(2, 30))
    assert [schedule.phase(e) for e in (1, 30, 31, 40)] == ["growing", "growing", "fine", "fine"]


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [(None, None, 2.0, DEFAULT_FINE_END), ("auto", 0.5, 3.0, 0.5)],
)
def test_fine_tuning_follows_at_once_when_the_map_is_full(start, end, first, last):
    kernel = Gaussian(start=start, end=end)
    whole = Schedule.from_parts(kernel, fine(Directed()), 100)
    schedule = whole.full_after(30)
    assert whole.ending_at(50) == schedule  # as a training that goes on does
    assert (schedule.epochs, schedule.growing_epochs, schedule.fine_epochs) == (50, 30, 20)
    assert [schedule.phase(e) for e in (30, 31)] == ["growing", "fine"]
    assert not any(schedule.may_grow(e) for e in range(30, 51))
    widths = [schedule.width(e, MAP) for e in range(31, 51)]
    assert widths == sorted(widths, reverse=True)
    assert schedule.pull(50) == 0.7
    assert 0.8 * first < widths[0] < first
    np.testing.assert_allclose(widths[-1], last)


@pytest.mark.parametrize(
    ("kernel", "width", "expected"),
    [
        (Gaussian(), 1.5, np.exp(-(HOPS**2) / 4.5)),
        (CutGaussian(cutoff=2.0), 1.5, np.where(HOPS <= 3, np.exp(-(HOPS**2) / 4.5), 0.0)),
        (Triangular(), 2.0, [1, 2 / 3, 1 / 3, 0, 0, 0, 0]),
        (Bubble(), 2.0, [1, 1, 1, 0, 0, 0, 0]),
        (Epanechnikov(), 2.5, [1, 0.84, 0.36, 0, 0, 0, 0]),
    ],
)
def test_kernels_by_hand(kernel, width, expected):
    np.testing.assert_allclose(kernel.weight(HOPS, width), expected, atol=1e-15)
