"""The size of a map, chosen on held-out samples: ``spreading_factor="auto"``."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from dbgsom_core.engine.results import Flags, Floats
from dbgsom_core.estimators.parameters import build_growth
from dbgsom_core.estimators.samples import Rows
from dbgsom_core.training.parts import Parts

# ours: the growing threshold is proportional to -ln(spreading factor), so that each of these halves
# it at least, and maps grow markedly from size to size.
TRIED = (0.2, 0.5, 0.75, 0.9)
_PARTS = 5  # of the samples, one of which is held out, as in a fold of five
# The first size is trained for a quarter of the epochs; each further one goes on from the last map
# for an eighth, so that all sizes together take five eighths.
_FIRST_DIVISOR, _NEXT_DIVISOR = 4, 8
_PATIENCE = 2  # sizes in a row with a larger loss that end the search; one may be chance
_LEAST = 20  # samples with a target: four held out, of which a standard error says something


class SizeTried(NamedTuple):
    """The result of a spreading factor.

    ``loss`` is the mean over held-out samples, ``excess`` its difference from the smallest loss,
    and ``error`` the standard error of this difference.
    """

    spreading_factor: float
    neurons: int
    loss: float
    excess: float
    error: float


class SizesTried(tuple[SizeTried, ...]):
    """The sizes tried by ``"auto"``, in order; printed as a table."""

    @property
    def chosen(self) -> SizeTried | None:
        """The first whose loss is within one standard error of the least."""
        return next((size for size in self if size.excess <= size.error), None)

    def __repr__(self) -> str:
        if not self:
            return "()"
        lines = ["spreading_factor  neurons        loss      excess       error"]
        for size in self:
            mark = "  <- chosen" if size is self.chosen else ""
            lines.append(
                f"{size.spreading_factor:>16.4g}{size.neurons:>9}{size.loss:>12.4g}"
                f"{size.excess:>12.4g}{size.error:>12.4g}{mark}"
            )
        return "\n".join(lines)


def choose_size(estimator: Any, parts: Parts, rows: Rows) -> tuple[SizesTried, Parts]:
    """Return the sizes tried on training samples, and the components of the best size.

    One map grows from size to size, until two in a row have a larger loss than the best on the held
    out fifth of the samples. The first whose loss is within one standard error of the smallest is
    chosen (Breiman et al. 1984, 3.4.3, with the error of the difference). With too few samples the
    strategy's default is used.
    """
    mask = _held_out_fifth(rows)
    if mask is None:
        return SizesTried(), _parts_of_size(estimator, parts, None)
    training, held_out = rows.where(~mask), rows.where(mask)
    trial = clone(estimator).set_params(
        warm_start=True, calibration=None, checkpoint=None, callbacks=None, verbose=0
    )
    known = np.ones(held_out.n, dtype=bool)
    if estimator._kind != "vq" and held_out.target is not None:
        known = held_out.target.known
    weights = np.ones(held_out.n) if held_out.weights is None else held_out.weights
    weights = weights[known]
    sizes: list[int] = []
    losses: list[Floats] = []  # of each sample
    means: list[float] = []
    for factor in TRIED:
        trial.spreading_factor = factor
        divisor = _NEXT_DIVISOR if sizes else _FIRST_DIVISOR
        trial.epochs = math.ceil(estimator.epochs / divisor)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial._fit(_parts_of_size(estimator, parts, factor), training)
        sizes.append(len(trial.som_map_))
        losses.append(_losses(trial, held_out.X, held_out.target)[known])
        means.append(float(np.average(losses[-1], weights=weights)))
        best = np.argmin(means)
        if len(means) - best > _PATIENCE:
            break
    # The standard error of a difference, sample by sample, is smaller than that of each loss, as
    # the sizes are tried on the same samples.
    shares = weights / weights.sum()
    differences = np.array(losses)
    differences = differences - differences[np.argmin(differences @ shares)]
    excess = differences @ shares
    errors = np.sqrt((differences - excess[:, None]) ** 2 @ shares**2)
    tried = SizesTried(map(SizeTried, TRIED, sizes, means, excess.tolist(), errors.tolist()))
    factor_chosen = None if tried.chosen is None else tried.chosen.spreading_factor
    return tried, _parts_of_size(estimator, parts, factor_chosen)


def _parts_of_size(estimator: Any, parts: Parts, factor: float | None) -> Parts:
    params = {**estimator.get_params(deep=False), "spreading_factor": factor}
    return replace(parts, growth=build_growth(params))


def _held_out_fifth(rows: Rows) -> Flags | None:
    # A random mask (n,), stratified by class; None where too few samples have a target.
    order = np.random.default_rng(0).permutation(rows.n)
    n_known = rows.n
    target = rows.target
    if target is not None and target.codes is not None:
        # Sorted by class, every fifth sample takes a fifth of each class.
        order = order[np.argsort(target.codes[order], kind="stable")]
        n_known = int(np.count_nonzero(target.known))
    if n_known < _LEAST:
        return None
    mask = np.zeros(rows.n, dtype=bool)
    mask[order[_PARTS // 2 :: _PARTS]] = True
    return mask


def _losses(estimator: Any, X: Any, target: Any) -> Floats:
    """Return the loss of each sample, (n,); of any value where its target is unknown."""
    if estimator._kind == "vq":
        return np.asarray(estimator.evaluate(X).combined_errors)
    samples, predictor = estimator._samples(X), estimator._predictor
    if estimator._kind == "regressor":  # squared error, in variances of what the map learns
        answers = target.transform.apply(estimator._point(predictor.labels(samples)))
        variance = float(target.y[target.known].var())
        if not variance > 0:  # of one value, or of none
            variance = 1.0
        return np.asarray((answers - target.y) ** 2 / variance)
    # Brier score (1950) of all classes; a labeller without probabilities is sure of its label.
    is_class = target.codes[:, None] == np.arange(len(target.classes))
    if estimator._answering is None and estimator._leaf_probabilities is None:
        probabilities = predictor.labels(samples)[:, None] == target.classes
    else:
        probabilities = predictor.probabilities(samples)
    return np.asarray(((probabilities - is_class.astype(np.float64)) ** 2).sum(axis=1))
