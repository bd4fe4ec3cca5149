"""What a person reads of a run: numbers as text, parameters and names, environment, headline.

Its measures, parameters and facts of the data may come from a run folder that is damaged.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.errors import as_text
from dbgsom_core.estimators.parameters import AUTO
from dbgsom_core.experiments.trackers import Run
from dbgsom_core.interfaces.component import flat
from dbgsom_core.interfaces.measures import UNEVEN
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.folder import StoredRun

PARTS = ("test", "train")
LEAST_P = 0.001  # below it a p-value is no number in a text
_LARGEST_INTEGER = 1e15  # above it a float has no more digits before the point
_MARKS = re.compile(r"[\\`*\[\]|~$<>&]|(?<!\w)_|_(?!\w)")  # an underscore within a word is a letter
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_BLOCK = 1 << 22  # bytes of an array that are read together: it may lie on a disk
# A run resumes with the same versions of these only: others may give other bits, or figures.
_LIBRARIES = ("dbgsom-core", "numpy", "scipy", "numba", "scikit-learn", "pydantic", "matplotlib")
_NO_PARAMS = (  # sections by which runs do not differ
    "experiment", "name", "tags", "measures", "figures", "tracking", "report", "plugins",
)  # fmt: skip
_LONGEST_STEM = 60  # characters of a file's name in that of a run
_MOST_MEASURES = 5  # of a headline, where the configuration names none
_LEAST_OF_CLASS = 5  # samples on average, else its purity says little
_OF_TASK = {
    "classifier": (
        "accuracy", "balanced_accuracy", "log_loss", "roc_auc", "topographic_error",
        "quantization_error",
    ),
    "uneven": ("log_loss", "average_precision", "roc_auc", "accuracy", "balanced_accuracy"),
    "regressor": ("r2", "rmse", "mae", "topographic_error", "quantization_error"),
    "vq": (
        "quantization_error", "topographic_error", "trustworthiness", "purity", "continuity",
        "dead_neurons",
    ),
}  # fmt: skip
# Not beside trustworthiness: it counts exact neighbours, and is small for good maps, too.
_ONLY_BY_NAME = "neighbourhood_preservation"
_BY_CHANCE = "_shuffled"  # ends the name of what stands beside a measure as its baseline

Value = str | int | float | bool  # of a parameter


# --------------------------------------------------------------------------------- numbers as text


def to_digits(value: float, digits: int) -> str:
    """Return a number with ``digits`` significant digits, large ones as integers."""
    text = f"{value:.{digits}g}"
    if "e+" in text and abs(value) < _LARGEST_INTEGER:
        return f"{value:.0f}"
    return text


def number(value: float) -> str:
    """Return a number with three digits, from 1 on with four."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    return to_digits(value, 4 if abs(value) >= 1 else 3)


def value_of(mean: float, deviation: float | None) -> str:
    """Return mean and deviation as text, both rounded to two digits of the deviation."""
    if deviation is None or not math.isfinite(deviation):
        return number(mean)
    if deviation == 0 or not math.isfinite(mean):
        return f"{number(mean)} ± {number(deviation)}"
    digits = max(0, 1 - math.floor(math.log10(deviation)))
    if digits > 8 or abs(mean) >= 1e6:
        return f"{number(mean)} ± {deviation:.2g}"
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def p_value(p: float) -> str:
    return f"p < {LEAST_P}" if p < LEAST_P else f"p = {p:.2g}"


def percent(share: float) -> str:
    """Return a share as ``12 %``, one below 1 % with two digits."""
    return f"{100 * share:.2g} %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def plural(n: int, noun: str) -> str:
    """Return ``1 seed`` or ``2 seeds``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def diff(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return both values of each dotted key in which configurations differ; None: it lacks it."""
    before, after = flat(was), flat(now)
    differing = {}
    for key in before | after:
        if before.get(key) != after.get(key):
            differing[key] = before.get(key), after.get(key)
    return differing


def digest(*parts: Any) -> str:
    """Return the sha256 of arrays, their types and shapes included, and of plain values."""
    sha = hashlib.sha256()
    for part in parts:
        if part is None:
            sha.update(b"none")
        elif hasattr(part, "dtype"):
            _add_array(sha, part)
        else:
            sha.update(json.dumps(part, sort_keys=True, default=str).encode())
    return sha.hexdigest()


def _add_array(sha: Any, array: Any) -> None:
    """Add an array to a digest, block by block."""
    import numpy as np  # is slow to import

    if array.dtype == object:
        array = array.astype(str)
    sha.update(f"{array.dtype.str}{array.shape}".encode())
    bytes_of_row = math.prod(array.shape[1:]) * array.dtype.itemsize
    step = max(1, _BLOCK // (bytes_of_row or 1))
    ends = getattr(array, "ends", None)  # of partitions, which are read one by one
    if ends is None:
        ends = [*range(0, len(array), step), None]
    for start, stop in pairwise(ends):
        sha.update(np.ascontiguousarray(array[start:stop]).data.cast("B"))


def as_markdown(text: object) -> str:
    """Return markdown that shows a text: no mark, tag, line break or control in it counts."""
    line = as_text(" ".join(str(text).split()))
    return _MARKS.sub(lambda mark: _ENTITIES.get(mark[0], f"\\{mark[0]}"), line)


# --------------------------------------------------------------------------- parameters and names


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
    """Yield the parameters of a section or component."""
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
    """Return the commit of a folder's repository, and whether it was changed; None: it has none."""
    # Without tags it is the commit, and whether files that git knows were changed.
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    how: Any = {"cwd": folder, "timeout": 10, "check": True, "stdin": subprocess.DEVNULL}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, **how)
    except (OSError, subprocess.SubprocessError):
        return None
    commit, dirty, _ = answer.stdout.partition("-dirty")
    return {"commit": commit.strip(), "dirty": bool(dirty)}


# ----------------------------------------------------------------------------------- the headline


@dataclass(frozen=True)
class HeadlineMeasure:
    """A measure of a run, of the test part where there is one, as texts: 0.93 ± 0.01."""

    name: str  # without its part: ``accuracy``
    part: str  # test or train
    value: float
    text: str
    training: str  # on the training part, where the value is of the test part
    baseline: str  # of an answer that learns nothing


def headline(
    measures: Mapping[str, float], config: Mapping[str, Any], data: Mapping[str, Any]
) -> list[HeadlineMeasure]:
    """Return the measures that matter most: those of the task, then all that the user named.

    There are five at most, unless ``config`` names more in ``measures``. ``data`` are the facts of
    the run, with the baseline.
    """
    named = config.get("measures")
    is_named = isinstance(named, Sequence) and not isinstance(named, str)
    parts = parts_of(measures)
    hidden = [name for name in parts if name.endswith(_BY_CHANCE)]
    if not is_named:
        hidden.append(_ONLY_BY_NAME)
    kind = str(mapping_of(config.get("model")).get("estimator"))
    baseline = mapping_of(data.get("baseline"))
    largest = baseline.get("train/accuracy")  # the share of the most frequent class
    if kind == "classifier" and isinstance(largest, float) and largest > UNEVEN:
        kind = "uneven"
    usual = list(_OF_TASK.get(kind, _OF_TASK["vq"]))
    classes, samples = data.get("classes"), data.get("samples")
    are_classes = False  # of several samples each, and no numbers
    if isinstance(classes, int) and isinstance(samples, int):
        are_classes = classes * _LEAST_OF_CLASS <= samples
    if "purity" in usual and not are_classes:
        usual.remove("purity")
    names = []
    for name in dict.fromkeys([*usual, *parts]):
        if name in parts and name not in hidden:
            names.append(name)
    if not is_named:
        names = names[:_MOST_MEASURES]
    lines = []
    for name in names:
        part = parts[name]
        full = f"{part}/{name}"
        text = value_of(measures[full], measures.get(f"{part}_std/{name}"))
        training = ""
        if part == "test":
            training = _text(measures.get(f"train/{name}"))
        constant = _text(baseline.get(full, measures.get(f"{full}{_BY_CHANCE}")))
        lines.append(HeadlineMeasure(name, part, measures[full], text, training, constant))
    return lines


def mapping_of(value: Any) -> Mapping[str, Any]:
    """Return a value of a file that may be damaged, or an empty mapping in its place."""
    return value if isinstance(value, Mapping) else {}


def parts_of(measures: Mapping[str, float]) -> dict[str, str]:
    """Return the part of the data on which each measure of a run is known, test where it can be."""
    parts = {}
    for part in reversed(PARTS):
        for full in measures:
            name = full.removeprefix(f"{part}/")
            if name != full:
                parts[name] = part
    return parts


def _text(value: float | None) -> str:
    return "" if value is None else number(value)
