"""What a fit would take, by the beginning of it or by fits on a part of the rows."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length

from dbgsom_core.engine.compile_clock import CompileClock, compile_clock
from dbgsom_core.estimators.components import AUTO
from dbgsom_core.interfaces.engine import EngineAbilities, opened_table
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.growth import GrowthAbilities

PROBE_SECONDS = 3.0  # of training, compilation apart
PROBE_ROWS = 20_000
SIZING = 4  # times one fit that spreading_factor: auto may take
PLACES = 8  # of a collection in partitions, from which rows are taken
_MORE_ROWS = 6  # times those of the probe before
_BESIDE = 2.4  # times the data that a fit takes beside it, measured on large tables
_KEPT = 24  # bytes that it keeps of a row that it does not hold: units, bounds and labels
_FEW = 10_000  # rows among which all classes are looked for


class Probe(NamedTuple):
    """The beginning of a training on ``rows``: its epochs, and seconds of each but compilation.

    ``whole``: on all rows, to its end. A row more takes ``each_row`` seconds in all these epochs,
    and a whole training has about so many ``epochs``.
    """

    rows: int
    whole: bool
    history: list[EpochRecord]
    seconds: list[float]
    each_row: float
    epochs: int


@dataclass(frozen=True)
class Plan:
    """What a fit is expected to take.

    Attributes
    ----------
    rows, features : int
    probe : Probe
    most_neurons : int or None
        That the map may have; None: no cap, or it has child maps.
    seconds, epoch_seconds : (float, float or None)
        Of the whole fit and of a mean epoch: at least, as if the map stayed as large as at the
        probe's end, and at most, as if it were as large as it may be from the start; None: unknown.
    memory : int or None
        Bytes of this process at its peak; None where the system does not tell.
    network : int or None
        Bytes to and from each worker in an epoch of the largest map; None: no data is elsewhere.
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
        """Return it as pairs of a name and words.

        ``fits`` says why there are more than one, and ``left_out`` what is not counted.
        """
        probe, last, most = self.probe, self.probe.history[-1], self.most_neurons
        epochs, neurons = f"{last.epoch} of at most {last.epochs} epochs", str(last.neurons)
        part = probe.rows < self.rows
        if not probe.whole:
            rows = f" on {probe.rows} of {self.rows} rows" if part else ""
            epochs = f"by {epochs}{rows} in {told_seconds(sum(probe.seconds))}"
            of = f" of {probe.rows} rows" if part else ""
            neurons += f" after epoch {last.epoch} of the probe{of}"
        memory = None if self.memory is None else f"about {told_size(self.memory)} at the peak"
        lines = [
            ("training", f"{_range_told(self.seconds)} ({epochs}{fits}){left_out}"),
            ("epoch", f"{_range_told(self.epoch_seconds)} in the mean"),
            ("neurons", neurons + ("" if most is None else f", at most {most}")),
            ("memory", memory or "unknown here"),
        ]
        if self.network is not None:
            size, count = told_size(self.network), most or last.neurons
            lines += [
                ("network", f"at most {size} an epoch and worker, with {count} neurons"),
                ("", "time and memory are those of this process, by the engine local"),
            ]
        return lines


def plan_of(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    seconds: float | None = None,
    seed: int = 0,
    fits: int = 1,
) -> Plan:
    """Return what ``fits`` fits of an estimator to X (n, D) are expected to take.

    It trains for about so many ``seconds``, in this process, and leaves the estimator as it was.
    """
    parts = estimator.parts(X)
    engine = EngineAbilities.of(parts.engine)
    elsewhere = engine.session is not None
    params, factor = estimator.get_params(deep=False), estimator.spreading_factor
    params |= {"checkpoint": None, "verbose": 0}
    if elsewhere:  # no cluster is started, nor asked for an estimate
        params["engine"] = "local"
    if factor == AUTO:
        params["spreading_factor"] = None
        fits *= SIZING
    if isinstance(estimator.random_state, np.random.RandomState):  # it would go on
        params["random_state"] = seed
    data, most = _Rows(X, y), PROBE_SECONDS if seconds is None else seconds
    kind: Callable[..., Any] = type(estimator)
    make = functools.partial(kind, **params)
    probe = _probe(make, data, np.random.default_rng(seed), most)
    growing, cap = GrowthAbilities.of(parts.growth), None
    if growing.base is None:  # else there are as many maps as there may be neurons
        fixed = growing.max_neurons is None and growing.start_shape is not None
        cap = math.prod(growing.shape) if fixed else growing.cap(data.n)
    least, greatest = _seconds(data.n, probe, cap)
    network = None
    if elsewhere:
        # Bytes of a neuron in an epoch: out go a prototype and less than 8 numbers (place, links,
        # leading classes of a byte each), back come at most two sums and less than 8 numbers.
        classes = data.classes(_FEW) if estimator._kind == "classifier" else 0
        each = 8 * (3 * data.width + 16 + 2 * classes)
        network = (cap or probe.history[-1].neurons) * each
    held = not elsewhere and (engine.opened is None or engine.opened(X) is None)
    return Plan(
        data.n,
        data.width,
        probe,
        cap,
        (least * fits, None if greatest is None else greatest * fits),
        (least / probe.epochs, None if greatest is None else greatest / probe.epochs),
        _memory(data.n, data.nbytes if held else None, probe),
        network,
    )


class _EnoughError(Exception):
    """The probe took long enough."""


class _Watch:
    # A callback that times epochs, and ends the training when its time is over.

    vital = True

    def __init__(self, clock: CompileClock, most: float) -> None:
        self._clock, self._most = clock, most
        self.history: list[EpochRecord] = []
        self.seconds: list[float] = []
        self._before = time.perf_counter() - clock.seconds

    def __call__(self, epoch: EpochRecord) -> None:
        now = time.perf_counter() - self._clock.seconds
        self.seconds.append(max(now - self._before, 1e-6))
        self.history.append(epoch)
        self._before = now
        if sum(self.seconds) > self._most:
            raise _EnoughError


def _probe(make: Callable[..., Any], data: _Rows, rng: np.random.Generator, most: float) -> Probe:
    """Train on ever more rows, while that takes little time; ``make`` returns an estimator."""
    n = data.n
    with compile_clock() as clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ValueError):  # so few may lack classes, or not vary
            make(callbacks=None).fit(*data.some(500, rng))  # what loads first is no epoch's time
        rows, before = PROBE_ROWS, (0, 0.0)
        while True:
            tried, watch, ended = data.some(rows, rng), _Watch(clock, most), True
            try:
                make(callbacks=[watch]).fit(*tried)
            except _EnoughError:
                ended = False
            size, took = tried[0].shape[0], sum(watch.seconds)
            more = (took - before[1]) / max(size - before[0], 1)
            if not ended or size == n or size < rows or took * _MORE_ROWS > most:
                break
            rows, before = size * _MORE_ROWS, (size, took)
    each_row = more if ended and before[0] and more > 0 else took / size
    last = watch.history[-1]
    epochs = last.epoch if ended else last.epochs
    return Probe(size, ended and size == n, watch.history, watch.seconds, each_row, epochs)


def _seconds(n: int, probe: Probe, cap: int | None) -> tuple[float, float | None]:
    """Return the least and the greatest time that a fit is expected to take.

    An epoch costs as much as samples times neurons. At least the map stays as large as it was at
    the probe's end; at most it has as many neurons as it may in each epoch.
    """
    took, last = sum(probe.seconds), probe.history[-1]
    if probe.whole:
        return took, took
    least = (took + (n - probe.rows) * probe.each_row) * (probe.epochs / last.epoch)
    if cap is None:
        return least, None
    mean = sum(record.neurons for record in probe.history) / last.epoch
    return least, max(least, least * cap / mean * last.epochs / probe.epochs)


def _memory(n: int, held: int | None, probe: Probe) -> int | None:
    """Return about how many bytes the process takes at its peak, holding so many of the data."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = peak if sys.platform == "darwin" else peak << 10
    if probe.whole:
        return taken
    left = 1 - probe.rows / n
    return taken + int((_KEPT * n if held is None else _BESIDE * held) * left)


class _Rows:
    """Rows of X (n, D) and y as they come: arrays, frames, tables, collections in partitions."""

    def __init__(self, X: Any, y: Any) -> None:
        self.X, self.y, self._sizes = X, y, _partition_sizes(X)
        if self._sizes is None and not hasattr(X, "shape"):
            self.X = np.asarray(X)
        if issparse(X):
            self.X = X.tocsr()  # others have no rows
        self.n = self.X.shape[0] if self._sizes is None else sum(self._sizes)
        if self._sizes is not None and self.n == 0:
            raise ValueError("X has no rows")
        if y is not None and not hasattr(y, "partitions"):
            check_consistent_length(range(self.n), y)
        if len(self.X.shape) != 2:
            raise ValueError(f"X has shape {tuple(self.X.shape)}, not rows and columns")
        self.width = int(self.X.shape[1])
        itemsize = 4 if getattr(self.X, "dtype", None) == np.float32 else 8
        whole = self.n * self.width * itemsize
        self.nbytes = self.X.nnz * (itemsize + 4) if issparse(X) else whole

    def some(self, count: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """Return about so many of the rows, all if there are no more."""
        if self._sizes is not None:
            return self._of_partitions(count, self._sizes)
        if self.n <= count:
            return self.X, self.y
        rows = np.sort(rng.choice(self.n, count, replace=False))
        if hasattr(self.X, "to_pandas"):  # of pyarrow, whose [] are columns
            return self.X.take(rows), self._targets(rows)
        table: Any = opened_table(self.X)
        X = _safe_indexing(self.X, rows) if table is None else table[rows]
        return X, self._targets(rows)

    def classes(self, count: int) -> int:
        """Return how many distinct targets the first rows have; of samples of no class, too."""
        first = np.asarray(self._targets(np.arange(min(count, self.n))))
        if first.dtype == object:  # None has no order beside texts
            first = first.astype(str)
        return len(np.unique(first))

    def _of_partitions(self, count: int, sizes: list[int]) -> tuple[Any, Any]:
        # The first rows of some of them: to load all is too much for an estimate.
        some = [i for i, size in enumerate(sizes) if size]
        some = [some[i] for i in np.unique(np.linspace(0, len(some) - 1, PLACES).astype(int))]
        each, starts = -(-count // len(some)), np.concatenate([[0], np.cumsum(sizes)])
        X = [np.asarray(self.X.partitions[i].compute()[:each]) for i in some]
        rows = [np.arange(starts[i], starts[i] + min(each, sizes[i])) for i in some]
        return np.concatenate(X), self._targets(np.concatenate(rows))

    def _targets(self, rows: NDArray[np.int64]) -> Any:
        return None if self.y is None else _safe_indexing(self.y, rows)


def _partition_sizes(X: Any) -> list[int] | None:
    # The rows of each partition of a collection that is computed later.
    if not hasattr(X, "partitions") or not hasattr(X, "compute"):
        return None
    sizes = X.chunks[0] if hasattr(X, "chunks") else X.map_partitions(len).compute()
    if any(math.isnan(size) for size in sizes):
        raise ValueError("the chunk sizes of X are unknown: call X.compute_chunk_sizes()")
    return [int(size) for size in sizes]


def _range_told(seconds: tuple[float, float | None]) -> str:
    least, most = seconds
    if most is None:
        return f"at least about {told_seconds(least)}, more if the map goes on growing"
    if most < 1.5 * least:
        return f"about {told_seconds(most)}"
    return f"about {told_seconds(least)} to {told_seconds(most)}"


def told_size(count: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 999.5:  # from which on three digits would be told as 1e+03
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB" if count < 999.5 else f"{count:.0f} GiB"


def told_seconds(seconds: float) -> str:
    """Return seconds in words."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
