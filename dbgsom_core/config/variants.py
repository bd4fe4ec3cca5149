"""Sweeps: the runs of a ``sweep`` section, all checked before the first starts."""

from __future__ import annotations

import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from dbgsom_core.config.document import Document, Keys, Mark, Problem, Problems, item_of
from dbgsom_core.config.experiment import (
    Experiment,
    build_experiment,
    check_section,
    document_of,
)
from dbgsom_core.config.load import fill, merge, read_config, split_key
from dbgsom_core.config.schema import (
    SWEEPS,
    DecideSettings,
    OptimizeSettings,
    RangeSettings,
    SweepSettings,
)
from dbgsom_core.errors import PluginError, UnknownNameError
from dbgsom_core.experiments.addresses import masked
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry, get_registry
from dbgsom_core.training.parts import is_default_measure

MOST_CHILDREN = 10_000
_FIXED = ("experiment", "name", "extends", "sweep", "tracking")
_VARIED: tuple[Keys, ...] = (
    ("sweep", "grid"), ("sweep", "list"), ("sweep", "random", "space"),
    ("sweep", "optimize", "space"),
)  # fmt: skip
_UNSAFE = re.compile(r"[^A-Za-z0-9 ,.\-_/:=]")  # in a name of folders, addresses and trackers
_REQUIRED = "is required"

Changes = Mapping[str, Any]  # values of a variant, by dotted key
Origins = Mapping[str, Keys]  # where in the document these values stand


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

    def variant(self, chosen: Mapping[str, int | float]) -> tuple[Changes, Origins]:
        """Return the values of a trial; for a list ``chosen`` has the position."""
        changes: dict[str, Any] = {}
        origins: dict[str, Keys] = {}
        for key, axis in self.axes.items():
            origins[key] = ("sweep", "optimize", "space", key)
            if isinstance(axis, RangeSettings):
                changes[key] = chosen[key]
            else:
                position = int(chosen[key])
                changes[key] = axis[position]
                origins[key] += (str(position),)
        return changes, origins

    def probes(self) -> list[tuple[Changes, Origins]]:
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
        return [self.variant(chosen) for chosen in probes]


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
    path: str | os.PathLike[str], overrides: Sequence[str] = (), registry: Registry | None = None
) -> Sweep:
    """Return the sweep of a YAML file; every child is validated.

    Parameters and errors are those of `load_experiment`; a file without a ``sweep`` section is a
    `ConfigError`.
    """
    problems = Problems()
    document = read_config(path, overrides, problems)
    cure = f"by 'dbgsom sweep'; for a single run use 'dbgsom run {os.fspath(path)}'"
    return _build_sweep(document, registry or get_registry(), problems, cure)


def is_sweep(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> bool:
    return read_config(path, overrides, Problems()).values.get("sweep") is not None


def parse_sweep(
    values: Mapping[str, Any], registry: Registry | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Return the sweep of plain Python values, as `load_sweep`."""
    problems = Problems()
    document = document_of(values, overrides, problems)
    cure = "by sweep(); for a single run use run()"
    return _build_sweep(document, registry or get_registry(), problems, cure)


def _build_sweep(document: Document, registry: Registry, problems: Problems, cure: str) -> Sweep:
    if document.values.get("sweep") is None:
        problems.fail(document.mark().key, "sweep", f"{_REQUIRED} {cure}")
    before = len(problems)
    settings = _settings(document, problems)
    variants: list[tuple[Changes, Origins]] = []
    space = None
    decide, seeds = DecideSettings(), 1
    if settings is not None:
        if settings.optimize is not None:
            space = Space(settings.optimize, settings.optimize.space)
            variants = space.probes()
        else:
            variants = _variants(document, settings, problems)
        _check_variants(document, settings, variants, problems)
        decide = _decide(document, settings, problems)
        seeds = settings.repeats.seeds if settings.repeats else 1
    is_wrong = len(problems) > before
    if is_wrong:  # what is wrong with the rest of the file is found, too
        variants, seeds = [({}, {})], 1
    builder = ChildBuilder(document, registry, problems, seeds)
    names = child_names([changes for changes, _ in variants])
    try:
        children = builder.children(list(zip(names, variants, strict=True)))
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
        _check_decide(document, decide, children, registry, problems)
    problems.raise_any()
    return Sweep(
        experiment=children[0].experiment.experiment,
        children=children,
        resolved=masked(document.values),
        source=problems.source,
        folder=problems.folder,
        decide=decide,
        seeds=seeds,
        optimization=None if space is None else Optimization(space, partial(builder.trial, space)),
    )


# -------------------------------------------------------------------------- the section sweep


def _settings(document: Document, problems: Problems) -> SweepSettings | None:
    values = fill(document.only("sweep"), problems, _VARIED)
    section = values.values["sweep"]
    kinds = f"{', '.join(SWEEPS[:-1])} or {SWEEPS[-1]}"
    if not isinstance(section, dict) or len(section.keys() & {*SWEEPS}) != 1:
        mark = document.mark("sweep")
        problems.add(mark.value, "sweep", f"must be a section with exactly one of {kinds}")
        return None
    settings: SweepSettings | None = check_section(SweepSettings, values, problems, "sweep")
    return settings


def _variants(
    document: Document, settings: SweepSettings, problems: Problems
) -> list[tuple[Changes, Origins]]:
    """Return the values of each variant, with the keys below which they stand."""
    if settings.list_ is not None:
        return [
            (changes, {key: ("sweep", "list", str(i), key) for key in changes})
            for i, changes in enumerate(settings.list_)
        ]
    search = settings.random
    axes, start = settings.grid, ("sweep", "grid")
    if search is not None:
        axes, start = search.space, ("sweep", "random", "space")
    size = math.prod(map(len, axes.values()))
    numbers: Sequence[int] = range(size)
    if search is None and size > MOST_CHILDREN:
        message = f"makes {size} runs, more than {MOST_CHILDREN}; use 'random' to draw some of them"
        problems.add(document.mark(*start).key, "sweep.grid", message)
        return []
    if search is not None:
        if search.samples > min(size, MOST_CHILDREN):
            message = f"asks for {search.samples} of {size} combinations (at most {MOST_CHILDREN})"
            keys = ("sweep", "random", "samples")
            problems.add(document.mark(*keys).value, ".".join(keys), message)
            return []
        numbers = random.Random(search.seed).sample(numbers, search.samples)
    return [_combination(axes, start, number) for number in numbers]


def _combination(
    axes: Mapping[str, list[Any]], start: Keys, number: int
) -> tuple[Changes, Origins]:
    """Return a combination of a grid by its number; the last key changes fastest."""
    positions = {}
    for key in reversed([*axes]):
        number, positions[key] = divmod(number, len(axes[key]))
    changes = {key: values[positions[key]] for key, values in axes.items()}
    return changes, {key: (*start, key, str(positions[key])) for key in axes}


def _check_variants(
    document: Document,
    settings: SweepSettings,
    variants: Sequence[tuple[Changes, Origins]],
    problems: Problems,
) -> None:
    """Add what cannot vary, and counts that are too large."""

    def add(message: str, *keys: str) -> None:
        problems.add(document.mark("sweep", *keys).value, ".".join(("sweep", *keys)), message)

    search, repeats = settings.optimize, settings.repeats
    for _, origins in variants:
        for key, origin in origins.items():
            place = document.mark(*origin[: origin.index(key) + 1]).key
            if not split_key(key):
                problems.add(place, key, "is no dotted key such as model.epochs")
            elif key.partition(".")[0] in _FIXED:
                problems.add(place, key, "cannot vary within a sweep")
            elif search is not None and key in ("dataset", "dataset.name"):
                message = "cannot be optimized: measures on different data sets do not compare"
                problems.add(place, key, message)
    trials = len(variants)
    if search is not None:
        trials = search.trials
        sizes = [
            len(axis) if isinstance(axis, list) else axis.size for axis in search.space.values()
        ]
        if None not in sizes and trials > math.prod(filter(None, sizes)):
            size = math.prod(filter(None, sizes))
            add(f"asks for {trials} of {size} variants", "optimize", "trials")
    if repeats is not None:
        if any("seed" in changes for changes, _ in variants):
            add("sets the seeds of each variant: leave 'seed' out of what varies", "repeats")
        if repeats.seeds * trials > MOST_CHILDREN:
            message = f"makes {repeats.seeds * trials} runs, more than {MOST_CHILDREN}"
            add(message, "repeats", "seeds")


def _decide(document: Document, settings: SweepSettings, problems: Problems) -> DecideSettings:
    """Return the section ``decide`` updated from ``optimize``."""
    decide, search = settings.decide or DecideSettings(), settings.optimize
    update = {}
    for key in ("measure", "direction"):
        value = getattr(search, key, None)
        if value is not None:
            update[key] = value
            if key in decide.model_fields_set:
                place = document.mark("sweep", "decide", key).key
                problems.add(place, f"sweep.decide.{key}", "is said by optimize already")
    return decide.model_copy(update=update)


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
    decide: DecideSettings,
    children: Sequence[Child],
    registry: Registry,
    problems: Problems,
) -> None:
    experiments = [child.experiment for child in children]
    if decide.split == "test" and any(one.split is None for one in experiments):
        message = "there is no test part; divide the data by 'split'"
        problems.add(document.mark("sweep", "decide", "split").value, "sweep.decide.split", message)
    if decide.measure is None:
        return
    part, _, name = decide.measure.rpartition("/")
    message = f"is a measure without its part: write '{name}', and '{part}' as 'split'"
    if not part:
        try:
            offered = registry.lookup("measure", name)
        except UnknownNameError as error:
            message = str(error)
        else:
            is_own = offered.distribution == OWN_DISTRIBUTION

            def is_measured(experiment: Experiment) -> bool:
                if experiment.measures is not None:
                    return name in [known for known, _ in experiment.measures]
                return is_own and is_default_measure(offered.load(), experiment.model.estimator)

            if all(map(is_measured, experiments)):
                return
            cure = "add it to 'measures', where it suits the estimator"
            message = f"'{name}' is not measured by every run: {cure}"
    by_search = "measure" in document.values["sweep"].get("optimize", ())
    keys = ("sweep", "optimize" if by_search else "decide", "measure")
    problems.add(document.mark(*keys).value, ".".join(keys), message)


# ---------------------------------------------------------------------------------- runs of a sweep


class ChildBuilder:
    """Builds children, ``seeds`` of each variant, from a configuration with a ``sweep``."""

    def __init__(
        self, document: Document, registry: Registry, of_file: Problems, seeds: int
    ) -> None:
        self._document, self._base = document, document.without("sweep")
        self._registry, self._of_file, self._seeds = registry, of_file, seeds
        self._names: dict[Problem, list[str]] = {}  # of the runs that have a problem

    def children(
        self, variants: Iterable[tuple[str, tuple[Changes, Origins]]]
    ) -> tuple[Child, ...]:
        """Return the children of all valid variants; see `problems` for the others."""
        self._names.clear()
        children: list[Child] = []
        for name, (changes, origins) in variants:
            children += self._variant(name, changes, origins)
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
        variant = space.variant(chosen)
        parts = _parts(variant[0])
        short = shortened([key for key, _ in parts])
        words = ", ".join(f"{short[key]}={text}" for (key, _), text in parts.items())
        children = self.children([(f"{number}: {_UNSAFE.sub('-', words)}", variant)])
        problems = self._no_problems()
        for problem in self._names:
            problems.add(*problem)
        problems.raise_any()
        return children

    def _no_problems(self) -> Problems:
        return Problems(self._of_file.source, self._of_file.folder)

    def _variant(self, name: str, changes: Changes, origins: Origins) -> list[Child]:
        first = self._experiment(name, changes, origins)
        if first is None:
            return []
        if self._seeds == 1:
            return [Child(name, changes, first)]
        children = []
        for seed in range(first.seed, first.seed + self._seeds):
            varies = {**changes, "seed": seed}
            called = f"{name}, seed={seed}" if name else f"seed={seed}"
            experiment = self._experiment(called, varies, origins)
            if experiment is None:
                return []
            children.append(Child(called, varies, experiment))
        return children

    def _experiment(self, name: str, changes: Changes, origins: Origins) -> Experiment | None:
        problems = self._no_problems()
        change = Document({})  # as by ``--set``, in any order
        for key in sorted(changes, key=lambda key: key.count(".")):  # a component before its fields
            keys = split_key(key)
            values = changes[key]
            marks = self._marks(keys, origins[key], key, values) if key in origins else {}
            for inner in reversed(keys):
                values = {inner: values}
            change = merge(change, Document(values, marks), problems)
        document = merge(self._base, change, problems)
        if self._seeds > 1 and "${env:" in str(document.values.get("seed")):
            message = "must stand in the file, so that repeats can count on from it"
            problems.add(document.mark("seed").key, "seed", message)
        experiment = build_experiment(document, self._registry, problems)
        for problem in problems:
            self._names.setdefault(problem, []).append(name)
        return None if len(problems) else experiment

    def _marks(self, keys: Keys, origin: Keys, axis: str, value: Any) -> dict[Keys, Mark]:
        """Return the marks of a value of the sweep at the keys that it is for."""
        known = self._document.marks
        marks = {(*keys, *inner): known[origin + inner] for inner in _below(value)
                 if origin + inner in known}  # fmt: skip
        if keys in marks:
            at_axis = self._document.mark(*origin[: origin.index(axis) + 1])
            marks[keys] = marks[keys]._replace(key=at_axis.key)
        return marks


def _below(value: Any) -> Iterator[Keys]:
    """Yield the keys of a value and of all values in it."""
    yield ()
    keys: Iterable[str] = ()
    if isinstance(value, dict):
        keys = value
    elif isinstance(value, list):
        keys = map(str, range(len(value)))
    for key in keys:
        for rest in _below(item_of(value, key)):
            yield (key, *rest)


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
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
