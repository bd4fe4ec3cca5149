"""The few flat parameters that tell the runs of an experiment apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

from pydantic.fields import FieldInfo

from dbgsom_core.config import Experiment
from dbgsom_core.errors import DbgsomError, as_text
from dbgsom_core.estimators.part_params import AUTO
from dbgsom_core.interfaces.component import Component, nested_fields
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.lookup import lookup_in_use
from dbgsom_core.interfaces.trackers import Run
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.folder.store import StoredRun
from dbgsom_core.training.parts import KIND_OF

_LONGEST_STEM = 60  # letters of a file's name in that of a run

Value = str | int | float | bool


def flat_params(experiment: Experiment, estimator: Any) -> dict[str, Value]:
    """Return the parameters of a run; every run has the common keys, so that they compare.

    A field that only some components have (``growth.rows``) is added where it is not as by default.
    """
    parts = estimator.parts()
    params: dict[str, Any] = {
        "dataset": experiment.dataset_name,
        "prepare": told_steps(step.name for step in experiment.prepare),
        "split": _split(experiment.resolved["split"]),
        **_common_params(estimator),
        "seed": experiment.seed,
    }
    # From the configuration as it was written: what the environment holds stays there.
    resolved = experiment.resolved
    sections = {"dataset": resolved["dataset"]} | {
        part: resolved["model"].get(part) for part in KIND_OF
    }
    built = {"dataset": experiment.dataset} | {part: one for part, _, one in parts.each()}
    for kind, component in built.items():
        name, _, number = kind.partition(".")
        section = sections[name][int(number)] if number else sections[name]
        section = section if isinstance(section, dict) else {}
        for key, value in _telling_fields(kind, component, section).items():
            if key not in params or is_reference(value):
                params[key] = value
    params |= _references(resolved)
    for width in ("kernel.start", "kernel.end"):
        params[width] = "auto" if params[width] is None else params[width]
    return {key: _flat(value) for key, value in params.items()}


def told_steps(names: Iterable[str]) -> str:
    """Return the parameter that says how data was prepared."""
    return ", ".join(names) or "none"


def estimator_params(estimator: Any, dataset: str, prepare: Iterable[str]) -> dict[str, Value]:
    """Return the parameters of an estimator that no configuration describes, as `flat_params`."""
    parts = estimator.parts()
    params: dict[str, Any] = {
        "dataset": dataset,
        "prepare": told_steps(prepare),
        "split": _split(None),
        **_common_params(estimator),
        "seed": _seed(estimator.random_state),
    }
    for name, _, part in parts.each():
        for key, value in _telling_fields(name, part, part.model_dump(mode="json")).items():
            params.setdefault(key, value)
    for width in ("kernel.start", "kernel.end"):
        params[width] = "auto" if params[width] is None else params[width]
    return {key: _flat(value) for key, value in params.items()}


def _seed(given: Any) -> Value:
    return int(given) if isinstance(given, Integral) else _flat(given)


def _common_params(estimator: Any) -> dict[str, Any]:
    parts = estimator.parts()
    kernel, growth = parts.kernel, parts.growth
    widths, growing = dict(kernel), dict(_innermost(growth))
    return {
        "estimator": estimator._kind,
        "metric": _name("metric", parts.metric),
        "kernel": _name("kernel", kernel),
        "kernel.start": widths.get("start"),
        "kernel.end": widths.get("end"),
        "kernel.decay": widths.get("decay"),
        "growth": _name("growth", growth),
        "growth.threshold": growing.get("threshold"),
        "growth.spreading_factor": _spread(estimator, growing),
        "growth.max_neurons": growing.get("max_neurons"),
        "grid": _name("grid", parts.grid),
        "labeller": _name("labeller", parts.labeller),
        "epochs": estimator.epochs,
        "tol": estimator.tol,
        "init": _called_or_given("initialisation", parts.init),
        "schedule": widths.get("decay")
        if parts.schedule is None
        else _name("schedule", parts.schedule),
        "stopping": ", ".join(_name("stopping", rule) for rule in parts.stopping),
    }


def _spread(estimator: Any, growing: Mapping[str, Any]) -> Any:
    chosen = estimator.spreading_factor != AUTO or hasattr(estimator, "spreading_factor_")
    return growing.get("spreading_factor") if chosen else AUTO


def with_varied(params: Mapping[str, Value], varies: Mapping[str, Any]) -> dict[str, Value]:
    """Return parameters with what a sweep's child changes beside them: ``robust``, say."""
    short = {key.removeprefix("model.").removesuffix(".name"): one for key, one in varies.items()}
    return {**params, **{key: _flat(one) for key, one in short.items() if key not in params}}


def is_reference(value: Any) -> bool:
    """Say whether a value of a resolved configuration stands for what the environment holds."""
    return isinstance(value, str) and "${env:" in value


def _references(resolved: Mapping[str, Any]) -> dict[str, Any]:
    # Common parameters that came from the environment, where they do not stand in a part's section.
    model = resolved["model"]
    written = {
        "seed": resolved["seed"],
        "prepare": told_steps(step["name"] for step in resolved["prepare"]),
        **{key: model.get(key) for key in ("estimator", "epochs", "tol")},
        **{f"growth.{key}": model.get(key) for key in ("spreading_factor", "max_neurons")},
    }
    sections = {"dataset": resolved["dataset"]} | {part: model.get(part) for part in KIND_OF}
    for part, section in sections.items():
        written[part] = section.get("name") if isinstance(section, Mapping) else section
    return {key: value for key, value in written.items() if is_reference(value)}


def _telling_fields(
    prefix: str, component: Component, section: Mapping[str, Any]
) -> dict[str, Any]:
    # The fields that are not as by default, however much was written down: a run that is made from
    # the configuration of another one has its parameters. Nested ones are ``growth.base.rows``.
    params: dict[str, Any] = {}
    nested, fields = nested_fields(type(component)), type(component).model_fields
    for field in sorted(fields.keys() & section.keys()):
        value, key = section[field], f"{prefix}.{field}"
        if field in nested and isinstance(value, Mapping):
            params[key] = value["name"]
            params |= _telling_fields(key, getattr(component, field), value)
        elif is_reference(value) or _differs(getattr(component, field), fields[field]):
            params[key] = value
    return params


def _differs(value: Any, field: FieldInfo) -> bool:
    return bool(value != field.get_default(call_default_factory=True))


def _name(kind: str, component: Component) -> str:
    identity = get_registry().identify(kind, component)
    meant = get_registry().lookup(kind, f"{identity.distribution}:{identity.name}")
    try:
        bare = get_registry().lookup(kind, identity.name)
    except DbgsomError:  # two third parties offer it
        bare = None
    return identity.name if bare == meant else f"{identity.distribution}:{identity.name}"


def _called_or_given(kind: str, part: Any) -> str:
    return _name(kind, part) if isinstance(part, Component) else "array"


def _innermost(growth: Any) -> Any:
    # The strategy that a strategy around another one holds.
    base = GrowthAbilities.of(growth).base
    return growth if base is None else base


def _split(split: Mapping[str, Any] | None) -> str:
    if split is None:
        return "none"
    rest = {key: value for key, value in split.items() if value is not False}
    if "name" in rest:
        given = ", ".join(f"{key}={value}" for key, value in rest.items() if key != "name")
        return f"{rest['name']}({given})"
    if "test" in rest:
        return f"test {rest['test'].get('path', rest['test']['name'])}"
    stratify, refit = rest.get("stratify"), rest.get("refit")
    told = f"{rest['folds']} folds" if "folds" in rest else f"test {rest['test_size']}"
    if stratify:
        told += f", stratified: {stratify}" if is_reference(stratify) else ", stratified"
    return told + (", refitted" if refit else "")


def _flat(value: Any) -> Value:
    if isinstance(value, (str, int, float, bool)):
        return value
    return "none" if value is None else str(value)


def default_name(
    experiment: Experiment, estimator: Any, params: Mapping[str, Any] | None = None
) -> str:
    """Return a run's name from its parts, so that a list of runs can be read without columns.

    What came from the environment stands there as in ``params``.
    """
    written = {key: value for key, value in (params or {}).items() if is_reference(value)}
    dataset = written.get("dataset") or called(
        experiment.resolved["dataset"], experiment.dataset_name
    )
    return name_of_parts(estimator, dataset, written)


def name_of_parts(estimator: Any, dataset: str, written: Mapping[str, Any]) -> str:
    """Return the name of a run of an estimator on a data set, of what is ``written`` as that."""
    parts = estimator.parts()
    growth = _name("growth", parts.growth)
    base = _innermost(parts.growth)
    if base is not parts.growth:
        growth += f" {lookup_in_use().name_of('growth', base)}"
    spread, shape = _spread(estimator, dict(base)), GrowthAbilities.of(base).start_shape
    if spread is not None:
        told = spread if isinstance(spread, str) else format(spread, "g")
        growth += f" SF {written.get('growth.spreading_factor', told)}"
    elif shape is not None:
        growth += " {} × {}".format(*shape())
    grid = str(written.get("grid", _name("grid", parts.grid))).replace("_torus", " torus")
    growth += " " + grid + " torus" * GrowthAbilities.of(base).wrap
    growth = growth.removesuffix(" square").removesuffix(" auto").replace(" auto torus", " torus")
    growth = growth.replace(" square torus", " torus")
    kernel, metric = _name("kernel", parts.kernel), _name("metric", parts.metric)
    return f"{dataset}: {growth}, {written.get('kernel', kernel)}, {written.get('metric', metric)}"


def title_of(run: Run | StoredRun) -> str:
    """Return what figures call a run: by its experiment, too, where the name does not say it."""
    said = run.name == run.experiment or run.name.startswith(f"{run.experiment}: ")
    return run.name if said else f"{run.experiment} · {run.name}"


def called(section: Any, name: str) -> str:
    """Return what the data of a section ``dataset`` is called: by the file that it reads, if any.

    Parameters
    ----------
    section : str or mapping
    name : str
        The data set's name in dbgsom.
    """
    path = section.get("path") if isinstance(section, Mapping) else None
    if not isinstance(path, str) or "${env:" in path:
        return name
    stem = re.split(r"[/\\]", path)[-1].lstrip(".").partition(".")[0].strip()
    return as_text(stem)[:_LONGEST_STEM] or name


def common_params(children: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return the parameters of a sweep: what its children share, ``varies`` for what they do not.

    Parameters
    ----------
    children : sequence of what `flat_params` returned
    """
    keys = dict.fromkeys(key for child in children for key in child)
    values = {key: {child.get(key, "none") for child in children} for key in keys}
    return {key: one.pop() if len(one) == 1 else "varies" for key, one in values.items()}
