"""Sweeps: what a ``sweep`` section stands for, and every run of it checked before any starts."""

from __future__ import annotations

import math
import os
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dbgsom_core.config.build import PYTHON, Builders, build_experiment, folder_of, root_of
from dbgsom_core.config.components import items_of
from dbgsom_core.config.experiment import (
    Child,
    Experiment,
    Optimization,
    Space,
    Sweep,
    shortened,
)
from dbgsom_core.config.load import fill, is_dotted_key, merge, merged, patch
from dbgsom_core.config.places import (
    NOWHERE,
    Items,
    Mark,
    Place,
    Problem,
    Problems,
    Section,
    checked,
    findings_of,
    public_values,
    with_references,
)
from dbgsom_core.config.schema import SWEEPS, DecideSettings, SweepSettings
from dbgsom_core.errors import PluginError, UnknownNameError
from dbgsom_core.plugins.offers import Offered
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry, get_registry
from dbgsom_core.training.parts import measured_by_default

MOST_CHILDREN = 10_000
_FIXED = ("experiment", "name", "extends", "sweep", "tracking")
_DATA = ("dataset", "dataset.name")
_VARIED = ("sweep.grid", "sweep.list", "sweep.random.space", "sweep.optimize.space")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ,.\-_/:=]")
_REQUIRED = "is required"


def load_sweep(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
) -> Sweep:
    """Return the sweep that a YAML file describes; every child is validated.

    Parameters and errors are those of `load_experiment`; a file without a ``sweep`` section is a
    `ConfigError`.
    """
    problems = Problems()
    root = merged(path, overrides, problems)
    if root.get("sweep") is None:
        cure = f"for a single run use 'dbgsom run {os.fspath(path)}'"
        message = f"{_REQUIRED} by 'dbgsom sweep'; {cure}"
        problems.add(Place(os.fspath(path), 1, 1), "sweep", message)
        raise problems.error()
    return _swept(root, registry, problems, os.fspath(path), folder_of(path))


def is_sweep(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> bool:
    """Say whether a YAML file describes a sweep; raises `ConfigError` if it cannot be read."""
    return merged(path, overrides, Problems()).get("sweep") is not None


def parse_sweep(
    values: Mapping[str, Any], registry: Registry | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Return the sweep that plain Python values describe, keys as in YAML.

    Parameters and errors are those of `parse_experiment`; values without a ``sweep`` section are a
    `ConfigError`.
    """
    problems = Problems()
    root = root_of(values, overrides, problems)
    if root.get("sweep") is None:
        problems.add(NOWHERE, "sweep", f"{_REQUIRED}; for a single run use run()")
        raise problems.error()
    return _swept(root, registry, problems, PYTHON, Path.cwd())


def _swept(
    root: Section, registry: Registry | None, problems: Problems, source: str, folder: Path
) -> Sweep:
    registry = registry or get_registry()
    unfolded = unfold(root, problems)
    builder = ChildBuilder(
        root.without("sweep"), Builders(registry), source, folder, unfolded.seeds, problems.secrets
    )
    of_sweep = len(problems)
    try:
        children = builder.children(unfolded.variants)
    except PluginError:
        problems.raise_any()
        raise
    for problem in builder.problems(len(unfolded.variants)):
        # a sweep with mistakes may be meant to give these keys
        given = unfolded.keys if of_sweep else ()
        if not (problem.message.startswith(_REQUIRED) and problem.path in given):
            problems.add(*problem)
    _check_decide(root, unfolded.decide, children, registry, problems)
    problems.raise_any()
    space = unfolded.space
    return Sweep(
        experiment=children[0].experiment.experiment,
        children=children,
        resolved=public_values(root, root),
        source=source,
        folder=folder,
        decide=unfolded.decide,
        seeds=unfolded.seeds,
        optimization=None if space is None else Optimization(space, partial(builder.trial, space)),
    )


# -------------------------------------------------------------------------- the section sweep


@dataclass(frozen=True)
class Unfolded:
    """What a ``sweep`` section stands for: names, and what each variant changes by dotted key.

    Of a search they are a few that show whether its values can be used.
    """

    variants: list[tuple[str, Section]]
    seeds: int  # runs of each variant; 1: that of its own seed
    decide: DecideSettings
    space: Space | None  # what is searched
    keys: frozenset[str]  # all that the section mentions, and the sections around these


def unfold(root: Section, problems: Problems) -> Unfolded:
    """Return what the ``sweep`` section of a configuration stands for.

    Of a section with mistakes the variants are those that show whether the values in it can be
    used, so that mistakes in these and in the rest of the configuration are found, too.
    """
    before = len(problems)
    only = Section({"sweep": root["sweep"]}, root.marks, root.place)
    sweep = fill(only, problems, apart=_VARIED)["sweep"]
    if not isinstance(sweep, Section):
        sweep = Section()  # `_settings` adds the problem
    settings = _settings(root, sweep, problems)
    decide, seeds, space, varied = DecideSettings(), 1, None, list[Section]()
    if settings is not None:
        decide, seeds = _decide(root, settings, problems), getattr(settings.repeats, "seeds", 1)
        if settings.optimize is not None:
            space = Space(settings.optimize, settings.optimize.space, sweep["optimize"]["space"])
            _check_size(root, space, problems)
            varied = space.probes()
        elif settings.list_ is not None:
            varied = list(map(_change, sweep["list"]))
        else:
            varied = _combinations(root, settings, problems)
    readable = varied or list(_readable(sweep))
    _check_keys(readable, "optimize" in sweep, problems)
    if settings is not None:
        _check_repeats(root, settings, varied, problems)
    if len(problems) > before:
        seeds, space = 1, None
        varied = [
            one.without(*(k for k in one if not is_dotted_key(k) or k.partition(".")[0] in _FIXED))
            for one in _readable(sweep)
        ] or [Section()]
    return Unfolded(
        list(zip(child_names(varied), varied, strict=True)),
        seeds,
        decide,
        space,
        frozenset(_mentioned(sweep)),
    )


def _settings(root: Section, sweep: Section, problems: Problems) -> SweepSettings | None:
    before = len(problems)
    kinds = f"{', '.join(SWEEPS[:-1])} or {SWEEPS[-1]}"
    if not isinstance(root["sweep"], Section):
        problems.add_at(root, ("sweep",), f"must be a section with one of {kinds}")
    elif len(sweep.keys() & {*SWEEPS}) != 1:
        problems.add_at(root, ("sweep",), f"needs exactly one of {kinds}", "section")
    try:
        settings = checked(
            SweepSettings, sweep, validate=lambda cls, values: cls.model_validate(values)
        )
    except ValidationError as error:
        for of, steps, message in findings_of(error):
            problems.add_at(root, ("sweep", *steps), message, of)
        return None
    return settings if len(problems) == before else None


def _decide(root: Section, settings: SweepSettings, problems: Problems) -> DecideSettings:
    """Return the section ``decide`` with measure and direction of ``optimize``."""
    decide, search = settings.decide or DecideSettings(), settings.optimize
    given = {
        key: getattr(search, key)
        for key in ("measure", "direction")
        if getattr(search, key, None) is not None
    }
    for key in given.keys() & decide.model_fields_set:
        problems.add_at(root, ("sweep", "decide", key), "is said by optimize already", "key")
    return decide.model_copy(update=given)


def _readable(sweep: Section) -> Iterator[Section]:
    """Yield variants with each value that can be read in a section with mistakes."""
    for _, value in items_of(sweep.get("list")):
        if isinstance(value, Section):
            yield _change(value)
    for kind in ("grid", "random", "optimize"):
        axes = sweep.get(kind)
        if kind != "grid" and isinstance(axes, Section):
            axes = axes.get("space")
        if not isinstance(axes, Section):
            continue
        lists = {key: value for key, value in axes.items() if isinstance(value, Items) and value}
        for key, value in axes.items():
            if isinstance(value, Section):  # a range
                ends = [one for one in ("low", "high") if one in value]
                if ends:
                    marks = [value.marks[one] for one in ends]
                    lists[key] = Items([value[one] for one in ends], marks)
        for key, values in lists.items():
            for i in range(len(values)):
                chosen = {**dict.fromkeys(lists, 0), key: i}
                yield _chosen(Section(lists, axes.marks), chosen)


def _mentioned(value: Any) -> Iterator[str]:
    """Yield each key of a sweep with the sections around it."""
    if isinstance(value, (Section, Items)):
        for inner in value if isinstance(value, Items) else value.values():
            yield from _mentioned(inner)
    if isinstance(value, Section):
        for key in value:
            parts = key.split(".")
            yield from (".".join(parts[: i + 1]) for i in range(len(parts)))


def _combinations(root: Section, settings: SweepSettings, problems: Problems) -> list[Section]:
    search = settings.random
    axes = settings.grid if search is None else search.space
    size = math.prod(map(len, axes.values()))
    if search is None:
        if size <= MOST_CHILDREN:
            return [_combination(axes, i) for i in range(size)]
        cure = "use 'random' to draw some of them"
        message = f"makes {size} runs, more than {MOST_CHILDREN}; {cure}"
        problems.add_at(root, ("sweep", "grid"), message, "section")
        return []
    if search.samples <= min(size, MOST_CHILDREN):
        drawn = random.Random(search.seed).sample(range(size), search.samples)
        return [_combination(axes, i) for i in drawn]
    message = f"asks for {search.samples} of {size} combinations (at most {MOST_CHILDREN})"
    problems.add_at(root, ("sweep", "random", "samples"), message)
    return []


def _combination(axes: Section, index: int) -> Section:
    chosen: dict[str, int] = {}
    for key, values in reversed(list(axes.items())):
        index, chosen[key] = divmod(index, len(values))
    return _chosen(axes, chosen)


def _chosen(axes: Section, chosen: Mapping[str, int]) -> Section:
    varied = Section()
    for key, values in axes.items():
        mark = values.marks[chosen[key]]._replace(key=axes.marks[key].key, varied=True)
        varied.put(key, values[chosen[key]], mark)
    return varied


def _change(section: Section) -> Section:
    marks = {key: mark._replace(varied=True) for key, mark in section.marks.items()}
    return Section(section, marks, section.place)


def _check_keys(varied: Sequence[Section], searched: bool, problems: Problems) -> None:
    for one in varied:
        for key, mark in one.marks.items():
            if not is_dotted_key(key):
                problems.add(mark.key, key, "is no dotted key such as model.epochs")
            elif key.partition(".")[0] in _FIXED:
                problems.add(mark.key, key, "cannot vary within a sweep")
            elif searched and key in _DATA:
                message = "cannot be optimized: measures on different data sets do not compare"
                problems.add(mark.key, key, message)


def _check_size(root: Section, space: Space, problems: Problems) -> None:
    sizes = [len(axis) if isinstance(axis, list) else axis.size for axis in space.axes.values()]
    whole = [size for size in sizes if size is not None]
    if len(whole) == len(sizes) and space.settings.trials > math.prod(whole):
        message = f"asks for {space.settings.trials} of {math.prod(whole)} variants"
        problems.add_at(root, ("sweep", "optimize", "trials"), message)


def _check_repeats(
    root: Section, settings: SweepSettings, varied: Sequence[Section], problems: Problems
) -> None:
    if settings.repeats is None:
        return
    if any("seed" in one for one in varied):
        message = "sets the seeds of each variant: leave 'seed' out of what varies"
        problems.add_at(root, ("sweep", "repeats"), message, "key")
    trials = len(varied) if settings.optimize is None else settings.optimize.trials
    if settings.repeats.seeds * trials > MOST_CHILDREN:
        message = f"makes {settings.repeats.seeds * trials} runs, more than {MOST_CHILDREN}"
        problems.add_at(root, ("sweep", "repeats", "seeds"), message)


# ---------------------------------------------------------------------------------- runs of a sweep


def apply(base: Section, varied: Section, problems: Problems) -> Section:
    """Return ``base`` with a child's values written over it, in any order, as by ``--set``."""
    changes = Section(patch=True)
    for key in sorted(varied, key=lambda key: key.count(".")):  # a component before its fields
        changes = merge(changes, patch(key, varied[key], varied.marks[key]), problems)
    return merge(base, changes, problems)


@dataclass
class ChildBuilder:
    """Builds children, ``seeds`` of each variant, from a configuration without its ``sweep``."""

    base: Section
    builders: Builders
    source: str
    folder: Path
    seeds: int
    secrets: Any
    _found: dict[Problem, list[str]] = field(default_factory=dict)

    def children(self, variants: Sequence[tuple[str, Section]]) -> tuple[Child, ...]:
        """Return the children of all variants that can be; see `problems` for the others."""
        self._found.clear()
        return tuple(child for one in variants for child in self._variant(*one))

    def problems(self, variants: int) -> Iterator[Problem]:
        """Yield what is wrong with children; what all have in common names none of them."""
        for problem, names in self._found.items():
            message = problem.message
            if (len(names) < variants or variants == 1) and names[0]:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                message = f"{message} (in the run '{names[0]}'{more})"
            yield problem._replace(message=message)

    def trial(
        self, space: Space, number: int, chosen: Mapping[str, int | float]
    ) -> tuple[Child, ...]:
        """Return the children of a search's trial, as `Optimization` has it."""
        varied = space.varied(chosen)
        found = self.children([(f"{number}: {variant_name(varied)}", varied)])
        problems = Problems(self.secrets)
        for problem in self.problems(1):
            problems.add(*problem)
        problems.raise_any()
        return found

    def _variant(self, name: str, varied: Section) -> list[Child]:
        first = self._experiment(name, varied)
        if first is None:
            return []
        if self.seeds == 1:
            return [Child(name, with_references(varied, varied), first)]
        children, mark = [], Mark(self.base.place, self.base.place)
        for seed in range(first.seed, first.seed + self.seeds):
            seeded = Section({**varied, "seed": seed}, {**varied.marks, "seed": mark})
            called = f"{name}, seed={seed}" if name else f"seed={seed}"
            experiment = self._experiment(called, seeded)
            if experiment is None:
                return []
            children.append(Child(called, with_references(seeded, seeded), experiment))
        return children

    def _experiment(self, name: str, varied: Section) -> Experiment | None:
        problems = Problems(self.secrets)
        root = apply(self.base, varied, problems)
        if self.seeds > 1 and "${env:" in str(root.get("seed")):
            message = "must stand in the file, so that repeats can count on from it"
            problems.add_at(root, ("seed",), message, "key")
        experiment = build_experiment(root, self.builders, problems, self.source, self.folder)
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
    size = {axis: len({repr(one[axis]) for one in children if axis in one}) for axis in axes}
    place = {axis: (-size[axis], -i) for i, axis in enumerate(axes)}
    keys = sorted(
        dict.fromkeys(key for part in parts for key in part), key=lambda key: place[key[1]]
    )
    short = shortened([key for key, _ in keys])
    alike = {key for key in keys if len({part.get(key) for part in parts}) == 1}
    if any(alike >= part.keys() for part in parts):  # one would have no name
        alike = set()
    names, known = [], Counter[str]()
    for part in parts:
        words = (f"{short[key[0]]}={part[key]}" for key in keys if key in part and key not in alike)
        name = _safe(", ".join(words))
        known[name] += 1
        names.append(name if known[name] == 1 else f"{name} : {known[name]}")
    return names


def variant_name(varied: Section) -> str:
    """Return a name from all that a variant changes, in its order."""
    parts = _parts(varied)
    short = shortened([key for key, _ in parts])
    return _safe(", ".join(f"{short[key]}={words}" for (key, _), words in parts.items()))


def _safe(name: str) -> str:
    """Return a name that folders, addresses and trackers take."""
    return _UNSAFE.sub("-", name)


_Key = tuple[str, str]  # the key as a name shows it, and the varied key that it belongs to


def _parts(child: Section) -> dict[_Key, str]:
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
    for inner, one in value.items():
        yield from _flat(key if inner == "name" else f"{key}.{inner}", one)
    if not value:
        yield key, "none"


def _value_text(value: Any) -> str:
    """Return a value as names show it, on one line."""
    if isinstance(value, Items):
        return " ".join(map(_value_text, value)) or "none"
    if isinstance(value, Section):
        return " ".join(f"{key}={_value_text(one)}" for key, one in value.items())
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------------- what decides


def _check_decide(
    root: Section,
    decide: DecideSettings,
    children: Sequence[Child],
    registry: Registry,
    problems: Problems,
) -> None:
    """Add a problem where a child does not measure what shall decide."""
    if decide.measure is not None:
        optimize = root["sweep"].get("optimize")
        by_search = isinstance(optimize, Section) and "measure" in optimize
        at = ("sweep", "optimize" if by_search else "decide", "measure")
        message = _why_undecided(decide.measure, children, registry)
        if message:
            problems.add_at(root, at, message)
    if decide.split == "test":
        lacking = [one.name for one in children if one.experiment.split is None]
        if lacking:
            message = "there is no test part; divide the data by 'split'"
            message += _where(lacking, children)
            problems.add_at(root, ("sweep", "decide", "split"), message)


def _why_undecided(name: str, children: Sequence[Child], registry: Registry) -> str:
    part, _, bare = name.rpartition("/")
    if part:
        return f"is a measure without its part: write '{bare}', and '{part}' as 'split'"
    try:
        offered = registry.lookup("measure", name)
    except UnknownNameError as error:
        return str(error)
    lacking = [one.name for one in children if not _measures(one.experiment, name, offered)]
    if not lacking:
        return ""
    message = f"'{name}' is not measured: add it to 'measures', where it suits the estimator"
    return message + _where(lacking, children)


def _measures(experiment: Experiment, name: str, offered: Offered) -> bool:
    if experiment.measures is not None:
        return name in [one for one, _ in experiment.measures]
    own = offered.distribution == OWN_DISTRIBUTION
    return own and measured_by_default(offered.load(), experiment.model.estimator)


def _where(lacking: Sequence[str], children: Iterable[Child]) -> str:
    if len(lacking) == len(list(children)):
        return ""
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f" (in the run '{lacking[0]}'{more})"
