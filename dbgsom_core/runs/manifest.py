"""The flat parameters of a run, its name and its environment, as ``run.json`` has them."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.errors import DbgsomError, as_text
from dbgsom_core.estimators.components import AUTO
from dbgsom_core.experiments.trackers import Run
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.current import active_registry
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.folder import StoredRun

_LIBRARIES = ("dbgsom-core", "numpy", "scipy", "numba", "scikit-learn", "pydantic", "matplotlib")
_NO_PARAMS = (
    "experiment", "name", "tags", "measures", "figures", "tracking", "report", "plugins",
)  # fmt: skip
_LONGEST_STEM = 60  # characters of a file's name in that of a run

Value = str | int | float | bool


def flat_params(resolved: Mapping[str, Any]) -> dict[str, Value]:
    """Return the parameters in a resolved configuration: ``kernel.start`` of its model, say.

    A component is named by its key alone, a list of them by their names: ``kernel: gaussian``.
    """
    params: dict[str, Value] = {}
    for section, value in resolved.items():
        if section not in _NO_PARAMS:
            for key, item in _flatten(section, value):
                params[key.removeprefix("model.")] = item
    for field in ("spreading_factor", "max_neurons"):  # which fill fields of the growth strategy
        value = params.pop(field, "none")
        if value != "none":
            params[f"growth.{field}"] = value
    return params


def _flatten(key: str, value: Any) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Mapping):
        for field, item in value.items():
            yield from _flatten(key if field == "name" else f"{key}.{field}", item)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        yield key, ", ".join(str(item["name"]) for item in value)
        for number, item in enumerate(value):
            fields = {field: one for field, one in item.items() if field != "name"}
            yield from _flatten(f"{key}.{number}", fields)
    elif isinstance(value, (str, int, float, bool)):
        yield key, value
    else:
        yield key, str(value) if value else "none"


def estimator_params(estimator: Any, dataset: str) -> dict[str, Value]:
    """Return the parameters of a fitted estimator, named as those of a run."""
    model = {"estimator": estimator._kind, "epochs": estimator.epochs, "tol": estimator.tol}
    for name, kind, part in estimator.parts().each():
        if kind != "engine":
            model[name] = {"name": _name(kind, part), **part.model_dump(mode="json")}
    named = {"dataset": dataset, "prepare": None, "split": None}
    return flat_params({**named, "model": model, "seed": estimator.random_state})


def common_params(children: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return the `flat_params` of a sweep: what its children share, ``varies`` for the others."""
    params: dict[str, Value] = {}
    for key in dict.fromkeys(key for child in children for key in child):
        values = {child.get(key, "none") for child in children}
        params[key] = values.pop() if len(values) == 1 else "varies"
    return params


def is_reference(value: Any) -> bool:
    return isinstance(value, str) and "${env:" in value


# ------------------------------------------------------------------------------------- names


def default_name(experiment: Experiment, estimator: Any) -> str:
    """Return a run's name from its parts, so that a list of runs can be read without columns."""
    params = flat_params(experiment.resolved)
    written = {key: value for key, value in params.items() if is_reference(value)}
    title = data_title(experiment.resolved["dataset"], experiment.dataset_name)
    return name_of_parts(estimator, str(written.get("dataset", title)), written)


def name_of_parts(
    estimator: Any, dataset: str, written: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """Return the name of a fit; references to the environment are ``written`` as they stand."""
    parts = estimator.parts()
    base = guarded(parts.growth).base  # of a nested strategy
    growth = _name("growth", parts.growth)
    if base is None:
        base = parts.growth
    else:
        growth += f" {active_registry().name_of('growth', base)}"
    spread, shape = dict(base).get("spreading_factor"), guarded(base).start_shape()
    if estimator.spreading_factor == AUTO and not hasattr(estimator, "spreading_factor_"):
        spread = AUTO
    if spread is not None:
        text = spread if isinstance(spread, str) else format(spread, "g")
        growth += f" SF {written.get('growth.spreading_factor', text)}"
    elif shape is not None:
        growth += " {} × {}".format(*shape)
    names = {kind: _name(kind, getattr(parts, kind)) for kind in ("grid", "kernel", "metric")}
    names |= {kind: written[kind] for kind in names if kind in written}
    if names["grid"] != "adaptive":
        growth += f" {names['grid']}"
    return f"{dataset}: {growth}, {names['kernel']}, {names['metric']}"


def _name(kind: str, component: Component) -> str:
    registry = get_registry()
    offered = registry.identify(kind, component)
    try:
        bare = registry.lookup(kind, offered.name)
    except DbgsomError:  # two third parties offer it
        return offered.full_name
    is_meant = bare == registry.lookup(kind, offered.full_name)
    return offered.name if is_meant else offered.full_name


def title_of(run: Run | StoredRun) -> str:
    """Return a run's title in figures: its name, with the experiment if that is not in it."""
    known = run.name == run.experiment or run.name.startswith(f"{run.experiment}: ")
    return run.name if known else f"{run.experiment} · {run.name}"


def data_title(section: Any, name: str) -> str:
    """Return the title of the data of a section ``dataset``: its file, or the name of the set."""
    path = section.get("path") if isinstance(section, Mapping) else None
    if not isinstance(path, str) or is_reference(path):
        return name
    stem = re.split(r"[/\\]", path)[-1].lstrip(".").partition(".")[0].strip()
    return as_text(stem)[:_LONGEST_STEM] or name


# ------------------------------------------------------------------------------- environment


def describe_environment(registry: Registry, folder: Path) -> dict[str, Any]:
    """Return versions and git commit; relative paths start in ``folder`` and ``directory``."""
    plugins = [
        {key: getattr(record, key) for key in ("name", "distribution", "version", "status")}
        for record in registry.records
    ]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: known for name in _LIBRARIES if (known := _version(name))},
        "plugins": plugins,
        "git": _describe_git(folder),
        "folder": str(folder),
        "directory": str(Path.cwd()),
    }


def _describe_git(folder: Path) -> dict[str, Any] | None:
    def git(*words: str) -> str:
        how: Any = {"cwd": folder, "timeout": 10, "check": True, "stdin": subprocess.DEVNULL}
        done = subprocess.run(["git", *words], capture_output=True, text=True, **how)
        return str(done.stdout).strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
