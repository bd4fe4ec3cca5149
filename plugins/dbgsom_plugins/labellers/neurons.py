"""Labels of neurons by what they won, and by the neurons around a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import LabelEvidence, LabellerComponent

if TYPE_CHECKING:
    from dbgsom_core.api import SomMap, Surroundings


class Index(LabellerComponent):
    """Each neuron that won a sample is a cluster of its own: 0, 1, … in order of birth."""

    estimators: ClassVar[tuple[str, ...]] = ("vq",)

    def label(self, evidence: LabelEvidence) -> NDArray[np.int64]:
        return np.cumsum(evidence.hits > 0) - 1


class Majority(LabellerComponent):
    """Each neuron answers with the most frequent class among the samples that it won.

    Equal counts go to the class that sorts first.
    """

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("vq", "classifier")

    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        counts, classes = np.asarray(evidence.class_counts), np.asarray(evidence.classes)
        return np.asarray(classes[counts.argmax(axis=1)])

    def probabilities(self, evidence: LabelEvidence) -> NDArray[np.float64]:
        counts = np.asarray(evidence.class_counts)
        totals = counts.sum(axis=1, keepdims=True)
        uniform = np.full(counts.shape, 1 / counts.shape[1])
        return np.asarray(np.divide(counts, totals, out=uniform, where=totals > 0))


class Mean(LabellerComponent):
    """Each neuron answers with the mean target of the samples that it won, by sample weight."""

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)

    def label(self, evidence: LabelEvidence) -> NDArray[np.float64]:
        y, weights = np.asarray(evidence.y, dtype=np.float64), evidence.weights
        weights = np.ones(len(y)) if weights is None else weights
        n_neurons = len(evidence.som_map)
        centre = np.average(y, weights=weights)  # taken off, so that a large offset costs no digits
        sums = np.bincount(evidence.bmu, weights * (y - centre), n_neurons)
        totals = np.bincount(evidence.bmu, weights, n_neurons)
        means = np.divide(sums, totals, out=np.zeros(n_neurons), where=totals > 0)
        return np.asarray(centre + means)


BANDWIDTHS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6, 3.2)
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0)
_UNIT = 4  # which of the nearest groups sets the unit of distance


class KernelVote(Majority):
    """Samples are answered by the classes around them, which vote with a kernel of the distance.

    A group is what a neuron won of one class, at the mean of those samples, so a neuron in which
    classes meet has a border between them. With d_1 ≤ d_2 ≤ … the distances of a sample to the
    nearest groups and n_j their samples, class c has the votes

        v_c = Σ over the groups j of c of n_j exp(-(d_j² - d_1²) / (2 b d_5²)),

    and probability (v_c + m q_c) / (Σ v + m), q its share of all samples: the mean under a
    Dirichlet prior of strength m. Bandwidth b and strength m are those of a grid under which the
    training samples, each left out, are most likely. A neuron answers as a sample at its
    prototype.
    """

    estimators: ClassVar[tuple[str, ...]] = ("classifier",)

    def learn(
        self,
        around: Surroundings,
        y: NDArray[np.int64],
        weights: NDArray[np.float64] | None,
        som_map: SomMap,
    ) -> dict[str, NDArray[np.float64]]:
        counted = np.ones(len(y)) if weights is None else weights
        shares = np.bincount(y, counted, around.n_classes) + 1 / around.n_classes
        shares /= shares.sum()
        rows, best = np.arange(len(y)), (np.inf, 0.0, 0.0)
        apart = relative_squares(around.distances, _UNIT)
        for bandwidth in BANDWIDTHS:
            votes = _votes(around, apart, bandwidth)
            given, total = votes[rows, y], votes.sum(axis=1)
            for strength in STRENGTHS:
                likely = (given + strength * shares[y]) / (total + strength)
                loss = -float(np.average(np.log(likely), weights=counted))
                best = min(best, (loss, bandwidth, strength))
        return {"kernel": np.array(best[1:]), "shares": shares}

    def answer(
        self, around: Surroundings, state: dict[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        kernel, shares = state["kernel"], state["shares"]
        if kernel.shape != (2,) or shares.shape != (around.n_classes,):
            raise ValueError(f"what was learnt is not of {around.n_classes} classes")
        if not ((kernel > 0).all() and (shares >= 0).all()):
            raise ValueError("what was learnt holds shares, or a kernel, below 0")
        bandwidth, strength = kernel
        votes = _votes(around, relative_squares(around.distances, _UNIT), bandwidth)
        total = sum(votes.T[1:], votes[:, 0])  # class by class: no bit depends on the rows
        return np.asarray((votes + strength * shares) / (total + strength)[:, None])


def relative_squares(distances: Any, unit: int) -> NDArray[np.float64]:
    """Return (d_j² - d_1²) / d_u² of ascending distances (m, k), u = ``unit`` from 0."""
    squares = np.square(np.asarray(distances, dtype=np.float64))
    unit = min(unit, squares.shape[1] - 1)
    away = squares - squares[:, :1]
    with np.errstate(all="ignore"):  # empty groups, which come last, lie anywhere
        found = np.divide(away, squares[:, [unit]], out=np.zeros_like(away), where=away > 0)
    return np.asarray(found)


def _votes(
    around: Surroundings, apart: NDArray[np.float64], bandwidth: float
) -> NDArray[np.float64]:
    # Class by class, (m, C).
    kernel, n, count = np.exp(apart / (-2 * bandwidth)), len(apart), around.n_classes
    values = np.asarray(around.values)
    if ((values < 0) | (values >= count)).any():
        raise ValueError(f"what is around the samples is not of {count} classes")
    places = (np.arange(n)[:, None] * count + values).ravel()
    votes = np.bincount(places, (around.weights * kernel).ravel(), n * count)
    return np.asarray(votes.reshape(n, count), dtype=np.float64)


Array = NDArray[np.float64]

_MOST_COLUMNS = 1000
_MOST_SLOPES = 10_000  # columns × classes
_FOLDS = 3
_PENALTIES_OF_CLASSES = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4)  # of squared slopes, beside mean losses
_NO_BETTER = 1.02  # times the least loss, from which on weaker penalties are not tried
_MIXES = np.linspace(0, 1, 21)
_FARTHEST = 1e3  # deviations from the mean; what lies beyond counts as this
_STEPS, _LAST_STEPS = 25, 60
_AT_REST, _LAST_AT_REST = 1e-3, 1e-5  # largest change of a slope
_OF_CLASSES = ("mean", "scale", "slopes", "intercepts", "mix")


class LinearVote(KernelVote):
    """Samples are answered by the classes around them, mixed with a logistic regression.

    Class c has a probability in proportion to V_c^a R_c^(1 - a): V_c is that of ``kernel_vote``,
    R_c that of a multinomial logistic regression with a ridge penalty on standardised columns,
    mixed with the shares of the classes as if they were one sample more. Its penalty is the one of
    a grid under which the samples are most likely, each fold of three left out, and a that of 0,
    0.05, … 1 under which they are, left out by the votes, too. Samples of more than 1000 columns,
    or of more than 10,000 columns times classes, get the answers of ``kernel_vote`` alone.
    """

    reads_samples: ClassVar[bool] = True
    sparse_columns: ClassVar[int] = _MOST_COLUMNS

    def learn(
        self, around: Surroundings, y: NDArray[np.int64], weights: Array | None, som_map: SomMap
    ) -> dict[str, Array]:
        state = super().learn(around, y, weights, som_map)
        X = np.asarray(around.X, dtype=np.float64)
        if not 0 < X.shape[1] <= min(_MOST_COLUMNS, _MOST_SLOPES // around.n_classes):
            return state
        counted = np.ones(len(y)) if weights is None else weights
        n = max(counted.sum(), float(len(y)))
        counted = counted / counted.sum()
        spread = np.ptp(X, axis=0)
        size = np.where(spread > 0, spread, 1.0)  # squares of standardised values are finite
        mean = np.where(spread > 0, counted @ X, X[0])
        deviation = size * np.sqrt(counted @ np.square((X - mean) / size))
        scale = np.where(deviation > 0, deviation, 1.0)
        slopes, intercepts, left_out = _logistic_regression(
            (X - mean) / scale, y, counted, _folds(X, y), around.n_classes
        )
        votes = np.log(super().answer(around, state))
        linear = _with_shares(left_out, state["shares"], n)
        likely = [_log_softmax(mix * votes + (1 - mix) * linear) for mix in _MIXES]
        losses = [-float(counted @ one[np.arange(len(y)), y]) for one in likely]
        mixed = np.array([_MIXES[int(np.argmin(losses))], n])
        learnt = (mean, scale, slopes, intercepts, mixed)
        return state | dict(zip(_OF_CLASSES, learnt, strict=True))

    def answer(self, around: Surroundings, state: dict[str, Array]) -> Array:
        votes, count = super().answer(around, state), around.n_classes
        if "mix" not in state:
            return votes
        learnt = [np.asarray(state[name], dtype=np.float64) for name in _OF_CLASSES]
        mean, scale, slopes, intercepts, mixed = learnt
        X = np.asarray(around.X, dtype=np.float64)
        d = X.shape[1]
        if [one.shape for one in learnt] != [(d,), (d,), (d, count), (count,), (2,)]:
            raise ValueError(f"what was learnt is not of {d} columns and {count} classes")
        mix, n = mixed
        small = all((np.abs(one) < 1e150).all() for one in learnt)  # products are finite
        if not (small and (scale > 0).all() and 0 <= mix <= 1 and n > 0):
            raise ValueError("what was learnt holds deviations below 0, or no usable numbers")
        X = np.clip((X - mean) / scale, -_FARTHEST, _FARTHEST)
        scores = np.einsum("nd,dc->nc", X, slopes) + intercepts  # no bit depends on other rows
        linear = _with_shares(_log_softmax(scores), state["shares"], n)
        with np.errstate(divide="ignore"):
            return np.exp(_log_softmax(mix * np.log(votes) + (1 - mix) * linear))


def _with_shares(logs: Array, shares: Array, n: float) -> Array:
    # Logarithms of the probabilities (m, C) of n samples and of one that is of all classes.
    return np.asarray(np.log((n * np.exp(logs) + shares) / (n + 1)))


def _log_softmax(scores: Array) -> Array:
    scores = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def _folds(X: Array, y: NDArray[np.int64]) -> NDArray[np.int64]:
    # By the bits of samples: equal ones share a fold, as one of their weight does.
    odd = np.arange(1, 2 * X.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    keys = np.ascontiguousarray(X).view(np.uint64) @ odd
    folds = np.empty(len(y), dtype=np.int64)
    for code in np.unique(y):
        rows = np.flatnonzero(y == code)
        ranks = np.unique(keys[rows], return_inverse=True)[1]
        folds[rows] = (ranks + code) % _FOLDS
    return folds


def _logistic_regression(
    X: Array, y: NDArray[np.int64], weights: Array, folds: NDArray[np.int64], count: int
) -> tuple[Array, Array, Array]:
    """Return slopes (D, C), intercepts (C,), and log-probabilities (n, C) of left-out folds.

    Columns of X have mean 0, ``weights`` the sum 1.
    """
    rows, truth = np.arange(len(y)), np.eye(count)[y]
    moments, axes = np.linalg.eigh((X * weights[:, None]).T @ X)
    moments = np.append(np.maximum(moments, 0.0), 1.0)
    along = np.column_stack([X @ axes, np.ones(len(y))])
    # A regression without each of the folds, and one of all samples.
    of = weights[:, None] * (folds[:, None] != np.arange(_FOLDS + 1))
    models = np.zeros((len(moments), _FOLDS + 1, count))
    models[-1] = np.log(of.T @ truth + 1e-3)
    best: tuple[float, float, Any, Any] = (np.inf, 0.0, None, None)
    for penalty in _PENALTIES_OF_CLASSES:
        models = _ascend(along, truth, of, moments, penalty, models, _STEPS, _AT_REST)
        scores = along @ models.reshape(len(moments), -1)
        found = _log_softmax(scores.reshape(len(y), _FOLDS + 1, count)[rows, folds])
        loss = -float(weights @ found[rows, y])
        if loss < best[0]:
            best = (loss, penalty, models[:, _FOLDS:], found)
        elif loss > _NO_BETTER * best[0]:
            break
    _, penalty, model, found = best
    model = _ascend(
        along, truth, of[:, _FOLDS:], moments, penalty, model, _LAST_STEPS, _LAST_AT_REST
    )[:, 0]
    return axes @ model[:-1], model[-1], found


def _ascend(
    X: Array,
    truth: Array,
    weights: Array,
    moments: Array,
    penalty: float,
    models: Array,
    steps: int,
    at_rest: float,
) -> Array:
    """Return coefficients (D, F, C) of F regressions after so many steps, or at rest.

    Each maximises a lower bound of the likelihood (Böhning 1992), accelerated (Nesterov 1983) and
    begun anew where it turns back (O'Donoghue & Candès 2015). Columns of X are uncorrelated, with
    second ``moments`` (D,); ``weights`` (n, F). The last coefficient, an intercept, is free.
    """
    penalties = np.full((len(moments), 1, 1), penalty) * weights.sum(axis=0)[:, None]
    penalties[-1] = 0.0
    bound = np.maximum(moments[:, None, None] / 2 + penalties, np.finfo(np.float64).tiny)
    before, pace = models, np.ones(models.shape[1])
    for _ in range(steps):
        quicker = (1 + np.sqrt(1 + 4 * np.square(pace))) / 2
        ahead = models + ((pace - 1) / quicker)[:, None] * (models - before)
        chances = (X @ ahead.reshape(len(moments), -1)).reshape(len(X), *models.shape[1:])
        chances -= chances.max(axis=2, keepdims=True)
        np.exp(chances, out=chances)
        chances /= chances.sum(axis=2, keepdims=True)
        left = weights[:, :, None] * (truth[:, None] - chances)
        gradient = (X.T @ left.reshape(len(X), -1)).reshape(models.shape) - penalties * ahead
        before, models = models, ahead + gradient / bound
        turned = ((ahead - models) * (models - before)).sum(axis=(0, 2)) > 0
        pace = np.where(turned, 1.0, quicker)
        if np.abs(models - before).max() < at_rest:
            break
    return models


WIDTHS = (0.5, 1.0, 2.0)  # hops
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
_OF_ALL = np.logspace(-3, 4, 15)  # penalties of the model of all samples
_MOST_AXES = 32  # principal axes along which the models of neurons have slopes
_NEXT_TO_NOTHING = 1e-3  # of a kernel's largest weight
_BANDWIDTH = 0.1
_LEARNT = ("mean", "of_all", "axes", "offsets", "slopes")
_BEYOND = 0.05  # of the targets' range: how far beyond it an answer may lie


class LocalLinear(Mean):
    """Each neuron answers with a linear model of the samples around it (Cleveland 1979).

    One ridge regression is fitted to all samples, and one around each neuron to what it leaves
    over: the neuron's own samples and, with a Gaussian of the hops, those of its neighbours.
    Columns are standardised; slopes around a neuron lie along the first 32 principal axes. Both
    penalties and the width of the Gaussian are those of a grid under which the squared error on the
    training samples, each left out, is least. A sample is answered by the models of the four
    neurons whose means are nearest to it, weighed by exp(-(d² - d_1²) / (0.2 d_4²)), and cut to
    the range of the training targets, 5 % wider on each side. Sparse samples, and those of more
    than 1000 columns, get the weighed mean targets of these four.
    """

    neighbours: ClassVar[int] = 4
    reads_samples: ClassVar[bool] = True

    def learn(
        self, around: Surroundings, y: Array, weights: Array | None, som_map: SomMap
    ) -> dict[str, Array]:
        X = np.asarray(around.X, dtype=np.float64)
        if not 0 < X.shape[1] <= _MOST_COLUMNS:
            return {}
        counted = np.ones(len(y)) if weights is None else weights
        mean = np.average(X, axis=0, weights=counted)
        scale = np.sqrt(np.average(np.square(X - mean), axis=0, weights=counted))
        scale = np.where(scale > 0, scale, 1.0)
        X = (X - mean) / scale
        slopes, intercept, axes = _ridge(X, y, counted)
        axes = axes[:, :_MOST_AXES]
        left = y - intercept - X @ slopes
        neurons = _around_neurons(
            X @ axes, left, counted, around.units[:, 0].astype(np.int64), som_map
        )
        of_all = np.append(slopes / scale, intercept)
        return {"mean": mean, "of_all": of_all, "axes": axes / scale[:, None], **neurons}

    def answer(self, around: Surroundings, state: dict[str, Array]) -> Array:
        apart = relative_squares(around.distances, self.neighbours - 1)
        kernel = np.exp(apart / (-2 * _BANDWIDTH))
        if not state:
            near = kernel * around.weights
            return np.asarray((near * around.values).sum(axis=1) / near.sum(axis=1))
        learnt = [np.asarray(state[name]) for name in _LEARNT]
        mean, of_all, axes, offsets, slopes = learnt
        X, nearest = np.asarray(around.X, np.float64), np.asarray(around.units)
        if mean.size and not X.size and len(kernel):
            raise ValueError("linear models learnt from dense samples: give X.toarray(), not X")
        d, k, width = X.shape[1], offsets.size, slopes.shape[1] if slopes.ndim == 2 else -1
        shapes = [(d,), (d + 1,), (d, width), (k,), (k, width)]
        known = [one.shape for one in learnt] == shapes
        if not known or nearest.min(initial=0) < 0 or nearest.max(initial=-1) >= k:
            raise ValueError("what was learnt is of other samples or neurons")
        X = X - mean
        along, mixed = X @ axes, np.zeros(len(X))
        for column, units in zip(kernel.T, nearest.T, strict=True):
            answers = offsets[units]
            for axis in range(slopes.shape[1]):  # one by one: no bit depends on the rows
                answers = answers + along[:, axis] * slopes[units, axis]
            mixed += column * answers
        answers = X @ of_all[:-1] + of_all[-1] + mixed / sum(kernel.T[1:], kernel[:, 0])
        if around.limits is not None:
            least, largest = around.limits
            margin = _BEYOND * (largest - least)
            answers = np.clip(answers, least - margin, largest + margin)
        return np.asarray(answers)


def _ridge(X: Array, y: Array, weights: Array) -> tuple[Array, float, Array]:
    # Slopes and intercept for X without a mean, and the principal axes, first ones first.
    total, one = weights.sum(), np.minimum(weights, 1.0)
    middle = float(weights @ y / total)
    values, axes = np.linalg.eigh((X * weights[:, None]).T @ X)
    values, axes = np.maximum(values[::-1], 0.0), axes[:, ::-1]
    along = X @ axes
    moments = along.T @ (weights * (y - middle))
    best: tuple[float, Any] = (np.inf, None)
    for penalty in _OF_ALL:
        slopes = moments / (values + penalty)
        leverage = one * (1 / total + np.square(along) @ (1 / (values + penalty)))
        loss = weights @ np.square((y - middle - along @ slopes) / np.maximum(1 - leverage, 1e-3))
        if loss < best[0]:
            best = (float(loss), slopes)
    return axes @ best[1], middle, axes


def _around_neurons(
    X: Array, y: Array, weights: Array, unit: NDArray[np.int64], som_map: SomMap
) -> dict[str, Array]:
    # Offsets (K,) and slopes (K, R) of the neurons' models; a neuron that is nobody's has none.
    squares = np.square(som_map.hops.astype(np.float64))
    asked, one = np.unique(unit), np.minimum(weights, 1.0)
    best: tuple[float, Any, Any] = (np.inf, None, None)
    for width in WIDTHS:
        influence = np.exp(-squares / (2 * width**2))
        losses, models = np.zeros(len(PENALTIES)), []
        for neuron in asked:
            kernel = influence[neuron][unit]
            rows = np.flatnonzero(kernel > _NEXT_TO_NOTHING)
            w = kernel[rows] * weights[rows]
            total = w.sum()
            middle = w @ X[rows] / total
            level = float(w @ y[rows] / (total + 1))
            part = X[rows] - middle
            values, axes = np.linalg.eigh((part * w[:, None]).T @ part)
            values = np.maximum(values, 0.0)
            moments = axes.T @ ((part * w[:, None]).T @ (y[rows] - level))
            own = unit[rows] == neuron
            along, mine = part[own] @ axes, rows[own]
            for p, penalty in enumerate(PENALTIES):
                told = level + along @ (moments / (values + penalty))
                leverage = 1 / (total + 1) + np.square(along) @ (1 / (values + penalty))
                kept = np.maximum(1 - one[mine] * leverage, 1e-3)
                losses[p] += weights[mine] @ np.square((y[mine] - told) / kept)
            models.append((middle, level, values, axes, moments))
        p = int(losses.argmin())
        if losses[p] < best[0]:
            best = (float(losses[p]), PENALTIES[p], models)
    offsets, slopes = np.zeros(len(som_map)), np.zeros((len(som_map), X.shape[1]))
    for neuron, (middle, level, values, axes, moments) in zip(asked, best[2], strict=True):
        slopes[neuron] = axes @ (moments / (values + best[1]))
        offsets[neuron] = level - middle @ slopes[neuron]
    return {"offsets": offsets, "slopes": slopes}
