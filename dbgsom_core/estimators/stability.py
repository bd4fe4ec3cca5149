"""How sure a fitted map is: refits to seeded parts of the samples, laid beside it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import stdtrit
from sklearn.base import clone
from sklearn.utils import _safe_indexing, indexable

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.engine.tables import BlockTable, picked
from dbgsom_core.engine.workers import available_threads
from dbgsom_core.estimators.lazy import here
from dbgsom_core.estimators.part_params import AUTO
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.measures import Measure
from dbgsom_core.interfaces.stability import Interval, Stability
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.training.hierarchy import is_vertical

_PAIRS = 20_000  # of samples, for the repeatability
_MEASURES = ("quantization_error", "topographic_error")
_OF_ANSWERS = {"classifier": ("accuracy",), "regressor": ("r2",), "vq": ()}


def stability_of(
    estimator: Any,
    X: Any,
    y: Any,
    n: int,
    share: float,
    measures: Mapping[str, Measure] | Sequence[str] | None,
    level: float,
    random_state: int,
    n_jobs: int | None,
    hear: Callable[[EpochRecord], None] | None = None,
) -> Stability:
    """Return what `GrowingMap.stability` is described to return.

    ``hear`` is called after each epoch of each refit, and ends them all by raising.
    """
    _check(n, share, level)
    workers = _workers(n_jobs)
    X, y = indexable(here(X), here(y))
    units, labels = estimator.bmu(X), estimator.predict(X)
    drawn = list(parts(_strata(estimator, y, len(units)), n, share, random_state))
    template = clone(estimator).set_params(
        callbacks=None if hear is None else [hear],
        checkpoint=None,
        verbose=0,
        warm_start=False,
        calibration=None,
    )
    if template.spreading_factor == AUTO:  # all of one size
        template.spreading_factor = estimator.spreading_factor_
    if is_vertical(estimator._parts):  # child maps mute warnings, which is not for threads
        workers = 1
    if workers > 1 and "engine__threads" in template.get_params():
        template.set_params(engine__threads=1)
    pairs = _pairs(len(units), random_state)
    task = _Task(estimator, template, X, y, _chosen(estimator, y, measures), pairs, units, labels)
    pool = ThreadPoolExecutor(workers)
    try:
        with warnings.catch_warnings(), one_blas_thread():
            warnings.simplefilter("ignore")  # the fit of the map itself has warned
            refits = list(pool.map(task.refit, drawn))
    finally:
        pool.shutdown(cancel_futures=True)
    return _joined(estimator, units, refits, share, level)


def parts(
    strata: NDArray[np.int64], n: int, share: float, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of ``n`` parts that hold a share of each stratum (m,), at least one row.

    Of a share of one half, two parts in turn are halves that share no row but those of strata of
    one.
    """
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == one) for one in np.unique(strata)]
    rest: NDArray[np.int64] | None = None
    for number in range(n):
        if share == 0.5 and number % 2 and rest is not None:
            yield rest
            continue
        orders = [random.permutation(group) for group in groups]
        sizes = [min(max(round(share * len(one)), 1), len(one)) for one in orders]
        yield np.sort(np.concatenate([one[:k] for one, k in zip(orders, sizes, strict=True)]))
        left = (one[k:] if k < len(one) else one for one, k in zip(orders, sizes, strict=True))
        rest = np.sort(np.concatenate(list(left)))


@dataclass(frozen=True)
class _Refit:
    """What is kept of a refit to some of the samples."""

    size: int
    near: NDArray[np.float64]  # (K, K): shares of pairs that are neighbours there
    chance: float
    agreement: NDArray[np.float64] | None  # (K,)
    measures: dict[str, float]
    ranks: NDArray[np.float64]


@dataclass(frozen=True)
class _Task:
    estimator: Any
    template: Any  # of the refits
    X: Any
    y: Any
    measures: Mapping[str, Any]
    pairs: NDArray[np.int64]
    units: NDArray[np.int64]
    labels: NDArray[Any]

    def refit(self, rows: NDArray[np.int64]) -> _Refit:
        from scipy.stats import rankdata

        estimator, n_neurons = clone(self.template), len(self.estimator.som_map_)
        y = None if self.y is None else _safe_indexing(self.y, rows)
        estimator.fit(_rows_of(self.X, rows), y)
        hops, units = estimator.som_map_.hops, estimator.bmu(self.X)
        counts = np.zeros((n_neurons, len(hops)))
        np.add.at(counts, (self.units, units), 1.0)
        beside = (hops <= 1).astype(np.float64)
        near, hits = counts @ beside @ counts.T, counts.sum(axis=1)
        pairs = np.outer(hits, hits)
        shares = np.divide(near, pairs, out=np.full_like(near, np.nan), where=pairs > 0)
        apart = hops[units[self.pairs[0]], units[self.pairs[1]]]
        return _Refit(
            size=len(hops),
            near=shares,
            chance=_any_two(counts.sum(axis=0), beside),
            agreement=self._agreement(estimator),
            measures=self._measured(estimator, rows),
            ranks=rankdata(apart),
        )

    def _agreement(self, estimator: Any) -> NDArray[np.float64] | None:
        if estimator._kind == "regressor":
            return None
        found = estimator.predict(self.X)
        same = found == self.labels
        if estimator._kind == "vq":
            mine, theirs = (np.unique(one, return_inverse=True)[1] for one in (self.labels, found))
            together = np.zeros((mine.max() + 1, theirs.max() + 1))
            np.add.at(together, (mine, theirs), 1.0)
            same = matched(together)[mine] == theirs
        n_neurons = len(self.estimator.som_map_)
        hits = np.bincount(self.units, minlength=n_neurons)
        agreeing = np.bincount(self.units, same, n_neurons)
        shares: NDArray[np.float64] = np.full(n_neurons, np.nan)
        return np.divide(agreeing, hits, out=shares, where=hits > 0)

    def _measured(self, estimator: Any, rows: NDArray[np.int64]) -> dict[str, float]:
        unseen = np.setdiff1d(np.arange(len(self.units)), rows)
        if not len(unseen):
            return {}
        X = _rows_of(self.X, unseen)
        y = None if self.y is None else np.asarray(_safe_indexing(self.y, unseen))
        evaluation = estimator.evaluate(X, y=y, predictions=estimator.predict(X))
        return {name: float(one.compute(evaluation)) for name, one in self.measures.items()}


def _rows_of(X: Any, rows: NDArray[np.int64]) -> Any:
    return picked(X, rows) if isinstance(X, BlockTable) else _safe_indexing(X, rows)


def matched(together: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each of C clusters the one of C' others that it is matched to, -1 for none.

    ``together`` (C, C') are the samples that two have in common, of which the matching, one to one,
    holds the most (Kuhn 1955).
    """
    partner = np.full(len(together), -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(together, maximize=True)
    partner[rows] = columns
    return partner


def interval(values: Sequence[float], share: float, level: float) -> Interval:
    """Return the mean of a number over refits to a share of the samples, and its interval.

    The standard error of the number is √(s/(1 - s)) times its standard deviation over the refits,
    as for the jackknife that leaves out a share 1 - s (Shao & Wu 1989); the ends are Student's t of
    so many refits away. The mean itself where there is but one.
    """
    known = np.array([one for one in values if math.isfinite(one)])
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, math.nan, math.nan)
    error = math.sqrt(share / (1 - share)) * float(known.std(ddof=1))
    reach = float(stdtrit(len(known) - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - reach, mean + reach)


def _joined(
    estimator: Any,
    units: NDArray[np.int64],
    refits: Sequence[_Refit],
    share: float,
    level: float,
) -> Stability:
    links = estimator.som_map_.edges()
    hits = np.bincount(units, minlength=len(estimator.som_map_))
    near = np.mean([one.near[links[:, 0], links[:, 1]] for one in refits], axis=0)
    known = [one.agreement for one in refits if one.agreement is not None]
    names = refits[0].measures
    measures = {
        name: interval([one.measures[name] for one in refits], share, level) for name in names
    }
    alike = [
        float(np.corrcoef(one.ranks, other.ranks)[0, 1])
        for one, other in zip(refits[::2], refits[1::2], strict=False)
        if np.ptp(one.ranks) > 0 and np.ptp(other.ranks) > 0
    ]
    return Stability(
        links=links,
        link_shares=near,
        chance=float(np.mean([one.chance for one in refits])),
        agreements=np.mean(known, axis=0) if known else None,
        measures=measures,
        repeatability=interval(alike, 0.5, level),
        sizes=np.array([one.size for one in refits]),
        share=share,
        level=level,
        weights=(hits[links[:, 0]] * hits[links[:, 1]]).astype(np.float64),
        hits=hits,
    )


def _any_two(won: NDArray[np.float64], beside: NDArray[np.float64]) -> float:
    n = won.sum()
    return float((won @ beside @ won - n) / (n * (n - 1)))


def _pairs(n: int, seed: int) -> NDArray[np.int64]:
    # (2, m): all pairs of different samples where they are few.
    if n * (n - 1) // 2 <= _PAIRS:
        return np.array(np.triu_indices(n, 1), dtype=np.int64)
    one, step = np.random.default_rng([seed, 1]).integers(0, [[n], [n - 1]], (2, _PAIRS))
    return np.array([one, (one + step + 1) % n])


def _strata(estimator: Any, y: Any, n: int) -> NDArray[np.int64]:
    if estimator._kind != "classifier" or y is None:
        return np.zeros(n, dtype=np.int64)
    texts = [str(one) for one in np.asarray(y, dtype=object)]
    return np.unique(texts, return_inverse=True)[1]


def _chosen(estimator: Any, y: Any, measures: Any) -> dict[str, Any]:
    if isinstance(measures, Mapping):
        return dict(measures)
    names = measures
    if names is None:
        of_answers = _OF_ANSWERS[estimator._kind] if np.ndim(y) == 1 else ()
        names = (*_MEASURES, *of_answers)
    return {name: get_registry().find("measure", name)() for name in names}


def _workers(n_jobs: int | None) -> int:
    if n_jobs is None:
        return 1
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)) or n_jobs == 0:
        raise ValueError(f"n_jobs must be None or an integer other than 0, not {n_jobs!r}")
    return int(n_jobs) if n_jobs > 0 else max(1, available_threads() + 1 + int(n_jobs))


def _check(n: int, share: float, level: float) -> None:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n must be an integer of at least 1, not {n!r}")
    for name, value in (("share", share), ("level", level)):
        if not isinstance(value, (int, float, np.number)) or not 0 < value < 1:
            raise ValueError(f"{name} must be a number between 0 and 1, not {value!r}")
