"""What a map remembers of samples: it answers from that, and training goes on with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.contract import PerSample, Totals
from dbgsom_core.engine.halving import cut
from dbgsom_core.engine.local import Samples
from dbgsom_core.engine.sums import won_sums
from dbgsom_core.training.targets import UNLABELLED, Target

_HALVINGS, _HALVED = 2, 4.0  # each of groups that weigh so much at least
_EPS = float(np.finfo(np.float64).eps)
_LOOKED_AT, _NUMBERS = 10_000, 1 << 22  # samples at most, and numbers of theirs


@dataclass(frozen=True)
class Summaries:
    """Summaries for each neuron that won samples, or for each neuron and class.

    One, or up to four of few samples: groups of four and more are cut in two across where they are
    longest, and these once more, where the geometry is Euclidean, the samples are complete, and no
    more than 10,000 of 4 million numbers. Such groups tell better what is near a sample than the
    neurons do (tests/benchmarks). Numeric targets have one summary for each neuron.

    Attributes
    ----------
    X : float64 array (m, D)
        The means of their samples, prepared; nan where nothing was observed.
    weights : float64 array (m,)
        How many samples that were, or the sum of their weights.
    scatter : float64 array (m,)
        The mean distance of those samples to their unit; the root of the mean squared one to
        their mean where neurons have several.
    labels : array (m,) or None
        Their class, or their mean target; None for a map without targets, and what is said of
        samples without a class means nothing.
    labelled : bool array (m,) or None
        Which summaries are of samples with a class.
    units : int64 array (m,) or None
        The leaves whose samples they are; None in maps of earlier versions.
    """

    X: NDArray[np.float64]
    weights: NDArray[np.float64]
    scatter: NDArray[np.float64]
    labels: NDArray[Any] | None = None
    labelled: NDArray[np.bool_] | None = None
    units: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        data: Samples,
        found: PerSample,
        n_neurons: int,
        target: Target | None,
        totals: Totals | None = None,
    ) -> tuple[Summaries, NDArray[np.int64] | None]:
        """Summarize samples by their best-matching unit and class.

        ``totals`` are what the neurons won, where that is known. Returned, too, is the summary of
        each sample, (n,), where a neuron may have several of a class.
        """
        classes = None if target is None else target.classes
        numeric = target is not None and classes is None
        rows = None if numeric else _few(data)
        if target is None and rows is None:
            exact = data.found(np.empty((n_neurons, 0)), found)
            won = exact.totals if totals is None else totals
            live = np.flatnonzero(won.hits > 0)
            seen = None if won.seen is None else won.seen[live]
            hits = won.hits[live].astype(np.float64)
            means = _means(won.sums[live], hits, seen)
            return cls(means, hits, won.errors[live] / hits, units=live), None
        n_kinds, keys = 1, found.bmu
        if target is not None and classes is not None:
            assert target.codes is not None
            n_kinds = len(classes) + 1
            keys = keys * n_kinds + target.codes + 1
        if rows is not None:
            keys = cut(rows, data.sample_weights, keys.astype(np.int64), _HALVINGS, _HALVED)
        groups, kinds = _compact(keys)
        hits = np.bincount(groups, data.weights, len(kinds)).astype(np.float64)
        if rows is None:
            sums, seen = data.sums_seen(groups, len(kinds))
            means = _means(sums, hits, seen)
            scatter = _mean_distance(data, groups, found.distance, hits)
        else:
            kinds = kinds >> _HALVINGS
            means = won_sums(rows, data.weights, False, groups, len(kinds))[0] / hits[:, None]
            scatter = _deviation(data, groups, _apart(rows, means, groups), hits)
        units, codes = np.divmod(kinds, n_kinds)
        labels = labelled = None
        if numeric:
            assert target is not None
            labels = np.bincount(groups, data.sample_weights * target.y, len(kinds)) / hits
        elif classes is not None:
            labels, labelled = classes[codes - 1], codes - 1 != UNLABELLED
        return cls(means, hits, scatter, labels, labelled, units), None if rows is None else groups


def _few(data: Samples) -> NDArray[np.floating[Any]] | None:
    # The samples where they are few enough to be cut, and lie where that means something.
    few = data.n <= _LOOKED_AT and data.n * data.X.shape[1] <= _NUMBERS
    if not few or not data.metric.is_euclidean or data.incomplete:
        return None
    rows = data.X[0 : data.n]
    return np.asarray(rows.toarray() if issparse(rows) else rows)


def _apart(
    rows: NDArray[np.floating[Any]], means: NDArray[np.float64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    # Distances (n,) to the means of groups: none where those are off by as much through rounding,
    # or equal samples would lie apart, and novelty be told in units of that.
    apart = np.linalg.norm(rows - means[groups], axis=1)
    rounding = _EPS * np.bincount(groups, minlength=len(means)) * np.linalg.norm(means, axis=1)
    return np.where(apart <= rounding[groups], 0.0, apart)


def _deviation(
    data: Samples,
    groups: NDArray[np.int64],
    distance: NDArray[np.float64],
    hits: NDArray[np.float64],
) -> NDArray[np.float64]:
    # The root of the mean squared distance (n,) in each group, of any size that float64 holds.
    apart = distance if data.scatter is None else np.hypot(distance, data.scatter)
    size = 2.0 ** np.frexp(apart.max(initial=0.0))[1]
    squares = np.bincount(groups, data.sample_weights * np.square(apart / size), len(hits))
    return np.asarray(size * np.sqrt(squares / hits))


def _mean_distance(
    data: Samples,
    groups: NDArray[np.int64],
    distance: NDArray[np.float64],
    hits: NDArray[np.float64],
) -> NDArray[np.float64]:
    apart = distance if data.scatter is None else np.hypot(distance, data.scatter)
    return np.bincount(groups, data.sample_weights * apart, len(hits)) / hits


def followed_by(target: Target, memory: Summaries) -> Target:
    """Return the targets of new samples followed by those of what is remembered."""
    labels = memory.labels
    if labels is None:
        raise ValueError(
            "the map was trained without targets so far: give y from the first call on"
        )
    if target.classes is None or target.codes is None:
        return Target(np.concatenate([target.y, labels]))
    labelled = np.ones(len(labels), bool) if memory.labelled is None else memory.labelled
    mine = target.with_classes(labels[labelled])
    assert mine.classes is not None
    assert mine.codes is not None
    codes = np.full(len(labels), UNLABELLED, dtype=np.int64)
    codes[labelled] = np.searchsorted(mine.classes, labels[labelled])
    codes = np.concatenate([mine.codes, codes])
    return Target(mine.classes[codes], mine.classes, codes)


def _compact(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return keys (n,) numbered 0, 1, … in their order, and the distinct ones."""
    kinds = np.flatnonzero(np.bincount(keys))
    numbers = np.zeros(int(kinds[-1]) + 1, dtype=np.int64)
    numbers[kinds] = np.arange(len(kinds))
    return numbers[keys], kinds


def _means(
    sums: NDArray[np.float64], hits: NDArray[Any], seen: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if seen is None:
        return np.asarray(sums / hits[:, None])
    return np.divide(sums, seen, out=np.full_like(sums, np.nan), where=seen > 0)
