"""Stability of a map: how much of it stays when it is fitted again to subsamples."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils._param_validation import Interval as Within
from sklearn.utils._param_validation import validate_parameter_constraints
from sklearn.utils.validation import _num_samples

from dbgsom_core.engine.partitions import Partitions, take
from dbgsom_core.engine.results import Assignment, Floats, Integers
from dbgsom_core.engine.runtime import available_threads, one_blas_thread
from dbgsom_core.estimators.parameters import computed
from dbgsom_core.estimators.samples import LEAST_SAMPLES
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.interfaces.labellers import LabellerComponent
from dbgsom_core.interfaces.measures import ClusterStability, Interval, Stability
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.som_map.tree import descend, leaf_map
from dbgsom_core.training.fit import is_vertical
from dbgsom_core.training.labelling import TrainedMap, label_units

_PAIRS = 20_000  # of samples, for the repeatability: a correlation is then known to 0.01
_MEASURES = ("quantization_error", "topographic_error")
_SCORES = {"vq": (), "classifier": ("accuracy",), "regressor": ("r2",)}  # that are measured, too
_SHARE = [Within(Real, 0, 1, closed="neither")]
_MOST_LEFT_OUT = 5000  # rows: the standard error of an index of agreement is then below 0.01
_LEFT_OUT = 5  # of so many rows one is in neither half, until there are those
_LARGEST_NUMBER = 12  # of groups that are tried, unless the labeller has its own range
_CONSTRAINTS = {
    "n": [Within(Integral, 1, None, closed="left")],
    "share": _SHARE,
    "level": _SHARE,
}


@dataclass(frozen=True)
class Resampling:
    """How a map is fitted again, and what is measured: the parameters of `FittedMap.stability`.

    ``callback`` is called after each epoch of each refit; an exception of it ends all refits.
    """

    n: int = 20
    share: float = 0.5
    measures: Mapping[str, Any] | Sequence[str] | None = None
    level: float = 0.95
    random_state: int = 0
    n_jobs: int | None = None
    callback: Callable[[EpochRecord], None] | None = None

    def __post_init__(self) -> None:
        validate_parameter_constraints(_CONSTRAINTS, vars(self), caller_name="stability")


@dataclass(frozen=True)
class Reference:
    """The map whose stability is asked, and what it says of all n samples."""

    X: Any
    y: Any
    units: Integers  # (n,)
    labels: NDArray[Any]  # (n,)
    kind: str
    n_neurons: int
    measures: Mapping[str, Any]
    pairs: tuple[Integers, Integers]  # rows of samples that are compared for the repeatability

    def rows(self, rows: Integers) -> tuple[Any, Any]:
        """Return some samples and their targets."""
        return _take(self.X, rows), None if self.y is None else _safe_indexing(self.y, rows)


class Refit(NamedTuple):
    """A map fitted to a subsample, compared with the reference."""

    size: int  # neurons
    near: Floats  # (K, K): of the pairs of samples of two neurons, the share that are neighbours
    chance: float  # this share of all pairs
    agreement: Floats | None  # (K,): share of each neuron's samples with the same label
    measures: dict[str, float]  # of the samples left out
    ranks: Floats  # of the distances on the grid of the reference's pairs


def compute_stability(estimator: Any, X: Any, y: Any, resampling: Resampling) -> Stability:
    """Return the stability of a fitted estimator, see `FittedMap.stability`."""
    X, y = indexable(computed(X), computed(y))
    units = estimator.bmu(X)
    n_neurons = len(estimator.som_map_)
    reference = Reference(
        X=X,
        y=y,
        units=units,
        labels=estimator.predict(X),
        kind=estimator._kind,
        n_neurons=n_neurons,
        measures=_measures(resampling.measures, estimator._kind),
        pairs=_pairs_of_samples(len(units), resampling.random_state),
    )
    workers = _count_workers(resampling.n_jobs)
    if is_vertical(estimator._parts):  # filters of warnings for child maps are not thread-safe
        workers = 1
    template = _template(estimator, resampling.callback, workers)

    def refit(rows: Integers) -> Refit:
        model = clone(template).fit(*reference.rows(rows))
        return _compare(reference, model, rows)

    share, level = resampling.share, resampling.level
    parts = subsamples(_strata(reference), resampling.n, share, resampling.random_state)
    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings(), one_blas_thread():
        warnings.simplefilter("ignore")  # the fit of the map itself has warned
        refits = list(pool.map(refit, parts))

    links = estimator.som_map_.edges()
    first, second = links.T
    hits = np.bincount(units, minlength=n_neurons)
    agreements = [refit.agreement for refit in refits if refit.agreement is not None]
    intervals = {}
    for name in refits[0].measures:
        values = [refit.measures[name] for refit in refits]
        intervals[name] = interval(values, share, level, reference.measures[name].bounds)
    return Stability(
        links=links,
        link_shares=np.mean([refit.near[first, second] for refit in refits], axis=0),
        chance=float(np.mean([refit.chance for refit in refits])),
        agreements=np.mean(agreements, axis=0) if agreements else None,
        measures=intervals,
        repeatability=interval(_rank_correlations(refits), 0.5, level, (-1.0, 1.0)),
        sizes=np.array([refit.size for refit in refits]),
        share=share,
        level=level,
        weights=(hits[first] * hits[second]).astype(np.float64),
        hits=hits,
    )


def _take(X: Any, rows: Integers) -> Any:
    return take(X, rows) if isinstance(X, Partitions) else _safe_indexing(X, rows)


def _measures(given: Mapping[str, Any] | Sequence[str] | None, kind: str) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    names = (*_MEASURES, *_SCORES[kind]) if given is None else given
    return {name: get_registry().find("measure", name)() for name in names}


def _count_workers(n_jobs: int | None) -> int:
    """Return the number of threads for ``n_jobs``, whose negative values count from the end."""
    workers = 1 if n_jobs is None else int(n_jobs)
    if workers < 1:
        workers += available_threads() + 1
    return max(1, workers)


def _template(estimator: Any, callback: Any, workers: int) -> Any:
    """Return an unfitted estimator for refits."""
    template = clone(estimator).set_params(**estimator._chosen_params())
    template.set_params(
        callbacks=callback, checkpoint=None, verbose=0, warm_start=False, calibration=None
    )
    if workers > 1 and "engine__threads" in template.get_params():
        template.set_params(engine__threads=1)
    return template


def _strata(reference: Reference) -> Integers:
    # The number of each sample's class, (n,); 0 where there are none.
    if reference.kind != "classifier" or reference.y is None:
        return np.zeros(len(reference.units), dtype=np.int64)
    texts = [str(label) for label in np.asarray(reference.y, dtype=object)]
    return np.unique(texts, return_inverse=True)[1]


def _pairs_of_samples(n: int, seed: int) -> tuple[Integers, Integers]:
    # Rows of pairs of different samples: all where they are few.
    if n * (n - 1) // 2 <= _PAIRS:
        first, second = np.triu_indices(n, 1)
        return first, second
    random = np.random.default_rng([seed, 1])
    first, step = random.integers(0, [[n], [n - 1]], (2, _PAIRS))
    return first, (first + step + 1) % n  # never the sample itself


def _compare(reference: Reference, model: Any, rows: Integers) -> Refit:
    """Compare a map that was fitted to some rows with the reference."""
    from scipy.stats import rankdata  # slow to import

    hops, units = model.som_map_.hops, model.bmu(reference.X)
    is_near = (hops <= 1).astype(np.float64)
    counts = np.zeros((reference.n_neurons, len(hops)))  # samples by neuron of both maps
    np.add.at(counts, (reference.units, units), 1.0)
    # Of all pairs of samples of two neurons of the reference, how many are neighbours in the refit.
    near_pairs = counts @ is_near @ counts.T
    hits = counts.sum(axis=1)
    all_pairs = np.outer(hits, hits)
    near = np.full_like(near_pairs, np.nan)
    np.divide(near_pairs, all_pairs, out=near, where=all_pairs > 0)
    # The same of all samples, without the pairs of a sample and itself.
    refit_hits = counts.sum(axis=0)
    n = refit_hits.sum()
    chance = (refit_hits @ is_near @ refit_hits - n) / (n * (n - 1))
    first, second = reference.pairs
    return Refit(
        size=len(hops),
        near=near,
        chance=float(chance),
        agreement=None if reference.kind == "regressor" else _agreement(reference, model),
        measures=_measured(reference, model, rows),
        ranks=rankdata(hops[units[first], units[second]]),
    )


def _agreement(reference: Reference, model: Any) -> Floats:
    labels = model.predict(reference.X)
    agrees = np.asarray(labels == reference.labels)
    if reference.kind == "vq":  # numbers of clusters are matched first
        clusters = np.unique(reference.labels, return_inverse=True)[1]
        refit_clusters = np.unique(labels, return_inverse=True)[1]
        together = np.zeros((clusters.max() + 1, refit_clusters.max() + 1))
        np.add.at(together, (clusters, refit_clusters), 1.0)
        agrees = match_clusters(together)[clusters] == refit_clusters
    hits = np.bincount(reference.units, minlength=reference.n_neurons)
    agreeing = np.bincount(reference.units, agrees, reference.n_neurons)
    shares = np.full(len(hits), np.nan)
    np.divide(agreeing, hits, out=shares, where=hits > 0)
    return shares


def _measured(reference: Reference, model: Any, rows: Integers) -> dict[str, float]:
    """Return the measures on the samples that the model was not fitted to."""
    unseen = np.setdiff1d(np.arange(len(reference.units)), rows)
    if len(unseen) == 0:
        return {}
    X, y = reference.rows(unseen)
    evaluation = model.evaluate(X, y=y, predictions=model.predict(X))
    evaluation = replace(evaluation, training_of=lambda: model.evaluate(*reference.rows(rows)))
    values = {}
    for name, measure in reference.measures.items():
        try:
            values[name] = float(measure.compute(evaluation))
        except Exception:  # it has no interval then; on the map itself the error is told
            values[name] = math.nan
    return values


def _rank_correlations(refits: Sequence[Refit]) -> list[float]:
    # Of each two refits in turn, whose samples are disjoint where the share is one half.
    correlations = []
    for first, second in zip(refits[::2], refits[1::2], strict=False):
        if np.ptp(first.ranks) > 0 and np.ptp(second.ranks) > 0:
            correlations.append(float(np.corrcoef(first.ranks, second.ranks)[0, 1]))
    return correlations


def subsamples(strata: Integers, n: int, share: float, seed: int) -> Iterator[Integers]:
    """Yield the rows of ``n`` subsamples of a share of each stratum (m,), at least one row.

    With a share of one half each two in turn are disjoint, except for strata of one row.
    """
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    rest: Integers | None = None  # of the last subsample
    for number in range(n):
        if share == 0.5 and number % 2 and rest is not None:
            yield rest
            continue
        chosen, others = [], []
        for group in groups:
            rows = random.permutation(group)
            size = max(round(share * len(rows)), 1)
            chosen.append(rows[:size])
            others.append(rows[size:] if size < len(rows) else rows)
        rest = np.sort(np.concatenate(others))
        yield np.sort(np.concatenate(chosen))


def interval(
    values: Sequence[float],
    share: float,
    level: float,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Return the mean of a number over refits to a share of the samples, and its interval.

    The standard error is √(s/(1 - s)) times the standard deviation over the refits, as for the
    jackknife that leaves out a share 1 - s (Shao & Wu 1989); the interval is by Student's t, and
    ends at the ``bounds`` of the number. There is no interval for one refit.
    """
    from scipy.special import stdtrit  # slow to import

    known = np.array([value for value in values if math.isfinite(value)])
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, math.nan, math.nan)
    error = math.sqrt(share / (1 - share)) * float(known.std(ddof=1))
    reach = float(stdtrit(len(known) - 1, (1 + level) / 2)) * error
    least, largest = bounds
    return Interval(mean, max(mean - reach, least), min(mean + reach, largest))


def match_clusters(together: Floats) -> Integers:
    """Return the best one-to-one match of C clusters among C' others, -1 for none."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    partner = np.full(len(together), -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(together, maximize=True)
    partner[rows] = columns
    return partner


# ------------------------------------------------------------------------------- groups in halves


@dataclass(frozen=True)
class Halving:
    """How halves are drawn, and what is asked: the parameters of `SomVQ.cluster_stability`.

    ``most`` rows are in a half at most, whose map takes ``epochs``, None: those of the estimator.
    ``callback`` is as in `Resampling`.
    """

    halves: int = 5
    numbers: Sequence[int] | None = None
    level: float = 0.95
    random_state: int = 0
    n_jobs: int | None = None
    most: int | None = None
    epochs: int | None = None
    callback: Callable[[EpochRecord], None] | None = None

    def __post_init__(self) -> None:
        constraints = {"halves": _CONSTRAINTS["n"], "level": _SHARE}
        validate_parameter_constraints(constraints, vars(self), caller_name="cluster_stability")


def compute_cluster_stability(estimator: Any, X: Any, halving: Halving) -> ClusterStability:
    """Return how sure the groups of a fitted estimator are, see `SomVQ.cluster_stability`."""
    (X,) = indexable(computed(X))
    seed, level = halving.random_state, halving.level
    numbers = _numbers(estimator, halving.numbers)
    workers = 1 if is_vertical(estimator._parts) else _count_workers(halving.n_jobs)
    template = _template(estimator, halving.callback, workers)
    template.epochs = halving.epochs or template.epochs
    labeller = estimator._parts.labeller
    if may_choose(labeller):
        template.labeller = "index"  # neurons are labelled once it is fitted, for each number
    parts = list(halves_and_rest(_num_samples(X), halving.halves, seed, halving.most))
    rests = [_take(X, rest) for _, _, rest in parts]

    def refit(place: int) -> NDArray[Any]:
        pair, half = divmod(place, 2)
        samples = _take(X, parts[pair][half])
        model = clone(template).fit(samples)
        return _answers(model, labeller, samples, rests[pair], numbers)

    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings(), one_blas_thread():
        warnings.simplefilter("ignore")  # the fit of the map itself has warned
        answers = list(pool.map(refit, range(2 * len(parts))))

    half, rest = len(parts[0][0]), len(parts[0][2])
    # The variance of a mean over pairs that overlap, and are answered on few rows, over that of
    # one pair (Nadeau & Bengio 2003, eq. 15), as the share of `interval`.
    variance = 1 / len(parts) + rest / (2 * half)
    share = variance / (1 + variance)
    random = np.random.default_rng([seed, 1])
    shuffled = [random.permuted(labels, axis=1) for labels in answers]
    groups = np.unique(estimator.leaf_labels_)
    own = numbers.index(len(groups))
    values = np.zeros((2, len(parts), len(numbers)))  # of answers, and by chance
    shares = np.zeros((2, len(parts), len(groups)))
    for pair, samples in enumerate(rests):
        mine = np.searchsorted(groups, estimator.predict(samples))
        first, second = 2 * pair, 2 * pair + 1
        for kind, others in enumerate((answers, shuffled)):
            for column in range(len(numbers)):
                values[kind, pair, column] = agreement_of(
                    answers[first][column], others[second][column]
                )
            for place in (first, second):
                jaccard = best_jaccard(mine, others[place][own], len(groups))
                shares[kind, pair] += jaccard / 2
    return ClusterStability(
        numbers=np.array(numbers),
        agreements=[interval(column, share, level, (-1.0, 1.0)) for column in values[0].T],
        chances=values[1].mean(axis=0),
        groups=groups,
        group_shares=[interval(column, share, level, (0.0, 1.0)) for column in shares[0].T],
        group_chances=shares[1].mean(axis=0),
        halves=len(parts),
        rows=(half, rest),
        level=level,
    )


def _numbers(estimator: Any, given: Sequence[int] | None) -> list[int]:
    """Return the numbers of groups to try, ascending, with that of the map."""
    labeller, own = estimator._parts.labeller, estimator.n_clusters_
    if not may_choose(labeller):
        if given is not None:
            name = get_registry().name_of("labeller", labeller)
            raise ValueError(
                f"numbers of groups cannot be tried with labeller '{name}', which has no "
                "n_clusters: take labeller='clusters', or leave numbers out"
            )
        return [own]
    if given is None:
        limits = labeller.n_clusters
        low, high = 1, _LARGEST_NUMBER
        if isinstance(limits, Sequence) and not isinstance(limits, str):
            low, high = limits
        given = range(low, min(high, int(np.count_nonzero(estimator.leaf_hit_counts_))) + 1)
    numbers = {int(number) for number in given}
    if min(numbers, default=1) < 1:
        raise ValueError(f"numbers of groups are at least 1, not {min(numbers)}")
    return sorted(numbers | {own})


def may_choose(labeller: LabellerComponent) -> bool:
    """Return whether a labeller makes as many groups as its field ``n_clusters`` says."""
    return "n_clusters" in type(labeller).model_fields


def has_clusters(estimator: Any) -> bool:
    """Return whether the labels of a fitted estimator are clusters, of a number that was chosen."""
    labeller = estimator._parts.labeller
    return estimator._kind == "vq" and may_choose(labeller) and not guarded(labeller).needs_target


def halves_and_rest(
    n: int, pairs: int, seed: int, most: int | None = None
) -> Iterator[tuple[Integers, Integers, Integers]]:
    """Yield two halves of n rows, of ``most`` each at most, and rows of neither; all disjoint."""
    n_rest = min(n // _LEFT_OUT, _MOST_LEFT_OUT)
    size = (n - n_rest) // 2
    if most is not None:
        size = min(size, most)
    if n_rest < 2 or size < LEAST_SAMPLES:
        raise ValueError(f"{n} samples are too few for two halves and a rest; 10 are enough")
    random = np.random.default_rng(seed)
    for _ in range(pairs):
        rows = random.permutation(n)
        first, second = rows[n_rest : n_rest + size], rows[n_rest + size : n_rest + 2 * size]
        yield np.sort(first), np.sort(second), np.sort(rows[:n_rest])


def _answers(
    model: Any, labeller: LabellerComponent, X: Any, rest: Any, numbers: Sequence[int]
) -> Integers:
    """Return the groups (N, r) of the rest by a map fitted to X, for each number of groups."""
    if not may_choose(labeller):
        return np.unique(model.predict(rest), return_inverse=True)[1][None]
    samples, tree = model._samples(X), model._tree
    below = descend(tree, samples)
    leaf_bmu = Assignment(below.leaf, below.distance)
    trained = TrainedMap(tree, samples, leaf_bmu, leaf_bmu, None, epochs=model.history_)
    som_map = leaf_map(tree) if len(tree.maps) > 1 else tree.maps[0]
    evidence = trained.evidence(som_map, leaf_bmu)
    asked = model._samples(rest)
    leaf = model._predictor.descend(asked).leaf
    answers = []
    for number in numbers:
        chosen = labeller.model_copy(update={"n_clusters": number})
        found = label_units(chosen, evidence, samples.metric)
        labels = found.labels[leaf]
        if found.centres is not None:
            labels = asked.assign(found.centres).bmu
        answers.append(np.unique(labels, return_inverse=True)[1])  # they may be names
    return np.array(answers)


def agreement_of(first: Integers, second: Integers) -> float:
    """Return the adjusted Rand index (Hubert & Arabie 1985) of two groupings; 0 of one group."""
    together = _contingency(first, second)
    rows, columns = together.sum(axis=1), together.sum(axis=0)
    if len(rows) == 1 or len(columns) == 1:  # which says nothing
        return 0.0
    pairs = [float((counts * (counts - 1)).sum()) for counts in (together, rows, columns)]
    n = float(rows.sum())
    expected = pairs[1] * pairs[2] / (n * (n - 1))
    largest = (pairs[1] + pairs[2]) / 2
    if largest == expected:  # each sample is a group
        return 1.0
    return (pairs[0] - expected) / (largest - expected)


def best_jaccard(mine: Integers, others: Integers, n_groups: int) -> Floats:
    """Return for each group 0, 1, … the Jaccard coefficient of the group of others most like it.

    (Hennig 2007); nan where no sample is of the group.
    """
    present = np.unique(mine)
    counts = _contingency(mine, others)
    sizes = counts.sum(axis=1, keepdims=True)
    either = sizes + counts.sum(axis=0) - counts
    shares = np.full(n_groups, math.nan)
    shares[present] = (counts / either).max(axis=1)
    return shares


def _contingency(first: Integers, second: Integers) -> Floats:
    """Return how many samples are of each group of both of two groupings (n,)."""
    rows = np.unique(first, return_inverse=True)[1]
    columns = np.unique(second, return_inverse=True)[1]
    counts = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(counts, (rows, columns), 1.0)
    return counts
