"""Known and new rows on a map, and what sets them apart, as tables; see `check`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.partitions import take
from dbgsom_core.estimators import new_rows
from dbgsom_core.estimators.new_rows import ControlLimits, PlacedRows
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.interfaces.figures import MapChange, MapView
from dbgsom_core.persistence import FittedModel
from dbgsom_core.runs.data import data_errors
from dbgsom_core.runs.profile import name_cluster

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

LEVEL = 0.05  # of p-values that count
_MOST_KNOWN = 100_000  # known rows, evenly spaced
_MOST_IN_ORDER = 20_000  # the newest known rows, to which a chart's limits are fitted
_FOLDS = 5  # of known rows that lie beside each other in time
_BATCH = 1 << 16  # rows placed together
_MOST_LABELS = 50  # compared by name


@dataclass(frozen=True)
class Known:
    """Rows that a map knows, in the order of time where it counts.

    Attributes
    ----------
    data : Data
        Raw rows (m, D), and their targets.
    is_own : bool array (m,)
        The map was fitted to them.
    files : array (m,) or None
        The file, day or machine of each.
    """

    data: Data
    is_own: NDArray[np.bool_]
    files: NDArray[Any] | None = None


class Placed(NamedTuple):
    """Rows on the map, and what it answers to them."""

    X: Floats  # raw
    on_map: PlacedRows
    labels: NDArray[Any]
    probabilities: Floats | None

    @classmethod
    def of(cls, model: FittedModel, X: Any, is_own: NDArray[np.bool_] | None = None) -> Placed:
        """Place rows; ``is_own`` are those that the map was fitted to."""
        estimator, density = model.estimator, model.estimator._density
        has_classes = hasattr(estimator, "classes_")
        parts = []
        size = len(X) if model.looks_back else _BATCH
        for start in range(0, len(X), size):
            part = slice(start, start + size)
            prepared = model.prepare(X[part])
            samples, group_of = estimator._samples(prepared), None
            if is_own is not None and is_own[part].any():
                groups = samples.nearest(density.centres, 1)[0][:, 0]
                group_of = np.where(is_own[part], groups, -1)
            nearest = samples.nearest_units(estimator.som_map_.prototypes, 2)[0][:, [0, -1]]
            answers = [nearest, density.scores(samples, group_of)]
            answers.append(estimator.predict(prepared))
            if has_classes:
                answers.append(estimator.predict_proba(prepared))
            parts.append(answers)
        nearest, scores, labels, *more = map(np.concatenate, zip(*parts, strict=True))
        return cls(X, PlacedRows(nearest, scores), labels, more[0] if more else None)


@dataclass(frozen=True)
class Comparison:
    """Known and new rows on the map, and what sets them apart."""

    model: FittedModel
    data: Known  # all of it
    known: Placed
    files: NDArray[Any] | None
    new: Placed
    is_in_time: bool

    @classmethod
    def of(cls, model: FittedModel, known: Known, new: Data, is_in_time: bool) -> Comparison:
        rows = np.arange(len(known.is_own))
        if len(rows) > _MOST_KNOWN and model.looks_back:
            rows = rows[-_MOST_KNOWN:]
        elif len(rows) > _MOST_KNOWN:
            rows = np.linspace(0, len(rows) - 1, _MOST_KNOWN).astype(np.int64)
        placed = Placed.of(model, np.asarray(take(known.data.X, rows)), known.is_own[rows])
        files = None if known.files is None else known.files[rows]
        there = Placed.of(model, np.asarray(new.X))
        return cls(model, known, placed, files, there, is_in_time)

    def answers(self) -> dict[str, Any]:
        """Return columns (n,) of what the map says of each new row."""
        on_map = self.new.on_map
        pvalues = new_rows.conformal_pvalues(self.known.on_map.scores, on_map.scores)
        columns = {"unit": on_map.neurons, "label": self.new.labels, "novelty": on_map.scores}
        return {**columns, "pvalue": pvalues}

    @cached_property
    def names(self) -> list[str]:
        names = self.model.feature_names or self.data.data.feature_names
        return [*map(str, names or map("feature {}".format, range(self.new.X.shape[1])))]

    @cached_property
    def _usual(self) -> tuple[Floats, Floats]:
        """Means and deviations (D,) of known rows."""
        X = self.known.X
        counts = np.maximum((~np.isnan(X)).sum(axis=0), 1)
        means = np.nansum(X, axis=0) / counts
        return means, np.sqrt(np.nansum(np.square(X - means), axis=0) / counts)

    def called(self, rows: Any) -> str:
        """Return the columns in which new rows differ most from known ones."""
        means, deviations = self._usual
        X = self.new.X[rows]
        counts = np.maximum((~np.isnan(X)).sum(axis=0), 1)
        effects = np.zeros(len(means))
        apart = np.nansum(X - means, axis=0) / counts
        np.divide(apart, deviations, out=effects, where=deviations > 0)
        return name_cluster(effects, self.names)

    def new_groups(self, rate: float) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        """Return the table of new groups, and the number (n,) of that of each new row."""
        import pandas as pd

        member, records = np.zeros(len(self.new.X), np.int64), []
        som_map = self.model.estimator.som_map_
        found = new_rows.find_new_groups(
            som_map, self.known.on_map, self.new.on_map, self.files, rate
        )
        for place, group in enumerate(found, start=1):
            member[group.rows] = place
            neurons = "; ".join(map(str, group.neurons.tolist()))
            share, name = len(group.rows) / len(member), self.called(group.rows)
            size = (len(group.rows), share, group.expected, group.pvalue)
            records.append((place, *size, name, neurons))
        names = ["group", "rows", "share", "expected", "p", "name", "neurons"]
        return pd.DataFrame(records, columns=names), member

    def drift(self, pvalues: Floats) -> tuple[pd.DataFrame, dict[str, float]]:
        """Return the table of shares, known and new, and measures of how far they moved."""
        import pandas as pd

        own = self.known.on_map.scores
        known_p = new_rows.conformal_pvalues(own, own)
        novel = [np.bincount(p <= LEVEL, minlength=2) for p in (known_p, pvalues)]
        kinds = {"novelty": (np.array(["p > 0.05", "p ≤ 0.05"]), *novel)}
        kinds["neuron"] = _counted(self.known.on_map.neurons, self.new.on_map.neurons)
        labels = _counted(self._honest_labels(), self.new.labels)
        if len(labels[0]) <= _MOST_LABELS:
            kinds["label"] = labels
        tables, measures = [], {"novel_share": float((pvalues <= LEVEL).mean())}
        for kind, (categories, known, new) in kinds.items():
            shares = new_rows.compare_shares(known, new)
            columns = {"known": shares.known, "new": shares.new}
            columns["difference"] = shares.new - shares.known
            columns |= {"low": shares.low, "high": shares.high, "p": shares.pvalues}
            tables.append(pd.DataFrame({"of": kind, "value": categories.tolist(), **columns}))
            if kind != "novelty":
                index, limit = new_rows.stability_index(known, new)
                measures |= {f"psi_{kind}": index, f"psi_{kind}_by_chance": limit}
        table = pd.concat(tables, ignore_index=True)
        return table[table["value"] != "p > 0.05"].reset_index(drop=True), measures

    def _honest_labels(self) -> NDArray[Any]:
        """Return labels (m,) of known rows; a classifier answers its own rows too well."""
        rows = self.data.is_own
        if self.known.probabilities is None or self.data.data.y is None or not rows.all():
            return self.known.labels
        return np.concatenate([fitted.predict(X) for fitted, X in self._folds])

    @cached_property
    def _folds(self) -> list[tuple[Any, Any]]:
        """Maps fitted to known rows but a fold, each with the prepared rows of this fold.

        Of the newest rows, in time folds of rows beside each other; none where targets are needed,
        and not known.
        """
        from sklearn.base import clone
        from sklearn.model_selection import KFold, StratifiedKFold

        estimator, data = self.model.estimator, self.data.data
        rows = np.arange(len(self.data.is_own))[-_MOST_IN_ORDER:]
        X = np.asarray(self.model.prepare(np.asarray(take(data.X, rows))))
        y = None if data.y is None else np.asarray(data.y)[rows]
        if y is None and estimator._kind != "vq":
            return []
        count, folds = min(_FOLDS, len(rows)), []
        splitter: Any = KFold(count)
        if not self.is_in_time:  # rows may be in the order of their classes
            splitter = StratifiedKFold(count, shuffle=True, random_state=0)
        for train, tested in splitter.split(X, y):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the map's own fit has said it
                fitted = clone(estimator).fit(X[train], None if y is None else y[train])
            folds.append((fitted, X[tested]))
        return folds

    def _pvalues_in_order(self) -> tuple[Floats, Floats]:
        """Return p-values of the newest known rows and of new ones (n,).

        The map of a fold ranks the rows that it was not fitted to: its known ones, and beside them
        new ones, which take turns. So both are of the same kind: a mean over maps, or the map that
        has seen all, would find new rows too ordinary.
        """
        if not self._folds:
            own = self.known.on_map.scores
            new = new_rows.conformal_pvalues(own, self.new.on_map.scores)
            return new_rows.own_pvalues(own), new
        prepared = np.asarray(self.model.prepare(self.new.X))
        known, new = [], np.zeros(len(prepared))
        for number, (fitted, X) in enumerate(self._folds):
            scores, turn = fitted.score_samples(X), slice(number, None, len(self._folds))
            known.append(new_rows.own_pvalues(scores))
            if len(prepared[turn]):
                there = fitted.score_samples(prepared[turn])
                new[turn] = new_rows.conformal_pvalues(scores, there)
        return np.concatenate(known), new

    def columns_moved(self, drift: pd.DataFrame) -> pd.DataFrame:
        """Return the table of the columns' means, those first that moved most."""
        import pandas as pd

        means = new_rows.compare_means(self.known.X, self.new.X)
        moved = drift.loc[(drift["of"] == "neuron") & (drift["p"] <= LEVEL), "value"]
        here = [
            part.X[np.isin(part.on_map.neurons, moved.to_list())] for part in (self.known, self.new)
        ]
        effects = np.full(len(self.names), np.nan)
        if all(map(len, here)):
            effects = new_rows.compare_means(*here).effects
        columns = {"column": self.names, "known": means.known, "new": means.new}
        columns |= {"effect": means.effects, "p": means.pvalues, "effect_moved": effects}
        return pd.DataFrame(columns).sort_values("effect", key=lambda x: -abs(x), ignore_index=True)

    def in_time(
        self, moments: NDArray[Any], run_length: float
    ) -> tuple[ControlLimits, dict[str, Any], pd.DataFrame]:
        """Return the limits, the charts of the new rows (n,), and the table of alarms."""
        import pandas as pd

        known, pvalues = self._pvalues_in_order()
        with data_errors("time"):
            limits = ControlLimits.from_known(known, run_length)
        order = np.argsort(moments, kind="stable")
        charts, is_alarm = limits.charts(pvalues[order])
        first, records = 0, []
        for place in np.flatnonzero(is_alarm).tolist():
            quiet = np.flatnonzero(charts.total[first:place] == 0)
            start = first + int(quiet[-1]) + 1 if len(quiet) else first
            pulled = order[start : place + 1]
            chart = "total" if charts.total[place] > limits.total else "average"
            times = moments[order[[start, place]]].tolist()
            records.append((*times, chart, len(pulled), self.called(pulled)))
            first = place + 1
        columns = {}
        for name, values in (*charts._asdict().items(), ("alarm", is_alarm)):
            columns[name] = np.empty_like(values)
            columns[name][order] = values
        names = ["since", "alarm", "chart", "rows", "columns"]
        return limits, columns, pd.DataFrame(records, columns=names)

    def view(self, title: str, groups: pd.DataFrame, in_time: Any) -> MapView:
        """Return the map as figures of a check see it."""
        size = len(self.model.estimator.som_map_)
        shares = [
            np.bincount(part.on_map.neurons, minlength=size) / len(part.X)
            for part in (self.known, self.new)
        ]
        group_of = np.zeros(size, np.int64)
        for group, neurons in zip(groups["group"], groups["neurons"], strict=True):
            group_of[[*map(int, neurons.split("; "))]] = group
        found = MapChange(shares[1] - shares[0], group_of, *(in_time or (None, None)))
        estimator = self.model.estimator
        evaluation = estimator.evaluate(self.model.prepare(self.new.X))
        view: MapView = estimator._view(evaluation, title=title, change=found)
        return view


def _counted(known: NDArray[Any], new: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return the categories among known and new ones, and the counts of both."""
    categories, codes = np.unique(np.concatenate([known, new]), return_inverse=True)
    counts = []
    for part in (codes[: len(known)], codes[len(known) :]):
        counts.append(np.bincount(part, minlength=len(categories)))
    return (categories, *counts)
