"""What an interrupted run resumes from, and models of the maps of some epochs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sklearn.base import clone

from dbgsom_core.errors import DataError
from dbgsom_core.estimators.checkpoints import (
    Checkpoints,
    Facts,
    read_checkpoint,
)
from dbgsom_core.estimators.fitted_map import LEAVES
from dbgsom_core.experiments.trackers import FoldMeasures
from dbgsom_core.files import to_disk
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.runs.folder import RunFiles
from dbgsom_core.runs.held_out import Answers
from dbgsom_core.training.state import Checkpointer, TrainingState, read_state, write_state
from dbgsom_core.training.train import BY_CALLBACK


class RunCheckpoint:
    """State of an unfinished run in ``checkpoint.npz`` of its folder.

    It holds the measures and answers of finished folds, the maps of every ``every``-th epoch (None:
    none), and the state of the training, which is saved every ``seconds``.
    """

    def __init__(self, files: RunFiles, seconds: float = 1.0, every: int | None = None) -> None:
        self._files, self._every = files, every
        self.of_fit = Checkpoints(files.checkpoint, seconds, stays=True, extra=self._extra)
        stored = read_checkpoint(files.checkpoint)
        known = {} if stored is None else stored.extra
        try:
            self.folds = [FoldMeasures(**fold) for fold in known.get("folds", [])]
            self.answers: list[Answers] = list(known.get("answers", []))
            self._maps = {int(n): read_state(state) for n, state in known.get("maps", {}).items()}
        except Exception as error:  # no list has what a damaged file may hold
            raise DataError(
                f"{files.checkpoint} is damaged ({error}); remove it to train from the beginning"
            ) from error

    def _extra(self) -> Mapping[str, Any]:
        if self._files.journal.exists():  # it must not lack epochs that the checkpoint has
            to_disk(self._files.journal)
        return {
            "folds": [asdict(fold) for fold in self.folds],
            "answers": self.answers,
            "maps": {str(epoch): write_state(state) for epoch, state in self._maps.items()},
        }

    def add_fold(self, fold: FoldMeasures, answers: Answers) -> None:
        self.folds.append(fold)
        self.answers.append(answers)
        self.of_fit.write({}, {})

    def check_folds(self, digests: Sequence[str]) -> None:
        """Raise `DataError` where finished folds were of other rows than those to come."""
        if [fold.split_digest for fold in self.folds] != [*digests[: len(self.folds)]]:
            raise DataError(
                f"{self._files.folder} cannot go on: its folds were of other rows; bring the "
                "groups back, or start a new run without --resume"
            )

    def keep_epoch(self, epoch: EpochRecord) -> None:
        """Keep the map of an epoch, if configured; a callback of the estimator."""
        if self._every and epoch.epoch % self._every == 0:
            state = TrainingState(epoch.som_map, epoch.epochs, [epoch], stopped=BY_CALLBACK)
            self._maps[epoch.epoch] = state

    def epoch_models(self, trained: Any, X: Any, y: Any) -> dict[int, Any]:
        """Return a fitted estimator for each kept epoch, except that of the final map."""
        models = {}
        for epoch, state in sorted(self._maps.items()):
            if epoch == trained.kept_epoch_:
                continue
            state = replace(state, history=list(trained.history_[:epoch]))
            snapshot = _Snapshot(self._files.checkpoint, state=state)
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


@dataclass(frozen=True)
class _Snapshot(Checkpoints):
    """A finished checkpoint in memory: a fit with it has the map of its epoch, without training.

    Labels, novelty and all other attributes are computed for this map. The caller must give the
    samples and parameters of the training: they are not checked.
    """

    stays: bool = True
    state: TrainingState | None = None

    def resume(self, facts: Facts, random_state: Any = None) -> Checkpointer:
        assert self.state is not None
        return Checkpointer({(): self.state})
