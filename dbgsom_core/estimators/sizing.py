"""How large a map should be, told by samples that it has not seen."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from dbgsom_core.engine.tables import picked
from dbgsom_core.estimators.part_params import build_growth
from dbgsom_core.interfaces.growth import GrowthAbilities
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


def sized(
    estimator: Any,
    parts: Parts,
    X: Any,
    target: Target | None,
    weights: NDArray[np.float64] | None,
    left_out: NDArray[np.bool_] | None,
) -> tuple[SizesTried, Parts]:
    """Return what was tried on the samples that are not left out, and the parts of the best size.

    That is the first whose loss is within one standard error of the least (Breiman et al. 1984,
    3.4.3, with the error of the difference). Nothing is tried on less than `_LEAST` samples: the
    strategy's default stays.
    """
    if left_out is not None:
        X, weights = picked(X, ~left_out), None if weights is None else weights[~left_out]
        target = None if target is None else target.of(~left_out)
    tried = SizesTried(_tried(estimator, parts, X, target, weights))
    chosen = tried.chosen
    return tried, _of(parts, estimator, None if chosen is None else chosen.spreading_factor)


def _of(parts: Parts, estimator: Any, factor: float | None) -> Parts:
    params = {**estimator.get_params(deep=False), "spreading_factor": factor}
    return replace(parts, growth=build_growth(params))


def size_told(tried: tuple[SizeTried, ...], chosen: float | None) -> tuple[str, ...]:
    """Return a sentence on what was tried and chosen; none where nothing was."""
    if not tried:
        return ()
    sizes = ", ".join(f"{one.spreading_factor:g}: {one.loss:.4g}" for one in tried)
    return (
        f"spreading_factor auto is {chosen:g}, the first within one standard error of the least "
        f"loss on held-out samples ({sizes})",
    )


def spreading_factor_of(parts: Parts) -> float | None:
    """Return the spreading factor with which maps grow, None where there is no such field."""
    growing = GrowthAbilities.of(parts.growth)
    while growing.base is not None:
        growing = GrowthAbilities.of(growing.base)
    found = growing.spreading_factor
    return None if found is None else float(found)


def _tried(
    estimator: Any,
    parts: Parts,
    X: Any,
    target: Target | None,
    weights: NDArray[np.float64] | None,
) -> tuple[SizeTried, ...]:
    # One map grows from size to size, until two in a row have a larger loss than the best. Empty
    # where too few samples are there to tell.
    held = _held_out(X.shape[0], target, weights)
    if held is None:
        return ()
    trial = clone(estimator).set_params(
        warm_start=True, calibration=None, checkpoint=None, callbacks=None, verbose=0
    )
    kept = ~held
    some = picked(X, kept), None if target is None else target.of(kept)
    some_weights = None if weights is None else weights[kept]
    rest, truth = picked(X, held), None if target is None else target.of(held)
    over = np.ones(int(held.sum())) if weights is None else weights[held]
    tried: list[tuple[float, int]] = []
    losses: list[NDArray[np.float64]] = []
    means: list[float] = []
    for factor in TRIED:
        trial.spreading_factor = factor
        trial.epochs = -(-int(estimator.epochs) // (_STEP if tried else _START))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial._fit(_of(parts, estimator, factor), *some, some_weights)
        tried.append((factor, len(trial.som_map_)))
        losses.append(_losses(trial, rest, truth))
        known = ~np.isnan(losses[0])
        means.append(float(np.average(losses[-1][known], weights=over[known])))
        if np.argmin(means) < len(means) - _PATIENCE:
            break
    excess, errors = _above_least(np.array(losses)[:, known], over[known])
    rows = zip(tried, means, excess.tolist(), errors.tolist(), strict=True)
    return tuple(SizeTried(*size, mean, above, error) for size, mean, above, error in rows)


def _above_least(
    losses: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # By how much the means of losses (m, n) are above the least, (m,), and the standard errors.
    weights = weights / weights.sum()
    apart = losses - losses[np.argmin(losses @ weights)]
    means = apart @ weights
    return means, np.sqrt((apart - means[:, None]) ** 2 @ weights**2)


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
    if estimator._kind == "regressor":
        return _squared_errors(target.y, estimator._point(estimator._answers(data)))
    assert target.classes is not None
    assert target.codes is not None
    true = target.codes[:, None] == np.arange(len(target.classes))
    if estimator._answering is None and estimator._leaf_probabilities is None:
        told = estimator._answers(data)[:, None] == target.classes  # no probabilities
    else:
        told = estimator._probabilities_of(data)
    losses = ((told - true.astype(np.float64)) ** 2).sum(axis=1)
    return np.where(target.codes >= 0, losses, np.nan)


def _squared_errors(y: NDArray[Any], answers: NDArray[Any]) -> NDArray[np.float64]:
    # In variances of each target, the mean over those that are known of a sample.
    y, answers = (np.reshape(np.ma.masked_invalid(one), (len(y), -1)) for one in (y, answers))
    spread = y.var(axis=0).filled(1.0)
    errors = ((answers - y) ** 2 / np.where(spread > 0, spread, 1.0)).mean(axis=1)
    return np.asarray(errors.filled(np.nan))
