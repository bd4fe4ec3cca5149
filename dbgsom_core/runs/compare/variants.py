"""Groups of runs that can be ranked together, their variants, and the names of both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbgsom_core.config import with_defaults
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.manifest import is_reference

# Keys that neither change a map nor what it learns from, and those of groups and columns.
_NOT_OF_VARIANTS = (
    "experiment", "name", "tracking", "figures", "measures", "sweep", "extends", "patience",
    "plugins", "tags", "engine", "dataset", "split", "seed", "stability",
)  # fmt: skip
_MISSING = object()  # in place of a key that a configuration lacks

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A finished run in a ranking."""

    run: StoredRun
    seed: Any
    variant: str  # equal for runs that differ in nothing but their seed
    settings: Tree  # the configuration without data, division and seed
    facts: Tree  # what runs that can be ranked together share: dataset, split, perhaps units
    group: str  # equal for runs that share these

    def observations(self) -> Iterator[tuple[str, Mapping[str, float]]]:
        """Yield what was measured, with the division of the data that it was measured on.

        A fold's division is the digest of its rows, else each seed has its own.
        """
        of_folds = {name for fold in self.run.folds for name in fold.measures}
        whole = {k: v for k, v in self.run.measures.items() if k not in of_folds}
        yield f"seed {self.seed}", whole
        for fold in self.run.folds:
            yield fold.rows, fold.measures


@dataclass(frozen=True)
class Group:
    """Runs that can be ranked together: of the same data, divided in the same way."""

    name: str  # the data set, and what else tells it from the other groups
    entries: Sequence[Entry]
    names: Mapping[str, tuple[Tree, str]]  # of each variant its fields by dotted key, and its name

    @property
    def facts(self) -> Tree:
        """What its runs share."""
        return self.entries[0].facts


def make_entry(run: StoredRun, in_units: bool, registry: Registry) -> Entry:
    """Return the entry of a run.

    With a measure that is ``in_units`` of distances, other metrics and preparations cannot be
    ranked together. A configuration with references to the environment may have any values: it
    equals that of no run but those of its sweep.
    """
    full = with_defaults({"model": {}, **run.config}, registry)
    settings: dict[str, Any] = {k: v for k, v in full.items() if k not in _NOT_OF_VARIANTS}
    if _has_references(settings):
        settings["run"] = run.parent or run.id
    split = _mapping(run.config.get("split"))
    test = split.pop("test", None)
    dataset = {
        "name": data_name(run.config, run.data),
        "digest": run.data.get("digest"),
        "test": _mapping(run.data.get("test")).get("digest"),
        "of": {"dataset": run.config.get("dataset"), "test": test},
    }
    given = {k: v for k, v in split.items() if v is not None and v is not False}
    facts: dict[str, Any] = {"dataset": dataset, "split": given}
    if in_units:
        settings["model"] = dict(settings["model"])
        facts |= {"metric": settings["model"].pop("metric", None)}
        facts |= {"prepare": settings.pop("prepare", None)}
    seed = run.config.get("seed", 42)
    seed = f"{seed} of {run.parent or run.id}" if is_reference(seed) else seed
    return Entry(run, seed, _key(settings), settings, facts, _key(facts))


def without_repeats(entries: Sequence[Entry]) -> list[Entry]:
    """Return the newest entry of each configuration and seed: the others have the same result.

    Entries are oldest first.
    """
    newest: dict[tuple[str, str, Any], Entry] = {}
    for entry in entries:
        key = entry.group, entry.variant, entry.seed
        newest.pop(key, None)
        newest[key] = entry
    return list(newest.values())


def group_runs(entries: Iterable[Entry]) -> list[Group]:
    """Return the groups that can be ranked; variants are named by what tells them apart."""
    settings: dict[str, Tree] = {}
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        settings.setdefault(entry.variant, entry.settings)
        groups.setdefault(entry.group, []).append(entry)
    found = differences(list(settings.values()))
    texts = [fields_text(fields) for fields in found]
    if len(settings) == 1:
        texts = [next(iter(groups.values()))[-1].run.name]
    names = dict(zip(settings, zip(found, _unique(texts), strict=True), strict=True))
    called = _group_names([members[0].facts for members in groups.values()])
    return [Group(name, own, names) for name, own in zip(called, groups.values(), strict=True)]


def data_name(config: Tree, data: Tree) -> str:
    """Return what people call the data: the stem of its file, else the name of the data set."""
    dataset = config.get("dataset")
    path = dataset.get("path") if isinstance(dataset, Mapping) else None
    stem = Path(path).stem if isinstance(path, str) and not is_reference(path) else ""
    return stem or str(data.get("name") or _value_text(dataset))


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


def _group_names(facts: Sequence[Tree]) -> list[str]:
    names = []
    rest = differences([{k: v for k, v in tree.items() if k != "dataset"} for tree in facts])
    sets = [tree["dataset"] for tree in facts]
    for dataset, fields in zip(sets, rest, strict=True):
        name = str(dataset["name"])
        same = [other for other in sets if other["name"] == name]
        if len({_key({"dataset": other}) for other in same}) > 1:
            content = differences([other["of"] for other in same])[same.index(dataset)]
            name += f" ({fields_text(content) or str(dataset['digest'])[:8]})"
        names.append(", ".join(filter(None, [name, fields_text(fields)])))
    return _unique(names)


def _unique(names: Sequence[str]) -> list[str]:
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
            components.setdefault(_value_text(value.get("name", "none")), {})[i] = rest
        for name, inner in components.items():
            if len(components) > 1:
                for i in inner:
                    found[i][at] = name
            if len(inner) > 1:
                _add_differences(inner, at, found)


def _value_text(value: Any) -> Any:
    """Return a value as it stands in a name: a plain one as it is, all others as text."""
    if isinstance(value, Mapping):
        rest = ", ".join(f"{k}={_value_text(v)}" for k, v in value.items() if k != "name")
        name = str(value.get("name", ""))
        return f"{name}({rest})" if rest else name
    if isinstance(value, list):
        return " ".join(str(_value_text(one)) for one in value) or "none"
    return value


def fields_text(fields: Tree) -> str:
    """Return fields as ``kernel=bubble, growth=fixed(rows=5)``."""
    inside: dict[str, list[str]] = {}  # fields within others, by the key of these
    for key in fields:
        parent = next((top for top in inside if key.startswith(f"{top}.")), None)
        if parent is None:
            inside[key] = []
        else:
            inside[parent].append(f"{key[len(parent) + 1 :]}={_plain_text(fields[key])}")
    ends = [key.rpartition(".")[2] for key in inside]
    texts = []
    for (key, within), end in zip(inside.items(), ends, strict=True):
        name = end if ends.count(end) == 1 else key.removeprefix("model.")
        rest = f"({', '.join(within)})" if within else ""
        texts.append(f"{name}={_plain_text(fields[key])}{rest}")
    return ", ".join(texts)


def _plain_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
