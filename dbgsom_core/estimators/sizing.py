"""Choose how large a map should be, by its loss on held-out samples."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from dbgsom_core.engine.tables import take
from dbgsom_core.estimators.components import build_growth
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import Target

TRIED = (0.2, 0.5, 0.75, 0.9)  # thresholds fall to a half and less each time
_PARTS = 5  # of which one is held out
_START, _STEP = 4, 8  # a quarter of the epochs for the first size, an eighth for each further one
_PATIENCE = 2  # so many sizes in a row with a larger loss end the search
_LEAST = 20  # samples with a target, or nothing is tried


class SizeTried(NamedTuple):
    """What a spreading factor led to.

    ``loss`` is the mean over the samples that were held out, ``excess`` what it is above the least
    of all sizes, and ``error`` the standard error of this difference.
    """

    spreading_factor: float
    neurons: int
    loss: float
    excess: float
    error: float


class SizesTried(tuple[SizeTried, ...]):
    """The sizes that ``"auto"`` tried, in their order; printed as a table."""

    @property
    def chosen(self) -> SizeTried | None:
        """The first whose loss is within one standard error of the least."""
        return next((one for one in self if one.excess <= one.error), None)

    def __repr__(self) -> str:
        if not self:
            return "()"
        rows = [SizeTried._fields, *([f"{value:.4g}" for value in one] for one in self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        ends = ["", *("  <- chosen" if one is self.chosen else "" for one in self)]
        return "\n".join(
            "  ".join(map(str.rjust, row, widths)) + end
            for row, end in zip(rows, ends, strict=True)
        )


def choose_size(
    estimator: Any,
    parts: Parts,
    X: Any,
    target: Target | None,
    weights: NDArray[np.float64] | None,
) -> tuple[SizesTried, Parts]:
    """Return the sizes tried on training samples, and the components of the best size.

    That is the first whose loss is within one standard error of the least (Breiman et al. 1984,
    3.4.3, with the error of the difference). Nothing is tried on less than `_LEAST` samples: the
    strategy's default stays.
    """
    held = _held_out(X.shape[0], target, weights)
    tried = SizesTried() if held is None else _try(estimator, parts, X, target, weights, held)
    chosen = tried.chosen
    return tried, _with_factor(parts, estimator, chosen and chosen.spreading_factor)


def describe_sizes(tried: tuple[SizeTried, ...], chosen: float | None) -> tuple[str, ...]:
    """Return a sentence on what was tried and chosen; none where nothing was."""
    if not tried:
        return ()
    sizes = ", ".join(f"{one.spreading_factor:g}: {one.loss:.4g}" for one in tried)
    return (
        f"spreading_factor auto is {chosen:g}, the first within one standard error of the least "
        f"loss on held-out samples ({sizes})",
    )


def _with_factor(parts: Parts, estimator: Any, factor: float | None) -> Parts:
    params = {**estimator.get_params(deep=False), "spreading_factor": factor}
    return replace(parts, growth=build_growth(params))


def _try(
    estimator: Any,
    parts: Parts,
    X: Any,
    target: Target | None,
    weights: NDArray[np.float64] | None,
    held: NDArray[np.bool_],
) -> SizesTried:
    # One map grows from size to size, until two in a row have a larger loss than the best.
    trial = clone(estimator).set_params(
        warm_start=True, calibration=None, checkpoint=None, callbacks=None, verbose=0
    )
    shown, unseen = (
        (take(X, rows), None if target is None else target.of(rows)) for rows in (~held, held)
    )
    shown_weights = None if weights is None else weights[~held]
    over = np.ones(int(held.sum())) if weights is None else weights[held]
    sizes: list[tuple[float, int]] = []
    losses: list[NDArray[np.float64]] = []
    means: list[float] = []
    for factor in TRIED:
        trial.spreading_factor = factor
        trial.epochs = -(-int(estimator.epochs) // (_STEP if sizes else _START))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial._fit(_with_factor(parts, estimator, factor), *shown, shown_weights)
        sizes.append((factor, len(trial.som_map_)))
        losses.append(_losses(trial, *unseen))
        known = ~np.isnan(losses[0])
        means.append(float(np.average(losses[-1][known], weights=over[known])))
        if np.argmin(means) < len(means) - _PATIENCE:
            break
    # By how much the means are above the least, and the standard errors of these differences.
    shares = over[known] / over[known].sum()
    differences = np.array(losses)[:, known]
    differences = differences - differences[np.argmin(differences @ shares)]
    excess = differences @ shares
    errors = np.sqrt((differences - excess[:, None]) ** 2 @ shares**2)
    rows = zip(sizes, means, excess.tolist(), errors.tolist(), strict=True)
    return SizesTried(SizeTried(*size, mean, above, error) for size, mean, above, error in rows)


def _held_out(
    n: int, target: Target | None, weights: NDArray[np.float64] | None
) -> NDArray[np.bool_] | None:
    # A fifth of the samples, of each class alike, drawn without a look at them; None: too few.
    order = np.random.default_rng(0).permutation(n)
    if weights is not None:
        order = order[weights[order] > 0]
    known = len(order)
    if target is not None and target.codes is not None:
        order = order[np.argsort(target.codes[order], kind="stable")]
        known = int(np.count_nonzero(target.codes[order] >= 0))
    if known < _LEAST:
        return None
    held = np.zeros(n, dtype=bool)
    held[order[_PARTS // 2 :: _PARTS]] = True
    return held


def _losses(estimator: Any, X: Any, target: Target | None) -> NDArray[np.float64]:
    # Of each sample, (n,); nan where nothing is known of its target.
    if estimator._kind == "vq":
        return np.asarray(estimator.evaluate(X).combined_errors)
    assert target is not None
    data = estimator._samples(X)
    if estimator._kind == "regressor":  # in variances of each target, the mean over known ones
        y, answers = (
            np.reshape(np.ma.masked_invalid(values), (data.n, -1))
            for values in (target.y, estimator._point(estimator._predictor.labels(data)))
        )
        spread = y.var(axis=0).filled(1.0)
        errors = ((answers - y) ** 2 / np.where(spread > 0, spread, 1.0)).mean(axis=1)
        return np.asarray(errors.filled(np.nan))
    assert target.classes is not None
    assert target.codes is not None
    true = target.codes[:, None] == np.arange(len(target.classes))
    if estimator._answering is None and estimator._leaf_probabilities is None:
        shares = estimator._predictor.labels(data)[:, None] == target.classes  # no probabilities
    else:
        shares = estimator._predictor.probabilities(data)
    losses = ((shares - true.astype(np.float64)) ** 2).sum(axis=1)
    return np.where(target.codes >= 0, losses, np.nan)
