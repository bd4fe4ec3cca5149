"""Groups of runs that can be ranked together, their variants, and the names of both."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbgsom_core.config import with_defaults
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare.criterion import RankingCriterion
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.manifest import is_reference

if TYPE_CHECKING:
    import pandas as pd

# Keys that neither change a map nor what it learns from, and those of groups and columns.
_NOT_OF_VARIANTS = (
    "experiment", "name", "tracking", "figures", "measures", "sweep", "extends", "patience",
    "plugins", "tags", "engine", "dataset", "split", "seed", "stability",
)  # fmt: skip
_MISSING = object()  # in place of a key that a configuration lacks

Tree = Mapping[str, Any]
Names = Mapping[str, tuple[Mapping[str, Any], str]]


@dataclass(frozen=True)
class Entry:
    """A finished run in a ranking."""

    run: StoredRun
    seed: Any
    variant: str  # equal for runs that differ in nothing but their seed
    settings: Tree  # the configuration without data, division and seed
    facts: Tree  # what runs that can be ranked together share: dataset, split, perhaps units
    group: str  # equal for runs that share these


@dataclass(frozen=True)
class Group:
    """Runs that can be ranked together: of the same data, divided in the same way."""

    name: str  # the data set, and what else tells it from the other groups
    entries: Sequence[Entry]
    names: Names  # of each variant its fields by dotted key, and its name

    @property
    def facts(self) -> Tree:
        """What its runs share."""
        return self.entries[0].facts

    @property
    def data(self) -> Tree:
        """Facts of the data: name, samples, features."""
        return self.entries[0].run.data


def make_entry(run: StoredRun, in_units: bool, registry: Registry) -> Entry:
    """Return the entry of a run.

    With a measure that is ``in_units`` of distances, other metrics and preparations cannot be
    ranked together.
    """
    settings = _variant_settings(run, registry)
    facts: dict[str, Any] = {"dataset": _dataset(run), "split": _split(run.config)}
    if in_units:
        model = dict(settings["model"])
        facts |= {"metric": model.pop("metric", None), "prepare": settings.pop("prepare", None)}
        settings["model"] = model
    seed = run.config.get("seed", 42)
    seed = f"{seed} of {run.parent or run.id}" if is_reference(seed) else seed
    return Entry(run, seed, _key(settings), settings, facts, _key(facts))


def _variant_settings(run: StoredRun, registry: Registry) -> dict[str, Any]:
    """Return what makes the variant of a run, defaults filled.

    One with references to the environment may have any values: it equals that of no run but those
    of its sweep.
    """
    full = with_defaults({"model": {}, **run.config}, registry)
    settings = {k: v for k, v in full.items() if k not in _NOT_OF_VARIANTS}
    return {**settings, "run": run.parent or run.id} if _has_references(settings) else settings


def without_repeats(entries: Iterable[Entry]) -> tuple[list[Entry], int]:
    """Return the newest entry of each configuration and seed, and the number of the others.

    They have the same result. Entries are oldest first.
    """
    newest: dict[tuple[str, str, Any], Entry] = {}
    count = 0
    for entry in entries:
        count += 1
        key = entry.group, entry.variant, entry.seed
        newest.pop(key, None)
        newest[key] = entry
    return list(newest.values()), count - len(newest)


def group_runs(entries: Iterable[Entry]) -> list[Group]:
    """Return the groups that can be ranked; variants are named by what tells them apart."""
    entries = list(entries)
    names = _names(entries)
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    called = _group_names([members[0].facts for members in groups.values()])
    return [
        Group(name, members, names) for name, members in zip(called, groups.values(), strict=True)
    ]


def frame_of(entries: Iterable[Entry], only: str | None = None) -> pd.DataFrame:
    """Return runs × measures: a row a run, and a row for each of its folds.

    Columns are ``run``, ``variant``, ``seed``, ``division`` (of the data: a digest of the rows of
    a fold, else one for each seed) and the measures, or ``only`` one of them. What folds measure
    stands in their rows.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    names: dict[str, None] = dict.fromkeys(("run", "variant", "seed", "division"))
    for entry in entries:
        run = entry.run
        head = {"run": run.id, "variant": entry.variant, "seed": entry.seed}
        of_folds = {name for fold in run.folds for name in fold.measures}
        whole = {k: v for k, v in run.measures.items() if k not in of_folds}
        for division, measures in [
            (f"seed {entry.seed}", whole),
            *((fold.rows, fold.measures) for fold in run.folds),
        ]:
            values = {
                name: value for name, value in measures.items() if only is None or name == only
            }
            if values:
                rows.append({**head, "division": division, **values})
                names |= dict.fromkeys(values)
    return pd.DataFrame(rows, columns=list(names))


# ------------------------------------------------------------------------------ facts of a group


def overlap(entries: Iterable[Entry], criterion: RankingCriterion) -> float:
    """Return samples to test on over samples to train on, where models share training samples.

    0 where all models of a run's seed are trained on the same samples.
    """
    ratios = []
    for run in (entry.run for entry in entries):
        if criterion.split == "test" and run.folds:
            ratios += [fold.test_samples / fold.train_samples for fold in run.folds]
        elif (ratio := _division_ratio(run.config, run.data)) is not None:
            ratios.append(ratio)
    return sum(ratios) / len(ratios) if ratios else 0.0


def _division_ratio(config: Tree, data: Tree) -> float | None:
    split, samples = _split(config), data.get("samples")
    size = split.get("test_size")
    if not (set(split) <= {"test_size", "stratify"} and isinstance(size, (int, float))):
        return None
    if not isinstance(samples, int):
        return None
    test = math.ceil(size * samples) if isinstance(size, float) else size
    return test / max(samples - test, 1)


def baseline_of(entries: Iterable[Entry], criterion: RankingCriterion) -> float | None:
    """Return what an answer that learns nothing would measure, the mean over seeds; None: unknown.

    r2 is 0 by its definition for one that always answers the mean.
    """
    if criterion.measure == "r2":
        return 0.0
    found: dict[Any, Any] = {}
    for entry in entries:
        known = _mapping(entry.run.data.get("baseline")).get(criterion.name)
        found[entry.seed] = found.get(entry.seed, known)
    values = [value for value in found.values() if isinstance(value, (int, float))]
    return statistics.fmean(values) if values and len(values) == len(found) else None


def data_name(config: Tree, data: Tree) -> str:
    """Return what people call the data: the stem of its file, else the name of the data set."""
    dataset = config.get("dataset")
    path = dataset.get("path") if isinstance(dataset, Mapping) else None
    stem = Path(path).stem if isinstance(path, str) and not is_reference(path) else ""
    return stem or str(data.get("name") or _value_text(dataset))


def _dataset(run: StoredRun) -> dict[str, Any]:
    of = {
        "dataset": run.config.get("dataset"),
        "test": _mapping(run.config.get("split")).get("test"),
    }
    digest = run.data.get("digest")
    found = {
        "name": data_name(run.config, run.data),
        "digest": digest,
        "test": _mapping(run.data.get("test")).get("digest"),
    }
    return found | {"of": of}


def _split(config: Tree) -> dict[str, Any]:
    split = _mapping(config.get("split"))
    return {k: v for k, v in split.items() if v is not None and v is not False and k != "test"}


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _has_references(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_references, value.values()))
    return any(map(_has_references, value)) if isinstance(value, list) else is_reference(value)


def _key(tree: Tree) -> str:
    """Return a text that equal trees have in common; a data set is its content, not its file."""
    dataset = tree.get("dataset")
    if dataset and dataset.get("digest"):
        tree = {**tree, "dataset": {k: v for k, v in dataset.items() if k != "of"}}
    return json.dumps(tree, sort_keys=True, default=str)


# ------------------------------------------------------------------------------------------ names


def _names(entries: Sequence[Entry]) -> Names:
    settings: dict[str, Tree] = {}
    for entry in entries:
        settings.setdefault(entry.variant, entry.settings)
    found = differences(list(settings.values()))
    texts = [fields_text(fields) for fields in found]
    if len(settings) == 1:
        texts = [[one.run.name for one in entries if one.group == entries[0].group][-1]]
    return dict(zip(settings, zip(found, unique_names(texts), strict=True), strict=True))


def _group_names(facts: Sequence[Tree]) -> list[str]:
    names = []
    rest = differences([{k: v for k, v in tree.items() if k != "dataset"} for tree in facts])
    sets = [_mapping(tree["dataset"]) for tree in facts]
    for dataset, fields in zip(sets, rest, strict=True):
        name = str(dataset["name"])
        same = [other for other in sets if other["name"] == name]
        if len({_key({k: v for k, v in other.items() if k != "of"}) for other in same}) > 1:
            content = differences([other["of"] for other in same])[same.index(dataset)]
            name += f" ({fields_text(content) or str(dataset['digest'])[:8]})"
        names.append(", ".join(filter(None, [name, fields_text(fields)])))
    return unique_names(names)


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names of which none is empty, and those that stand twice numbered."""
    found: list[str] = []
    for name in names:
        unique, number = name or "as it is", 1
        while unique in found:
            number += 1
            unique = f"{name or 'as it is'} : {number}"
        found.append(unique)
    return found


def differences(trees: Sequence[Tree]) -> list[dict[str, Any]]:
    """Return of each tree the dotted keys and values in which it differs from others.

    Components are named. Their fields are there where those of the same name differ: a field that
    only one component has tells nothing more.
    """
    found: list[dict[str, Any]] = [{} for _ in trees]
    _add_differences(dict(enumerate(trees)), "", found)
    return found


def _add_differences(trees: Mapping[int, Any], path: str, found: list[dict[str, Any]]) -> None:
    for key in dict.fromkeys(key for tree in trees.values() for key in tree):
        values = {i: tree.get(key, _MISSING) for i, tree in trees.items()}
        first = next(iter(values.values()))
        if all(value == first for value in values.values()):
            continue
        at = f"{path}.{key}" if path else str(key)
        if not all(isinstance(value, Mapping) for value in values.values()):
            for i, value in values.items():
                if value is not _MISSING:
                    found[i][at] = _value_text(value)
            continue
        components: dict[Any, dict[int, Any]] = {}
        for i, value in values.items():
            rest = {k: v for k, v in value.items() if k != "name"}
            components.setdefault(_value_text(value.get("name", _MISSING)), {})[i] = rest
        for name, inner in components.items():
            if len(components) > 1:
                for i in inner:
                    found[i][at] = name
            if len(inner) > 1:
                _add_differences(inner, at, found)


def _value_text(value: Any) -> Any:
    """Return a value as it stands in a name: a plain one as it is, all others as text."""
    if value is _MISSING:
        return "none"
    if isinstance(value, Mapping):
        rest = ", ".join(f"{k}={_value_text(v)}" for k, v in value.items() if k != "name")
        name = str(value.get("name", ""))
        return f"{name}({rest})" if rest else name
    if isinstance(value, list):
        return " ".join(str(_value_text(one)) for one in value) or "none"
    return value


def fields_text(fields: Mapping[str, Any]) -> str:
    """Return fields as ``kernel=bubble, growth=fixed(rows=5)``."""
    inside: dict[str, list[str]] = {}
    tops: list[str] = []
    for key in fields:
        parent = next((top for top in tops if key.startswith(f"{top}.")), None)
        if parent is None:
            tops.append(key)
        else:
            inside.setdefault(parent, []).append(key)
    ends = [key.rpartition(".")[2] for key in tops]
    texts = []
    for key, end in zip(tops, ends, strict=True):
        name = end if ends.count(end) == 1 else key.removeprefix("model.")
        within = ", ".join(
            f"{k[len(key) + 1 :]}={_plain_text(fields[k])}" for k in inside.get(key, ())
        )
        texts.append(f"{name}={_plain_text(fields[key])}" + (f"({within})" if within else ""))
    return ", ".join(texts)


def _plain_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
