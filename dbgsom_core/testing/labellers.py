"""Checks of labellers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.labellers import LabelEvidence, LabellerAbilities, Surroundings
from dbgsom_core.testing import material
from dbgsom_core.testing.fitting import check_fit, only_regresses
from dbgsom_core.testing.kit import Subject, check


def _evidence(component: Any) -> LabelEvidence:
    evidence = material.evidence()
    if not only_regresses(component):
        return evidence
    numbers = material.frozen(material.data()[:, 0])
    return replace(evidence, y=numbers, classes=None, class_counts=None)


def _columns(component: Any) -> tuple[int, ...]:
    columns = LabellerAbilities.of(component).columns
    return () if columns is None else (len(columns),)


def _tells_shares(component: Any, subject: Subject) -> bool:
    return LabellerAbilities.of(component).probabilities is not None


@check("labeller")
def check_labels(component: Any, subject: Subject) -> None:
    """It gives one label a neuron, or one for each of its ``columns``, the same when asked twice,
    and only reads its evidence.
    """
    evidence = _evidence(component)
    kept = evidence.som_map.prototypes.copy()
    first, second = (np.asarray(component.label(evidence)) for _ in range(2))
    shape = (len(evidence.som_map), *_columns(component))
    assert first.shape == shape, f"labels have shape {first.shape}, not {shape}"
    assert np.array_equal(first, second), "two calls differ"
    assert np.array_equal(evidence.som_map.prototypes, kept), "it changes the map"


@check("labeller", applies=_tells_shares)
def check_probabilities(component: Any, subject: Subject) -> None:
    """Its probabilities have a column for each class, none negative, and rows that sum to 1."""
    evidence = material.evidence()
    assert evidence.classes is not None
    shares = np.asarray(component.probabilities(evidence))
    expected = (len(evidence.som_map), len(evidence.classes))
    assert shares.shape == expected, f"shape {shares.shape}, not {expected}"
    live = shares[evidence.hits > 0]
    assert (live >= 0).all(), "a probability is negative"
    assert np.allclose(live.sum(axis=1), 1), "probabilities do not sum to 1"


@check("labeller", applies=_tells_shares)
def check_labels_agree_with_probabilities(component: Any, subject: Subject) -> None:
    """The label of a neuron, where it is a class, is one of the most probable ones."""
    evidence = material.evidence()
    assert evidence.classes is not None
    shares = np.asarray(component.probabilities(evidence))
    labels = np.asarray(component.label(evidence))
    for neuron in np.flatnonzero(evidence.hits > 0):
        known = np.flatnonzero(evidence.classes == labels[neuron])
        least = shares[neuron].max() - 1e-9
        assert all(shares[neuron, known] >= least), (
            f"neuron {neuron} is labelled {labels[neuron]!r}, which is not its most probable class"
        )


def _answers(component: Any, subject: Subject) -> bool:
    return LabellerAbilities.of(component).answer is not None


@check("labeller", applies=_answers)
def check_answers(component: Any, subject: Subject) -> None:
    """It learns arrays, and answers samples from the groups around them, one by one."""
    regresses = only_regresses(component)
    around, y, state = _learnt(component)
    assert all(isinstance(one, np.ndarray) for one in state.values()), "the state is no arrays"
    answers = np.asarray(component.answer(around, state))
    shape = (len(y), *_columns(component)) if regresses else (len(y), around.n_classes)
    assert answers.shape == shape, f"shape {answers.shape}, not {shape}"
    assert np.isfinite(answers).all(), "an answer is not finite"
    if not regresses:
        assert (answers >= 0).all(), "a probability is negative"
        assert np.allclose(answers.sum(axis=1), 1), "probabilities do not sum to 1"
    alone = np.asarray(component.answer(_some(around, slice(3, 9)), state))
    assert np.allclose(alone, answers[3:9]), "an answer depends on the other samples"


@check("labeller", applies=_answers)
def check_answers_in_threads(component: Any, subject: Subject) -> None:
    """Several threads, each with some of the samples, get the answers that one gets."""
    around, y, state = _learnt(component)
    answers = np.asarray(component.answer(around, state))
    parts = [slice(start, start + 5) for start in range(0, len(y), 5)]

    def ask(rows: slice) -> NDArray[Any]:
        return np.asarray(component.answer(_some(around, rows), state))

    with ThreadPoolExecutor(4) as pool:
        for rows, found in zip(parts, pool.map(ask, parts), strict=True):
            same = found.shape == answers[rows].shape and np.allclose(found, answers[rows])
            assert same, "a thread got other answers"


def _learnt(component: Any) -> tuple[Surroundings, NDArray[Any], Any]:
    regresses = only_regresses(component)
    around = material.surroundings(numbers=regresses)
    rng = np.random.default_rng(0)
    y = rng.normal(size=len(around.X)) if regresses else rng.integers(0, 3, len(around.X))
    return around, y, component.learn(around, material.frozen(y), None, material.ring())


_PER_SAMPLE = ("distances", "weights", "values", "units", "X")


def _some(around: Surroundings, rows: slice) -> Surroundings:
    return replace(around, **{name: getattr(around, name)[rows] for name in _PER_SAMPLE})


def _takes_all(component: Any, subject: Subject) -> bool:
    return LabellerAbilities.of(component).several_targets


@check("labeller", applies=_takes_all)
def check_several_targets(component: Any, subject: Subject) -> None:
    """A column of numbers for each target, also where some of them are not known."""
    numbers = material.data()[:, :3]
    numbers[::7, 1] = np.nan
    evidence = replace(
        material.evidence(), y=material.frozen(numbers), classes=None, class_counts=None
    )
    labels = np.asarray(component.label(evidence), dtype=np.float64)
    shape = (len(evidence.som_map), 3)
    assert labels.shape == shape, f"labels have shape {labels.shape}, not {shape}"
    assert np.isfinite(labels[evidence.hits > 0]).all(), "a label is not finite"


@check("labeller")
def check_labeller_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map answers through it, with text as labels and with numbers."""
    numbers = np.arange(material.SAMPLES) % 3
    for y in (numbers, numbers / 7) if only_regresses(component) else (material.classes(), numbers):
        needs = LabellerAbilities.of(component).needs_target
        estimator = check_fit(material.data(), y if needs else None, labeller=component)
        assert len(estimator.neuron_labels_) == len(estimator.weights_)
