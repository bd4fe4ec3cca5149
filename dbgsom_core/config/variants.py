"""Sweeps: the runs of a ``sweep`` section, all checked before the first starts."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dbgsom_core.config.experiment import Builders, Experiment, build_experiment, root_of
from dbgsom_core.config.load import fill, is_dotted_key, merge, merged, patch
from dbgsom_core.config.schema import (
    SWEEPS,
    DecideSettings,
    OptimizeSettings,
    RangeSettings,
    SweepSettings,
)
from dbgsom_core.config.sections import (
    NOWHERE,
    UNMARKED,
    Items,
    Location,
    Problem,
    Problems,
    Section,
    checked,
    with_references,
)
from dbgsom_core.errors import PluginError, UnknownNameError
from dbgsom_core.experiments.addresses import masked
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry, get_registry
from dbgsom_core.training.parts import is_default_measure

MOST_CHILDREN = 10_000
_FIXED = ("experiment", "name", "extends", "sweep", "tracking")
_VARIED = ("sweep.grid", "sweep.list", "sweep.random.space", "sweep.optimize.space")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ,.\-_/:=]")  # in a name of folders, addresses and trackers
_REQUIRED = "is required"
_MISSING = object()  # in place of a value that is not there


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
    """A search space: a range or a list by dotted key, ``written`` as in the file."""

    settings: OptimizeSettings
    axes: Mapping[str, RangeSettings | list[Any]]
    written: Section = field(compare=False, repr=False)

    def varied(self, chosen: Mapping[str, int | float]) -> Section:
        """Return the values of a trial; for a list ``chosen`` has the position."""
        found = Section()
        for key, axis in self.axes.items():
            mark = self.written.marks[key]
            if isinstance(axis, RangeSettings):
                found.put(key, chosen[key], mark)
            else:
                at = int(chosen[key])
                inner = self.written[key].marks[at]
                found.put(key, axis[at], inner._replace(key=mark.key))
        return found

    def probes(self) -> list[Section]:
        """Return variants that have each value of each list, and both ends of each range."""
        ends = {
            key: (axis.low, axis.high) if isinstance(axis, RangeSettings) else range(len(axis))
            for key, axis in self.axes.items()
        }
        first = {key: values[0] for key, values in ends.items()}
        others = [{**first, key: one} for key, values in ends.items() for one in values[1:]]
        return [self.varied(chosen) for chosen in (first, *others)]


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

        def changed(children: Sequence[Child]) -> tuple[Child, ...]:
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
        varied = (
            key
            for child in self.children
            for key in (child.varies if self.seeds == 1 else child.varies_beside_seed)
        )
        keys = dict.fromkeys(key.removesuffix(".name") for key in varied)
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
    root = merged(path, overrides, problems)
    if root.get("sweep") is None:
        cure = f"for a single run use 'dbgsom run {os.fspath(path)}'"
        message = f"{_REQUIRED} by 'dbgsom sweep'; {cure}"
        problems.fail(Location(os.fspath(path), 1, 1), "sweep", message)
    return _build_sweep(root, registry, problems)


def is_sweep(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> bool:
    return merged(path, overrides, Problems()).get("sweep") is not None


def parse_sweep(
    values: Mapping[str, Any], registry: Registry | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Return the sweep of plain Python values, as `load_sweep`."""
    problems = Problems()
    root = root_of(values, overrides, problems)
    if root.get("sweep") is None:
        problems.fail(NOWHERE, "sweep", f"{_REQUIRED}; for a single run use run()")
    return _build_sweep(root, registry, problems)


def _build_sweep(root: Section, registry: Registry | None, problems: Problems) -> Sweep:
    registry, before = registry or get_registry(), len(problems)
    only = Section({"sweep": root["sweep"]}, root.marks, root.place)
    sweep = fill(only, UNMARKED, problems, _VARIED)[0]["sweep"]
    settings = _settings(root, sweep, problems)
    variants: list[Section] = []
    space, decide, seeds = None, DecideSettings(), 1
    if settings is not None:
        search = settings.optimize
        if search is not None:
            space = Space(search, search.space, sweep["optimize"]["space"])
            variants = space.probes()
        elif settings.list_ is not None:
            variants = list(sweep["list"])
        else:
            variants = _combinations(root, settings, problems)
        decide, seeds = _check_settings(root, settings, variants, problems)
    if is_wrong := len(problems) > before:  # what is wrong with the rest of the file is found, too
        variants, seeds = [Section()], 1
    builder = ChildBuilder(root.without("sweep"), Builders(registry), problems, seeds)
    try:
        children = builder.children(list(zip(child_names(variants), variants, strict=True)))
    except PluginError:
        problems.raise_any()
        raise
    for problem in builder.problems(len(variants)):
        may_be_given = is_wrong and problem.message == _REQUIRED and "." not in problem.path
        if not may_be_given:
            problems.add(*problem)
    if space is None and not is_wrong:
        _check_differ(variants, children, problems)
    _check_decide(root, decide, () if is_wrong else children, registry, problems)
    problems.raise_any()
    return Sweep(
        experiment=children[0].experiment.experiment,
        children=children,
        resolved=masked(with_references(root, root)),
        source=problems.source,
        folder=problems.folder,
        decide=decide,
        seeds=seeds,
        optimization=None if space is None else Optimization(space, partial(builder.trial, space)),
    )


# -------------------------------------------------------------------------- the section sweep


def _settings(root: Section, sweep: Any, problems: Problems) -> SweepSettings | None:
    kinds = f"{', '.join(SWEEPS[:-1])} or {SWEEPS[-1]}"
    if not isinstance(sweep, Section):
        problems.add_at(root, ("sweep",), f"must be a section with one of {kinds}")
        return None
    if is_unclear := len(sweep.keys() & {*SWEEPS}) != 1:
        problems.add_at(root, ("sweep",), f"needs exactly one of {kinds}", "section")
    try:
        found = checked(
            SweepSettings, sweep, validate=lambda cls, values: cls.model_validate(values)
        )
    except ValidationError as error:
        problems.add_findings(root, error, "sweep")
        return None
    return None if is_unclear else found


def _combinations(root: Section, settings: SweepSettings, problems: Problems) -> list[Section]:
    """Return the combinations of a grid, or some of them, the last key changing fastest."""
    search = settings.random
    axes = settings.grid if search is None else search.space
    size = math.prod(map(len, axes.values()))
    chosen: Sequence[int] = range(size)
    if search is None and size > MOST_CHILDREN:
        cure = "use 'random' to draw some of them"
        message = f"makes {size} runs, more than {MOST_CHILDREN}; {cure}"
        problems.add_at(root, ("sweep", "grid"), message, "section")
        return []
    if search is not None:
        if search.samples > min(size, MOST_CHILDREN):
            message = f"asks for {search.samples} of {size} combinations (at most {MOST_CHILDREN})"
            problems.add_at(root, ("sweep", "random", "samples"), message)
            return []
        chosen = random.Random(search.seed).sample(range(size), search.samples)
    found = []
    for index in chosen:
        places = {}
        for key, values in reversed(axes.items()):
            index, places[key] = divmod(index, len(values))
        varied = Section()
        for key, values in axes.items():
            mark = values.marks[places[key]]._replace(key=axes.marks[key].key)
            varied.put(key, values[places[key]], mark)
        found.append(varied)
    return found


def _check_settings(
    root: Section, settings: SweepSettings, variants: Sequence[Section], problems: Problems
) -> tuple[DecideSettings, int]:
    """Return the section ``decide`` updated from ``optimize``, and the seeds."""
    search, repeats = settings.optimize, settings.repeats
    trials = len(variants)
    if search is not None:
        trials = search.trials
        sizes = [len(one) if isinstance(one, list) else one.size for one in search.space.values()]
        size = None if None in sizes else math.prod(filter(None, sizes))
        if size is not None and trials > size:
            message = f"asks for {trials} of {size} variants"
            problems.add_at(root, ("sweep", "optimize", "trials"), message)
    for varied in variants:
        for key, mark in varied.marks.items():
            if not is_dotted_key(key):
                problems.add(mark.key, key, "is no dotted key such as model.epochs")
            elif key.partition(".")[0] in _FIXED:
                problems.add(mark.key, key, "cannot vary within a sweep")
            elif search is not None and key in ("dataset", "dataset.name"):
                message = "cannot be optimized: measures on different data sets do not compare"
                problems.add(mark.key, key, message)
    if repeats is not None:
        if any("seed" in varied for varied in variants):
            message = "sets the seeds of each variant: leave 'seed' out of what varies"
            problems.add_at(root, ("sweep", "repeats"), message, "key")
        if repeats.seeds * trials > MOST_CHILDREN:
            message = f"makes {repeats.seeds * trials} runs, more than {MOST_CHILDREN}"
            problems.add_at(root, ("sweep", "repeats", "seeds"), message)
    decide = settings.decide or DecideSettings()
    given = {key: getattr(search, key, None) for key in ("measure", "direction")}
    given = {key: value for key, value in given.items() if value is not None}
    for key in given.keys() & decide.model_fields_set:
        problems.add_at(root, ("sweep", "decide", key), "is said by optimize already", "key")
    return decide.model_copy(update=given), repeats.seeds if repeats else 1


def _check_differ(
    variants: Sequence[Section], children: Sequence[Child], problems: Problems
) -> None:
    """Add a problem where keys of a variant overwrite each other, or two variants are the same."""
    for varied in variants:
        for key, inner in itertools.permutations(varied, 2):
            value: Any = varied[key]
            rest = inner.removeprefix(f"{key}.").split(".")
            for step in rest if inner.startswith(f"{key}.") else ():
                value = value.get(step, _MISSING) if isinstance(value, Section) else _MISSING
            if inner.startswith(f"{key}.") and value is not _MISSING:
                message = f"varies what '{key}' sets, too: leave one of them out"
                problems.add(varied.marks[inner].key, inner, message)
                return
    known: dict[str, Child] = {}
    for child in children:
        settings = {key: one for key, one in child.experiment.resolved.items() if key != "name"}
        other = known.setdefault(json.dumps(settings, default=str, sort_keys=True), child)
        if other is not child:
            mark = next((one.marks for one in variants if one.marks), {})
            place = next(iter(mark.values())).key if mark else NOWHERE
            message = f"the runs '{other.name}' and '{child.name}' are the same: leave one out"
            problems.add(place, "sweep", message)


def _check_decide(
    root: Section,
    decide: DecideSettings,
    children: Sequence[Child],
    registry: Registry,
    problems: Problems,
) -> None:
    experiments = [child.experiment for child in children]
    if decide.split == "test" and any(one.split is None for one in experiments):
        message = "there is no test part; divide the data by 'split'"
        problems.add_at(root, ("sweep", "decide", "split"), message)
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
            own = offered.distribution == OWN_DISTRIBUTION
            if all(
                (own and is_default_measure(offered.load(), one.model.estimator))
                if one.measures is None
                else name in [known for known, _ in one.measures]
                for one in experiments
            ):
                return
            cure = "add it to 'measures', where it suits the estimator"
            message = f"'{name}' is not measured by every run: {cure}"
    section = root["sweep"].get("optimize")
    by_search = isinstance(section, Section) and "measure" in section
    problems.add_at(root, ("sweep", "optimize" if by_search else "decide", "measure"), message)


# ---------------------------------------------------------------------------------- runs of a sweep


@dataclass
class ChildBuilder:
    """Builds children, ``seeds`` of each variant, from a configuration without its ``sweep``."""

    base: Section
    builders: Builders
    of_file: Problems
    seeds: int
    _found: dict[Problem, list[str]] = field(default_factory=dict)

    def children(self, variants: Sequence[tuple[str, Section]]) -> tuple[Child, ...]:
        """Return the children of all valid variants; see `problems` for the others."""
        self._found.clear()
        return tuple(child for variant in variants for child in self._variant(*variant))

    def problems(self, variants: int) -> Iterator[Problem]:
        """Yield problems of children; common problems name no child."""
        for problem, names in self._found.items():
            message = problem.message
            if len(names) < variants:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                message = f"{message} (in the run '{names[0]}'{more})"
            yield problem._replace(message=message)

    def trial(
        self, space: Space, number: int, chosen: Mapping[str, int | float]
    ) -> tuple[Child, ...]:
        """Return the children of a search's trial, as `Optimization` has it."""
        varied = space.varied(chosen)
        parts = _parts(varied)
        short = shortened([key for key, _ in parts])
        name = ", ".join(f"{short[key]}={words}" for (key, _), words in parts.items())
        found = self.children([(f"{number}: {_UNSAFE.sub('-', name)}", varied)])
        problems = self._no_problems()
        for problem in self._found:
            problems.add(*problem)
        problems.raise_any()
        return found

    def _variant(self, name: str, varied: Section) -> list[Child]:
        first = self._experiment(name, varied)
        if first is None:
            return []
        if self.seeds == 1:
            return [Child(name, with_references(varied, varied), first)]
        children = []
        for seed in range(first.seed, first.seed + self.seeds):
            seeded = Section({**varied, "seed": seed}, {**varied.marks, "seed": UNMARKED})
            called = f"{name}, seed={seed}" if name else f"seed={seed}"
            experiment = self._experiment(called, seeded)
            if experiment is None:
                return []
            children.append(Child(called, with_references(seeded, seeded), experiment))
        return children

    def _no_problems(self) -> Problems:
        return Problems(self.of_file.source, self.of_file.folder)

    def _experiment(self, name: str, varied: Section) -> Experiment | None:
        problems = self._no_problems()
        changes = Section(patch=True)  # as by ``--set``, in any order
        for key in sorted(varied, key=lambda key: key.count(".")):  # a component before its fields
            changes = merge(changes, patch(key, varied[key], varied.marks[key]), problems)
        root = merge(self.base, changes, problems)
        if self.seeds > 1 and "${env:" in str(root.get("seed")):
            message = "must stand in the file, so that repeats can count on from it"
            problems.add_at(root, ("seed",), message, "key")
        experiment = build_experiment(root, self.builders, problems)
        for problem in problems:
            self._found.setdefault(problem, []).append(name)
        return None if len(problems) else experiment


# ------------------------------------------------------------------------------------------ names


def child_names(children: Sequence[Section]) -> list[str]:
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


def _parts(child: Section) -> dict[tuple[str, str], str]:
    """Return what a name says, by the key as it shows it and the varied key that it belongs to."""
    return {
        (key, axis): words
        for axis, value in child.items()
        for key, words in _flat(axis.removesuffix(".name"), value)
    }


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    # A component is shown as its name and the fields that are given with it.
    if not isinstance(value, Section):
        yield key, _value_text(value)
        return
    for inner, field_value in value.items():
        yield from _flat(key if inner == "name" else f"{key}.{inner}", field_value)
    if not value:
        yield key, "none"


def _value_text(value: Any) -> str:
    if isinstance(value, Items):
        return " ".join(map(_value_text, value)) or "none"
    if isinstance(value, Section):
        return " ".join(f"{key}={_value_text(inner)}" for key, inner in value.items())
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
