"""Measures of classes on a map, each beside a slow statement of its definition."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from dbgsom_core.som_map.grid import SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.measures.targets import (
    BalancedAccuracy,
    ClassScatter,
    Entropy,
    NormalizedMutualInfo,
    Purity,
)


@pytest.fixture(scope="session")
def won(evaluate):
    """Return an evaluation in which sample i belongs to neuron units[i], which sits in a cell."""

    def won(cells, units, y, **more):
        som_map = SomMap(cells, 10.0 * np.asarray(cells, float))
        return evaluate(som_map.prototypes[units], som_map, y=y, **more)

    return won


@st.composite
def classes_on_maps(draw):
    cells = [(0, 0)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for _ in range(draw(st.integers(0, 14))):
        free = sorted({c for cell in cells for c in SQUARE.beside(cell)} - set(cells))
        cells.append(free[rng.integers(len(free))])
    n = draw(st.integers(1, 60))
    names = np.array(["a", "b", "c", "d"])[: draw(st.integers(1, 4))]
    return cells, rng.integers(len(cells), size=n), names[rng.integers(len(names), size=n)]


def slow_regions(cells, units, y):
    """How many regions each class has, found by walking from cell to cell."""
    found = []
    for name in set(y):
        left = {cells[unit] for unit, of in zip(units, y, strict=True) if of == name}
        regions = 0
        while left:
            regions += 1
            walk = [left.pop()]
            while walk:
                near = set(SQUARE.beside(walk.pop())) & left
                left -= near
                walk += near
        found.append(regions)
    return np.mean(found)


@settings(deadline=None)
@given(drawn=classes_on_maps())
def test_measures_of_classes_equal_their_slow_twins(won, drawn):
    cells, units, y = drawn
    evaluation = won(cells, units, y)
    by_unit = {unit: Counter(y[units == unit].tolist()) for unit in set(units.tolist())}
    right = sum(max(counts.values()) for counts in by_unit.values())
    bits = 0.0
    for counts in by_unit.values():
        shares = np.array(list(counts.values())) / counts.total()
        bits += counts.total() / len(y) * -(shares * np.log2(shares)).sum()
    assert Purity().compute(evaluation) == pytest.approx(right / len(y), rel=1e-14)
    assert Entropy().compute(evaluation) == pytest.approx(bits, abs=1e-12)
    assert ClassScatter().compute(evaluation) == pytest.approx(slow_regions(cells, units, y))


def test_samples_without_a_class_do_not_count(won):
    cells, y = [(0, 0), (1, 0)], np.array([0, 0, None, 1, None], dtype=object)
    labelled = np.array([True, True, False, True, False])
    evaluation = won(cells, [0, 0, 0, 0, 1], y, labelled=labelled)
    assert Purity().compute(evaluation) == pytest.approx(2 / 3)
    assert ClassScatter().compute(evaluation) == 1
    nobody = won(cells, [0, 1], np.array([None, None]), labelled=np.zeros(2, bool))
    with pytest.raises(ValueError, match="none has one"):
        Purity().compute(nobody)


@settings(deadline=None)
@given(drawn=classes_on_maps(), seed=st.integers(0, 2**32 - 1))
def test_agreement_with_answers_is_that_of_scikit_learn(won, drawn, seed):
    cells, units, y = drawn
    answers = np.random.default_rng(seed).choice(np.array(["a", "b", "c"]), size=len(y))
    evaluation = won(cells, units, y, predictions=answers)
    recalls = [np.mean(answers[y == name] == name) for name in set(y)]
    assert BalancedAccuracy().compute(evaluation) == pytest.approx(np.mean(recalls))
    expected = normalized_mutual_info_score(y, answers)
    assert NormalizedMutualInfo().compute(evaluation) == pytest.approx(expected)
