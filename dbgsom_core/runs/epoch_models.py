"""Models of the map as it was after every so many epochs of a run."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from sklearn.base import clone

from dbgsom_core.estimators.late_labels import LEAVES
from dbgsom_core.estimators.snapshots import Snapshot
from dbgsom_core.interfaces.epochs import EpochRecord


class EpochModels:
    """Keeps the maps of some epochs while a run trains, and makes models of them afterwards.

    Parameters
    ----------
    folder : Path
        Where the maps lie meanwhile; a run that goes on finds those from before.
    every : int or None
        From one map to the next, in epochs; None: there are none.
    """

    def __init__(self, folder: Path, every: int | None) -> None:
        self._folder, self._every = folder, every

    def __call__(self, epoch: EpochRecord) -> None:
        """Hear of an epoch, as a callback of the estimator."""
        if self._every and epoch.epoch % self._every == 0:
            self._snapshot(epoch.epoch).keep(epoch)

    def made(self, trained: Any, X: Any, y: Any) -> dict[int, Any]:
        """Return a fitted estimator for each epoch that was kept, but for that of the final map.

        One that cannot be made is warned of.

        Parameters
        ----------
        trained : estimator
            What was trained on X (n, D) and y; it stays as it is.
        """
        found, end = {}, trained.n_iter_ + 1
        for epoch in range(self._every, end, self._every) if self._every else ():
            snapshot = replace(self._snapshot(epoch), history=trained.history_[:epoch])
            if epoch == trained.kept_epoch_ or not snapshot.path.exists():
                continue
            estimator = clone(trained).set_params(checkpoint=snapshot)
            if trained.sizes_tried_:  # they are not tried again
                estimator.set_params(spreading_factor=trained.spreading_factor_)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the training itself has told
                    found[epoch] = estimator.fit(X, y).set_params(checkpoint=None)
                vars(found[epoch]).pop(LEAVES, None)  # a byte a row for each model, in no file
            except Exception as error:  # the map is trained: no reason to lose it
                told = f"no model of epoch {epoch} can be made ({type(error).__name__}: {error})"
                warnings.warn(told, stacklevel=2)
        return found

    def _snapshot(self, epoch: int) -> Snapshot:
        return Snapshot(self._folder / f"epoch-{epoch}.npz")
