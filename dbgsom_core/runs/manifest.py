"""The flat parameters of a run, its name and its environment, as ``run.json`` has them."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.errors import as_text
from dbgsom_core.estimators.parameters import AUTO
from dbgsom_core.experiments.trackers import Run
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
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        yield key, ", ".join([str(component["name"]) for component in value])
        for number, component in enumerate(value):
            fields = dict(component)
            del fields["name"]
            yield from _flatten(f"{key}.{number}", fields)
    elif isinstance(value, (str, int, float, bool)):
        yield key, value
    else:
        yield key, str(value or "none")


def estimator_params(estimator: Any, dataset: str) -> dict[str, Value]:
    """Return the parameters of an estimator, fitted or not, named as those of a run."""
    registry = get_registry()
    model = {"estimator": estimator._kind, "epochs": estimator.epochs, "tol": estimator.tol}
    if estimator.spreading_factor == AUTO and not hasattr(estimator, "spreading_factor_"):
        model["spreading_factor"] = AUTO
    for name, kind, part in estimator.parts().each():
        if kind != "engine":
            model[name] = {"name": registry.name_of(kind, part), **part.model_dump(mode="json")}
    named = {"dataset": dataset, "prepare": None, "split": None}
    return flat_params({**named, "model": model, "seed": estimator.random_state})


def common_params(children: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return the `flat_params` of a sweep: what its children share, ``varies`` for the others."""
    params: dict[str, Value] = {}
    for key in dict.fromkeys(chain.from_iterable(children)):
        first, *others = {child.get(key, "none") for child in children}
        params[key] = "varies" if others else first
    return params


def is_reference(value: Any) -> bool:
    return isinstance(value, str) and "${env:" in value


# ------------------------------------------------------------------------------------- names


def default_name(experiment: Experiment) -> str:
    """Return a run's name from its parts, so that a list of runs can be read without columns."""
    params = flat_params(experiment.resolved)
    if not is_reference(params["dataset"]):
        params["dataset"] = data_title(experiment.resolved["dataset"], experiment.dataset_name)
    return name_of_params(params)


def name_of_params(params: Mapping[str, Value]) -> str:
    """Return the name of a run or fit; references to the environment are as they are written."""
    growth, base = str(params["growth"]), "growth"
    if "growth.base" in params:  # of a nested strategy
        base = "growth.base"
        growth += f" {params[base]}"
    spread = params.get("growth.spreading_factor", params.get(f"{base}.spreading_factor", "none"))
    if isinstance(spread, float):
        spread = f"{spread:g}"
    if spread != "none":
        growth += f" SF {spread}"
    elif f"{base}.rows" in params:
        growth += f" {params[f'{base}.rows']} × {params[f'{base}.columns']}"
    if params["grid"] != "adaptive":
        growth += f" {params['grid']}"
    return f"{params['dataset']}: {growth}, {params['kernel']}, {params['metric']}"


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
    versions = {}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    plugins = []
    for record in registry.records:
        facts = vars(record)
        plugins.append({key: facts[key] for key in ("name", "distribution", "version", "status")})
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "plugins": plugins,
        "git": _describe_git(folder),
        "folder": str(folder),
        "directory": str(Path.cwd()),
    }


def _describe_git(folder: Path) -> dict[str, Any] | None:
    # Without tags it is the commit, and whether files that git knows were changed.
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    how: Any = {"cwd": folder, "timeout": 10, "check": True, "stdin": subprocess.DEVNULL}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, **how)
    except (OSError, subprocess.SubprocessError):
        return None
    commit, dirty, _ = answer.stdout.partition("-dirty")
    return {"commit": commit.strip(), "dirty": bool(dirty)}
