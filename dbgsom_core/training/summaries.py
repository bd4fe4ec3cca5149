"""What a map remembers of the samples that it has seen, so that training can go on without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import PerSample, Samples, Totals
from dbgsom_core.training.targets import UNLABELLED, Target


@dataclass(frozen=True)
class Summaries:
    """One summary for each neuron that won samples, or for each neuron and class.

    Attributes
    ----------
    X : float64 array (m, D)
        The means of their samples, prepared; nan where nothing was observed.
    weights : float64 array (m,)
        How many samples that were, or the sum of their weights.
    scatter : float64 array (m,)
        The mean distance of those samples to their unit.
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
    ) -> Summaries:
        """Summarize samples by their best-matching unit and class.

        ``totals`` are what the neurons won, where that is known.
        """
        if target is None:
            exact = data.found(np.empty((n_neurons, 0)), found)
            won = exact.totals if totals is None else totals
            live = np.flatnonzero(won.hits > 0)
            seen = None if won.seen is None else won.seen[live]
            hits = won.hits[live].astype(np.float64)
            means = _means(won.sums[live], hits, seen)
            return cls(means, hits, won.errors[live] / hits, units=live)
        codes, classes = target.codes, target.classes
        if codes is None or classes is None:
            groups, kinds = _compact(found.bmu)
        else:
            groups, kinds = _compact(found.bmu * (len(classes) + 1) + codes + 1)
        sums, seen = data.sums_seen(groups, len(kinds))
        hits = np.bincount(groups, data.weights, len(kinds)).astype(np.float64)
        means = _means(sums, hits, seen)
        distance = (
            found.distance if data.scatter is None else np.hypot(found.distance, data.scatter)
        )
        scatter = np.bincount(groups, data.sample_weights * distance, len(kinds)) / hits
        if codes is None or classes is None:
            labels = np.bincount(groups, data.sample_weights * target.y, len(kinds)) / hits
            return cls(means, hits, scatter, labels, units=kinds)
        units = kinds // (len(classes) + 1)
        codes = kinds % (len(classes) + 1) - 1
        return cls(means, hits, scatter, classes[codes], codes != UNLABELLED, units)


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
