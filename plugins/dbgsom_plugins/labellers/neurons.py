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

    estimators = ("vq",)

    def label(self, evidence: LabelEvidence) -> NDArray[np.int64]:
        return np.cumsum(evidence.hits > 0) - 1


class Majority(LabellerComponent):
    """Each neuron answers with the most frequent class among the samples that it won.

    Equal counts go to the class that sorts first.
    """

    needs_target = True
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

    needs_target = True
    estimators = ("regressor",)

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

    estimators = ("classifier",)

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
        apart = relative_squares(around.distances, _UNIT)
        same = np.asarray(around.values) == y[:, None]
        best = (np.inf, 0.0, 0.0)
        for bandwidth in BANDWIDTHS:
            votes = around.weights * np.exp(apart / (-2 * bandwidth))
            given, total = (votes * same).sum(axis=1), votes.sum(axis=1)
            for strength in STRENGTHS:
                likely = (given + strength * shares[y]) / (total + strength)
                loss = -float(np.average(np.log(likely), weights=counted))
                best = min(best, (loss, bandwidth, strength))
        return {"kernel": np.array(best[1:]), "shares": shares}

    def answer(
        self, around: Surroundings, state: dict[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        n, count = len(around.distances), around.n_classes
        bandwidth, strength = state["kernel"]
        kernel = np.exp(relative_squares(around.distances, _UNIT) / (-2 * bandwidth))
        places = np.arange(n)[:, None] * count + around.values
        votes = np.bincount(places.ravel(), (around.weights * kernel).ravel(), n * count)
        votes = votes.reshape(n, count)
        total = sum(votes.T[1:], votes[:, 0])  # class by class: no bit depends on the rows
        return np.asarray((votes + strength * state["shares"]) / (total + strength)[:, None])


def relative_squares(distances: Any, unit: int) -> NDArray[np.float64]:
    """Return (d_j² - d_1²) / d_u² of ascending distances (m, k), u = ``unit`` from 0."""
    squares = np.square(np.asarray(distances, dtype=np.float64))
    unit = min(unit, squares.shape[1] - 1)
    away = squares - squares[:, :1]
    with np.errstate(all="ignore"):  # empty groups, which come last, lie anywhere
        found = np.divide(away, squares[:, [unit]], out=np.zeros_like(away), where=away > 0)
    return np.asarray(found)


Array = NDArray[np.float64]

_MOST_COLUMNS = 1000
_MOST_SLOPES = 10_000  # columns × classes
_FOLDS = 3
_ONE_FOLD = 250_000  # samples × columns × classes from which on one fold tells enough
# Of half the squared slopes, beside mean losses; the stronger ones first, as each regression
# starts from the one before and the weaker the penalty, the more steps it takes from far away.
_PENALTIES_OF_CLASSES = (1.0, 0.1, 0.01, 1e-3, 1e-4)
_NO_BETTER = 1.02  # times the least loss, from which on weaker penalties are not tried
_MIXES = np.linspace(0, 1, 21)
_FARTHEST = 1e3  # deviations from the mean; what lies beyond counts as this
_STEPS, _LEAST_GAIN = 50, 1e-4  # a step that gains less of the mean loss is the last one


class LinearVote(KernelVote):
    """Samples are answered by the classes around them, mixed with a logistic regression.

    Class c has a probability in proportion to V_c^a R_c^(1 - a): V_c is that of ``kernel_vote``,
    R_c that of a multinomial logistic regression with a ridge penalty on standardised columns,
    mixed with the shares of the classes as if they were one sample more. Its penalty is the one of
    a grid under which left-out samples are most likely, and a that of 0, 0.05, … 1 under which they
    are, left out by the votes, too. Each fold of three is left out; where samples times columns
    times classes are more than 250,000, only the first. Samples of more than 1000 columns, or of
    more than 10,000 columns times classes, get the answers of ``kernel_vote`` alone.
    """

    reads_samples = True
    sparse_columns = _MOST_COLUMNS

    def learn(
        self, around: Surroundings, y: NDArray[np.int64], weights: Array | None, som_map: SomMap
    ) -> dict[str, Array]:
        state = super().learn(around, y, weights, som_map)
        X, count = np.asarray(around.X, dtype=np.float64), around.n_classes
        if not 0 < X.shape[1] <= min(_MOST_COLUMNS, _MOST_SLOPES // count):
            return state
        counted = np.ones(len(y)) if weights is None else weights
        n = max(counted.sum(), float(len(y)))
        counted = counted / counted.sum()
        spread = np.ptp(X, axis=0)
        size = np.where(spread > 0, spread, 1.0)  # squares of standardised values are finite
        mean = np.where(spread > 0, counted @ X, X[0])
        deviation = size * np.sqrt(counted @ np.square((X - mean) / size))
        scale = np.where(deviation > 0, deviation, 1.0)
        tried = 1 if n * X.shape[1] * count > _ONE_FOLD else _FOLDS
        slopes, intercepts, rows, left_out = _logistic_regression(
            (X - mean) / scale, y, counted, _folds(X, y), tried, count
        )
        votes = np.log(super().answer(around, state)[rows])
        linear = _with_shares(left_out, state["shares"], n)
        losses = []
        for mix in _MIXES:
            likely = _log_softmax(mix * votes + (1 - mix) * linear)
            losses.append(_mean_loss(likely, y[rows], counted[rows]))
        mix = np.array([_MIXES[int(np.argmin(losses))], n])
        learnt = {"mean": mean, "scale": scale, "slopes": slopes, "intercepts": intercepts}
        return {**state, **learnt, "mix": mix}

    def answer(self, around: Surroundings, state: dict[str, Array]) -> Array:
        votes = super().answer(around, state)
        if "mix" not in state:
            return votes
        mix, n = state["mix"]
        X = (np.asarray(around.X, dtype=np.float64) - state["mean"]) / state["scale"]
        X = np.clip(X, -_FARTHEST, _FARTHEST)
        # No bit depends on other rows.
        scores = np.einsum("nd,dc->nc", X, state["slopes"]) + state["intercepts"]
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


def _mean_loss(logs: Array, y: NDArray[np.int64], weights: Array) -> float:
    return -float(np.average(logs[np.arange(len(y)), y], weights=weights))


def _logistic_regression(
    X: Array, y: NDArray[np.int64], weights: Array, folds: NDArray[np.int64], tried: int, count: int
) -> tuple[Array, Array, NDArray[np.int64], Array]:
    """Return slopes (D, C) and intercepts (C,); rows left out, and their log-probabilities (m, C).

    Columns of X have mean 0, ``weights`` the sum 1. The first ``tried`` folds are left out.
    """
    truth = np.eye(count)[:, y]
    # Along principal axes columns are uncorrelated, so that a unit for each makes the loss round.
    moments, axes = np.linalg.eigh((X * weights[:, None]).T @ X)
    moments = np.append(np.maximum(moments, 0.0), 1.0)
    along = np.column_stack([X @ axes, np.ones(len(y))])
    shares = np.zeros((count, len(moments)))
    shares[:, -1] = np.log(truth @ weights + 1e-3)
    models = [shares] * tried
    rows = np.flatnonzero(folds < tried)
    left_out = np.empty((len(y), count))
    least, chosen = np.inf, (0.0, shares, left_out)
    for penalty in _PENALTIES_OF_CLASSES:
        for fold in range(tried):
            inside, outside = folds != fold, folds == fold
            models[fold] = _most_likely(
                along[inside], truth[:, inside], weights[inside], moments, penalty, models[fold]
            )
            left_out[outside] = _log_softmax(along[outside] @ models[fold].T)
        loss = _mean_loss(left_out[rows], y[rows], weights[rows])
        if loss < least:
            least, chosen = loss, (penalty, np.mean(models, axis=0), left_out[rows])
        elif loss > _NO_BETTER * least:
            break
    penalty, start, found = chosen
    model = _most_likely(along, truth, weights, moments, penalty, start)
    return axes @ model[:, :-1].T, model[:, -1], rows, found


def _most_likely(
    X: Array, truth: Array, weights: Array, moments: Array, penalty: float, start: Array
) -> Array:
    """Return coefficients (C, D) of the penalised multinomial regression, by L-BFGS.

    Columns of X are uncorrelated, with second ``moments`` (D,); ``truth`` (C, n) is 1 for the class
    of a sample. The last coefficient, an intercept, is free. Arrays are (C, n), as sums over the
    few classes are then sums of long rows.
    """
    from scipy.optimize import minimize  # slow to import

    weights = weights / weights.sum()
    counted = truth * weights
    penalties = np.full(len(moments), penalty)
    penalties[-1] = 0.0
    # In these units no second derivative is above 1 (Böhning 1992).
    units = 1 / np.sqrt(moments / 2 + penalties)

    def loss(scaled: Array) -> tuple[float, Array]:
        model = scaled.reshape(start.shape) * units
        scores = model @ X.T
        scores -= scores.max(axis=0)
        value = -float(np.vdot(counted, scores))
        np.exp(scores, out=scores)
        totals = scores.sum(axis=0)
        value += float(weights @ np.log(totals))
        scores *= weights / totals
        scores -= counted
        pulled = penalties * model
        gradient = scores @ X + pulled
        return value + float(np.vdot(pulled, model)) / 2, (gradient * units).ravel()

    options = {"maxiter": _STEPS, "ftol": _LEAST_GAIN, "gtol": 1e-5}
    found = minimize(loss, (start / units).ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x.reshape(start.shape) * units)


WIDTHS = (0.5, 1.0, 2.0)  # hops
PENALTIES = np.logspace(-2, 2, 5)
_OF_ALL = np.logspace(-3, 4, 15)  # penalties of the model of all samples
_MOST_AXES = 32  # principal axes along which the models of neurons have slopes
_NEXT_TO_NOTHING = 1e-3  # of a kernel's largest weight
_BANDWIDTH = 0.1
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
    reads_samples = True

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
        everyone = np.ones(len(y), dtype=bool)
        errors, slopes, intercepts, axes = _ridges(X, y, counted, everyone, _OF_ALL, 0)
        best = int(errors.argmin())
        slopes, intercept = slopes[:, best], intercepts[best]
        axes = axes[:, ::-1][:, :_MOST_AXES]
        left = y - intercept - X @ slopes
        units = around.units[:, 0].astype(np.int64)
        neurons = _around_neurons(X @ axes, left, counted, units, som_map)
        of_all = np.append(slopes / scale, intercept)
        return {"mean": mean, "of_all": of_all, "axes": axes / scale[:, None], **neurons}

    def answer(self, around: Surroundings, state: dict[str, Array]) -> Array:
        apart = relative_squares(around.distances, self.neighbours - 1)
        kernel = np.exp(apart / (-2 * _BANDWIDTH))
        if not state:
            near = kernel * around.weights
            return np.asarray((near * around.values).sum(axis=1) / near.sum(axis=1))
        offsets, slopes, of_all = state["offsets"], state["slopes"], state["of_all"]
        X = np.asarray(around.X, np.float64)
        if not X.size and len(kernel):
            raise ValueError("linear models learnt from dense samples: give X.toarray(), not X")
        if not around.units.max(initial=-1) < len(offsets) == len(slopes):
            raise ValueError("what was learnt is of other neurons")
        X = X - state["mean"]
        along, mixed = X @ state["axes"], np.zeros(len(X))
        for column, units in zip(kernel.T, around.units.T, strict=True):
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


def _ridges(
    X: Array, y: Array, weights: Array, own: NDArray[np.bool_], penalties: Array, more: float
) -> tuple[Array, Array, Array, Array]:
    """Return errors (P,), slopes (D, P) and intercepts (P,) of ridge regressions, and their axes.

    Errors are sums of squares of the samples that are ``own``, each left out; of a weighted one a
    weight of 1 is. The level is a mean with ``more`` samples of target 0. Axes are principal ones,
    the last ones first.
    """
    total = weights.sum() + more
    middle = weights @ X / weights.sum()
    level = float(weights @ y / total)
    X, y = X - middle, y - level
    values, axes = np.linalg.eigh((X * weights[:, None]).T @ X)
    shrunk = 1 / (np.maximum(values, 0.0)[:, None] + penalties)
    moments = axes.T @ ((X * weights[:, None]).T @ y)
    slopes = moments[:, None] * shrunk
    along, counted = X[own] @ axes, weights[own]
    leverage = 1 / total + np.square(along) @ shrunk
    kept = np.maximum(1 - np.minimum(counted, 1.0)[:, None] * leverage, 1e-3)
    errors = counted @ np.square((y[own, None] - along @ slopes) / kept)
    slopes = axes @ slopes
    return errors, slopes, level - middle @ slopes, axes


def _around_neurons(
    X: Array, y: Array, weights: Array, unit: NDArray[np.int64], som_map: SomMap
) -> dict[str, Array]:
    # Offsets (K,) and slopes (K, R) of the neurons' models; a neuron that is nobody's has none.
    squares = np.square(som_map.hops.astype(np.float64))
    least = np.inf
    found: dict[str, Array] = {}
    for width in WIDTHS:
        influence = np.exp(-squares / (2 * width**2))
        errors = np.zeros(len(PENALTIES))
        offsets = np.zeros((len(som_map), len(PENALTIES)))
        slopes = np.zeros((len(som_map), X.shape[1], len(PENALTIES)))
        for neuron in np.unique(unit):
            kernel = influence[neuron][unit]
            rows = np.flatnonzero(kernel > _NEXT_TO_NOTHING)
            counted, own = kernel[rows] * weights[rows], unit[rows] == neuron
            of_neuron, slopes[neuron], offsets[neuron], _ = _ridges(
                X[rows], y[rows], counted, own, PENALTIES, 1
            )
            errors += of_neuron
        best = int(errors.argmin())
        if errors[best] < least:
            least = float(errors[best])
            found = {"offsets": offsets[:, best], "slopes": slopes[:, :, best]}
    return found
