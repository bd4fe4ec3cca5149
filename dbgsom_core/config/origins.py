"""Where each value of a configuration comes from: a line, ``--set``, a default, the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import Any

from dbgsom_core.config.build import MODEL_COMPONENTS, build_experiment
from dbgsom_core.config.environment import names_in
from dbgsom_core.config.load import folder_of, load_sweep, merged
from dbgsom_core.config.merge import as_section
from dbgsom_core.config.names import Varied
from dbgsom_core.config.nodes import (
    Entry,
    Items,
    Node,
    Scalar,
    Section,
    Spot,
    from_python,
    is_null,
    plain,
)
from dbgsom_core.config.problems import Place, Problems
from dbgsom_core.config.settings import DEFAULT_NAMES, ModelSettings
from dbgsom_core.config.sweep import apply, unfold
from dbgsom_core.errors import UnknownNameError, as_text
from dbgsom_core.interfaces.privacy import masked
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.training.compatibility import USUAL_LABELLERS

Path = tuple[str | int, ...]

_DEFAULT = Place("default")
_KINDS: dict[Path, str] = {
    ("dataset",): "dataset",
    ("engine",): "engine",
    ("split", "test"): "dataset",
    **{("model", key): kind for key, kind in MODEL_COMPONENTS.items()},
    ("model", "stopping", 0): "stopping",
    ("measures", 0): "measure",
    ("figures", 0): "figure",
    ("tracking", 0): "tracker",
}


@dataclass(frozen=True)
class Explained:
    """A resolved configuration with the origin of each value.

    Attributes
    ----------
    values : mapping
        Plain values, references to the environment as they were written; loads again.
    origins : mapping of tuple to str
        ``file:line``, ``--set``, ``default`` or ``default of NAME`` for the path of each plain
        value and of each list; what refers to the environment names the variable.
    complete : bool
        False where a sweep's file leaves out what its runs fill in, so no default is known.
    """

    values: Mapping[str, Any]
    origins: Mapping[Path, str]
    complete: bool = True

    def flat(self) -> dict[str, tuple[Any, str]]:
        """Return value and origin of each plain value and each list of such, by dotted key."""
        return {
            ".".join(map(str, path)): (value, self.origins[path])
            for path, value in leaves(self.values)
        }


def explain(
    path: str | os.PathLike[str],
    overrides: Sequence[str],
    registry: Registry,
    defaults: bool = True,
) -> Explained:
    """Return what a file of a run or a sweep means, value by value.

    Without ``defaults`` only what the files and ``overrides`` say. Errors are those of
    `load_experiment` and `load_sweep`.
    """
    problems = Problems()
    root = merged(path, overrides, problems)
    sweep = root.entries.get("sweep")
    is_sweep = sweep is not None and not is_null(sweep.node)
    if is_sweep:
        load_sweep(path, overrides, registry)  # tells what is wrong with any of its runs
    base = root.without("sweep")
    full, tried = _with_usual(base), Problems()
    experiment = build_experiment(full, registry, tried, os.fspath(path), folder_of(path))
    if experiment is None and not is_sweep:
        problems = Problems()  # the file's own words are told, without what was filled in
        build_experiment(base, registry, problems, os.fspath(path), folder_of(path))
        problems.raise_any()
        tried.raise_any()
    if experiment is not None and sweep is not None and is_sweep:
        unfolded = unfold(Spot("sweep", sweep.place, sweep.node), Problems())
        varied = [changes for _, changes in unfolded.variants]
        if not _serves(experiment.resolved, varied, registry):
            experiment = None
    if experiment is None or not defaults:
        values, full = plain(base, masked=True), base
    else:
        values = dict(experiment.resolved)
    if is_sweep:
        assert sweep is not None
        values["sweep"] = plain(sweep.node, masked=True)
        full = Section({**full.entries, "sweep": sweep}, full.place)
    origins = dict(_origins(values, full, (), "default", registry))
    return Explained(masked(values), origins, experiment is not None or not defaults)


def leaves(values: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the path of each plain value, of each list of such, and of what is empty."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    elif isinstance(values, list) and any(isinstance(one, (Mapping, list)) for one in values):
        for i, value in enumerate(values):
            yield from leaves(value, (*path, i))
    else:
        yield path, values


def _serves(values: Mapping[str, Any], varied: list[Varied], registry: Registry) -> bool:
    """Say whether every run of a sweep can begin from these values: one may forbid a default."""
    base = from_python(values, Problems())
    assert isinstance(base, Section)
    for one in varied:
        problems = Problems()
        build_experiment(apply(base, one, problems), registry, problems, "", Folder())
        if len(problems):
            return False
    return True


def _with_usual(root: Section) -> Section:
    """Return a configuration with what an estimator takes where it is told nothing."""
    given = root.get("model")
    if given is not None and not is_null(given) and not isinstance(given, Section):
        return root
    section = given if isinstance(given, Section) else Section({}, root.place)
    chosen = plain(section.get("estimator") or Scalar("vq", _DEFAULT))
    usual: dict[str, Any] = {
        key: field.default
        for key, field in ModelSettings.model_fields.items()
        if key != "unlabelled" or chosen == "classifier"
    }
    usual |= {**DEFAULT_NAMES, "labeller": USUAL_LABELLERS.get(str(chosen), "index")}
    entries = {key: Entry(_DEFAULT, Scalar(value, _DEFAULT)) for key, value in usual.items()}
    place = root.entries["model"].place if "model" in root.entries else root.place
    model = Section({**entries, **section.entries}, section.place)
    return Section({**root.entries, "model": Entry(place, model)}, root.place)


def _origins(
    values: Any, node: Node | None, path: Path, otherwise: str, registry: Registry
) -> Iterator[tuple[Path, str]]:
    if isinstance(values, Mapping) and values:
        section = as_section(node) if node is not None and "name" in values else node
        inner = _default_of(path, values, registry) or otherwise
        for key, value in values.items():
            below = section.get(key) if isinstance(section, Section) else None
            words = otherwise if key == "name" else inner
            yield from _origins(value, below, (*path, key), words, registry)
        return
    yield path, _origin(node, otherwise)
    if isinstance(values, list):
        items: Sequence[Node | None] = [None] * len(values)
        if isinstance(node, Items) and len(node.items) == len(values):
            items = node.items
        elif len(values) == 1 and not isinstance(node, Items):
            items = [node]
        for i, (value, item) in enumerate(zip(values, items, strict=True)):
            yield from _origins(value, item, (*path, i), otherwise, registry)


def _default_of(path: Path, values: Mapping[str, Any], registry: Registry) -> str | None:
    name = values.get("name")
    kind = _KINDS.get(tuple(0 if isinstance(step, int) else step for step in path))
    if not isinstance(name, str) or path[:1] in ((), ("sweep",)):
        return None
    try:
        offered = None if kind is None else registry.lookup(kind, name)
    except UnknownNameError:  # a reference to the environment
        offered = None
    if offered is None or offered.distribution == OWN_DISTRIBUTION:
        return f"default of {name}"
    return f"default of {offered.name} of {offered.distribution} {offered.version}"


def _origin(node: Node | None, otherwise: str) -> str:
    if node is None or node.place == _DEFAULT:
        return otherwise
    place = node.place
    told = f"{place.source}:{place.line}" if place.line else place.source.partition(" ")[0]
    if isinstance(node, Scalar):
        for name in names_in(node.reference or str(node.value)):
            unset = "" if os.environ.get(name) else " (not set)"
            told += f", environment: {name}{unset}"
    return as_text(told).replace("\n", "\\n")
