"""What is told of samples by the groups around them, found by one search for all who ask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import Samples
from dbgsom_core.training.answering import Answering
from dbgsom_core.training.novelty import Density
from dbgsom_core.training.outputs import AnsweringEach
from dbgsom_core.training.places import Near, each_block

_FOUND_ALIKE = 3  # so many nearest, and more, are found in one way; fewer may be in another


def answers_and_scores(
    data: Samples, answering: Answering | AnsweringEach, density: Density
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``answering(data)`` and ``density.scores(data)`` for prepared samples, to the bit.

    They are found by one search where both ask about the same groups, as they do unless some of
    those have no class, or there are several targets.
    """
    if isinstance(answering, Answering) and len(density.places) >= _FOUND_ALIKE:
        counts = answering.labeller.neighbours, density.first_groups
        same = np.array_equal(answering.groups.places, density.places)
        if same and min(counts) >= _FOUND_ALIKE:
            return _shared(data, answering, density, max(counts))
    return answering(data), density.scores(data)


def _shared(
    data: Samples, answering: Answering, density: Density, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    answers: dict[int, NDArray[np.float64]] = {}
    scores = np.empty(data.n)

    def answer(rows: slice, part: Samples) -> None:
        groups, distances = density.where.nearest(part, k)
        asked = _first(answering.labeller.neighbours, groups, distances)
        answers[rows.start] = answering.answers(part, asked)
        scores[rows] = density.scores_near(part, (groups, distances))

    each_block(data, answer)
    return np.concatenate([answers[start] for start in sorted(answers)]), scores


def _first(k: int, groups: NDArray[np.int64], distances: NDArray[np.float64]) -> Near:
    # As a search for k would lay them: those who compute with them get the same bits.
    return np.ascontiguousarray(groups[:, :k]), np.ascontiguousarray(distances[:, :k])
