"""How sure a fitted map is: refits to seeded parts of the samples, compared with it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import stdtrit
from sklearn.base import clone
from sklearn.utils import _safe_indexing, indexable

from dbgsom_core.engine.runtime import available_threads, one_blas_thread
from dbgsom_core.engine.tables import BlockTable, take
from dbgsom_core.estimators.components import AUTO, computed
from dbgsom_core.estimators.samples import is_integer, is_number
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.measures import Interval, Measure, Stability
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.training.fit import is_vertical

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
    callback: Callable[[EpochRecord], None] | None = None,
) -> Stability:
    """Return what `FittedMap.stability` is described to return.

    ``callback`` is called after each epoch of each refit, and ends them all by raising.
    """
    from scipy.stats import rankdata  # slow to import

    if not is_integer(n) or n < 1:
        raise ValueError(f"n must be an integer of at least 1, not {n!r}")
    for name, value in (("share", share), ("level", level)):
        if not is_number(value) or not 0 < value < 1:
            raise ValueError(f"{name} must be a number between 0 and 1, not {value!r}")
    workers = 1 if n_jobs is None else int(n_jobs)
    if workers < 1:
        workers = max(1, available_threads() + 1 + workers)
    X, y = indexable(computed(X), computed(y))
    units, labels, kind = estimator.bmu(X), estimator.predict(X), estimator._kind
    n_samples, n_neurons = len(units), len(estimator.som_map_)
    strata = np.zeros(n_samples, dtype=np.int64)
    if kind == "classifier" and y is not None:
        texts = [str(label) for label in np.asarray(y, dtype=object)]
        strata = np.unique(texts, return_inverse=True)[1]
    template = clone(estimator).set_params(
        callbacks=None if callback is None else [callback],
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
    chosen: Mapping[str, Any]
    if isinstance(measures, Mapping):
        chosen = measures
    else:
        of_answers = _OF_ANSWERS[kind] if np.ndim(y) == 1 else ()
        names = (*_MEASURES, *of_answers) if measures is None else measures
        chosen = {name: get_registry().find("measure", name)() for name in names}
    # Pairs of different samples (2, m), for the repeatability: all where they are few.
    if n_samples * (n_samples - 1) // 2 <= _PAIRS:
        first, second = np.triu_indices(n_samples, 1)
    else:
        random = np.random.default_rng([random_state, 1])
        first, step = random.integers(0, [[n_samples], [n_samples - 1]], (2, _PAIRS))
        second = (first + step + 1) % n_samples

    def of_rows(rows: NDArray[np.int64]) -> tuple[Any, Any]:
        some = take(X, rows) if isinstance(X, BlockTable) else _safe_indexing(X, rows)
        return some, None if y is None else _safe_indexing(y, rows)

    def refit(rows: NDArray[np.int64]) -> tuple[Any, ...]:
        # Of a clone fitted to some rows, beside the map on all of them: its size, shares of pairs
        # that are neighbours there (K, K), of any two samples that are, agreement (K,), measures,
        # and ranks of distances on the grid.
        other = clone(template)
        other.fit(*of_rows(rows))
        hops, others = other.som_map_.hops, other.bmu(X)
        counts = np.zeros((n_neurons, len(hops)))
        np.add.at(counts, (units, others), 1.0)
        beside = (hops <= 1).astype(np.float64)
        near, hits, won = counts @ beside @ counts.T, counts.sum(axis=1), counts.sum(axis=0)
        pairs, total = np.outer(hits, hits), won.sum()
        agreement, measured = None, {}
        if kind != "regressor":
            found = other.predict(X)
            agrees = np.asarray(found == labels)
            if kind == "vq":  # numbers of clusters are matched first
                mine, theirs = (np.unique(of, return_inverse=True)[1] for of in (labels, found))
                together = np.zeros((mine.max() + 1, theirs.max() + 1))
                np.add.at(together, (mine, theirs), 1.0)
                agrees = matched(together)[mine] == theirs
            unknown = np.full(n_neurons, np.nan)
            agreeing = np.bincount(units, agrees, n_neurons)
            agreement = np.divide(agreeing, hits, out=unknown, where=hits > 0)
        unseen = np.setdiff1d(np.arange(n_samples), rows)
        if len(unseen):
            some, targets = of_rows(unseen)
            targets = None if targets is None else np.asarray(targets)
            evaluation = other.evaluate(some, y=targets, predictions=other.predict(some))
            measured = {name: float(of.compute(evaluation)) for name, of in chosen.items()}
        return (
            len(hops),
            np.divide(near, pairs, out=np.full_like(near, np.nan), where=pairs > 0),
            float((won @ beside @ won - total) / (total * (total - 1))),
            agreement,
            measured,
            rankdata(hops[others[first], others[second]]),
        )

    pool = ThreadPoolExecutor(workers)
    try:
        with warnings.catch_warnings(), one_blas_thread():
            warnings.simplefilter("ignore")  # the fit of the map itself has warned
            refits = list(pool.map(refit, parts(strata, n, share, random_state)))
    finally:
        pool.shutdown(cancel_futures=True)
    sizes, near, chances, agreements, measured, ranks = zip(*refits, strict=True)
    links, hits = estimator.som_map_.edges(), np.bincount(units, minlength=n_neurons)
    alike = [
        float(np.corrcoef(one, other)[0, 1])
        for one, other in zip(ranks[::2], ranks[1::2], strict=False)
        if np.ptp(one) > 0 and np.ptp(other) > 0
    ]
    return Stability(
        links=links,
        link_shares=np.mean([shares[links[:, 0], links[:, 1]] for shares in near], axis=0),
        chance=float(np.mean(chances)),
        agreements=None if kind == "regressor" else np.mean(agreements, axis=0),
        measures={
            name: interval([values[name] for values in measured], share, level)
            for name in measured[0]
        },
        repeatability=interval(alike, 0.5, level),
        sizes=np.array(sizes),
        share=share,
        level=level,
        weights=(hits[links[:, 0]] * hits[links[:, 1]]).astype(np.float64),
        hits=hits,
    )


def parts(
    strata: NDArray[np.int64], n: int, share: float, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of ``n`` parts that hold a share of each stratum (m,), at least one row.

    Of a share of one half, two parts in turn are halves that share no row but those of strata of
    one.
    """
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    rest: NDArray[np.int64] | None = None
    for number in range(n):
        if share == 0.5 and number % 2 and rest is not None:
            yield rest
            continue
        orders = [random.permutation(group) for group in groups]
        sizes = [min(max(round(share * len(rows)), 1), len(rows)) for rows in orders]
        yield np.sort(np.concatenate([rows[:k] for rows, k in zip(orders, sizes, strict=True)]))
        left = (rows[k:] if k < len(rows) else rows for rows, k in zip(orders, sizes, strict=True))
        rest = np.sort(np.concatenate(list(left)))


def interval(values: Sequence[float], share: float, level: float) -> Interval:
    """Return the mean of a number over refits to a share of the samples, and its interval.

    The standard error of the number is √(s/(1 - s)) times its standard deviation over the refits,
    as for the jackknife that leaves out a share 1 - s (Shao & Wu 1989); the ends are Student's t of
    so many refits away. The mean itself where there is but one.
    """
    known = np.array([value for value in values if math.isfinite(value)])
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, math.nan, math.nan)
    error = math.sqrt(share / (1 - share)) * float(known.std(ddof=1))
    reach = float(stdtrit(len(known) - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - reach, mean + reach)


def matched(together: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each of C clusters the one of C' others that it is matched to, -1 for none."""
    partner = np.full(len(together), -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(together, maximize=True)
    partner[rows] = columns
    return partner
