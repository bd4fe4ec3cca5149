"""Estimates of the time and memory of a fit, by a trial training on some rows."""

from __future__ import annotations

import math
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length

from dbgsom_core.engine.runtime import compile_clock
from dbgsom_core.estimators.components import AUTO, computed
from dbgsom_core.interfaces.engine import EngineComponent
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.growth import neuron_cap, start_shape
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.stopping import STOP

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
