"""What runs have in common and what tells them apart: data sets, variants, seeds and folds."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbgsom_core.config import with_defaults
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.comparing.deciding import Decision
from dbgsom_core.runs.comparing.differing import (
    as_words,
    differences,
    distinct,
    told_apart,
    word,
)
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.manifest import is_reference

# What neither changes a map nor says what it learns from, and what has a place of its own.
_BESIDE_THE_POINT = (
    "experiment", "name", "tracking", "figures", "measures", "sweep", "extends", "patience",
    "plugins", "tags", "engine", "dataset", "split", "seed", "stability",
)  # fmt: skip
_UNITS = ("metric", "prepare")  # of distances
Tree = Mapping[str, Any]


@dataclass
class Variant:
    """Runs that differ in nothing but their seed.

    Attributes
    ----------
    name : str
        What tells it from the other variants, ``kernel=bubble, growth=fixed(rows=5)``.
    fields : mapping of str to value
        The same by dotted key.
    settings : mapping
        The configuration, without data, division and seed.
    runs : list of StoredRun
        One for each seed.
    """

    settings: Tree
    name: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    runs: list[StoredRun] = field(default_factory=list)


@dataclass
class Group:
    """Runs whose values can be ranked: of the same data, divided in the same way.

    Attributes
    ----------
    facts : mapping
        What it is of: ``dataset``, ``split`` and, where the measure is in the units of distances,
        ``metric`` and ``prepare``.
    data : mapping
        Facts of the data: name, samples, features.
    name : str
        What tells it from the other groups.
    variants : list of Variant
    """

    facts: Tree
    data: Tree
    name: str = ""
    variants: list[Variant] = field(default_factory=list)


@dataclass(frozen=True)
class Value:
    """What one model measured: of which seed, of which division of the data."""

    seed: Any
    division: str
    value: float


@dataclass(frozen=True)
class Sorted:
    """Runs in groups of variants; ``repeats`` are runs that another one repeats."""

    groups: Sequence[Group]
    repeats: Sequence[StoredRun]


def sort_out(runs: Iterable[StoredRun], in_units: bool, registry: Registry) -> Sorted:
    """Return runs in groups that can be ranked, and in variants within each group.

    Of runs with the same configuration and seed the newest counts: they have the same result.

    Parameters
    ----------
    runs : iterable of StoredRun
        Oldest first.
    in_units : bool
        Whether the measure is in the units of distances, so that other metrics and preparations
        cannot be ranked by it.
    registry : Registry
    """
    groups: dict[str, Group] = {}
    variants: dict[tuple[str, str], dict[Any, StoredRun]] = {}
    trees: dict[tuple[str, str], Tree] = {}
    repeats: list[StoredRun] = []
    runs = list(runs)
    all_settings = settings_of([(run.id, run.config) for run in runs], registry)
    for run, settings in zip(runs, all_settings, strict=True):
        facts = {"dataset": _dataset(run), "split": _split(run.config)}
        if in_units:
            facts |= _units(settings)
            settings = without_units(settings)
        at, key = _key(facts), _key(settings)
        groups.setdefault(at, Group(facts, run.data))
        trees.setdefault((at, key), settings)
        seen = variants.setdefault((at, key), {})
        seed = seed_of(run)
        if seed in seen:
            repeats.append(seen.pop(seed))
        seen[seed] = run
    found = [Variant(tree, runs=list(variants[key].values())) for key, tree in trees.items()]
    _name_variants(found)
    for (at, _), variant in zip(trees, found, strict=True):
        groups[at].variants.append(variant)
    _name_groups(list(groups.values()))
    return Sorted(list(groups.values()), repeats)


def seed_of(run: StoredRun) -> Any:
    """Return the seed of a run; one of its own where it came from the environment."""
    seed = run.config.get("seed", 42)
    return f"{seed} of {run.id}" if is_reference(seed) else seed


def values_of(variant: Variant, decision: Decision) -> list[Value]:
    """Return what the models of a variant measured: one a fold, else one a run; NaN left out."""
    found = []
    for run in variant.runs:
        seed = seed_of(run)
        for division, value in _measured(run, decision):
            if not math.isnan(value):
                found.append(Value(seed, division, value))
    return found


def _measured(run: StoredRun, decision: Decision) -> Iterable[tuple[str, float]]:
    if decision.split == "test" and run.folds:
        return [(one.rows, decision.value(one.measures)) for one in run.folds]
    return [(f"seed {seed_of(run)}", decision.value(run.measures))]


def measures_of(variant: Variant) -> dict[str, list[float]]:
    """Return the values of all measures, of each fold where there are folds, else of each run."""
    found: dict[str, list[float]] = {}
    for run in variant.runs:
        of_folds = {name for one in run.folds for name in one.measures}
        for measures in (run.measures, *(one.measures for one in run.folds)):
            for name, value in measures.items():
                if measures is run.measures and (
                    name in of_folds or (run.folds and name.startswith("test_std/"))
                ):
                    continue
                found.setdefault(name, []).append(value)
    return found


def baseline_of(variants: Iterable[Variant], decision: Decision) -> float | None:
    """Return what an answer that learns nothing would measure, the mean over seeds; None: unknown.

    r2 is 0 by its definition for one that always answers the mean.
    """
    if decision.measure == "r2":
        return 0.0
    found: dict[Any, Any] = {}
    for run in (run for variant in variants for run in variant.runs):
        known = _mapping(run.data.get("baseline")).get(decision.name)
        found[seed_of(run)] = found.get(seed_of(run), known)
    values = [one for one in found.values() if isinstance(one, (int, float))]
    return statistics.fmean(values) if values and len(values) == len(found) else None


def lacks_folds(run: StoredRun) -> bool:
    """Say whether a run had folds and does not hold what each measured."""
    return not run.folds and any(name.startswith("test_std/") for name in run.measures)


def overlap(variants: Iterable[Variant], decision: Decision) -> float:
    """Return samples to test on over samples to train on, where models share training samples.

    0 where all models of a run's seed are trained on the same samples.
    """
    ratios = []
    for run in (run for variant in variants for run in variant.runs):
        if decision.split == "test" and run.folds:
            ratios += [one.test_samples / one.train_samples for one in run.folds]
        elif (ratio := division_ratio(run.config, run.data)) is not None:
            ratios.append(ratio)
    return sum(ratios) / len(ratios) if ratios else 0.0


def division_ratio(config: Tree, data: Tree) -> float | None:
    """Return samples to test on over samples to train on; None where ``test_size`` is not all."""
    split, samples = _split(config), data.get("samples")
    size = split.get("test_size")
    if not (set(split) <= {"test_size", "stratify"} and isinstance(size, (int, float))):
        return None
    if not isinstance(samples, int):
        return None
    test = math.ceil(size * samples) if isinstance(size, float) else size
    return test / max(samples - test, 1)


# ---------------------------------------------------------------------- what a run is compared by


def settings_of(
    configs: Sequence[tuple[str, Tree]], registry: Registry, beside: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return of each named configuration what makes its variant, and the keys ``beside``.

    What some left to its default stands there as for others.
    """
    left_out = {*_BESIDE_THE_POINT} - {*beside}
    found = []
    for name, config in configs:
        full = with_defaults({"model": {}, **config}, registry)
        settings = {k: v for k, v in full.items() if k not in left_out}
        if _has_references(settings):  # nobody knows whether it is the same as another run
            settings["run"] = name
        found.append(settings)
    return found


def _dataset(run: StoredRun) -> dict[str, Any]:
    test = _mapping(run.data.get("test"))
    return {
        "name": data_name(run.config, run.data),
        "digest": run.data.get("digest"),
        "test": test.get("digest"),
        "of": {
            "dataset": run.config.get("dataset"),
            "test": _mapping(run.config.get("split")).get("test"),
        },
    }


def data_name(config: Tree, data: Tree) -> str:
    """Return what people call the data: the stem of its file, else the name of the data set."""
    dataset = config.get("dataset")
    path = dataset.get("path") if isinstance(dataset, Mapping) else None
    stem = Path(path).stem if isinstance(path, str) and not is_reference(path) else ""
    return stem or str(data.get("name") or word(dataset))


def _split(config: Tree) -> dict[str, Any]:
    split = _mapping(config.get("split"))
    return {k: v for k, v in split.items() if v is not None and v is not False and k != "test"}


def _units(settings: Tree) -> dict[str, Any]:
    return {
        "metric": _mapping(settings.get("model")).get("metric"),
        "prepare": settings.get("prepare"),
    }


def without_units(settings: Tree) -> dict[str, Any]:
    """Return settings without what gives distances their units: metric and preparation."""
    model = {k: v for k, v in _mapping(settings.get("model")).items() if k not in _UNITS}
    return {**{k: v for k, v in settings.items() if k not in _UNITS}, "model": model}


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _has_references(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_references, value.values()))
    return any(map(_has_references, value)) if isinstance(value, list) else is_reference(value)


def _key(tree: Any) -> str:
    """Return a text that equal trees have in common; a data set is its content, not its file."""
    if isinstance(tree, Mapping) and "dataset" in tree:
        dataset = tree["dataset"]
        if dataset.get("digest"):
            tree = {**tree, "dataset": {k: v for k, v in dataset.items() if k != "of"}}
    return json.dumps(tree, sort_keys=True, default=str)


# ------------------------------------------------------------------------------------------ names


def _name_variants(variants: Sequence[Variant]) -> None:
    unique: dict[str, Tree] = {}
    for one in variants:
        unique.setdefault(_key(one.settings), one.settings)
    varied = dict.fromkeys(
        key.removesuffix(".name") for one in variants for run in one.runs for key in run.varies
    )
    told = told_apart(list(unique.values()), list(varied))
    names = distinct([words for _, words in told])
    if len(unique) == 1:
        names = [variants[0].runs[-1].name]
    named = {key: (one, name) for key, (one, _), name in zip(unique, told, names, strict=True)}
    for one in variants:
        one.fields, one.name = named[_key(one.settings)]


def _name_groups(groups: Sequence[Group]) -> None:
    names = []
    facts = differences([{k: v for k, v in one.facts.items() if k != "dataset"} for one in groups])
    sets = [_mapping(one.facts["dataset"]) for one in groups]
    same_name = [[a for a in sets if a["name"] == one["name"]] for one in sets]
    for one, rest, alike in zip(sets, facts, same_name, strict=True):
        name = str(one["name"])
        if len({_key({k: v for k, v in a.items() if k != "of"}) for a in alike}) > 1:
            told = differences([a["of"] for a in alike])[alike.index(one)]
            name += f" ({as_words(told) or str(one['digest'])[:8]})"
        names.append(", ".join(filter(None, [name, as_words(rest)])))
    for group, name in zip(groups, distinct(names), strict=True):
        group.name = name
