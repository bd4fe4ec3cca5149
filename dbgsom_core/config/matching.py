"""Do the sections go together? What no single key can say, checked without reading data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from dbgsom_core.config.components import OF_STABILITY, Builder, items_of
from dbgsom_core.config.schema import (
    DEFAULT_NAMES,
    GROWTH_FIELDS,
    MODEL_COMPONENTS,
    SPLITTERS,
    ModelSettings,
    Split,
)
from dbgsom_core.config.sections import Finding, Section
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.guard import lookup_in_use, use_lookup
from dbgsom_core.training.parts import (
    USUAL_LABELLERS,
    measure_suits,
    why_no_grid,
    why_no_kernel,
    why_no_start,
    why_not,
    why_not_filled,
    why_not_measured,
)

ESTIMATORS = tuple(USUAL_LABELLERS)
_PLAIN_WAYS = ("test_size", "stratify", "refit", "folds", "test")


def mismatches(root: Section, builder: Builder) -> Iterator[Finding]:
    """Yield what does not go together in a configuration whose references are filled.

    Parts with mistakes of their own are left out: these are found elsewhere.
    """
    model = root.get("model")
    model = model if isinstance(model, Section) else Section()
    estimator = model.get("estimator", "vq")
    estimator = estimator if isinstance(estimator, str) and estimator in ESTIMATORS else None
    with use_lookup(builder.registry):
        parts = {
            key: _component(builder, kind, model[key], ModelSettings.model_fields[key].default)
            for key, kind in MODEL_COMPONENTS.items()
            if key in model and key != "stopping"
        }
    yield from _model(model, parts)
    if estimator is not None:
        yield from _estimator(root, model, parts, estimator, builder)
    yield from _split(root.get("split"), estimator)
    yield from _data(root, parts, estimator, builder)
    figures = [_name(value, None) for _, value in items_of(root.get("figures"))]
    if OF_STABILITY in figures and root.get("stability") is None:
        message = f"{OF_STABILITY} draws what 'stability: {{resamples: 20}}' finds: add it"
        yield "key", ("figures",), message
    tags = root.get("tags")
    for key in tags if isinstance(tags, Section) else ():
        for name in builder.registry.names("tracker"):
            if str(key).startswith(f"{name}."):
                message = f"'{key}' is no key of a tag: choose one not starting with '{name}.'"
                yield "key", ("tags", key), message


def _component(builder: Builder, kind: str, value: Any, default: str | None = None) -> Any:
    try:
        return builder.component(kind, value, default).component
    except ValidationError:
        return None


def _name(value: Any, component: Any) -> str:
    name = value.get("name") if isinstance(value, Section) else value
    return name if isinstance(name, str) else type(component).__name__


def _model(model: Section, parts: dict[str, Any]) -> Iterator[Finding]:
    """Yield parts of the model that do not go with each other."""

    def found(message: str | None, *keys: str) -> Iterator[Finding]:
        key = next((key for key in keys if key in model), None)
        if message is not None and key is not None:
            yield "value", ("model", key), message

    if not model.keys() & {*DEFAULT_NAMES, *GROWTH_FIELDS}:
        return
    growth, grid, kernel, metric = (
        parts[key] if key in parts else lookup_in_use().build(key, DEFAULT_NAMES[key])
        for key in ("growth", "grid", "kernel", "metric")
    )
    if kernel is not None and metric is not None:
        yield from found(why_no_kernel(kernel, metric), "kernel", "metric")
    if growth is None:
        return
    if grid is not None:
        yield from found(why_no_grid(growth, grid), "growth", "grid")
    yield from found(why_no_start(parts.get("init"), growth), "init")
    for key in GROWTH_FIELDS:
        if isinstance(model.get(key), (int, float, str)):
            yield from found(why_not_filled(growth, key, model[key]), key)


def _estimator(
    root: Section, model: Section, parts: dict[str, Any], kind: str, builder: Builder
) -> Iterator[Finding]:
    """Yield what the estimator cannot use."""
    for key in ("labeller", "growth"):
        if parts.get(key) is not None:
            message = why_not(key, f"'{_name(model[key], parts[key])}'", parts[key], kind)
            if message is not None:
                yield "value", ("model", key), message
    for steps, value in items_of(model.get("stopping")):
        rule = _component(builder, "stopping", value)
        message = None if rule is None else why_not_measured(rule, kind)
        if message is not None:
            yield "value", ("model", "stopping", *steps), message
    if "unlabelled" in model and kind != "classifier":
        yield "key", ("model", "unlabelled"), "is for estimator: classifier; leave it out"
    for steps, value in items_of(root.get("measures")):
        measure = None if value == "default" else _component(builder, "measure", value)
        if measure is not None and not measure_suits(measure, kind):
            name, suited = _name(value, measure), " or ".join(measure.estimators)
            message = f"measure '{name}' is for estimator {suited}, not for {kind}"
            yield "value", ("measures", *steps), message


def _split(split: Any, kind: str | None) -> Iterator[Finding]:
    """Yield keys of the section split that exclude or need each other."""
    if not isinstance(split, Section):
        return
    name = split.get("name")
    ways = [key for key in ("name", "test_size", "folds", "test") if split.get(key) is not None]
    if name is not None and "test_size" in ways:
        ways.remove("test_size")
    if not ways and split.keys() <= Split.model_fields.keys():
        yield "section", ("split",), "needs one of test_size, folds, test and name"
    if len(ways) > 1:
        message = f"{' and '.join(ways)} exclude each other; set all but one to null"
        yield "section", ("split",), message
    if name is not None and name not in [*SPLITTERS]:
        return
    for key, value in split.items():
        given = value is not None and (value is not False or key == "shuffle")
        if given and key in Split.model_fields:
            message = _why_no_split(split, name or "", key, value, kind)
            if message:
                yield "value", ("split", key), message


def _why_no_split(split: Section, name: str, key: str, value: Any, kind: str | None) -> str:
    takes = SPLITTERS.get(name, ())
    if name and key not in ("name", *takes):
        return f"is not for {name}, which takes {', '.join(takes) or 'nothing'}"
    if not name and key not in _PLAIN_WAYS:
        return "is for splitters of scikit-learn: give their 'name', too"
    if key in ("stratify", "refit") and split.get("test") is not None:
        return "divides nothing where 'test' holds the samples for testing"
    if key == "refit" and split.get("folds") is not None:
        return "is for test_size; with folds a model of all data is kept anyway"
    if key == "stratify" and kind == "regressor":
        return "must be false for a regressor, whose targets are no classes"
    if key == "test_size" and value == 1 and not name:
        return "must be a share below 1, or at least 2 samples; not 1"
    if key == "test_size" and name == "TimeSeriesSplit" and isinstance(value, float):
        return f"must be how many samples, an integer, for {name}"
    if key == "n_splits" and value == 1 and not name.endswith("ShuffleSplit"):
        return f"must be at least 2 for {name}"
    if key == "name" and kind == "regressor" and "Stratified" in name:
        return f"needs classes, which a regressor has not; use {name.replace('Stratified', '')}"
    if key == "name" and "groups" in takes and split.get("groups") is None:
        return "needs 'groups': the column or array that holds them"
    return ""


def _data(
    root: Section, parts: dict[str, Any], kind: str | None, builder: Builder
) -> Iterator[Finding]:
    """Yield parts that lack what the data set gives, or ask for what it does not give."""
    dataset = _component(builder, "dataset", root.get("dataset"))
    if dataset is None:
        return
    registry, metric, growth = builder.registry, parts.get("metric"), parts.get("growth")
    steps = [_name(value, None) for _, value in items_of(root.get("prepare"))]
    filled = any(
        fills_gaps(one) for name in steps for one in (name, *registry.prepare_steps.get(name, ()))
    )
    gaps = getattr(dataset, "missing", None) == "keep" and not filled
    if gaps and "missing" not in getattr(metric, "handles", ("missing",)):
        message = (
            f"'{registry.name_of('metric', metric)}' takes no missing values, and dataset.missing "
            "is keep: take one that does, such as euclidean or manhattan, or fill them with a step "
            "such as 'sklearn.impute:SimpleImputer'"
        )
        yield "value", ("model", "metric"), message
    if kind == "regressor" and getattr(dataset, "missing_target", None) == "unlabelled":
        message = "must be error or drop for a regressor, which needs a number for every sample"
        yield "value", ("dataset", "missing_target"), message
    targets = (key for key in ("target", "target_path") if key in type(dataset).model_fields)
    key = next(targets, None)
    if key is None or getattr(dataset, key) is not None or kind is None:
        return
    if kind != "vq":
        yield "value", ("dataset", key), f"is required for estimator {kind}"
    elif growth is not None and GrowthAbilities.of(growth).needs_classes:
        name = registry.name_of("growth", growth)
        message = f"is required: growth '{name}' as it is set needs classes"
        yield "value", ("dataset", key), message


def fills_gaps(step: str) -> bool:
    """Return whether a prepare step of this name leaves no value missing."""
    return step.endswith("Imputer")
