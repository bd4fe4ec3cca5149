"""Sweeps: the runs of a ``sweep`` section, all checked before the first starts."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from dbgsom_core.config.document import Document, Keys, Problem, Problems
from dbgsom_core.config.experiment import (
    Experiment,
    build_experiment,
    check_section,
)
from dbgsom_core.config.load import fill, merge, nested, read_config
from dbgsom_core.config.schema import (
    DecideSettings,
    OptimizeSettings,
    RangeSettings,
    SweepSettings,
)
from dbgsom_core.errors import PluginError, UnknownNameError
from dbgsom_core.experiments.addresses import masked
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.training.parts import is_default_measure

_VARIED: tuple[Keys, ...] = (
    ("sweep", "grid"), ("sweep", "list"), ("sweep", "random", "space"),
    ("sweep", "optimize", "space"),
)  # fmt: skip
_UNSAFE = re.compile(r"[^A-Za-z0-9 ,.\-_/:=]")  # in a name of folders, addresses and trackers
_REQUIRED = "is required"

Changes = Mapping[str, Any]  # values of a variant, by dotted key


@dataclass(frozen=True)
class Child:
    """A run of a sweep, named by the values that vary, as written in the file."""

    name: str
    varies: Mapping[str, Any]
    experiment: Experiment

    @property
    def varies_beside_seed(self) -> Mapping[str, Any]:
        return {key: value for key, value in self.varies.items() if key != "seed"}


@dataclass(frozen=True)
class Space:
    """A search space: a range or a list by dotted key."""

    settings: OptimizeSettings
    axes: Mapping[str, RangeSettings | list[Any]]

    def changes(self, chosen: Mapping[str, int | float]) -> Changes:
        """Return the values of a trial; for a list ``chosen`` has the position."""
        changes: dict[str, Any] = {}
        for key, axis in self.axes.items():
            value = chosen[key]
            changes[key] = axis[int(value)] if isinstance(axis, list) else value
        return changes

    def probes(self) -> list[Changes]:
        """Return variants that have each value of each list, and both ends of each range."""
        ends: dict[str, Sequence[int | float]] = {}
        for key, axis in self.axes.items():
            if isinstance(axis, RangeSettings):
                ends[key] = (axis.low, axis.high)
            else:
                ends[key] = range(len(axis))
        first = {key: values[0] for key, values in ends.items()}
        probes = [first]
        for key, values in ends.items():
            probes += [{**first, key: value} for value in values[1:]]
        return [self.changes(chosen) for chosen in probes]


@dataclass(frozen=True)
class Optimization:
    """A search for the best variant.

    ``variant`` returns the children of trial ``number``, counted from 1, for what was chosen by
    dotted key: a number, or a position in a list; it raises `ConfigError` where the values do not
    go together.
    """

    space: Space
    variant: Callable[[int, Mapping[str, int | float]], tuple[Child, ...]] = field(compare=False)


@dataclass(frozen=True)
class Sweep:
    """Several experiments that differ in a few values.

    Of a search the children are a few that show whether its values can be used; the search makes
    its own.
    """

    experiment: str
    children: tuple[Child, ...]
    resolved: Mapping[str, Any]  # with the section ``sweep``, references as they were written
    source: str
    folder: Path
    decide: DecideSettings = field(default_factory=DecideSettings)  # what "best" means
    seeds: int = 1  # children of each variant, which differ in their seed alone
    optimization: Optimization | None = None

    @property
    def runs(self) -> int:
        if self.optimization is None:
            return len(self.children)
        return self.optimization.space.settings.trials * self.seeds

    def with_experiments(self, change: Callable[[Experiment], Experiment]) -> Sweep:
        """Return the sweep with every experiment changed, those of its trials included."""

        def changed(children: Iterable[Child]) -> tuple[Child, ...]:
            return tuple(replace(one, experiment=change(one.experiment)) for one in children)

        search = self.optimization
        if search is not None:
            variant = search.variant
            search = replace(search, variant=lambda *trial: changed(variant(*trial)))
        return replace(self, children=changed(self.children), optimization=search)

    @property
    def title(self) -> str:
        """The sweep's name: as given, or its number of runs and the keys that vary."""
        given = self.children[0].experiment.resolved["name"]
        if given:
            return str(given)
        keys: dict[str, None] = {}
        for child in self.children:
            varied = child.varies if self.seeds == 1 else child.varies_beside_seed
            keys |= dict.fromkeys(key.removesuffix(".name") for key in varied)
        title = f"{self.runs} runs: " + " × ".join(shortened(list(keys)).values())
        return title if self.seeds == 1 else f"{title}, {self.seeds} seeds each"


def shortened(keys: Sequence[str]) -> dict[str, str]:
    """Return each dotted key shortened to its last part, where that is unique."""
    short = {key: key.rpartition(".")[2] for key in keys}
    ends = Counter(short.values())
    return {key: end if ends[end] == 1 else key for key, end in short.items()}


def load_sweep(
    config: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
) -> Sweep:
    """Return the sweep of a YAML file or of plain Python values; every child is validated.

    Parameters and errors are those of `load_experiment`; a configuration without a ``sweep``
    section is a `ConfigError`.
    """
    problems = Problems()
    document = read_config(config, overrides, problems)
    if document.values.get("sweep") is None:
        cure = "by sweep(); for a single run use run()"
        if not isinstance(config, Mapping):
            cure = f"by 'dbgsom sweep'; for a single run use 'dbgsom run {os.fspath(config)}'"
        problems.fail(document.mark().key, "sweep", f"{_REQUIRED} {cure}")
    return _build_sweep(document, registry or get_registry(), problems)


def is_sweep(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> bool:
    return read_config(path, overrides, Problems()).values.get("sweep") is not None


def parse_sweep(
    values: Mapping[str, Any], registry: Registry | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Return the sweep of plain Python values, as `load_sweep`."""
    return load_sweep(values, overrides, registry)


def _build_sweep(document: Document, registry: Registry, problems: Problems) -> Sweep:
    before = len(problems)
    section = fill(document.only("sweep"), problems, _VARIED)
    settings: SweepSettings | None = check_section(SweepSettings, section, problems, "sweep")
    is_wrong = settings is None or len(problems) > before
    if is_wrong:  # what is wrong with the rest of the file is found, too
        settings = SweepSettings.model_construct(list_=[{}])
    assert settings is not None
    space = None if settings.optimize is None else Space(settings.optimize, settings.optimize.space)
    start, variants = _variants(settings, space)
    builder = ChildBuilder(document, start, registry, settings.seeds)
    try:
        children = builder.children(list(zip(child_names(variants), variants, strict=True)))
    except PluginError:
        problems.raise_any()
        raise
    for problem in builder.problems(len(variants)):
        may_be_given = is_wrong and problem.message == _REQUIRED and "." not in problem.key
        if not may_be_given:
            problems.add(*problem)
    if not is_wrong:
        if space is None:
            _check_differ(document, children, problems)
        _check_decide(document, settings, children, registry, problems)
    problems.raise_any()
    return Sweep(
        experiment=children[0].experiment.experiment,
        children=children,
        resolved=masked(document.values),
        source=document.source,
        folder=document.folder,
        decide=settings.criterion,
        seeds=settings.seeds,
        optimization=None if space is None else Optimization(space, partial(builder.trial, space)),
    )


def _variants(settings: SweepSettings, space: Space | None) -> tuple[Keys, Sequence[Changes]]:
    """Return the keys below which variants stand in a document, and the values of each."""
    if space is not None:
        return ("sweep", "optimize", "space"), space.probes()
    if settings.list_ is not None:
        return ("sweep", "list"), settings.list_
    if settings.random is None:
        axes = settings.grid
        return ("sweep", "grid"), [_combination(axes, i) for i in range(settings.size)]
    axes = settings.random.space
    numbers = random.Random(settings.random.seed).sample(
        range(settings.random.size), settings.random.samples
    )
    return ("sweep", "random", "space"), [_combination(axes, number) for number in numbers]


def _combination(axes: Mapping[str, list[Any]], number: int) -> Changes:
    """Return a combination of a grid by its number; the last key changes fastest."""
    changes = dict.fromkeys(axes)
    for key in reversed([*axes]):
        number, position = divmod(number, len(axes[key]))
        changes[key] = axes[key][position]
    return changes


def _check_differ(document: Document, children: Sequence[Child], problems: Problems) -> None:
    """Add a problem where two runs are the same."""
    known: dict[str, Child] = {}
    for child in children:
        settings = {**child.experiment.resolved, "name": None}
        other = known.setdefault(json.dumps(settings, default=str, sort_keys=True), child)
        if other is not child:
            message = f"the runs '{other.name}' and '{child.name}' are the same: leave one out"
            problems.add(document.mark("sweep").value, "sweep", message)


def _check_decide(
    document: Document,
    settings: SweepSettings,
    children: Sequence[Child],
    registry: Registry,
    problems: Problems,
) -> None:
    """Add a problem where the measure or part that decides is not that of every run."""

    def add(message: str, *keys: str) -> None:
        problems.add(document.mark(*keys).value, ".".join(keys), message)

    decide = settings.criterion
    if decide.split == "test" and any(child.experiment.split is None for child in children):
        message = "there is no test part; divide the data by 'split'"
        add(message, "sweep", "decide", "split")
    name = decide.measure
    if name is None:
        return
    by_search = settings.optimize is not None and settings.optimize.measure is not None
    keys = ("sweep", "optimize" if by_search else "decide", "measure")
    try:
        cls = registry.find("measure", name)
    except UnknownNameError as error:
        add(str(error), *keys)
        return
    for child in children:
        measures, estimator = child.experiment.measures, child.experiment.model.estimator
        if measures is not None:
            is_measured = name in dict(measures)
        else:
            is_measured = is_default_measure(cls, estimator)
        if not is_measured:
            cure = "add it to 'measures', where it suits the estimator"
            add(f"'{name}' is not measured by every run: {cure}", *keys)


# ---------------------------------------------------------------------------------- runs of a sweep


class ChildBuilder:
    """Builds children, ``seeds`` of each variant, from a configuration with a ``sweep``.

    The values of variants stand in it below the keys ``start``.
    """

    def __init__(self, document: Document, start: Keys, registry: Registry, seeds: int) -> None:
        self._document, self._base = document, document.without("sweep")
        self._start, self._registry, self._seeds = start, registry, seeds
        self._names: dict[Problem, list[str]] = {}  # of the runs that have a problem

    def children(self, variants: Iterable[tuple[str, Changes]]) -> tuple[Child, ...]:
        """Return the children of all valid variants; see `problems` for the others."""
        self._names.clear()
        children: list[Child] = []
        for number, (name, changes) in enumerate(variants):
            first = self._experiment(name, number, changes)
            if first is None:
                continue
            if self._seeds == 1:
                children.append(Child(name, changes, first))
                continue
            for seed in range(first.seed, first.seed + self._seeds):
                varies = {**changes, "seed": seed}
                called = f"{name}, seed={seed}" if name else f"seed={seed}"
                experiment = self._experiment(called, number, varies)
                if experiment is not None:
                    children.append(Child(called, varies, experiment))
        return tuple(children)

    def problems(self, variants: int) -> Iterator[Problem]:
        """Yield problems of children; common problems name no child."""
        for problem, names in self._names.items():
            message = problem.message
            if len(names) < variants:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                message = f"{message} (in the run '{names[0]}'{more})"
            yield problem._replace(message=message)

    def trial(
        self, space: Space, number: int, chosen: Mapping[str, int | float]
    ) -> tuple[Child, ...]:
        """Return the children of a search's trial, as `Optimization` has it."""
        changes = space.changes(chosen)
        parts = _parts(changes)
        short = shortened([key for key, _ in parts])
        words = ", ".join(f"{short[key]}={text}" for (key, _), text in parts.items())
        children = self.children([(f"{number}: {_UNSAFE.sub('-', words)}", changes)])
        problems = Problems()
        for problem in self._names:
            problems.add(*problem)
        problems.raise_any()
        return children

    def _experiment(self, name: str, number: int, changes: Changes) -> Experiment | None:
        problems = Problems()
        change = Document({})  # as by ``--set``, in any order
        for key in sorted(changes, key=lambda key: key.count(".")):  # a component before its fields
            keys = tuple(key.split("."))
            at = (number, key) if self._start[-1] == "list" else (key,)
            marks = {keys: self._document.mark(*self._start, *at)}
            change = merge(change, Document(nested(keys, changes[key]), marks), problems)
        document = merge(self._base, change, problems)
        if self._seeds > 1 and "${env:" in str(document.values.get("seed")):
            message = "must stand in the file, so that repeats can count on from it"
            problems.add(document.mark("seed").key, "seed", message)
        experiment = build_experiment(document, self._registry, problems)
        for problem in problems:
            self._names.setdefault(problem, []).append(name)
        return None if len(problems) else experiment


# ------------------------------------------------------------------------------------------ names


def child_names(children: Sequence[Changes]) -> list[str]:
    """Return a name for each child: only what differs, what has most values first.

    Of keys with equally many values the last comes first, which changes fastest in a grid:
    ``spreading_factor=0.3, kernel=gaussian``.
    """
    parts = [_parts(child) for child in children]
    axes = list(dict.fromkeys(axis for child in children for axis in child))
    values = {axis: {repr(child[axis]) for child in children if axis in child} for axis in axes}
    order = {axis: (-len(values[axis]), -i) for i, axis in enumerate(axes)}
    keys = sorted({key: None for part in parts for key in part}, key=lambda key: order[key[1]])
    short = shortened([key for key, _ in keys])
    alike = {key for key in keys if len({part.get(key) for part in parts}) == 1}
    if any(alike >= part.keys() for part in parts):  # that child would have no name
        alike = set()
    names, known = [], Counter[str]()
    for part in parts:
        words = (f"{short[key[0]]}={part[key]}" for key in keys if key in part and key not in alike)
        name = _UNSAFE.sub("-", ", ".join(words))
        known[name] += 1
        names.append(name if known[name] == 1 else f"{name} : {known[name]}")
    return names


def _parts(child: Changes) -> dict[tuple[str, str], str]:
    """Return what a name says, by the key as it shows it and the varied key that it belongs to."""
    return {
        (key, axis): words
        for axis, value in child.items()
        for key, words in _flat(axis.removesuffix(".name"), value)
    }


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    # A component is shown as its name and the fields that are given with it.
    if not isinstance(value, dict):
        yield key, _value_text(value)
        return
    for inner, field_value in value.items():
        yield from _flat(key if inner == "name" else f"{key}.{inner}", field_value)
    if not value:
        yield key, "none"


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_value_text, value)) or "none"
    if isinstance(value, dict):
        return " ".join(f"{key}={_value_text(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
