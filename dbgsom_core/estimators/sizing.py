"""The size of a map, chosen on held-out samples: ``spreading_factor="auto"``."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from dbgsom_core.engine.results import Flags, Floats
from dbgsom_core.estimators.parameters import build_growth
from dbgsom_core.estimators.samples import Rows
from dbgsom_core.training.parts import Parts

TRIED = (0.2, 0.5, 0.75, 0.9)  # each growing threshold is at most half of the last
_PARTS = 5  # one fifth is held out
_START, _STEP = 4, 8  # a quarter of the epochs for the first size, an eighth for each further size
_PATIENCE = 2  # sizes in a row with a larger loss that end the search
_LEAST = 20  # samples with a target, at least


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
    held = _held_out_fifth(rows)
    if held is None:
        return SizesTried(), _parts_of_size(estimator, parts, None)
    trained, unseen = rows.where(~held), rows.where(held)
    trial = clone(estimator).set_params(
        warm_start=True, calibration=None, checkpoint=None, callbacks=None, verbose=0
    )
    weights = np.ones(unseen.n) if unseen.weights is None else unseen.weights
    known = np.ones(unseen.n, dtype=bool)
    if estimator._kind != "vq" and unseen.target is not None:
        known = unseen.target.known
    sizes: list[int] = []
    losses: list[Floats] = []  # of each sample
    means: list[float] = []
    for factor in TRIED:
        trial.spreading_factor = factor
        divisor = _STEP if sizes else _START
        trial.epochs = -(-int(estimator.epochs) // divisor)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial._fit(_parts_of_size(estimator, parts, factor), trained)
        sizes.append(len(trial.som_map_))
        losses.append(_losses(trial, unseen.X, unseen.target)[known])
        means.append(float(np.average(losses[-1], weights=weights[known])))
        if np.argmin(means) < len(means) - _PATIENCE:
            break
    # Excess of the means over the smallest, and the standard errors of these differences.
    shares = weights[known] / weights[known].sum()
    differences = np.array(losses)
    differences = differences - differences[np.argmin(differences @ shares)]
    excess = differences @ shares
    errors = np.sqrt((differences - excess[:, None]) ** 2 @ shares**2)
    tried = SizesTried(map(SizeTried, TRIED, sizes, means, excess.tolist(), errors.tolist()))
    chosen = tried.chosen
    return tried, _parts_of_size(
        estimator, parts, None if chosen is None else chosen.spreading_factor
    )


def _parts_of_size(estimator: Any, parts: Parts, factor: float | None) -> Parts:
    params = {**estimator.get_params(deep=False), "spreading_factor": factor}
    return replace(parts, growth=build_growth(params))


def _held_out_fifth(rows: Rows) -> Flags | None:
    # A random mask (n,), stratified by class; None where too few samples have a target.
    order = np.random.default_rng(0).permutation(rows.n)
    known = rows.n
    if rows.target is not None and rows.target.codes is not None:
        order = order[np.argsort(rows.target.codes[order], kind="stable")]
        known = int(np.count_nonzero(rows.target.known))
    if known < _LEAST:
        return None
    held = np.zeros(rows.n, dtype=bool)
    held[order[_PARTS // 2 :: _PARTS]] = True
    return held


def _losses(estimator: Any, X: Any, target: Any) -> Floats:
    """Return the loss of each sample, (n,); of any value where its target is unknown."""
    if estimator._kind == "vq":
        return np.asarray(estimator.evaluate(X).combined_errors)
    data, predictor = estimator._samples(X), estimator._predictor
    if estimator._kind == "regressor":  # in variances of the target
        answers = estimator._point(predictor.labels(data))
        spread = float(target.y[target.known].var())
        return np.asarray((answers - target.y) ** 2 / (spread if spread > 0 else 1.0))
    classes = target.classes
    true = target.codes[:, None] == np.arange(len(classes))
    if estimator._answering is None and estimator._leaf_probabilities is None:
        shares = predictor.labels(data)[:, None] == classes
    else:
        shares = predictor.probabilities(data)
    return np.asarray(((shares - true.astype(np.float64)) ** 2).sum(axis=1))
