"""Answers of a cross-validation to all rows, each of the fold that tested it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.runs.data import Rows

# Arrays ``answers`` and ``probabilities`` of a fold's test rows; empty where they are not known.
# Those of a classifier are codes into the classes of the final model.
Answers = Mapping[str, NDArray[Any]]

PART = "held-out"  # what the rows are called, see `MapView.scored`


def answers_of(tested: Evaluation, classes: NDArray[Any] | None) -> Answers:
    """Return the answers in the evaluation of a fold's test rows; ``classes`` of a classifier."""
    if tested.drawn_from:
        return {}
    answers: Any = tested.predictions
    if classes is None:
        return {"answers": np.asarray(answers)}
    codes = {label: code for code, label in enumerate(classes.tolist())}
    known = np.asarray(tested.classes).tolist()
    if not {*answers.tolist(), *known} <= {*codes}:  # a mark of samples without a class, say
        return {}
    arrays = {"answers": np.array([codes[label] for label in answers.tolist()])}
    with suppress(Exception):  # a labeller without probabilities; measures say it
        shares = np.zeros((len(answers), len(codes)))
        shares[:, [codes[label] for label in known]] = tested.probabilities
        arrays["probabilities"] = shares
    return arrays


def held_out(
    trained: Evaluation,
    folds: Sequence[Answers],
    divided: Sequence[tuple[Rows, Rows]],
    classes: NDArray[Any] | None,
) -> Evaluation | None:
    """Return the evaluation of the final map on all rows, with the answers of the folds.

    None where those of a fold are not known.
    """
    if trained.drawn_from or not all(folds):
        return None
    order = np.argsort(np.concatenate([tested for _, tested in divided]))
    names = set.intersection(*map(set, folds))
    arrays = {name: np.concatenate([fold[name] for fold in folds])[order] for name in names}
    answers, shares = arrays["answers"], arrays.get("probabilities")
    return replace(
        trained,
        predictions=answers if classes is None else classes[answers],
        probabilities_of=None if shares is None else lambda _: shares,
    )
