"""Checks of labellers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.testing import material
from dbgsom_core.testing.kit import Subject, ask, check


def _evidence(component: Any, y: NDArray[Any] | None = None) -> Any:
    evidence = material.evidence()
    if y is None and not material.only_regresses(component):
        return evidence
    y = material.data()[:, 0] if y is None else y
    return replace(evidence, y=y, classes=None, class_counts=None)


def _columns(component: Any) -> tuple[int, ...]:
    columns = LabellerAbilities.of(component).columns
    return () if columns is None else (len(columns),)


@check("labeller")
def check_labels(component: Any, subject: Subject) -> None:
    """It gives one label a neuron, or one for each of its ``columns``, the same again."""
    evidence = _evidence(component)
    first, second = (ask("labeller", component, "label", evidence) for _ in range(2))
    shape = (len(evidence.som_map), *_columns(component))
    assert first.shape == shape, f"labels have shape {first.shape}, not {shape}"
    assert np.array_equal(first, second), "two calls differ"


@check("labeller", lambda component: LabellerAbilities.of(component).probabilities is not None)
def check_probabilities(component: Any, subject: Subject) -> None:
    """Its probabilities sum to 1, and the label of a neuron is one of the most probable classes."""
    evidence: Any = material.evidence()
    shares = ask("labeller", component, "probabilities", evidence)
    labels = ask("labeller", component, "label", evidence)
    for neuron in np.flatnonzero(evidence.hits > 0):
        known = np.flatnonzero(evidence.classes == labels[neuron])
        assert all(shares[neuron, known] >= shares[neuron].max() - 1e-9), (
            f"neuron {neuron} is labelled {labels[neuron]!r}, which is not its most probable class"
        )


@check("labeller", lambda component: LabellerAbilities.of(component).answer is not None)
def check_answers(component: Any, subject: Subject) -> None:
    """It learns arrays, and answers samples from the groups around them, one by one and in threads
    as all together.
    """
    regresses = material.only_regresses(component)
    around = material.surroundings(numbers=regresses)
    n, rng = len(around.X), np.random.default_rng(0)
    y = rng.normal(size=n) if regresses else rng.integers(0, 3, n)
    state = ask("labeller", component, "learn", around, y, None, material.ring())
    answers = ask("labeller", component, "answer", around, state)
    shape = (n, *(_columns(component) if regresses else (3,)))
    assert answers.shape == shape, f"shape {answers.shape}, not {shape}"
    per_sample = ("distances", "weights", "values", "units", "X")
    parts = [slice(start, start + 5) for start in range(0, n, 5)]

    def answer(rows: slice) -> NDArray[Any]:
        some = replace(around, **{name: getattr(around, name)[rows] for name in per_sample})
        return np.asarray(ask("labeller", component, "answer", some, state))

    with ThreadPoolExecutor(4) as pool:
        found = np.concatenate([*map(answer, parts), *pool.map(answer, parts)])
    same = np.allclose(found, np.concatenate([answers, answers]))
    assert same, "a thread got other answers, or an answer depends on the other samples"


@check("labeller", lambda component: LabellerAbilities.of(component).several_targets)
def check_several_targets(component: Any, subject: Subject) -> None:
    """A column of numbers for each target, also where some of them are not known."""
    numbers = material.data()[:, :3]
    numbers[::7, 1] = np.nan
    ask("labeller", component, "label", _evidence(component, numbers))
