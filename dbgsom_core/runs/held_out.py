"""Answers of a cross-validation to all rows, each of the fold that tested it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.estimators.archive import ArchiveError, open_archive, write_archive
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.runs.data import Rows
from dbgsom_core.runs.folder import FoldMeasures

Arrays = Mapping[str, NDArray[Any]]

PART = "held-out"  # what the rows are called, see `MapView.scored`


class HeldOut:
    """Answers of folds to the rows that they tested, in the order of the folds.

    Those of each fold are a file in ``folder`` as well, for resuming. Answers of a classifier are
    codes into ``classes``, those of the final model, so that the file holds numbers only.
    """

    def __init__(self, folder: Path, classes: NDArray[Any] | None) -> None:
        self._folder, self._classes = folder, classes
        self._folds: list[Arrays | None] = []  # None: not known

    def _path(self, fold: FoldMeasures) -> Path:
        return self._folder / f"answers-{fold.fold}.npz"

    def read(self, fold: FoldMeasures) -> None:
        """Add the answers of a finished fold from its file."""
        arrays = None
        with suppress(ArchiveError, OSError), open_archive(self._path(fold)) as archive:
            if archive.header["rows"] == fold.split_digest:
                arrays = {name: archive.take(name) for name in archive.header["names"]}
        self._folds.append(arrays)

    def add(self, fold: FoldMeasures, found: Evaluation) -> None:
        """Add the answers of a fold, whose ``found`` are of its test rows, and write its file."""
        arrays = None if found.drawn_from else self._arrays(found)
        self._folds.append(arrays)
        if arrays is not None:
            header = {"rows": fold.split_digest, "names": list(arrays)}
            with suppress(OSError):  # a run that is resumed then shows training rows
                self._folder.mkdir(parents=True, exist_ok=True)
                write_archive(self._path(fold), header, arrays)

    def _arrays(self, found: Evaluation) -> Arrays | None:
        answers: Any = found.predictions
        if self._classes is None:
            return {"answers": np.asarray(answers)}
        codes = {label: code for code, label in enumerate(self._classes.tolist())}
        try:
            arrays = {"answers": np.array([codes[one] for one in answers.tolist()])}
            known = [codes[one] for one in np.asarray(found.classes).tolist()]
        except KeyError:  # a mark of samples without a class, which the fold took for one
            return None
        with suppress(Exception):  # a labeller without probabilities; measures say it
            shares = np.zeros((len(answers), len(codes)))
            shares[:, known] = found.probabilities
            arrays["probabilities"] = shares
        return arrays

    def evaluation(
        self, trained: Evaluation, divided: Sequence[tuple[Rows, Rows]]
    ) -> Evaluation | None:
        """Return ``trained``, the final map on all rows, with the answers of the folds.

        None where those of a fold are not known.
        """
        folds = [one for one in self._folds if one is not None]
        if len(folds) < len(divided) or trained.drawn_from:
            return None
        order = np.argsort(np.concatenate([tested for _, tested in divided]))
        names = set.intersection(*map(set, folds))
        arrays = {name: np.concatenate([one[name] for one in folds])[order] for name in names}
        answers, shares = arrays["answers"], arrays.get("probabilities")
        return replace(
            trained,
            predictions=answers if self._classes is None else self._classes[answers],
            probabilities_of=None if shares is None else lambda _: shares,
        )
