"""What a sweep would do and take, found out without writing anything."""

from __future__ import annotations

import warnings
from collections import Counter

from dbgsom_core.config import Child, Experiment, Sweep, shortened
from dbgsom_core.estimators.planning import told_seconds
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.data import load_data, same_data
from dbgsom_core.runs.dry_run import NOT_COUNTED, Forecast, forecast
from dbgsom_core.runs.sweeps.optimize import optuna

_MOST_PROBES = 8
_SECONDS = 8.0  # of all probes together
_OF_ALL = ("before", "measures", "figures", "writes", "")  # lines of one run that are those of all


def forecast_sweep(sweep: Sweep, registry: Registry, jobs: int = 1) -> list[tuple[str, str]]:
    """Say which runs there would be, and what they would take, as pairs of a name and words.

    Some variants are tried for a short time each; all data sets are loaded. Errors are those that
    `run_sweep` raises before a run folder exists.
    """
    if sweep.optimization is not None:
        optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        variants: dict[str, Child] = {}
        for child in sweep.children:
            variants.setdefault(child.variant, child)
        several = list(variants.values())
        tried = [several[i] for i in _spread(len(several), _MOST_PROBES)]
        loaded: list[tuple[Experiment, Data]] = []
        found: list[Forecast] = []
        for child in several:
            data = next((data for one, data in loaded if same_data(child.experiment, one)), None)
            if data is None:
                data = load_data(child.experiment)
                loaded.append((child.experiment, data))
            if child in tried:
                most = _SECONDS / len(tried)
                found.append(forecast(child.experiment, registry, data, most))
        jobs = min(jobs, sweep.runs)
        first = found[0].lines
        return [
            ("sweep", _told_runs(sweep, variants, jobs)),
            *_told_axes(sweep),
            *[line for line in first if line[0] in ("data", "prepare", "split")],
            ("training", _told_time(sweep, [one.variant for one in tried], found, jobs)),
            ("neurons", _range([one.plan.probe.neurons for one in found])),
            *[(name, f"{words} of each process") for name, words in first if name == "memory"],
            *[
                (name, _of_each(name, words, sweep.runs))
                for name, words in first
                if name in _OF_ALL
            ],
        ]


def _of_each(name: str, words: str, runs: int) -> str:
    if name == "before":
        return f"{words}, and here are {runs}"
    if name != "writes":
        return words
    own = "config.yaml, run.json, measures.json, report.html, figures/sweep_heatmap.png, …"
    place, _, files = words.partition(": ")
    return f"{place}, {runs + 1} times: for each run {files}; for the sweep {own}"


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many of the numbers below ``count``, evenly spread, both ends included."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def _told_runs(sweep: Sweep, variants: dict[str, Child], jobs: int) -> str:
    what = (
        f"{len(variants)} variant{'s' * (len(variants) != 1)}"
        if sweep.optimization is None
        else f"a search of {sweep.optimization.space.settings.trials} trials"
    )
    seeds = max(Counter(one.variant for one in sweep.children).values())
    each = f" × {seeds} seeds" if seeds > 1 else ""
    beside = f", {jobs} beside each other" if jobs > 1 else ", one after the other"
    runs = f"{sweep.runs} run{'s' * (sweep.runs != 1)}"
    return f"{runs}: {what}{each}{beside}"


def _told_axes(sweep: Sweep) -> list[tuple[str, str]]:
    values: dict[str, dict[str, None]] = {}
    for child in sweep.children:
        for key, value in child.varies.items():
            values.setdefault(key.removesuffix(".name"), {})[str(value)] = None
    short = shortened(list(values))
    return [
        ("varies" if at == 0 else "", f"{short[key]}: {', '.join(several)}")
        for at, (key, several) in enumerate(values.items())
    ]


def _told_time(sweep: Sweep, names: list[str], found: list[Forecast], jobs: int) -> str:
    least = sum(one.plan.seconds[0] for one in found) / len(found) * sweep.runs / jobs
    most = [one.plan.seconds[1] for one in found]
    if None in most:
        told = f"at least about {told_seconds(least)}, more if maps go on growing"
    else:
        greatest = sum(filter(None, most)) / len(found) * sweep.runs / jobs
        same = greatest < 1.5 * least
        told = f"about {told_seconds(greatest if same else least)}"
        told += "" if same else f" to {told_seconds(greatest)}"
    slowest = max(
        range(len(found)), key=lambda i: found[i].plan.seconds[1] or found[i].plan.seconds[0]
    )
    of = f"{len(found)} variant{'s' * (len(found) != 1)} tried"
    return f"{told} in all ({of}; the slowest: {names[slowest]}){NOT_COUNTED}"


def _range(values: list[int]) -> str:
    least, most = min(values), max(values)
    return f"{least}" if least == most else f"{least} to {most}, by variant"
