"""What a run has done so far, kept in its folder until it has finished."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sklearn.base import clone

from dbgsom_core.errors import DataError
from dbgsom_core.estimators.checkpoints import Checkpoints, GrowthFilm, Snapshot
from dbgsom_core.estimators.fitted_map import LEAVES
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.runs.folder import RunFiles, write_text
from dbgsom_core.runs.folds import FoldMeasures, digest_of_rows, folds_text, parse_folds
from dbgsom_core.tables.safe_files import to_disk


class Checkpoint:
    """The checkpoints of a run's fits, the measures of its folds, and the maps of some epochs.

    They lie in the folder ``checkpoints`` of the run until it has finished; a run that goes on
    finds those from before. A fit is noted every so many ``seconds``, a map kept ``every`` so many
    epochs (None: never).
    """

    def __init__(self, files: RunFiles, seconds: float = 0.0, every: int | None = None) -> None:
        self._files, self._seconds, self._every = files, seconds, every

    def of_fit(self, name: str) -> Checkpoints:
        """Return where a fit is noted; the epochs that it holds are safe in the journal first."""
        path = self._files.checkpoints / f"{name}.npz"
        return Checkpoints(path, self._seconds, stays=True, first=self._save_journal)

    def _save_journal(self) -> None:
        if self._files.journal.exists():
            to_disk(self._files.journal)

    def film(self) -> GrowthFilm:
        """Return the callback that keeps the prototypes of some epochs for a film."""
        return GrowthFilm(folder=self._files.checkpoints / "film")

    def read_folds(self, divided: Sequence[tuple[Any, Any]]) -> list[FoldMeasures]:
        """Return the measures of the folds that are done, which were of the rows ``divided``."""
        try:
            folds = parse_folds(self._files.folds.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        now = [digest_of_rows(train, test) for train, test in divided]
        if [fold.rows for fold in folds] != now[: len(folds)]:
            raise DataError(
                f"{self._files.folder} cannot go on: its folds were of other rows; bring the "
                "groups back, or start a new run without --resume"
            )
        return folds

    def write_folds(self, folds: Sequence[FoldMeasures]) -> None:
        """Write the measures of the folds that are done, the last of them just now."""
        write_text(self._files.folds, folds_text(folds))
        self.of_fit(f"fold-{len(folds)}").remove()

    def keep_epoch(self, epoch: EpochRecord) -> None:
        """Keep the map of an epoch, where that is configured; a callback of the estimator."""
        if self._every and epoch.epoch % self._every == 0:
            Snapshot(self._epoch_map(epoch.epoch)).keep(epoch)

    def epoch_models(self, trained: Any, X: Any, y: Any) -> dict[int, Any]:
        """Return a fitted estimator for each epoch that was kept, but for that of the final map.

        One that cannot be made is warned of. ``trained`` was fitted on X (n, D) and y.
        """
        models, end = {}, trained.n_iter_ + 1
        for epoch in range(self._every, end, self._every) if self._every else ():
            path = self._epoch_map(epoch)
            if epoch == trained.kept_epoch_ or not path.exists():
                continue
            snapshot = replace(Snapshot(path), history=trained.history_[:epoch])
            estimator = clone(trained).set_params(checkpoint=snapshot)
            if trained.sizes_tried_:  # they are not tried again
                estimator.set_params(spreading_factor=trained.spreading_factor_)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the training itself has warned
                    models[epoch] = estimator.fit(X, y).set_params(checkpoint=None)
                vars(models[epoch]).pop(LEAVES, None)  # a byte a row for each model, in no file
            except Exception as error:  # the map is trained: no reason to lose it
                text = f"no model of epoch {epoch} can be made ({type(error).__name__}: {error})"
                warnings.warn(text, stacklevel=2)
        return models

    def _epoch_map(self, epoch: int) -> Path:
        return self._files.checkpoints / "epochs" / f"epoch-{epoch}.npz"

    def remove(self) -> None:
        """Remove it all: the run has finished."""
        shutil.rmtree(self._files.checkpoints, ignore_errors=True)
