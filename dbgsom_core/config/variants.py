"""Sweeps: the runs of a ``sweep`` section, all checked before the first starts."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from dbgsom_core.config.experiment import Experiment, build_experiment, check_section
from dbgsom_core.config.load import Document, Keys, Problems, fill, merge, nested, read_config
from dbgsom_core.config.schema import (
    DecideSettings,
    OptimizeSettings,
    RangeSettings,
    SweepSettings,
)
from dbgsom_core.errors import UnknownNameError
from dbgsom_core.estimators.parameters import AUTO
from dbgsom_core.experiments.trackers import masked
from dbgsom_core.interfaces.component import flat
from dbgsom_core.interfaces.measures import ABOVE_CHANCE
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.training.parts import is_default_measure

_VARIED: tuple[Keys, ...] = (
    ("sweep", "grid"), ("sweep", "list"), ("sweep", "random", "space"),
    ("sweep", "optimize", "space"),
)  # fmt: skip
_MARKS_OF_JSON = re.compile(r'[{}\[\]"]')
_UNSAFE = re.compile(r"[^A-Za-z0-9 ,.\-_/:=]")  # in a name of folders, addresses and trackers

Changes = Mapping[str, Any]  # values of a variant, by dotted key


@dataclass(frozen=True)
class Child:
    """A run of a sweep, named by the values that vary, as written in the file."""

    name: str
    varies: Mapping[str, Any]
    experiment: Experiment


@dataclass(frozen=True)
class Optimization:
    """A search for the best variant.

    ``variant`` returns the children of trial ``number``, counted from 1, for what was chosen by
    dotted key: a number, or a position in a list; it raises `ConfigError` where the values do not
    go together.
    """

    settings: OptimizeSettings
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
    folder: Path
    decide: DecideSettings = field(default_factory=DecideSettings)  # what "best" means
    seeds: int = 1  # children of each variant, which differ in their seed alone
    optimization: Optimization | None = None

    @property
    def runs(self) -> int:
        if self.optimization is None:
            return len(self.children)
        return self.optimization.settings.trials * self.seeds

    def with_experiments(self, change: Callable[[Experiment], Experiment]) -> Sweep:
        """Return the sweep with every experiment changed, those of its trials included."""

        def changed(children: Iterable[Child]) -> tuple[Child, ...]:
            return tuple(replace(child, experiment=change(child.experiment)) for child in children)

        search = self.optimization
        if search is not None:
            make_trial = search.variant
            search = replace(search, variant=lambda *trial: changed(make_trial(*trial)))
        return replace(self, children=changed(self.children), optimization=search)

    @property
    def title(self) -> str:
        """The sweep's name: as given, or its number of runs and the keys that vary."""
        name = self.children[0].experiment.resolved["name"]
        if name:
            return str(name)
        keys: dict[str, None] = {}  # in the order of the file
        for child in self.children:
            for key in child.varies:
                keys[key.removesuffix(".name")] = None
        if self.seeds == 1:
            return f"{self.runs} runs: {' × '.join(shortened([*keys]).values())}"
        del keys["seed"]
        product = " × ".join(shortened([*keys]).values())
        return f"{self.runs} runs: {product}, {self.seeds} seeds each"


def shortened(keys: Sequence[str]) -> dict[str, str]:
    """Return each dotted key shortened to its last part, where that is unique."""
    parts = {key: key.rpartition(".")[2] for key in keys}
    times = Counter(parts.values())
    return {key: part if times[part] == 1 else key for key, part in parts.items()}


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
        message = "is required; for a single run use 'dbgsom run' or run()"
        problems.fail(document.mark().key, "sweep", message)
    registry = registry or get_registry()
    section = replace(document, values={"sweep": document.values["sweep"]})
    section = fill(section, problems, _VARIED)  # references in values that vary are each run's
    settings: SweepSettings | None = check_section(SweepSettings, section, problems, "sweep")
    if settings is None or problems:  # what is wrong with the rest of the file is shown, too
        others = Problems()
        build_experiment(document.without("sweep"), registry, others)
        for problem in others:
            if problem.message != "is required":  # the sweep may give it
                problems.add(*problem)
        problems.raise_any()
    assert settings is not None
    builder = _ChildBuilder(document, registry, settings.seeds)
    variants = _variants(settings)
    names = _names([changes for _, changes in variants])
    for name, times in Counter(names).items():
        if times > 1:
            message = f"{times} variants are called '{name}': leave all but one out"
            problems.add(document.mark("sweep").value, "sweep", message)
    children: list[Child] = []
    for name, (place, changes) in zip(names, variants, strict=True):
        children += builder.children(name, place, changes, problems)
    problems.raise_any()
    _check_decide(document, settings, children, registry, problems)
    problems.raise_any()
    search = None
    if settings.optimize is not None:
        search = Optimization(settings.optimize, partial(builder.trial, settings.optimize.space))
    return Sweep(
        experiment=children[0].experiment.experiment,
        children=tuple(children),
        resolved=masked(document.values),
        folder=document.folder,
        decide=settings.criterion,
        seeds=settings.seeds,
        optimization=search,
    )


def is_sweep(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> bool:
    return read_config(path, overrides, Problems()).values.get("sweep") is not None


def _variants(settings: SweepSettings) -> list[tuple[Keys, Changes]]:
    """Return the values of each variant, and the keys of a document below which they stand."""
    if settings.list_ is not None:
        return [(("sweep", "list", str(i)), changes) for i, changes in enumerate(settings.list_)]
    if settings.optimize is not None:
        place: Keys = ("sweep", "optimize", "space")
        return [(place, changes) for changes in _probes(settings.optimize.space)]
    axes, numbers, place = settings.grid, range(settings.size), ("sweep", "grid")
    if settings.random is not None:
        axes, place = settings.random.space, ("sweep", "random", "space")
        generator = random.Random(settings.random.seed)
        numbers = generator.sample(range(settings.random.size), settings.random.samples)
    variants: list[tuple[Keys, Changes]] = []
    for number in numbers:
        # The digits of the number, of which each axis has one: the last key changes fastest.
        positions = {}
        for key in reversed(axes):
            number, positions[key] = divmod(number, len(axes[key]))
        changes = {key: axis[positions[key]] for key, axis in axes.items()}
        variants.append((place, changes))
    return variants


def _probes(space: Mapping[str, RangeSettings | list[Any]]) -> list[Changes]:
    """Return variants that have each value of each list, and both ends of each range."""
    axes = {}
    for key, axis in space.items():
        axes[key] = [axis.low, axis.high] if isinstance(axis, RangeSettings) else axis
    first = {key: values[0] for key, values in axes.items()}
    probes: list[Changes] = [first]
    for key, values in axes.items():
        probes += [{**first, key: value} for value in values[1:]]
    return probes


def _names(variants: Sequence[Changes]) -> list[str]:
    """Return a name for each variant: ``kernel=gaussian, spreading_factor=0.3``.

    A component is shown as its name and the fields that are given with it.
    """
    texts = []
    keys: dict[str, None] = {}
    for changes in variants:
        values = {}
        for key, value in flat(changes).items():
            text = json.dumps(value, separators=(" ", ":"))
            if isinstance(value, float):
                text = f"{value:.6g}"
            values[key.removesuffix(".name")] = _MARKS_OF_JSON.sub("", text) or "none"
        texts.append(values)
        keys |= dict.fromkeys(values)
    short = shortened([*keys])
    names = []
    for values in texts:
        words = ", ".join(f"{short[key]}={text}" for key, text in values.items())
        names.append(_UNSAFE.sub("-", words))
    return names


def _check_decide(
    document: Document,
    settings: SweepSettings,
    children: Sequence[Child],
    registry: Registry,
    problems: Problems,
) -> None:
    """Add a problem where the measure or part that decides is not that of every run."""
    experiments = [child.experiment for child in children]
    decide = settings.criterion
    if decide.split == "test" and None in [experiment.split for experiment in experiments]:
        message = "there is no test part; divide the data by 'split'"
        place = document.mark("sweep", "decide", "split").value
        problems.add(place, "sweep.decide.split", message)
    if decide.measure is None:
        return
    message = ""
    try:
        cls = None if decide.measure == ABOVE_CHANCE else registry.find("measure", decide.measure)
    except UnknownNameError as error:
        message = str(error)
    else:
        for experiment in experiments:
            if cls is None:
                stability = experiment.stability
                is_measured = stability == AUTO or getattr(stability, "halves", None) is not None
                cure = "say stability: {halves: 5}"
            else:
                is_measured = is_default_measure(cls, experiment.model.estimator)
                if experiment.measures is not None:
                    is_measured = decide.measure in dict(experiment.measures)
                cure = "add it to 'measures'"
            if not is_measured:
                message = f"'{decide.measure}' is not measured by every run: {cure}"
    if message:
        by_search = settings.optimize is not None and settings.optimize.measure is not None
        keys = ("sweep", "optimize" if by_search else "decide", "measure")
        problems.add(document.mark(*keys).value, ".".join(keys), message)


@dataclass(frozen=True)
class _ChildBuilder:
    """Builder of children, ``seeds`` of each variant, from a configuration with a ``sweep``."""

    document: Document
    registry: Registry
    seeds: int

    def children(
        self, name: str, place: Keys, changes: Changes, problems: Problems
    ) -> Iterable[Child]:
        """Yield the children of a variant, the values of which stand below the keys ``place``."""
        experiment = self._experiment(place, changes, problems)
        if self.seeds == 1 and experiment is not None:
            yield Child(name, changes, experiment)
        elif experiment is not None:
            for seed in range(experiment.seed, experiment.seed + self.seeds):
                varies = {**changes, "seed": seed}
                repeat = self._experiment(place, varies, problems)
                if repeat is not None:
                    yield Child(f"{name}, seed={seed}", varies, repeat)

    def trial(
        self,
        space: Mapping[str, RangeSettings | list[Any]],
        number: int,
        chosen: Mapping[str, int | float],
    ) -> tuple[Child, ...]:
        """Return the children of a search's trial, as `Optimization` has it."""
        changes: dict[str, Any] = {}
        for key, axis in space.items():
            changes[key] = axis[int(chosen[key])] if isinstance(axis, list) else chosen[key]
        (name,) = _names([changes])
        place, problems = ("sweep", "optimize", "space"), Problems()
        children = tuple(self.children(f"{number}: {name}", place, changes, problems))
        problems.raise_any()
        return children

    def _experiment(self, place: Keys, changes: Changes, problems: Problems) -> Experiment | None:
        change = Document({})  # as by ``--set``, in any order
        for key in sorted(changes, key=lambda key: key.count(".")):  # a component before its fields
            keys = tuple(key.split("."))
            marks = {keys: self.document.mark(*place, key)}
            change = merge(change, Document(nested(keys, changes[key]), marks), problems)
        document = merge(self.document.without("sweep"), change, problems)
        return build_experiment(document, self.registry, problems)
