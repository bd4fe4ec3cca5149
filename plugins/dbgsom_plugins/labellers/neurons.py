"""Labels of neurons by what they won, and by the neurons around a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import LabelEvidence, LabellerComponent

if TYPE_CHECKING:
    from dbgsom_core.api import SomMap, Surroundings

Array = NDArray[np.float64]


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
        y = np.asarray(evidence.y, dtype=np.float64)
        weights = _or_ones(evidence.weights, len(y))
        n_neurons = len(evidence.som_map)
        # The mean is taken off, so that a large offset costs no digits.
        centre = np.average(y, weights=weights)
        sums = np.bincount(evidence.bmu, weights * (y - centre), n_neurons)
        totals = np.bincount(evidence.bmu, weights, n_neurons)
        means = np.divide(sums, totals, out=np.zeros(n_neurons), where=totals > 0)
        return np.asarray(centre + means)


def _or_ones(weights: NDArray[Any] | None, n: int) -> Array:
    if weights is None:
        return np.ones(n)
    return weights


# Grids of `KernelVote`, in steps of about a factor of 2. Bandwidths are shares of d_5²: at the
# least one only groups as near as the nearest vote, at the largest all of the nearest few do.
BANDWIDTHS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6, 3.2)
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0)  # samples
_UNIT = 4  # from 0: the fifth nearest group sets the unit of distance, so it follows the density


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
        weights = _or_ones(weights, len(y))
        # One sample more, of all classes in equal parts: a class without weight has a share, too.
        shares = np.bincount(y, weights, around.n_classes) + 1 / around.n_classes
        shares /= shares.sum()
        squares = relative_squares(around.distances, _UNIT)
        is_same_class = np.asarray(around.values) == y[:, None]
        best = (np.inf, 0.0, 0.0)
        for bandwidth in BANDWIDTHS:
            votes = around.weights * np.exp(squares / (-2 * bandwidth))
            own_votes = (votes * is_same_class).sum(axis=1)
            totals = votes.sum(axis=1)
            for strength in STRENGTHS:
                likelihood = (own_votes + strength * shares[y]) / (totals + strength)
                loss = -float(np.average(np.log(likelihood), weights=weights))
                best = min(best, (loss, bandwidth, strength))
        return {"kernel": np.array(best[1:]), "shares": shares}

    def answer(
        self, around: Surroundings, state: dict[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        n, n_classes = len(around.distances), around.n_classes
        bandwidth, strength = state["kernel"]
        squares = relative_squares(around.distances, _UNIT)
        group_votes = around.weights * np.exp(squares / (-2 * bandwidth))
        # Votes (n, C) are summed by a flat index: row of the sample, column of the group's class.
        index = np.arange(n)[:, None] * n_classes + around.values
        votes = np.bincount(index.ravel(), group_votes.ravel(), n * n_classes)
        votes = votes.reshape(n, n_classes)
        totals = sum(votes.T[1:], votes[:, 0])  # class by class: no bit depends on the rows
        smoothed = votes + strength * state["shares"]
        return np.asarray(smoothed / (totals + strength)[:, None])


def relative_squares(distances: Any, unit: int) -> NDArray[np.float64]:
    """Return (d_j² - d_1²) / d_u² of ascending distances (m, k), u = ``unit`` from 0."""
    squares = np.square(np.asarray(distances, dtype=np.float64))
    unit = min(unit, squares.shape[1] - 1)
    excess = squares - squares[:, :1]
    relative = np.zeros_like(excess)
    with np.errstate(all="ignore"):  # empty groups, which come last, lie anywhere
        np.divide(excess, squares[:, [unit]], out=relative, where=excess > 0)
    return relative


_MOST_COLUMNS = 1000  # the covariance of columns, its square, is decomposed
_MOST_SLOPES = 10_000  # columns × classes: each is a parameter of the regression
_FOLDS = 3
_ONE_FOLD = 100_000  # samples × columns × classes from which on one fold tells enough
# Of half the squared slopes, beside mean losses; the stronger ones first, as each regression
# starts from the one before and the weaker the penalty, the more steps it takes from far away.
_PENALTIES_OF_CLASSES = (1.0, 0.1, 0.01, 1e-3, 1e-4)
_NO_BETTER = 1.02  # times the least loss, from which on weaker penalties are not tried
_FARTHEST = 1e3  # deviations from the mean; what lies beyond counts as this, so scores are finite
_ITERATIONS = 50  # L-BFGS takes about six in these units; the bound keeps a fit short in any case
_LEAST_GAIN = 1e-4  # an iteration that gains less of the mean loss is the last one
_UNSEEN = 1e-3  # added to the share of a class, so that one without weight has a logarithm
_QUANTILES = np.arange(1, 16) / 16  # of a column, where its steps are
_MOST_TERMS = 600  # steps, or pairs: the square of their number is decomposed
_FEWEST_OF_PAIR = 5.0  # samples that have both categories
# Samples × columns × classes from which steps and pairs are learnt: about what a map itself takes.
_MOST_NUMBERS = 250_000
_FEWEST = 2000  # samples from which they are learnt, where there are more
_FEWEST_OF_ALL = 100  # a sixteenth of them says something of a class
_TOWARDS_EQUAL = 0.02  # of half the squared distance from equal exponents, beside mean losses
_LARGEST_EXPONENT = 2.0


class LinearVote(KernelVote):
    """Samples are answered by the classes around them, and by logistic regressions.

    Class c has a probability in proportion to the product of V_c^a, R_c^b, S_c^d and P_c^e, a
    logarithmic opinion pool (Genest & Zidek 1986). V_c is that of ``kernel_vote``. The others are
    those of multinomial logistic regressions with a ridge penalty, mixed with the shares of the
    classes as if they were one sample more: R of standardised columns, S of these and a step at
    each sixteenth of a column's values (an additive model, Hastie & Tibshirani 1990), P of these
    and the products of columns of two values, such as two categories. Exponents, from 0 to 2, and
    penalties are those under which left-out samples are most likely.

    Each fold of three is left out; where samples times columns times classes are more than 100,000,
    only the first. S and P learn from as many evenly spaced samples as make that product 250,000;
    they are left out where these are less than 2000 and not all, where all are less than 100, or
    where there were more than 600 steps or pairs. Samples of more than 1000 columns, or of more
    than 10,000 columns times classes, get the answers of ``kernel_vote`` alone.
    """

    reads_samples = True
    sparse_columns = _MOST_COLUMNS

    def learn(
        self, around: Surroundings, y: NDArray[np.int64], weights: Array | None, som_map: SomMap
    ) -> dict[str, Array]:
        state = super().learn(around, y, weights, som_map)
        X = np.asarray(around.X, dtype=np.float64)
        n_columns, n_classes = X.shape[1], around.n_classes
        if not 0 < n_columns <= min(_MOST_COLUMNS, _MOST_SLOPES // n_classes):
            return state
        weights = _or_ones(weights, len(y))
        n = max(weights.sum(), float(len(y)))
        weights = weights / weights.sum()
        state |= {**_units(X, weights), "n": np.array(n)}
        folds = _folds(X, y)
        X = (X - state["mean"]) / state["scale"]
        n_tried = 1 if n * n_columns * n_classes > _ONE_FOLD else _FOLDS
        everyone = np.arange(len(y))
        few, terms = _terms_of_few(X, n * weights, n_columns * n_classes)
        state |= terms
        is_left_out = folds[few] < n_tried
        logs = [np.log(super().answer(around, state)[few][is_left_out])]
        for name in _regressions(state):
            rows = everyone if name == "columns" else few
            slopes, intercepts, left_out = _logistic_regression(
                _features(X[rows], state, name),
                y[rows],
                weights[rows],
                folds[rows],
                n_tried,
                n_classes,
            )
            state |= {f"{name}_slopes": slopes, f"{name}_intercepts": intercepts}
            of_few = left_out[few] if name == "columns" else left_out
            logs.append(_with_shares(of_few[is_left_out], state["shares"], n))
        rows = few[is_left_out]
        state["exponents"] = _most_likely_pool(np.array(logs), y[rows], weights[rows])
        return state

    def answer(self, around: Surroundings, state: dict[str, Array]) -> Array:
        votes = super().answer(around, state)
        if "exponents" not in state:
            return votes
        X = (np.asarray(around.X, dtype=np.float64) - state["mean"]) / state["scale"]
        X = np.clip(X, -_FARTHEST, _FARTHEST)
        of_votes, *exponents = state["exponents"]
        pool = of_votes * np.log(votes)
        for name, exponent in zip(_regressions(state), exponents, strict=True):
            features = _features(X, state, name)
            # No bit depends on other rows.
            scores = np.einsum("nd,dc->nc", features, state[f"{name}_slopes"])
            logs = _log_softmax(scores + state[f"{name}_intercepts"])
            pool += exponent * _with_shares(logs, state["shares"], state["n"])
        return np.exp(_log_softmax(pool))


def _units(X: Array, weights: Array) -> dict[str, Array]:
    # Means and deviations (D,) of columns; squares of what is divided by the spread are finite.
    spread = np.ptp(X, axis=0)
    varies = spread > 0
    mean = np.where(varies, weights @ X, X[0])
    unit = np.where(varies, spread, 1.0)
    deviation = unit * np.sqrt(weights @ np.square((X - mean) / unit))
    return {"mean": mean, "scale": np.where(deviation > 0, deviation, 1.0)}


def _regressions(state: dict[str, Array]) -> list[str]:
    return ["columns", *(name for name in ("steps", "pairs") if name in state)]


def _features(X: Array, state: dict[str, Array], name: str) -> Array:
    # Columns (m, P) of a regression: those of standardised samples, and its own terms.
    if name == "columns":
        return X
    if name == "steps":
        columns, cuts = state["step_columns"], state["steps"]
        terms = X[:, columns] > cuts
    else:
        first, second = state["pairs"]
        terms = (X[:, first] > 0) & (X[:, second] > 0)
    return np.hstack([X, terms])


def _terms_of_few(
    X: Array, weights: Array, n_numbers: int
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Return terms and the samples that they are learnt from; all of them, where there are none.

    Each of the standardised samples is ``n_numbers`` numbers of a regression; weights are counts.
    """
    everyone = np.arange(len(X))
    n_few = min(_MOST_NUMBERS // n_numbers, len(X))
    if weights.sum() < _FEWEST_OF_ALL or n_few < min(_FEWEST, len(X)):
        return everyone, {}
    few = np.linspace(0, len(X) - 1, n_few).astype(np.int64)
    terms = _terms(X[few], weights[few])
    return (few, terms) if terms else (everyone, terms)


def _terms(X: Array, weights: Array) -> dict[str, NDArray[Any]]:
    """Return the steps (p,) and their columns (p,), and pairs (2, q), of standardised samples."""
    least, largest = X.min(axis=0), X.max(axis=0)
    is_between = (least < X) & (largest > X)
    has_two_values = ~is_between.any(axis=0) & (least < largest)
    columns, cuts = [], []
    for column in np.flatnonzero(~has_two_values):
        order = np.argsort(X[:, column], kind="stable")
        below = np.cumsum(weights[order])
        # Equal sums differ in their last bits where a sample of weight 2 stands for two.
        places = np.searchsorted(below, (1 - 1e-9) * below[-1] * _QUANTILES)
        own = np.unique(X[order[places], column])
        own = own[own < largest[column]]
        columns.append(np.full(len(own), column))
        cuts.append(own)
    two = np.flatnonzero(has_two_values)
    is_upper = X[:, two] > 0
    together = (is_upper * weights[:, None]).T @ is_upper
    first, second = np.nonzero(np.triu(together >= _FEWEST_OF_PAIR, 1))
    terms: dict[str, NDArray[Any]] = {}
    if 0 < sum(map(len, cuts)) <= _MOST_TERMS:
        terms |= {"step_columns": np.concatenate(columns), "steps": np.concatenate(cuts)}
    if 0 < len(first) <= _MOST_TERMS:
        terms["pairs"] = np.stack([two[first], two[second]])
    return terms


def _with_shares(logs: Array, shares: Array, n: Any) -> Array:
    # Logarithms of the probabilities (m, C) of n samples and of one that is of all classes.
    counts = n * np.exp(logs) + shares
    return np.asarray(np.log(counts / (n + 1)))


def _log_softmax(scores: Array) -> Array:
    scores = scores - scores.max(axis=1, keepdims=True)  # so that no exponential overflows
    totals = np.exp(scores).sum(axis=1, keepdims=True)
    return np.asarray(scores - np.log(totals))


def _folds(X: Array, y: NDArray[np.int64]) -> NDArray[np.int64]:
    # By a hash of the bits of samples: equal ones share a fold, as one of their weight does. Its
    # factors are odd multiples of Knuth's 2^64 over the golden ratio, so that all bits count.
    factors = np.arange(1, 2 * X.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    hashes = np.ascontiguousarray(X).view(np.uint64) @ factors
    folds = np.empty(len(y), dtype=np.int64)
    for code in np.unique(y):
        rows = np.flatnonzero(y == code)
        _, ranks = np.unique(hashes[rows], return_inverse=True)
        folds[rows] = (ranks + code) % _FOLDS
    return folds


def _mean_loss(logs: Array, y: NDArray[np.int64], weights: Array) -> float:
    of_own_class = logs[np.arange(len(y)), y]
    return -float(np.average(of_own_class, weights=weights))


def _most_likely_pool(logs: Array, y: NDArray[np.int64], weights: Array) -> Array:
    """Return the exponents (V,) of log-probabilities (V, m, C) under which classes y are likely."""
    from scipy.optimize import minimize  # slow to import

    n_voices = len(logs)
    equal = np.full(n_voices, 1 / n_voices)
    weights = weights / weights.sum()
    of_own_class = logs[:, np.arange(len(y)), y] @ weights

    def loss(exponents: Array) -> tuple[float, Array]:
        pooled = np.tensordot(exponents, logs, axes=1)
        highest = pooled.max(axis=1)
        pooled = np.exp(pooled - highest[:, None])
        totals = pooled.sum(axis=1)
        value = weights @ (np.log(totals) + highest) - exponents @ of_own_class
        pooled *= (weights / totals)[:, None]
        excess = exponents - equal
        value += _TOWARDS_EQUAL / 2 * (excess @ excess)
        gradient = np.tensordot(logs, pooled, axes=2) - of_own_class + _TOWARDS_EQUAL * excess
        return float(value), gradient

    bounds = [(0.0, _LARGEST_EXPONENT)] * n_voices
    options = {"ftol": 1e-12, "gtol": 1e-8}
    result = minimize(loss, equal, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(result.x)


def _logistic_regression(
    X: Array, y: NDArray[np.int64], weights: Array, folds: NDArray[np.int64], n_tried: int, n: int
) -> tuple[Array, Array, Array]:
    """Return slopes (P, C), intercepts (C,), and log-probabilities (m, C) of left-out samples.

    Columns of X (m, P) are standardised for the penalty; there are ``n`` classes. The first
    ``n_tried`` folds are left out, and rows of the others mean nothing.
    """
    weights = weights / weights.sum()
    mean = weights @ X
    deviation = np.sqrt(weights @ np.square(X - mean))
    scale = np.where(deviation > 0, deviation, 1.0)
    X = (X - mean) / scale
    truth = np.eye(n)[:, y]
    # Along principal axes columns are uncorrelated, so that a unit for each makes the loss round.
    variances, axes = np.linalg.eigh((X * weights[:, None]).T @ X)
    moments = np.append(np.maximum(variances, 0.0), 1.0)
    scores = np.column_stack([X @ axes, np.ones(len(y))])
    start = np.zeros((1, n, len(moments)))
    start[..., -1] = np.log(truth @ weights + _UNSEEN)
    is_outside = folds == np.arange(n_tried)[:, None]
    of_folds = np.where(is_outside, 0.0, weights)
    is_inside = of_folds.any(axis=0)  # but for the one fold, if only that is left out
    inside = scores, truth, of_folds
    if n_tried == 1:
        inside = scores[is_inside], truth[:, is_inside], of_folds[:, is_inside]
    rows = np.flatnonzero(folds < n_tried)
    models = np.repeat(start, n_tried, axis=0)
    logs = np.empty((len(y), n))
    least = np.inf
    for penalty in _PENALTIES_OF_CLASSES:
        models = _most_likely(*inside, moments, penalty, models)
        for outside, model in zip(is_outside, models, strict=True):
            logs[outside] = _log_softmax(scores[outside] @ model.T)
        loss = _mean_loss(logs[rows], y[rows], weights[rows])
        if loss < least:
            least, best_penalty = loss, penalty
            start, left_out = models.mean(axis=0, keepdims=True), logs.copy()
        elif loss > _NO_BETTER * least:
            break
    (model,) = _most_likely(scores, truth, weights[None], moments, best_penalty, start)
    slopes = axes @ model[:, :-1].T / scale[:, None]
    return slopes, model[:, -1] - mean @ slopes, left_out


def _most_likely(
    X: Array, truth: Array, weights: Array, moments: Array, penalty: float, start: Array
) -> Array:
    """Return coefficients (F, C, P) of penalised multinomial regressions, by L-BFGS.

    Each of F regressions has ``weights`` (F, n) of its own; they are sought together, as a call of
    the optimizer costs more than its sums. Columns of X are uncorrelated, with second ``moments``
    (P,); ``truth`` (C, n) is 1 for the class of a sample. The last coefficient, an intercept, is
    free. Arrays are (F, C, n), as sums over the few classes are then sums of long rows.
    """
    from scipy.optimize import minimize  # slow to import

    n_folds, n_classes, n_columns = start.shape
    weights = weights / weights.sum(axis=1, keepdims=True)
    counted = truth * weights[:, None]
    penalties = np.full(n_columns, penalty)
    penalties[-1] = 0.0
    # In these units no second derivative is above 1 (Böhning 1992).
    units = 1 / np.sqrt(moments / 2 + penalties)

    def loss(scaled: Array) -> tuple[float, Array]:
        # The array of scores becomes that of exponentials, and of residuals, in place.
        model = scaled.reshape(-1, n_columns) * units
        scores = (model @ X.T).reshape(n_folds, n_classes, -1)
        scores -= scores.max(axis=1, keepdims=True)
        value = -float(np.vdot(counted, scores))
        np.exp(scores, out=scores)
        totals = scores.sum(axis=1)
        value += float(np.vdot(weights, np.log(totals)))
        scores *= (weights / totals)[:, None]
        scores -= counted
        penalised = penalties * model
        value += float(np.vdot(penalised, model)) / 2
        gradient = (scores.reshape(len(model), -1) @ X + penalised) * units
        return value, gradient.ravel()

    first = (start / units).ravel()
    options = {"maxiter": _ITERATIONS, "ftol": _LEAST_GAIN}
    result = minimize(loss, first, jac=True, method="L-BFGS-B", options=options)
    return np.asarray(result.x.reshape(start.shape) * units)


# In hops: hardly more than its own samples, to those of its second ring.
WIDTHS = (0.5, 1.0, 2.0)
PENALTIES = np.logspace(-2, 2, 5)  # of squared slopes, in samples, as columns have variance 1
_OF_ALL = np.logspace(-3, 4, 15)  # likewise, of the model of all samples, which may be many
_MOST_AXES = 32  # principal axes along which the models of neurons have slopes: K × 32 are stored
_NEXT_TO_NOTHING = 1e-3  # of a kernel's largest weight, below which samples are left out
_BANDWIDTH = 0.1  # of d_4²: the nearest of the four neurons has most of the weight
_MOST_REWEIGHTINGS = 20
_LEAST_RESIDUAL = 0.01  # of the mean absolute one; a sample has at most 100 times the mean's weight
_STAYS = 0.01  # of the mean absolute residual: answers that change less have come to rest
_ROWS_OF_PIECE = 4096  # 20 MB with all terms
_BEYOND = 0.05  # of the targets' range: how far beyond it an answer may lie


class LocalLinear(Mean):
    """Each neuron answers with a linear model of the samples around it (Cleveland 1979).

    One ridge regression is fitted to all samples, and one around each neuron to what it leaves
    over: the neuron's own samples and, with a Gaussian of the hops, those of its neighbours. The
    first is of standardised columns, of these and a step at each sixteenth of a column's values, or
    of these and the products of columns of two values (as in ``linear_vote``): that under which the
    error is least on the training samples, each left out. So are the penalties and the width of the
    Gaussian. Steps and products learn from as many evenly spaced samples as hold 250,000 values;
    they are left out where these are less than 2000 and not all, where all are less than 100, or
    where there were more than 600. Slopes around a neuron lie along the first 32 principal axes.

    A sample is answered by the models of the four neurons whose means are nearest to it, weighed by
    exp(-(d² - d_1²) / (0.2 d_4²)), and cut to the range of the training targets, 5 % wider on each
    side. Sparse samples, and those of more than 1000 columns, get the weighed mean targets of these
    four.

    With ``loss: absolute`` answers are conditional medians, which a few absurd targets do not move:
    all is fitted again with weights of 1 / |residual| until answers stay (iteratively reweighted
    least squares; Schlossmacher 1973).
    """

    neighbours: ClassVar[int] = 4
    reads_samples = True

    loss: Literal["squared", "absolute"] = Field(
        "squared",
        description="what answers make small; absolute gives medians, which outliers do not move",
    )

    def learn(
        self, around: Surroundings, y: Array, weights: Array | None, som_map: SomMap
    ) -> dict[str, Array]:
        if not 0 < np.shape(around.X)[1] <= _MOST_COLUMNS:
            if self.loss == "absolute":
                raise ValueError(
                    f"loss: absolute needs dense samples of at most {_MOST_COLUMNS} columns"
                )
            return {}
        weights = _or_ones(weights, len(y))
        state = self._models(around, y, weights, som_map)
        if self.loss == "squared":
            return state
        fitted = self.answer(around, state)
        for _ in range(_MOST_REWEIGHTINGS):
            sizes = np.abs(y - fitted)
            unit = np.average(sizes, weights=weights)
            if unit == 0:
                break
            inverse = unit / np.maximum(sizes, _LEAST_RESIDUAL * unit)
            inverse *= weights.sum() / (weights @ inverse)
            state = self._models(around, y, weights * inverse, som_map)
            before, fitted = fitted, self.answer(around, state)
            if np.average(np.abs(fitted - before), weights=weights) < _STAYS * unit:
                break
        return state

    def _models(
        self, around: Surroundings, y: Array, weights: Array, som_map: SomMap
    ) -> dict[str, Array]:
        X = np.asarray(around.X, dtype=np.float64)
        state = _units(X, weights / weights.sum())
        X = (X - state["mean"]) / state["scale"]
        of_all, residuals = _of_all_samples(X, y, weights)
        _, axes = np.linalg.eigh((X * weights[:, None]).T @ X)
        state |= {"axes": np.ascontiguousarray(axes[:, ::-1][:, :_MOST_AXES]), **of_all}
        bmu = around.units[:, 0].astype(np.int64)
        neurons = _around_neurons(X @ state["axes"], residuals, weights, bmu, som_map)
        return state | neurons

    def answer(self, around: Surroundings, state: dict[str, Array]) -> Array:
        squares = relative_squares(around.distances, self.neighbours - 1)
        kernel = np.exp(squares / (-2 * _BANDWIDTH))
        if not state:
            near = kernel * around.weights
            return np.asarray((near * around.values).sum(axis=1) / near.sum(axis=1))
        offsets, slopes = state["offsets"], state["slopes"]
        X = np.asarray(around.X, np.float64)
        if not X.size and len(kernel):
            raise ValueError("linear models learnt from dense samples: give X.toarray(), not X")
        if not around.units.max(initial=-1) < len(offsets) == len(slopes):
            raise ValueError("what was learnt is of other neurons")
        X = (X - state["mean"]) / state["scale"]
        scores = X @ state["axes"]
        local = np.zeros(len(X))
        for weights, units in zip(kernel.T, around.units.T, strict=True):
            of_neuron = offsets[units]
            for axis in range(slopes.shape[1]):  # one by one: no bit depends on the rows
                of_neuron = of_neuron + scores[:, axis] * slopes[units, axis]
            local += weights * of_neuron
        totals = sum(kernel.T[1:], kernel[:, 0])
        answers = _of_features(X, state) + local / totals
        if around.limits is not None:
            least, largest = around.limits
            margin = _BEYOND * (largest - least)
            answers = np.clip(answers, least - margin, largest + margin)
        return np.asarray(answers)


def _of_all_samples(X: Array, y: Array, weights: Array) -> tuple[dict[str, Array], Array]:
    # The ridge regression of all samples, and what it leaves over of each (n,), left out.
    n = max(weights.sum(), float(len(y)))
    few, terms = _terms_of_few(X, n / weights.sum() * weights, X.shape[1])
    candidates: list[dict[str, Array]] = [{}]
    if "steps" in terms:
        candidates.append({name: terms[name] for name in ("steps", "step_columns")})
    if "pairs" in terms:
        candidates.append({"pairs": terms["pairs"]})
    least = np.inf
    for candidate in candidates:
        model, left_over = _ridge_with(candidate, X[few], y[few], weights[few])
        error = float(weights[few] @ np.square(left_over))
        if error < least:
            least, best_candidate, best, best_left_over = error, candidate, model, left_over
    if best_candidate:
        residuals = y - _of_features(X, best)
        residuals[few] = best_left_over
        return best, residuals
    if len(few) < len(y):
        return _ridge_with({}, X, y, weights)
    return best, best_left_over


def _ridge_with(
    terms: dict[str, Array], X: Array, y: Array, weights: Array
) -> tuple[dict[str, Array], Array]:
    # The terms with a ridge regression of columns and terms, and its residuals, left out (n,).
    features = _features(X, terms, _regressions(terms)[-1])
    scale = _units(features, weights / weights.sum())["scale"]
    everyone = np.ones(len(y), dtype=bool)
    left_over, slopes, intercepts = _ridges(features / scale, y, weights, everyone, _OF_ALL, 0)
    best = int((weights @ np.square(left_over)).argmin())
    of_all = np.append(slopes[:, best] / scale, intercepts[best])
    return terms | {"of_all": of_all}, left_over[:, best]


def _of_features(X: Array, model: dict[str, Array]) -> Array:
    # Answers (n,) of the regression of all samples, in pieces, as terms are up to 600 more columns.
    from sklearn.utils import gen_batches

    name = _regressions(model)[-1]
    slopes, intercept = model["of_all"][:-1], model["of_all"][-1]
    answers = np.empty(len(X))
    for rows in gen_batches(len(X), _ROWS_OF_PIECE):
        answers[rows] = _features(X[rows], model, name) @ slopes + intercept
    return answers


def _ridges(
    X: Array,
    y: Array,
    weights: Array,
    is_left_out: NDArray[np.bool_],
    penalties: Array,
    n_zeros: float,
) -> tuple[Array, Array, Array]:
    """Return residuals (m, P), slopes (D, P) and intercepts (P,) of ridge regressions.

    Residuals are those of some samples, each left out; of a weighted one a weight of 1 is. The
    level is a mean with ``n_zeros`` samples of target 0. Of a sample that is left out the residual
    is that of the fit over 1 - its leverage (Hastie, Tibshirani & Friedman 2009, eq. 7.64): no fit
    is repeated.
    """
    total = weights.sum() + n_zeros
    centre = weights @ X / weights.sum()
    level = float(weights @ y / total)
    X, y = X - centre, y - level
    weighted = (X * weights[:, None]).T
    variances, axes = np.linalg.eigh(weighted @ X)
    shrinkage = 1 / (np.maximum(variances, 0.0)[:, None] + penalties)
    moments = axes.T @ (weighted @ y)
    slopes = moments[:, None] * shrinkage
    scores = X[is_left_out] @ axes
    counts = weights[is_left_out]
    residuals = y[is_left_out, None] - scores @ slopes
    leverage = 1 / total + np.square(scores) @ shrinkage
    # A sample that alone fixes its answer has a leverage of 1 up to rounding. Where columns are
    # more than samples all are near it, and a larger bound would make overfitting look good.
    remainder = np.maximum(1 - np.minimum(counts, 1.0)[:, None] * leverage, 1e-10)
    slopes = axes @ slopes
    return residuals / remainder, slopes, level - centre @ slopes


def _around_neurons(
    X: Array, y: Array, weights: Array, bmu: NDArray[np.int64], som_map: SomMap
) -> dict[str, Array]:
    # Offsets (K,) and slopes (K, R) of the neurons' models; a neuron that is nobody's has none.
    squared_hops = np.square(som_map.hops.astype(np.float64))
    least = np.inf
    best_models: dict[str, Array] = {}
    for width in WIDTHS:
        influence = np.exp(-squared_hops / (2 * width**2))
        errors = np.zeros(len(PENALTIES))
        offsets = np.zeros((len(som_map), len(PENALTIES)))
        slopes = np.zeros((len(som_map), X.shape[1], len(PENALTIES)))
        for neuron in np.unique(bmu):
            kernel = influence[neuron][bmu]
            rows = np.flatnonzero(kernel > _NEXT_TO_NOTHING)
            local_weights = kernel[rows] * weights[rows]
            is_own = bmu[rows] == neuron
            left_over, slopes[neuron], offsets[neuron] = _ridges(
                X[rows], y[rows], local_weights, is_own, PENALTIES, 1
            )
            errors += local_weights[is_own] @ np.square(left_over)
        best = int(errors.argmin())
        if errors[best] < least:
            least = float(errors[best])
            best_models = {"offsets": offsets[:, best], "slopes": slopes[:, :, best]}
    return best_models
