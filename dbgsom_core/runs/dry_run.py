"""What a run would do, take and write, found out without writing anything."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dbgsom_core.config import Experiment
from dbgsom_core.engine.compiling import CompileClock, compile_clock
from dbgsom_core.estimators.part_params import AUTO
from dbgsom_core.interfaces.component import flat
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.engine import EngineAbilities
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.lookup import lookup_in_use
from dbgsom_core.interfaces.privacy import hiding, masked, masked_name
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.comparing.variants import data_name
from dbgsom_core.runs.data.loading import Part
from dbgsom_core.runs.data.ready import Ready, make_ready
from dbgsom_core.runs.params import default_name, flat_params
from dbgsom_core.runs.start import runs_folder

PROBE_SECONDS = 3.0  # of training, compilation apart
PROBE_ROWS = 20_000
_MORE_ROWS = 6  # times those of the probe before
_SIZING = 4  # times one fit that spreading_factor: auto may take
_BESIDE = 2.4  # times the data that a fit takes beside it, measured on large tables


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


@dataclass(frozen=True)
class Forecast:
    """What a dry run tells, one line a pair of name and words."""

    lines: list[tuple[str, str]]
    probe: Probe
    seconds: tuple[float, float | None]
    memory: int | None


def forecast(
    experiment: Experiment,
    registry: Registry,
    data: Data | None = None,
    most: float | None = None,
) -> Forecast:
    """Load and prepare the data, train for some seconds, and say what the run would take.

    Nothing is written, but loops that are compiled are kept in their cache. Errors are those that
    `run_experiment` raises before a run folder exists. ``data`` may be there already, and the
    probe may be shorter than usual: ``most`` seconds.
    """
    with hiding(experiment.secrets), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        ready = make_ready(experiment, data)
        loaded = time.perf_counter() - started
        parts = ready.estimator.parts()
        growing = GrowthAbilities.of(parts.growth)
        engine = ready.estimator.engine
        elsewhere = EngineAbilities.of(parts.engine).session is not None
        try:
            if elsewhere:  # no cluster is started, nor asked for an estimate
                ready.estimator.set_params(engine="local")
            probe = _probe(ready, experiment.seed, PROBE_SECONDS if most is None else most)
        finally:
            ready.estimator.set_params(engine=engine)
        name = masked(experiment.resolved["name"] or _name(experiment, ready))
        seconds = _seconds(ready, probe, growing)
        memory = _memory(ready.fold.train.X, probe)
        lines = [
            *_of_data(experiment, ready, loaded),
            ("name", name),
            ("parts", ", ".join(_parts(experiment, parts))),
            ("training", _told_time(ready, probe, seconds)),
            ("neurons", _told_neurons(ready, probe, growing)),
            ("memory", "unknown here" if memory is None else f"about {_size(memory)} at the peak"),
            *(_network(ready, probe, growing) if elsewhere else ()),
            *_afterwards(experiment, registry),
        ]
    return Forecast([(name, masked(words)) for name, words in lines], probe, seconds, memory)


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


def _probe(ready: Ready, seed: int, most: float) -> Probe:
    """Train on ever more rows, while that takes little time."""
    part, n = ready.fold.train, len(ready.fold.train.X)
    rng = np.random.default_rng(seed)
    with compile_clock() as clock:
        with contextlib.suppress(ValueError):  # so few may lack classes, or not vary
            _fit(ready, _some(part, 500, rng), [])  # what is loaded first is no epoch's time
        rows, before = PROBE_ROWS, (0, 0.0)
        while True:
            tried, watch, ended = _some(part, rows, rng), _Watch(clock, most), True
            try:
                _fit(ready, tried, [watch])
            except _Enough:
                ended = False
            size, took = len(tried.X), sum(watch.seconds)
            more = (took - before[1]) / (size - before[0])
            if not ended or size == n or took * _MORE_ROWS > most:
                break
            rows, before = size * _MORE_ROWS, (size, took)
    each_row = more if ended and before[0] and more > 0 else took / size
    return Probe(size, ended and size == n, watch.history, watch.seconds, each_row, ended)


def _some(part: Part, count: int, rng: np.random.Generator) -> Part:
    if len(part.X) <= count:
        return part
    rows = np.sort(rng.choice(len(part.X), count, replace=False))
    return Part(part.X[rows], None if part.y is None else part.y[rows])


def _fit(ready: Ready, part: Part, callbacks: list[Any]) -> None:
    factor = ready.estimator.spreading_factor
    ready.estimator.set_params(
        callbacks=callbacks, spreading_factor=None if factor == AUTO else factor
    )
    try:
        ready.estimator.fit(part.X, part.y)
    finally:
        ready.estimator.set_params(callbacks=None, spreading_factor=factor)


def _seconds(ready: Ready, probe: Probe, growing: GrowthAbilities) -> tuple[float, float | None]:
    """Return the least and the greatest time that all fits are expected to take.

    An epoch costs as much as samples times neurons. At least the map stays as large as it was at
    the probe's end; at most it has as many neurons as it may in each epoch.
    """
    n, fits = len(ready.fold.train.X), 1 + len(ready.divided)
    fits *= _SIZING if ready.estimator.spreading_factor == AUTO else 1
    took, last = sum(probe.seconds), probe.history[-1]
    if probe.whole:
        return took * fits, took * fits
    left = 0.0 if probe.ended else (last.epochs - last.epoch) / last.epoch
    least = (took + (n - probe.rows) * probe.each_row) * (1 + left)
    cap = _cap(growing, n)
    if cap is None:
        return least * fits, None
    mean = sum(one.neurons for one in probe.history) / last.epoch
    most = least * cap / mean * (last.epochs / (last.epoch * (1 + left)))
    return least * fits, max(least, most) * fits


def _cap(growing: GrowthAbilities, n: int) -> int | None:
    if growing.base is not None:  # as many maps as there may be neurons
        return None
    if growing.max_neurons is None and growing.start_shape is not None:
        return math.prod(growing.shape)
    return growing.cap(n)


def _told_time(ready: Ready, probe: Probe, seconds: tuple[float, float | None]) -> str:
    least, most = seconds
    last = probe.history[-1]
    fits = f", {_folds(ready)} and the final fit" if ready.divided else ""
    if ready.estimator.spreading_factor == AUTO:
        fits += f", {_SIZING} times that of one size, as spreading_factor: auto may take"
    if probe.whole:
        return f"about {told_seconds(least)} ({last.epoch} of at most {last.epochs} epochs{fits})"
    if most is None:
        told = f"at least about {told_seconds(least)}, more if the map goes on growing"
    elif most < 1.5 * least:
        told = f"about {told_seconds(most)}"
    else:
        told = f"about {told_seconds(least)} to {told_seconds(most)}"
    rows = len(ready.fold.train.X)
    of = f" on {probe.rows} of {rows} rows" if probe.rows < rows else ""
    by = f"{last.epoch} of at most {last.epochs} epochs{of} in {told_seconds(sum(probe.seconds))}"
    return f"{told} (by {by}{fits}); measures and figures not counted"


def _told_neurons(ready: Ready, probe: Probe, growing: GrowthAbilities) -> str:
    cap = _cap(growing, len(ready.fold.train.X))
    most = "" if cap is None else f", at most {cap}"
    if probe.whole:
        return f"{probe.neurons}{most}"
    of = f" of {probe.rows} rows" if probe.rows < len(ready.fold.train.X) else ""
    return f"{probe.neurons} after epoch {probe.history[-1].epoch} of the probe{of}{most}"


def _network(ready: Ready, probe: Probe, growing: GrowthAbilities) -> Iterator[tuple[str, str]]:
    # Prototypes, cells and, back, sums, hits and errors.
    X = ready.fold.train.X
    neurons = _cap(growing, len(X)) or probe.neurons
    size = _size(8 * neurons * (2 * X.shape[1] + 4))
    yield "network", f"at most {size} a pass and shard of the data, with {neurons} neurons"
    yield "", "time and memory are those of this process, by the engine local"


def _memory(X: Any, probe: Probe) -> int | None:
    """Return about how many bytes the process takes at its peak."""
    taken = _resident()
    beside = 0 if probe.whole else int(_BESIDE * X.nbytes * (1 - probe.rows / len(X)))
    return None if taken is None else taken + beside


def _resident() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def _of_data(experiment: Experiment, ready: Ready, loaded: float) -> Iterator[tuple[str, str]]:
    X, y, regresses = ready.data.X, ready.data.y, experiment.model.estimator == "regressor"
    name = data_name(experiment.resolved, {"name": experiment.dataset_name})
    told = f"{name}: {len(X)} × {X.shape[1]} {X.dtype}, {_size(X.nbytes)}"
    if y is not None:
        told += f", targets {y.dtype}" if regresses else f", {len(np.unique(y))} classes"
    yield "data", f"{told}; ready in {told_seconds(loaded)}"
    train, test = ready.fold.train.X, ready.fold.test
    steps = ", ".join(name for name, _ in ready.fold.steps)
    if steps:
        yield "prepare", f"{steps}: {train.shape[1]} features, {train.dtype}"
    if test is not None:
        yield "split", f"{len(train)} rows to train on, {len(test.X)} to test"
    elif ready.divided:
        for_training, for_test = (
            _range(map(len, rows)) for rows in zip(*ready.divided, strict=True)
        )
        sizes = f"{for_training} rows to train on, {for_test} to test"
        yield "split", f"{_folds(ready)}, {sizes} in each; the model is of all rows"


def _folds(ready: Ready) -> str:
    count = len(ready.divided)
    return "1 division" if count == 1 else f"{count} folds"


def _range(sizes: Iterable[int]) -> str:
    least, *_, most = sorted([*sizes] * 2)
    return str(least) if least == most else f"{least} to {most}"


def _name(experiment: Experiment, ready: Ready) -> str:
    return default_name(experiment, ready.estimator, flat_params(experiment, ready.estimator))


def _parts(experiment: Experiment, parts: Any) -> Iterator[str]:
    yield f"estimator {experiment.model.estimator}"
    for _, kind, part in parts.each():
        yield f"{kind} {lookup_in_use().name_of(kind, part)}"


def _afterwards(experiment: Experiment, registry: Registry) -> Iterator[tuple[str, str]]:
    chosen = experiment.measures
    suited = f"those that suit {experiment.model.estimator}"
    yield "measures", suited if chosen is None else _names(chosen)
    yield "figures", _names(experiment.figures)
    group = masked_name(experiment.experiment)
    folder = Path(masked(str(runs_folder(experiment, registry)))).absolute() / group
    yield (
        "writes",
        f"{folder}/<time>: config.yaml, run.json, environment.json, metrics.jsonl, measures.json, "
        "model.npz, report.md, report.html, figures/",
    )
    for section in experiment.resolved["tracking"]:
        if section["name"] != "run_folder":
            given = {key: value for key, value in flat(section).items() if value is not None}
            name = given.pop("name")
            fields = ", ".join(f"{key} {value}" for key, value in given.items())
            yield "", f"{name}: {fields}" if fields else str(name)


def _names(named: Any) -> str:
    return ", ".join(name for name, _ in named) or "none"


def _size(count: float) -> str:
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
