"""The manifest of a run in ``run.json``, its flat parameters, name and environment."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, field_validator
from typing_extensions import TypedDict

from dbgsom_core.config import Experiment
from dbgsom_core.errors import DbgsomError, PluginError, as_text
from dbgsom_core.estimators.components import AUTO
from dbgsom_core.experiments.addresses import masked
from dbgsom_core.experiments.trackers import Ranking, Run, tracker_classes
from dbgsom_core.interfaces.component import Component, nested_fields
from dbgsom_core.interfaces.current import active_registry
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.training.parts import KIND_OF, Parts

_LIBRARIES = ("numpy", "scipy", "numba", "scikit-learn", "pydantic", "matplotlib")
_LONGEST_STEM = 60  # characters of a file's name in that of a run

Value = str | int | float | bool


class _Child(TypedDict):
    """A finished run of a sweep."""

    name: str
    measures: dict[str, float]
    id: NotRequired[str]
    params: NotRequired[Mapping[str, Any]]


class Manifest(BaseModel):
    """Description of a run: ``run.json``; a folder of another ``format`` is refused."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    format: Literal[1] = 1
    id: str = ""
    name: str = ""
    experiment: str = ""
    kind: Literal["run", "sweep"] = "run"
    parent: str | None = None
    params: Mapping[str, Any] = {}
    data: Mapping[str, Any] = {}
    varies: Mapping[str, Any] = {}
    tags: Mapping[str, Any] = {}
    children: Sequence[_Child] = ()  # of a finished sweep
    best: str | None = None
    rankings: Sequence[Ranking] = ()

    @classmethod
    def of(cls, run: Run) -> Manifest:
        fields = {key: value for key, value in vars(run).items() if key in cls.model_fields}
        parent = None if run.parent is None else run.parent.id
        return cls(**fields | {"format": 1, "parent": parent})

    @field_validator("params", "data", "varies", "tags", "children", "rankings", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value

    @field_validator("rankings")
    @classmethod
    def _check_rankings(cls, rankings: Any) -> Any:
        if not all(ranking.measures and ranking.variants for ranking in rankings):
            raise ValueError("a ranking of nothing")
        return rankings


def flat_params(experiment: Experiment, estimator: Any) -> dict[str, Value]:
    """Return the parameters of a run; every run has the common keys, so that they compare."""
    resolved = experiment.resolved
    model, names = resolved["model"], [step["name"] for step in resolved["prepare"]]
    sections = {"dataset": resolved["dataset"]} | {part: model.get(part) for part in KIND_OF}
    written = {
        "seed": resolved["seed"],
        "prepare": ", ".join(names) or "none",
        **{key: model.get(key) for key in ("estimator", "epochs", "tol")},
        **{f"growth.{key}": model.get(key) for key in ("spreading_factor", "max_neurons")},
        **{
            part: section.get("name") if isinstance(section, Mapping) else section
            for part, section in sections.items()
        },
    }
    params = estimator_params(
        estimator,
        experiment.dataset_name,
        [step.name for step in experiment.prepare],
        resolved["split"],
        {"dataset": experiment.dataset},
        sections,
    )
    return params | {key: value for key, value in written.items() if is_reference(value)}


def estimator_params(
    estimator: Any,
    dataset: str,
    prepare: Iterable[str],
    split: Mapping[str, Any] | None = None,
    others: Mapping[str, Component] = MappingProxyType({}),
    sections: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Value]:
    parts, seed = estimator.parts(), estimator.random_state
    widths, growing = dict(parts.kernel), dict(_base_growth(parts.growth))
    init, schedule = parts.init, parts.schedule
    params: dict[str, Any] = {
        "dataset": dataset,
        "prepare": ", ".join(prepare) or "none",
        "split": _split_text(split),
        "estimator": estimator._kind,
        "metric": _name("metric", parts.metric),
        "kernel": _name("kernel", parts.kernel),
        "kernel.start": widths.get("start"),
        "kernel.end": widths.get("end"),
        "kernel.decay": widths.get("decay"),
        "growth": _name("growth", parts.growth),
        "growth.threshold": growing.get("threshold"),
        "growth.spreading_factor": _spreading_factor(estimator, growing),
        "growth.max_neurons": growing.get("max_neurons"),
        "grid": _name("grid", parts.grid),
        "labeller": _name("labeller", parts.labeller),
        "epochs": estimator.epochs,
        "tol": estimator.tol,
        "init": _name("initialisation", init) if isinstance(init, Component) else "array",
        "schedule": widths.get("decay") if schedule is None else _name("schedule", schedule),
        "stopping": ", ".join(_name("stopping", rule) for rule in parts.stopping),
        "seed": int(seed) if isinstance(seed, Integral) else seed,
    }
    given = getattr(estimator, "class_weight", None)
    if given is not None:
        is_text = isinstance(given, str)
        pairs = [] if is_text else [f"{label}: {weight:g}" for label, weight in given.items()]
        params["class_weight"] = given if is_text else ", ".join(pairs)
    for path, part in [*others.items(), *((name, part) for name, _, part in parts.each())]:
        name, _, number = path.partition(".")
        section = sections.get(name) if sections else part.model_dump(mode="json")
        section = section[int(number)] if number and isinstance(section, list) else section
        if isinstance(section, Mapping):
            for key, value in _fields_beside_defaults(path, part, section).items():
                if key not in params or is_reference(value):
                    params[key] = value
    for width in ("kernel.start", "kernel.end"):
        params[width] = "auto" if params[width] is None else params[width]
    return {key: _flat(value) for key, value in params.items()}


def common_params(children: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return the `flat_params` of a sweep: what its children share, ``varies`` for the others."""
    keys = dict.fromkeys(key for child in children for key in child)
    values = {key: {child.get(key, "none") for child in children} for key in keys}
    return {key: found.pop() if len(found) == 1 else "varies" for key, found in values.items()}


def with_varied(params: Mapping[str, Value], varies: Mapping[str, Any]) -> dict[str, Value]:
    """Return parameters with what a sweep's child changes beside them: ``metric``, say."""
    short = {
        key.removeprefix("model.").removesuffix(".name"): _flat(value)
        for key, value in varies.items()
    }
    return {**params, **{key: value for key, value in short.items() if key not in params}}


def is_reference(value: Any) -> bool:
    return isinstance(value, str) and "${env:" in value


def _spreading_factor(estimator: Any, growing: Mapping[str, Any]) -> Any:
    chosen = estimator.spreading_factor != AUTO or hasattr(estimator, "spreading_factor_")
    return growing.get("spreading_factor") if chosen else AUTO


def _base_growth(growth: Any) -> Any:
    # The inner strategy of a nested one, or the strategy itself.
    base = guarded(growth).base
    return growth if base is None else base


def _fields_beside_defaults(
    prefix: str, component: Component, section: Mapping[str, Any]
) -> dict[str, Any]:
    # Fields that differ from defaults, so that a resolved configuration gives the same parameters.
    # Fields of nested components are ``growth.base.rows``.
    params: dict[str, Any] = {}
    nested, fields = nested_fields(type(component)), type(component).model_fields
    for field in sorted(fields.keys() & section.keys()):
        value, key = section[field], f"{prefix}.{field}"
        if field in nested and isinstance(value, Mapping):
            params[key] = value["name"]
            params |= _fields_beside_defaults(key, getattr(component, field), value)
        elif is_reference(value) or getattr(component, field) != fields[field].get_default(
            call_default_factory=True
        ):
            params[key] = value
    return params


def _name(kind: str, component: Component) -> str:
    identity = get_registry().identify(kind, component)
    full = f"{identity.distribution}:{identity.name}"
    try:
        bare = get_registry().lookup(kind, identity.name)
    except DbgsomError:  # two third parties offer it
        return full
    return identity.name if bare == get_registry().lookup(kind, full) else full


def _split_text(split: Mapping[str, Any] | None) -> str:
    if split is None:
        return "none"
    rest = {key: value for key, value in split.items() if value is not False}
    if "name" in rest:
        given = ", ".join(f"{key}={value}" for key, value in rest.items() if key != "name")
        return f"{rest['name']}({given})"
    if "test" in rest:
        return f"test {rest['test'].get('path', rest['test']['name'])}"
    stratify, refit = rest.get("stratify"), rest.get("refit")
    text = f"{rest['folds']} folds" if "folds" in rest else f"test {rest['test_size']}"
    if stratify:
        text += f", stratified: {stratify}" if is_reference(stratify) else ", stratified"
    return text + (", refitted" if refit else "")


def _flat(value: Any) -> Value:
    if isinstance(value, (str, int, float, bool)):
        return value
    return "none" if value is None else str(value)


def default_name(
    experiment: Experiment, estimator: Any, params: Mapping[str, Any] | None = None
) -> str:
    """Return a run's name from its parts, so that a list of runs can be read without columns."""
    written = {key: value for key, value in (params or {}).items() if is_reference(value)}
    section, name = experiment.resolved["dataset"], experiment.dataset_name
    return name_of_parts(estimator, written.get("dataset") or data_title(section, name), written)


def name_of_parts(estimator: Any, dataset: str, written: Mapping[str, Any]) -> str:
    parts = estimator.parts()
    growth, base = _name("growth", parts.growth), _base_growth(parts.growth)
    if base is not parts.growth:
        growth += f" {active_registry().name_of('growth', base)}"
    spread, shape = _spreading_factor(estimator, dict(base)), guarded(base).start_shape()
    if spread is not None:
        text = spread if isinstance(spread, str) else format(spread, "g")
        growth += f" SF {written.get('growth.spreading_factor', text)}"
    elif shape is not None:
        growth += " {} × {}".format(*shape)
    grid = str(written.get("grid", _name("grid", parts.grid)))
    growth += f" {grid}" if grid != "adaptive" else ""
    kernel, metric = _name("kernel", parts.kernel), _name("metric", parts.metric)
    return f"{dataset}: {growth}, {written.get('kernel', kernel)}, {written.get('metric', metric)}"


def title_of(run: Run | Manifest) -> str:
    """Return a run's title in figures: its name, with the experiment if that is not in it."""
    known = run.name == run.experiment or run.name.startswith(f"{run.experiment}: ")
    return run.name if known else f"{run.experiment} · {run.name}"


def data_title(section: Any, name: str) -> str:
    """Return the title of the data of a section ``dataset``: its file, or the name of the set."""
    path = section.get("path") if isinstance(section, Mapping) else None
    if not isinstance(path, str) or "${env:" in path:
        return name
    stem = re.split(r"[/\\]", path)[-1].lstrip(".").partition(".")[0].strip()
    return as_text(stem)[:_LONGEST_STEM] or name


def describe_environment(
    registry: Registry, experiment: Any, parts: Parts | None = None
) -> dict[str, Any]:
    packages = (name for tracker in tracker_classes(registry).values() for name in tracker.packages)
    environment = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "versions": {"dbgsom-core": _version("dbgsom-core")}
        | {name: found for name in (*_LIBRARIES, *packages) if (found := _version(name))},
        "plugins": [
            {key: getattr(record, key) for key in ("name", "distribution", "version", "status")}
            for record in registry.records
        ],
        "command": masked(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "folder": str(experiment.folder),
        "directory": str(Path.cwd()),
        "git": _describe_git(experiment.folder),
    }
    if parts is not None:
        environment["components"] = describe_components(experiment, parts, registry)
        environment["given"] = {
            kind: sorted(_given_fields(part)) for kind, part in model_parts(experiment).items()
        }
    return environment


def _describe_git(folder: Path) -> dict[str, Any] | None:
    def git(*words: str) -> str:
        how: Any = {"cwd": folder, "timeout": 10, "check": True, "stdin": subprocess.DEVNULL}
        done = subprocess.run(["git", *words], capture_output=True, text=True, **how)
        return str(done.stdout).strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def describe_components(
    experiment: Experiment, parts: Parts, registry: Registry
) -> list[dict[str, Any]]:
    """Return kind, name, distribution and version of every component of a run.

    They are in the order of the pipeline. Measures that are the estimator's default are left out:
    they belong to dbgsom-core.
    """
    components: list[tuple[str, Component]] = [("dataset", experiment.dataset)]
    for _, kind, part in parts.each():
        components.append((kind, part))
        fields = nested_fields(type(part))
        components += [(inner, getattr(part, field)) for field, inner in fields.items()]
    for kind, named in (
        ("measure", experiment.measures or ()),
        ("figure", experiment.figures),
        ("tracker", experiment.tracking),
    ):
        components += [(kind, component) for _, component in named]
    described = []
    for kind, component in components:
        with suppress(PluginError):  # a class of the user's own, given in Python
            described.append(dict(registry.identify(kind, component).facts))
    return described


def model_parts(experiment: Experiment) -> dict[str, Component]:
    given = {**experiment.model.params, "engine": experiment.engine}
    return {kind: part for kind, part in given.items() if isinstance(part, Component)}


def _given_fields(part: Component) -> Iterator[str]:
    # A configuration that is written down gives all fields; a saved model knows which were given.
    nested = nested_fields(type(part))
    for field in part.model_fields_set:
        yield field
        if field in nested:
            yield from (f"{field}.{inner}" for inner in _given_fields(getattr(part, field)))
