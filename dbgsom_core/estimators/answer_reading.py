"""Reading back what a labeller learnt, and what stands for the samples that it learnt it from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.errors import UnfitError
from dbgsom_core.estimators.held_values import shown
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.training.answering import Answering, Groups
from dbgsom_core.training.novelty import Density
from dbgsom_core.training.outputs import AnsweringEach

_TOLD = ("labels_", "neuron_labels_", "leaf_labels_")


def check_state(state: Any, whose: str) -> None:
    """Raise UnfitError where a state is neither None nor arrays by name."""
    if state is not None and not (
        isinstance(state, Mapping) and all(isinstance(one, np.ndarray) for one in state.values())
    ):
        raise UnfitError(f"holds a {whose}'s state that must be arrays by name, not {shown(state)}")


def read_answering(
    estimator: Any, state: Any, n_classes: int | None
) -> Answering | AnsweringEach | None:
    """Return what answers for an estimator that has been read but for that, from its ``state``.

    Raises
    ------
    UnfitError
        The state does not fit the estimator.
    """
    check_state(state, "labeller")
    if state is None:  # of a labeller that answers neuron by neuron, or before it could otherwise
        return None
    labeller, outputs = LabellerAbilities.of(estimator._parts.labeller), _outputs(estimator)
    classes = estimator.classes_ if n_classes is not None else None
    prototypes, metric = estimator._tree.weights, estimator._metric.abilities
    each = []
    for memory in outputs or [estimator._memory]:
        if labeller.answer is None or memory.labels is None:
            raise UnfitError("holds what a labeller learnt, and not what it learnt it from")
        _check_units(memory, prototypes)
        if classes is not None and (memory.labelled is None or not memory.labelled.any()):
            raise UnfitError("holds summaries without classes")
        groups = Groups.of(memory, prototypes, metric, classes)
        if classes is not None:
            _check_classes(memory.labels[memory.labelled], classes, groups.values)
        each.append(groups)
    answering: Answering | AnsweringEach = Answering(labeller, each[0], state)
    # A group is nearest to its own place: the last neuron's, and the last class's, tell of lengths.
    ends = np.concatenate([one.places[[0, -1, int(one.values.argmax())]] for one in each])
    shape = (len(ends),) if classes is None else (len(ends), n_classes)
    if outputs:
        states = AnsweringEach.states(state, len(outputs))
        parts = (Answering(labeller, *one) for one in zip(each, states, strict=True))
        answering = AnsweringEach(tuple(parts), estimator.leaf_labels_.ndim == 1)
        shape = (len(ends), *estimator.leaf_labels_.shape[1:])
    other = UnfitError("holds what its labeller learnt of another map")
    try:
        with one_blas_thread():  # what they are answered shows whether the state fits
            answer = answering.of_prototypes(ends, metric)
    except (LookupError, ValueError) as error:
        raise other from error
    if answer.shape != shape:
        raise other
    return answering


def _outputs(estimator: Any) -> list[Any]:
    outputs = getattr(estimator, "_outputs", [])
    told = [vars(estimator).get(name) for name in _TOLD]  # labels_ are not in every file
    shapes = {one.shape[1:] for one in told if one is not None}
    count = len(outputs)
    fitting: list[tuple[int, ...]] = [()] if count == 0 else [(count,), ()][: 3 - min(count, 2)]
    if len(shapes) != 1 or shapes.pop() not in fitting:
        raise UnfitError("holds answers to another number of questions than it learnt")
    return outputs


def read_density(estimator: Any) -> Density:
    """Return the density that the summaries of an estimator tell; UnfitError where they do not."""
    prototypes, memory = estimator._tree.weights, estimator._memory
    _check_units(memory, prototypes)
    return Density.of(memory, prototypes, estimator._metric.abilities)


def _check_classes(labels: NDArray[Any], classes: NDArray[Any], codes: NDArray[Any]) -> None:
    # Labellers count by codes, in compiled loops as well, which do not check them.
    if (codes >= len(classes)).any() or (classes[codes] != labels).any():
        raise UnfitError("holds summaries of classes that it does not know")


def _check_units(memory: Any, prototypes: NDArray[Any]) -> None:
    if memory.units is None:
        raise UnfitError("holds summaries that do not say of which leaves they are")
    if not ((memory.units >= 0) & (memory.units < len(prototypes))).all():
        raise UnfitError("holds summaries of leaves that there are not")
    if memory.X.shape[1] != prototypes.shape[1]:
        raise UnfitError("holds summaries of other columns than its prototypes")
