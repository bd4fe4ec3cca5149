"""Maps of finished runs as figures see them, alone or beside another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dbgsom_core.config import Experiment
from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.estimators.display import view_of
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.trackers import Ranking, Run, Variant
from dbgsom_core.runs.data import load_data
from dbgsom_core.runs.figures import view_of_run
from dbgsom_core.runs.folder import RunFiles, StoredRun
from dbgsom_core.runs.models.find import model_of
from dbgsom_core.runs.split import Part

_NEXT = 5  # variants that are tried


def seen(model: FittedModel, data: Data, run: Run | StoredRun | None, title: str) -> MapView:
    """Return the map of a model with raw samples, as figures see it."""
    estimator, rows = model.estimator, slice(None)
    try:
        X = model.prepare(data.X)
        evaluation = estimator.evaluate(X, y=data.y)
    except DbgsomError:
        raise
    except ValueError as error:
        raise DataError(f"{title}: {error}") from error
    undo = model.undone if model.steps else None
    if run is None:
        names = model.names_prepared() or ()
        return view_of(estimator, evaluation, feature_names=names, undo=undo, title=title)
    view = view_of_run(estimator, evaluation, Part(X, data.y, rows), data, model.steps, title)
    return replace(view, undo=undo)


class BestTwo:
    """Finds the maps of the two best variants of a sweep, see `SweepView`.

    ``runs`` are the finished ones by their ids, ``data`` what all of them learnt from, where it is
    at hand.
    """

    def __init__(self, runs: Mapping[str, tuple[Experiment, Run]], data: Data | None) -> None:
        self._runs, self._data = runs, data

    def __call__(self, ranking: Ranking) -> MapView | None:
        """Return the best map beside the next; raises `DataError` as `seen` does."""
        best, *others = ranking.variants
        first = self._model(best.runs[0])
        width = first.estimator.n_features_in_
        for other in others[:_NEXT]:
            second = self._model(other.runs[0])
            if second.estimator.n_features_in_ == width:
                experiment, run = self._runs[best.runs[0]]
                data = self._data or load_data(experiment)
                beside = seen(second, data, self._runs[other.runs[0]][1], _apart(other, best))
                return replace(seen(first, data, run, _apart(best, other)), other=beside)
        return None

    def _model(self, run: str) -> FittedModel:
        return model_of(RunFiles(self._runs[run][1].folder).model)


def _apart(variant: Variant, other: Variant) -> str:
    # What tells it from the other one.
    differs = [
        f"{key}={value}"
        for key, value in variant.varies.items()
        if other.varies.get(key, variant) != value
    ]
    return ", ".join(differs) or variant.name
