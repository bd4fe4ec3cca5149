"""Trial fits to subsamples: estimates of time and memory, choice of map size, stability."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import check_consistent_length

from dbgsom_core.engine.partitions import Partitions, take
from dbgsom_core.engine.runtime import available_threads, compile_clock, one_blas_thread
from dbgsom_core.estimators.components import AUTO, build_growth, computed
from dbgsom_core.estimators.samples import is_integer, is_number
from dbgsom_core.interfaces.engine import EngineComponent
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.growth import neuron_cap, start_shape
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Interval, Stability
from dbgsom_core.interfaces.stopping import STOP
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.training.fit import is_vertical
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import Target

PROBE_SECONDS = 3.0  # of training, without compilation
PROBE_ROWS = 20_000
SIZING = 4  # cost of spreading_factor: auto, in fits
_BESIDE = 2.4  # memory of a fit besides the data, in sizes of the data, see tests/benchmarks
_ROW_BYTES = 24  # memory per row outside memory: unit, bounds and label


class Probe(NamedTuple):
    """A trial training on ``rows`` rows; ``whole``: on all rows, to its end."""

    rows: int
    whole: bool
    history: list[EpochRecord]
    seconds: list[float]  # of each epoch


@dataclass(frozen=True)
class Plan:
    """Expected time and memory of a fit.

    Attributes
    ----------
    rows, features : int
    probe : Probe
    most_neurons : int or None
        Largest size of the map; None: no limit, or child maps.
    seconds, epoch_seconds : (float, float or None)
        Of the whole fit and of a mean epoch: lower bound, for a map of the probe's final size, and
        upper bound, for one of the largest size from the start; None: unknown.
    memory : int or None
        Peak bytes of this process; None where the system does not report them.
    network : int or None
        Bytes to and from each worker in an epoch of the largest map; None: a local engine.
    """

    rows: int
    features: int
    probe: Probe
    most_neurons: int | None
    seconds: tuple[float, float | None]
    epoch_seconds: tuple[float, float | None]
    memory: int | None
    network: int | None

    def __str__(self) -> str:
        return "\n".join(f"{name:9} {words}" for name, words in self.lines())

    def lines(self, fits: str = "", left_out: str = "") -> list[tuple[str, str]]:
        """Return pairs of name and text; ``fits`` and ``left_out`` are remarks on the time."""
        probe, last, most = self.probe, self.probe.history[-1], self.most_neurons
        basis = f"{last.epoch} of at most {last.epochs} epochs"
        if not probe.whole:
            took = format_seconds(sum(probe.seconds))
            basis = f"by {basis} on {probe.rows} of {self.rows} rows in {took}"
        neurons = str(last.neurons) + ("" if probe.whole else f" after epoch {last.epoch}")
        memory = None if self.memory is None else f"about {format_size(self.memory)} at the peak"
        lines = [
            ("training", f"{_format_range(self.seconds)} ({basis}{fits}){left_out}"),
            ("epoch", f"{_format_range(self.epoch_seconds)} in the mean"),
            ("neurons", neurons + (f", at most {most}" if most else "")),
            ("memory", memory or "unknown here"),
        ]
        if self.network is not None:
            size = format_size(self.network)
            lines.append(("network", f"at most {size} an epoch and worker; time without it"))
        return lines


def estimate_fit(
    estimator: Any,
    X: Any,
    y: Any = None,
    seconds: float | None = None,
    seed: int = 0,
    fits: int = 1,
) -> Plan:
    """Estimate time and memory of ``fits`` fits of an estimator to X (n, D).

    A copy of the estimator trains for about ``seconds`` in this process.
    """
    parts = estimator.parts(X)
    engine, growing = guarded(parts.engine), parts.growing
    elsewhere = type(parts.engine).session is not EngineComponent.session
    params = estimator.get_params(deep=False) | {"checkpoint": None, "verbose": 0}
    if elsewhere:  # do not start a cluster for an estimate
        params["engine"] = "local"
    if estimator.spreading_factor == AUTO:
        params["spreading_factor"] = None
        fits *= SIZING
    if isinstance(estimator.random_state, np.random.RandomState):  # do not advance it
        params["random_state"] = seed
    n, some, targets = _some_rows(X, y, np.random.default_rng(seed))
    rows, width = (int(size) for size in some.shape)
    most = PROBE_SECONDS if seconds is None else seconds
    history: list[EpochRecord] = []
    took: list[float] = []  # of each epoch, without compilation
    with compile_clock() as clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter() - clock.seconds

        def watch(epoch: EpochRecord) -> object:
            took.append(max(time.perf_counter() - clock.seconds - started - sum(took), 1e-6))
            history.append(epoch)
            return STOP if sum(took) > most else None

        stopped = type(estimator)(**params | {"callbacks": [watch]}).fit(some, targets).stopped_by_
    probe, last = Probe(rows, rows == n and not stopped, history, took), history[-1]
    cap = None
    if growing.base is None:  # otherwise there is no limit, as neurons have child maps
        fixed = growing.max_neurons is None and growing.start_shape() is not None
        cap = math.prod(start_shape(growing)) if fixed else neuron_cap(growing, n)
    # The cost of an epoch is proportional to samples times neurons.
    least, epochs = sum(took), last.epoch
    greatest: float | None = least
    if not probe.whole:
        least, epochs = least * n / rows * last.epochs / last.epoch, last.epochs
        mean = sum(record.neurons for record in history) / last.epoch
        greatest = None if cap is None else least * max(1.0, cap / mean)
    network = None
    if elsewhere:
        # Per neuron and epoch a prototype and at most 8 numbers are sent, at most two sums and 8
        # numbers are received, and a number per class each way.
        classes = len(np.unique(np.asarray(targets, str))) if estimator._kind == "classifier" else 0
        network = (cap or last.neurons) * 8 * (3 * width + 16 + 2 * classes)
    bytes_of_all: float = _ROW_BYTES * n
    if not elsewhere and engine.opened(X) is None:
        itemsize = 4 if getattr(X, "dtype", None) == np.float32 else 8
        bytes_of_all = _BESIDE * (X.nnz * (itemsize + 4) if issparse(X) else n * width * itemsize)
    return Plan(
        rows=n,
        features=width,
        probe=probe,
        most_neurons=cap,
        seconds=(least * fits, None if greatest is None else greatest * fits),
        epoch_seconds=(least / epochs, None if greatest is None else greatest / epochs),
        memory=_peak_memory(0 if probe.whole else int(bytes_of_all * (1 - rows / n))),
        network=network,
    )


def _peak_memory(more: int) -> int | None:
    """Return the peak bytes of the process plus ``more``, or None where they are unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return more + (peak if sys.platform == "darwin" else peak << 10)


def _some_rows(X: Any, y: Any, rng: np.random.Generator) -> tuple[int, Any, Any]:
    """Return the number of rows, and up to `PROBE_ROWS` of them with their targets."""
    if hasattr(X, "partitions") and hasattr(X, "compute"):  # a lazy collection
        sizes = X.chunks[0] if hasattr(X, "chunks") else X.map_partitions(len).compute()
        if any(math.isnan(size) for size in sizes):
            raise ValueError("the chunk sizes of X are unknown: call X.compute_chunk_sizes()")
        n, first = int(sum(sizes)), int(np.argmax(np.asarray(sizes) > 0))
        some = np.arange(min(int(sizes[first]), PROBE_ROWS))
        X = np.asarray(X.partitions[first].compute()[: len(some)])
        y = computed(y)
    else:
        X = X.tocsr() if issparse(X) else X if hasattr(X, "shape") else np.asarray(X)
        n = X.shape[0]
        some = np.arange(n)
        if n > PROBE_ROWS:
            some = np.sort(rng.choice(n, PROBE_ROWS, replace=False))
            if hasattr(X, "to_pandas"):  # of pyarrow, whose [] are columns
                X = X.take(some)
            else:
                is_stored = hasattr(X, "dtype") and not isinstance(X, np.ndarray)
                X = X[some] if is_stored else _safe_indexing(X, some)
    if n == 0:
        raise ValueError("X has no rows")
    if y is None:
        return n, X, None
    check_consistent_length(range(n), y)
    return n, X, y if len(some) == n else _safe_indexing(y, some)


def _format_range(seconds: tuple[float, float | None]) -> str:
    least, most = seconds
    if most is None:
        return f"at least about {format_seconds(least)}, more if the map continues to grow"
    if most < 1.5 * least:
        return f"about {format_seconds(most)}"
    return f"about {format_seconds(least)} to {format_seconds(most)}"


def format_size(count: float) -> str:
    unit = min(3, int(math.log(max(count, 1), 1024)))
    size = count / 1024**unit
    digits = f"{size:.3g}" if size < 999.5 else f"{size:.0f}"  # three would have an exponent
    return f"{digits} {('bytes', 'KiB', 'MiB', 'GiB')[unit]}"


def format_seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


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

    One map grows from size to size, until two in a row have a larger loss than the best on the held
    out fifth of the samples. The first whose loss is within one standard error of the smallest is
    chosen (Breiman et al. 1984, 3.4.3, with the error of the difference). With too few samples the
    strategy's default is used.
    """

    def of_size(factor: float | None) -> Parts:
        params = {**estimator.get_params(deep=False), "spreading_factor": factor}
        return replace(parts, growth=build_growth(params))

    # The held-out fifth is random, stratified by class.
    order = np.random.default_rng(0).permutation(X.shape[0])
    known: Any = len(order)
    if target is not None and target.codes is not None:
        order = order[np.argsort(target.codes[order], kind="stable")]
        known = int(np.count_nonzero(target.codes >= 0))
    if known < _LEAST:
        return SizesTried(), of_size(None)
    held = np.zeros(X.shape[0], dtype=bool)
    held[order[_PARTS // 2 :: _PARTS]] = True
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
            trial._fit(of_size(factor), *shown, shown_weights)
        sizes.append((factor, len(trial.som_map_)))
        losses.append(_losses(trial, *unseen))
        known = ~np.isnan(losses[0])
        means.append(float(np.average(losses[-1][known], weights=over[known])))
        if np.argmin(means) < len(means) - _PATIENCE:
            break
    # Excess of the means over the smallest, and the standard errors of these differences.
    shares = over[known] / over[known].sum()
    differences = np.array(losses)[:, known]
    differences = differences - differences[np.argmin(differences @ shares)]
    excess = differences @ shares
    errors = np.sqrt((differences - excess[:, None]) ** 2 @ shares**2)
    tried = SizesTried(
        SizeTried(*size, mean, above, error)
        for size, mean, above, error in zip(
            sizes, means, excess.tolist(), errors.tolist(), strict=True
        )
    )
    chosen = tried.chosen
    return tried, of_size(chosen and chosen.spreading_factor)


def describe_sizes(tried: tuple[SizeTried, ...], chosen: float | None) -> tuple[str, ...]:
    """Return a sentence on the sizes tried and chosen, or none."""
    if not tried:
        return ()
    sizes = ", ".join(f"{one.spreading_factor:g}: {one.loss:.4g}" for one in tried)
    return (
        f"spreading_factor auto is {chosen:g}, the first within one standard error of the least "
        f"loss on held-out samples ({sizes})",
    )


def _losses(estimator: Any, X: Any, target: Target | None) -> NDArray[np.float64]:
    # The loss of each sample, (n,); nan where its target is unknown.
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


_PAIRS = 20_000  # of samples, for the repeatability
_MEASURES = ("quantization_error", "topographic_error")
_OF_ANSWERS = {"classifier": ("accuracy",), "regressor": ("r2",), "vq": ()}


def compute_stability(
    estimator: Any,
    X: Any,
    y: Any,
    n: int,
    share: float,
    measures: Mapping[str, Any] | Sequence[str] | None,
    level: float,
    random_state: int,
    n_jobs: int | None,
    callback: Callable[[EpochRecord], None] | None = None,
) -> Stability:
    """Compute `FittedMap.stability`.

    ``callback`` is called after each epoch of each refit; an exception of it ends all refits.
    """
    from scipy.stats import rankdata  # slow to import

    if not is_integer(n) or n < 1:
        raise ValueError(f"n must be an integer of at least 1, not {n!r}")
    for name, value in (("share", share), ("level", level)):
        if not is_number(value) or not 0 < value < 1:
            raise ValueError(f"{name} must be a number between 0 and 1, not {value!r}")
    workers = 1 if n_jobs is None else int(n_jobs)
    if workers < 1:
        workers = max(1, available_threads() + 1 + workers)
    X, y = indexable(computed(X), computed(y))
    units, labels, kind = estimator.bmu(X), estimator.predict(X), estimator._kind
    n_samples, n_neurons = len(units), len(estimator.som_map_)
    strata = np.zeros(n_samples, dtype=np.int64)
    if kind == "classifier" and y is not None:
        texts = [str(label) for label in np.asarray(y, dtype=object)]
        strata = np.unique(texts, return_inverse=True)[1]
    template = clone(estimator).set_params(
        callbacks=None if callback is None else [callback],
        checkpoint=None,
        verbose=0,
        warm_start=False,
        calibration=None,
    )
    if template.spreading_factor == AUTO:  # all of one size
        template.spreading_factor = estimator.spreading_factor_
    if is_vertical(estimator._parts):  # warnings filters for child maps are not thread-safe
        workers = 1
    if workers > 1 and "engine__threads" in template.get_params():
        template.set_params(engine__threads=1)
    chosen: Mapping[str, Any]
    if isinstance(measures, Mapping):
        chosen = measures
    else:
        of_answers = _OF_ANSWERS[kind] if np.ndim(y) == 1 else ()
        names = (*_MEASURES, *of_answers) if measures is None else measures
        chosen = {name: get_registry().find("measure", name)() for name in names}
    bounds = {name: measure.bounds for name, measure in chosen.items()}
    # Pairs of different samples (2, m), for the repeatability: all where they are few.
    if n_samples * (n_samples - 1) // 2 <= _PAIRS:
        first, second = np.triu_indices(n_samples, 1)
    else:
        random = np.random.default_rng([random_state, 1])
        first, step = random.integers(0, [[n_samples], [n_samples - 1]], (2, _PAIRS))
        second = (first + step + 1) % n_samples

    def of_rows(rows: NDArray[np.int64]) -> tuple[Any, Any]:
        some = take(X, rows) if isinstance(X, Partitions) else _safe_indexing(X, rows)
        return some, None if y is None else _safe_indexing(y, rows)

    def refit(rows: NDArray[np.int64]) -> tuple[Any, ...]:
        # Fit a clone to some rows and compare it with the map: return its size, by pair of neurons
        # (K, K) the share of their samples' pairs that are neighbours in it, this share of all
        # pairs, agreement of labels (K,), measures, and ranks of distances on the grid.
        other = clone(template)
        other.fit(*of_rows(rows))
        hops, others = other.som_map_.hops, other.bmu(X)
        counts = np.zeros((n_neurons, len(hops)))
        np.add.at(counts, (units, others), 1.0)
        beside = (hops <= 1).astype(np.float64)
        near, hits, won = counts @ beside @ counts.T, counts.sum(axis=1), counts.sum(axis=0)
        pairs, total = np.outer(hits, hits), won.sum()
        agreement, measured = None, {}
        if kind != "regressor":
            found = other.predict(X)
            agrees = np.asarray(found == labels)
            if kind == "vq":  # numbers of clusters are matched first
                mine, theirs = (np.unique(of, return_inverse=True)[1] for of in (labels, found))
                together = np.zeros((mine.max() + 1, theirs.max() + 1))
                np.add.at(together, (mine, theirs), 1.0)
                agrees = match_clusters(together)[mine] == theirs
            unknown = np.full(n_neurons, np.nan)
            agreeing = np.bincount(units, agrees, n_neurons)
            agreement = np.divide(agreeing, hits, out=unknown, where=hits > 0)
        unseen = np.setdiff1d(np.arange(n_samples), rows)
        if len(unseen):
            some, targets = of_rows(unseen)
            targets = None if targets is None else np.asarray(targets)
            evaluation = other.evaluate(some, y=targets, predictions=other.predict(some))
            evaluation = replace(evaluation, training_of=lambda: other.evaluate(*of_rows(rows)))
            measured = {name: float(of.compute(evaluation)) for name, of in chosen.items()}
        return (
            len(hops),
            np.divide(near, pairs, out=np.full_like(near, np.nan), where=pairs > 0),
            float((won @ beside @ won - total) / (total * (total - 1))),
            agreement,
            measured,
            rankdata(hops[others[first], others[second]]),
        )

    pool = ThreadPoolExecutor(workers)
    try:
        with warnings.catch_warnings(), one_blas_thread():
            warnings.simplefilter("ignore")  # the fit of the map itself has warned
            refits = list(pool.map(refit, subsamples(strata, n, share, random_state)))
    finally:
        pool.shutdown(cancel_futures=True)
    sizes, near, chances, agreements, measured, ranks = zip(*refits, strict=True)
    links, hits = estimator.som_map_.edges(), np.bincount(units, minlength=n_neurons)
    alike = [
        float(np.corrcoef(one, other)[0, 1])
        for one, other in zip(ranks[::2], ranks[1::2], strict=False)
        if np.ptp(one) > 0 and np.ptp(other) > 0
    ]
    return Stability(
        links=links,
        link_shares=np.mean([shares[links[:, 0], links[:, 1]] for shares in near], axis=0),
        chance=float(np.mean(chances)),
        agreements=None if kind == "regressor" else np.mean(agreements, axis=0),
        measures={
            name: interval([values[name] for values in measured], share, level, bounds[name])
            for name in measured[0]
        },
        repeatability=interval(alike, 0.5, level, (-1.0, 1.0)),
        sizes=np.array(sizes),
        share=share,
        level=level,
        weights=(hits[links[:, 0]] * hits[links[:, 1]]).astype(np.float64),
        hits=hits,
    )


def subsamples(
    strata: NDArray[np.int64], n: int, share: float, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of ``n`` subsamples of a share of each stratum (m,), at least one row.

    With a share of one half each two in turn are disjoint, except for strata of one row.
    """
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    rest: NDArray[np.int64] | None = None
    for number in range(n):
        if share == 0.5 and number % 2 and rest is not None:
            yield rest
            continue
        orders = [random.permutation(group) for group in groups]
        sizes = [min(max(round(share * len(rows)), 1), len(rows)) for rows in orders]
        yield np.sort(np.concatenate([rows[:k] for rows, k in zip(orders, sizes, strict=True)]))
        left = (rows[k:] if k < len(rows) else rows for rows, k in zip(orders, sizes, strict=True))
        rest = np.sort(np.concatenate(list(left)))


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


def match_clusters(together: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the best one-to-one match of C clusters among C' others, -1 for none."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    partner = np.full(len(together), -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(together, maximize=True)
    partner[rows] = columns
    return partner
