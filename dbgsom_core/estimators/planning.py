"""What a fit would take, found out by the beginning of one, or by fits on a part of the rows."""

from __future__ import annotations

import contextlib
import functools
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dbgsom_core.engine.compiling import CompileClock, compile_clock
from dbgsom_core.estimators.part_params import AUTO
from dbgsom_core.estimators.some_rows import SomeRows
from dbgsom_core.interfaces.engine import EngineAbilities
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.growth import GrowthAbilities

PROBE_SECONDS = 3.0  # of training, compilation apart
PROBE_ROWS = 20_000
SIZING = 4  # times one fit that spreading_factor: auto may take
_MORE_ROWS = 6  # times those of the probe before
_BESIDE = 2.4  # times the data that a fit takes beside it, measured on large tables
_KEPT = 24  # bytes that it keeps of a row that it does not hold: units, bounds and labels
_FEW = 10_000  # rows among which all classes are looked for


@dataclass(frozen=True)
class Probe:
    """The beginning of the training, or of one on a part of the rows.

    Attributes
    ----------
    rows : int
    whole : bool
        All rows were used, and training came to its end.
    history : list of EpochRecord
    seconds : list of float
        Of each epoch, without compilation.
    each_row : float
        Seconds that one row more takes in all these epochs.
    ended : bool
        Training on these rows came to its end.
    """

    rows: int
    whole: bool
    history: list[EpochRecord]
    seconds: list[float]
    each_row: float
    ended: bool

    @property
    def neurons(self) -> int:
        """Those at the end."""
        return self.history[-1].neurons

    @property
    def epochs(self) -> int:
        """How many a whole training is expected to have."""
        last = self.history[-1]
        return last.epoch if self.ended else last.epochs


@dataclass(frozen=True)
class Plan:
    """What a fit is expected to take.

    Attributes
    ----------
    rows, features : int
    probe : Probe
    most_neurons : int or None
        That the map may have; None: no cap, or it has child maps.
    seconds : (float, float or None)
        Of the whole fit: at least, as if the map stayed as large as at the probe's end, and at
        most, as if it were as large as it may be from the start; None: nobody knows.
    epoch_seconds : (float, float or None)
        The mean over its epochs.
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

    def lines(self, times: str = "", apart: str = "") -> list[tuple[str, str]]:
        """Return it as pairs of a name and words.

        ``times`` tells of more fits than one, and ``apart`` what is not counted.
        """
        of = "unknown here" if self.memory is None else f"about {told_size(self.memory)}"
        lines = [
            ("training", self._told_time(times, apart)),
            ("epoch", f"{_told(self.epoch_seconds)} in the mean"),
            ("neurons", self._told_neurons()),
            ("memory", of if self.memory is None else f"{of} at the peak"),
        ]
        if self.network is not None:
            neurons = self.most_neurons or self.probe.neurons
            size = told_size(self.network)
            lines += [
                ("network", f"at most {size} an epoch and worker, with {neurons} neurons"),
                ("", "time and memory are those of this process, by the engine local"),
            ]
        return lines

    def _told_time(self, times: str, apart: str) -> str:
        probe, last = self.probe, self.probe.history[-1]
        if probe.whole:
            told = told_seconds(self.seconds[0])
            return f"about {told} ({last.epoch} of at most {last.epochs} epochs{times}){apart}"
        of = f" on {probe.rows} of {self.rows} rows" if probe.rows < self.rows else ""
        took = told_seconds(sum(probe.seconds))
        by = f"{last.epoch} of at most {last.epochs} epochs{of} in {took}"
        return f"{_told(self.seconds)} (by {by}{times}){apart}"

    def _told_neurons(self) -> str:
        probe, most = self.probe, self.most_neurons
        cap = "" if most is None else f", at most {most}"
        if probe.whole:
            return f"{probe.neurons}{cap}"
        of = f" of {probe.rows} rows" if probe.rows < self.rows else ""
        return f"{probe.neurons} after epoch {probe.history[-1].epoch} of the probe{of}{cap}"


class Planned:
    """What an estimator says of a fit before it begins."""

    def plan(self, X: Any, y: Any = None, *, seconds: float | None = None) -> Plan:
        """Return what `fit` is expected to take, by training for about 3 ``seconds`` on some rows.

        Parameters
        ----------
        X : array-like, table or dask collection (n, D)
            Of a collection in partitions some rows of some of them are computed.
        y : array-like (n,), optional
            As of `fit`.
        seconds : float, optional
            How long it trains; compilation, and a row more than time is left for, come on top.

        Returns
        -------
        Plan
            Seconds of the fit and of an epoch, bytes of memory, and where the engine is elsewhere
            of the network; ``print`` tells it.

        Raises
        ------
        ValueError
            As `fit` does, or the chunk sizes of X are unknown.
        """
        return plan_of(self, X, y, seconds=seconds)


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

    Raises
    ------
    ValueError
        As `fit` does; or X has partitions of unknown sizes.
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
    if isinstance(estimator.random_state, np.random.RandomState):  # it would go on
        params["random_state"] = seed
    data = SomeRows(X, y)
    rng, most = np.random.default_rng(seed), PROBE_SECONDS if seconds is None else seconds
    kind: Callable[..., Any] = type(estimator)
    probe = _probe(functools.partial(kind, **params), data, rng, most)
    n, width = data.n, data.width
    fits *= SIZING if factor == AUTO else 1
    cap = _cap(GrowthAbilities.of(parts.growth), n)
    least, greatest = _seconds(n, probe, cap)
    held = not elsewhere and (engine.opened is None or engine.opened(X) is None)
    return Plan(
        n,
        width,
        probe,
        cap,
        (least * fits, None if greatest is None else greatest * fits),
        (least / probe.epochs, None if greatest is None else greatest / probe.epochs),
        _memory(data.nbytes if held else None, n, probe),
        (cap or probe.neurons) * _each(data, estimator._kind) if elsewhere else None,
    )


def _each(data: SomeRows, kind: str) -> int:
    # Bytes of a neuron in an epoch: out go a prototype and less than 8 numbers (place, links,
    # leading classes of a byte each), back come at most two sums and less than 8 numbers.
    classes = data.classes(_FEW) if kind == "classifier" else 0
    return 8 * (3 * data.width + 16 + 2 * classes)


class _Enough(Exception):  # noqa: N818 - no error
    """The probe knows enough."""


class _Watch:
    """Hears of each epoch, and ends the training when its time is over."""

    vital = True

    def __init__(self, clock: CompileClock, most: float) -> None:
        self._clock, self._most = clock, most
        self.history: list[EpochRecord] = []
        self.seconds: list[float] = []
        self._before = (time.perf_counter(), clock.seconds)

    def __call__(self, epoch: EpochRecord) -> None:
        now = (time.perf_counter(), self._clock.seconds)
        took = now[0] - self._before[0] - (now[1] - self._before[1])
        self.seconds.append(max(took, 1e-6))
        self.history.append(epoch)
        self._before = now
        if sum(self.seconds) > self._most:
            raise _Enough


def _probe(
    make: Callable[..., Any], data: SomeRows, rng: np.random.Generator, most: float
) -> Probe:
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
            except _Enough:
                ended = False
            size, took = tried[0].shape[0], sum(watch.seconds)
            more = (took - before[1]) / max(size - before[0], 1)
            if not ended or size == n or size < rows or took * _MORE_ROWS > most:
                break
            rows, before = size * _MORE_ROWS, (size, took)
    each_row = more if ended and before[0] and more > 0 else took / size
    return Probe(size, ended and size == n, watch.history, watch.seconds, each_row, ended)


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
    mean = sum(one.neurons for one in probe.history) / last.epoch
    return least, max(least, least * cap / mean * last.epochs / probe.epochs)


def _cap(growing: GrowthAbilities, n: int) -> int | None:
    if growing.base is not None:  # as many maps as there may be neurons
        return None
    if growing.max_neurons is None and growing.start_shape is not None:
        return math.prod(growing.shape)
    return growing.cap(n)


def _memory(held: int | None, n: int, probe: Probe) -> int | None:
    """Return about how many bytes the process takes at its peak, holding so many of the data."""
    taken = _resident()
    if taken is None or probe.whole:
        return taken
    left = 1 - probe.rows / n
    return taken + int((_KEPT * n if held is None else _BESIDE * held) * left)


def _resident() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def _told(seconds: tuple[float, float | None]) -> str:
    least, most = seconds
    if most is None:
        return f"at least about {told_seconds(least)}, more if the map goes on growing"
    if most < 1.5 * least:
        return f"about {told_seconds(most)}"
    return f"about {told_seconds(least)} to {told_seconds(most)}"


def told_size(count: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 999.5:  # from which on three digits would be told as 1e+03
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB" if count < 999.5 else f"{count:.0f} GiB"


def told_seconds(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
