"""Components built from their sections, and checks of compatibility before data is read."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from dbgsom_core.config.load import as_section
from dbgsom_core.config.schema import (
    DEFAULT,
    DEFAULT_NAMES,
    GROWTH_FIELDS,
    MODEL_COMPONENTS,
    OF_CLASSES,
    SPLITTERS,
    STEP,
    ComponentOf,
    ModelSettings,
    Split,
)
from dbgsom_core.config.sections import (
    UNMARKED,
    Finding,
    Items,
    Section,
    checked,
    findings_of,
    plain,
    reject,
    with_references,
)
from dbgsom_core.errors import DbgsomError, PluginError, UnknownNameError, did_you_mean
from dbgsom_core.experiments.datasets import dataset_of_file
from dbgsom_core.experiments.offers import prepare_steps
from dbgsom_core.interfaces.component import nested_fields, parse
from dbgsom_core.interfaces.current import active_registry, use_registry
from dbgsom_core.interfaces.growth import start_shape
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.training.parts import (
    DEFAULT_LABELLERS,
    base_growth,
    component_problem,
    field_problem,
    grid_problem,
    is_suitable_measure,
    kernel_problem,
    measure_problem,
    start_shape_error,
)

BUILT_IN_STEPS = ("range_scale", "standardize")
FIGURES = ("label_map", "u_matrix", "hit_map", "growth_curve", "explorer")
OF_ANSWERS = {
    "classifier": ("confusion_matrix", "roc_curve"),
    "regressor": ("predicted_actual",),
}
OF_STABILITY = "trust_map"  # drawn beside them where there is something to draw
OF_GROUPS = "group_shares"

_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_NOUNS = {
    STEP: "a scikit-learn transformer",
    "growth": "a growth strategy",
    "stopping": "a stopping rule",
}
_MAY_REPEAT = (STEP, "stopping", "tracker")


@dataclass(frozen=True)
class PrepareStep:
    """A prepare step."""

    name: str  # of a built-in step or of a plugin, or ``module:Class``
    params: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""  # the class of a plugin's step as ``module:Class``


@dataclass(frozen=True)
class Built:
    """A component, its name, its section, and the names of nested components."""

    name: str
    component: Any
    section: Section
    names: Mapping[str, str] = field(default_factory=dict)


class Builder:
    """Builder of the components of configurations, with a cache.

    Each method that builds raises a ValidationError as `reject` does, and a `PluginError` where
    the plugin that offers a component is broken or ambiguous.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._known: dict[tuple[str, str], Built | ValidationError] = {}

    def built(self, mark: ComponentOf, value: Any) -> Any:
        """Return the value of a marked key: a `Built`, a list of these, a word, or None."""
        if value is None and (mark.optional or mark.several):
            return [] if mark.several else None
        if not mark.several:
            return self.component(mark.kind, value, mark.default)
        if isinstance(value, str) and value in mark.words:
            return value
        findings: list[Finding] = []
        found: list[Any] = []
        for steps, item in items_of(value):
            try:
                built = self._step(item) if mark.kind == STEP else self.component(mark.kind, item)
            except ValidationError as error:
                findings += findings_of(error, *steps)
                continue
            if mark.kind not in _MAY_REPEAT and any(built.name == other.name for other in found):
                findings.append(("value", steps, f"'{built.name}' appears twice"))
            found.append(built)
        return reject(findings) if findings else found

    def component(self, kind: str, value: Any, default: str | None = None) -> Built:
        """Return the component of a kind, given as a name or a section.

        A section without a name changes fields of the ``default``.
        """
        section = _named(kind, value, default)
        written = [isinstance(value, str), section, with_references(section, section)]
        key = kind, json.dumps(written)
        if key not in self._known:
            try:
                self._known[key] = self._component(kind, section, not isinstance(value, str))
            except ValidationError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, ValidationError):
            raise found
        return found

    def valid(self, kind: str, value: Any, default: str | None = None) -> Any:
        """Return the component, or None where its section is invalid."""
        try:
            return self.component(kind, value, default).component
        except ValidationError:
            return None

    def written(self, built: Built, elsewhere: Collection[str] = ()) -> dict[str, Any]:
        """Return the section that builds a component, with all fields.

        Fields that the estimator fills, ``elsewhere``, stand there only where they were given.
        """
        with use_registry(self.registry):
            values = _written_down(built.component, elsewhere, built.names)
        written: dict[str, Any] = with_references({"name": built.name, **values}, built.section)
        return written

    def complete(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return a resolved section ``model`` with defaults of missing keys."""
        kind = str(model.get("estimator", "vq"))
        elsewhere = [key for key in GROWTH_FIELDS if model.get(key) is not None]
        usual = {**DEFAULT_NAMES, "labeller": DEFAULT_LABELLERS.get(kind, "")}
        full: dict[str, Any] = {}
        for key, about in ModelSettings.model_fields.items():
            if key in model:
                full[key] = model[key]
            elif usual.get(key) in self.registry.names(MODEL_COMPONENTS.get(key, "metric")):
                built = self.component(MODEL_COMPONENTS[key], usual[key])
                full[key] = self.written(built, elsewhere)
            elif key not in usual and (key not in OF_CLASSES or kind == "classifier"):
                full[key] = about.default
        return full | {key: value for key, value in model.items() if key not in full}

    def _component(self, kind: str, section: Section, is_mapping: bool) -> Built:
        name = section["name"]
        try:
            cls = self.registry.find(kind, name)
        except UnknownNameError as error:
            file = dataset_of_file(name) if kind == "dataset" else ""
            reject([("value", ("name",) if is_mapping else (), file or str(error))])
        fields, names, findings = section.without("name"), {}, list[Finding]()
        for key, inner_kind in nested_fields(cls).items():
            if key in section:
                try:
                    inner = self.component(inner_kind, section[key], cls.model_fields[key].default)
                    names[key] = inner.name
                    fields[key] = section[key] = inner.section
                except ValidationError as error:
                    findings += findings_of(error, key)
                    fields = fields.without(key)
        component = None
        try:
            with use_registry(self.registry):
                component = checked(cls, fields, known=("name", *nested_fields(cls)))
        except ValidationError as error:
            findings += findings_of(error)
        except DbgsomError:
            raise
        except Exception as error:
            raise PluginError(
                f"{kind} '{name}' cannot check its fields ({type(error).__name__}: {error}); "
                "this is an error of the plugin, not of the configuration"
            ) from error
        return reject(findings) if findings else Built(name, component, section, names)

    def notes_on(self, root: Section) -> Iterator[str]:
        """Yield sentences on what a configuration may hold and hardly means."""
        model = root.get("model")
        model = model if isinstance(model, Section) else Section()
        yield from _idle_keys(model, self)
        yield from _idle_measures(root, model, self)

    def _step(self, value: Any) -> Built:
        section = _named(STEP, value, None)
        name, offers = section["name"], prepare_steps(self.registry)
        is_class = name in BUILT_IN_STEPS or _CLASS.fullmatch(name)
        where = [""] if is_class else offers.get(name, [])
        if len(where) > 1:
            message = f"'{name}' may be {' or '.join(where)}; write the one that you mean"
            reject([("value", (), message)])
        if not where:
            names = [*BUILT_IN_STEPS, *offers]
            listed = " or ".join(f"'{known}'" for known in names)
            near = did_you_mean(name, names) or f"; write {listed} or module:Class"
            reject([("value", (), f"unknown step '{name}'{near}")])
        return Built(name, PrepareStep(name, plain(section.without("name")), where[0]), section)


def items_of(value: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Yield steps and value of each item of a list; one alone is a list of one, null is none."""
    if isinstance(value, Items):
        yield from (((i,), one) for i, one in enumerate(value))
    elif value is not None:
        yield (), value


def _named(kind: str, value: Any, default: str | None) -> Section:
    section = as_section(value, UNMARKED)
    noun = _NOUNS.get(kind, f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}")
    if not isinstance(section, Section):
        reject([("name", (), f"must be the name of {noun} or a mapping with a 'name'")])
    if section.get("name") is None:
        if default is None:
            reject([("missing", ("name",), "is required")])
        rest, marks = section.without("name"), {**section.marks, "name": UNMARKED}
        return Section({"name": default, **rest}, marks, section.place)
    if not isinstance(section["name"], str) or not section["name"]:
        reject([("name", ("name",), f"must be the name of {noun}")])
    return section.without()


def _written_down(
    component: BaseModel, elsewhere: Collection[str], names: Mapping[str, str]
) -> dict[str, Any]:
    """Return the fields that build an equal component: all of them where possible.

    A class may forbid a knob that its other fields leave idle, even at its default; such defaults
    are left out. ``names`` are those that nested components were given.
    """
    values = component.model_dump(mode="json")
    for key, kind in nested_fields(type(component)).items():
        inner = getattr(component, key)
        name = names.get(key) or active_registry().name_of(kind, inner)
        values[key] = {"name": name, **_written_down(inner, elsewhere, {})}
    given = component.model_fields_set

    def builds_again(kept: dict[str, Any]) -> bool:
        try:
            return parse(type(component), kept) == component
        except ValidationError:
            return False

    everything = {k: value for k, value in values.items() if k in given or k not in elsewhere}
    if builds_again(everything):
        return everything
    kept = {key: value for key, value in values.items() if key in given}
    for key, value in everything.items():
        if key not in given and builds_again({**kept, key: value}):
            kept[key] = value
    return kept


# ---------------------------------------------------------------------- do sections go together?


def mismatches(root: Section, builder: Builder) -> Iterator[Finding]:
    """Yield incompatibilities in a configuration whose references are filled.

    Parts with mistakes of their own are left out: these are found elsewhere.
    """
    model = root.get("model")
    model = model if isinstance(model, Section) else Section()
    estimator = model.get("estimator", "vq")
    estimator = estimator if estimator in [*DEFAULT_LABELLERS] else None
    with use_registry(builder.registry):
        parts = {
            key: builder.valid(kind, model[key], ModelSettings.model_fields[key].default)
            for key, kind in MODEL_COMPONENTS.items()
            if key in model and key != "stopping"
        }
    yield from _within_model(model, parts)
    if estimator is not None:
        yield from _for_estimator(root, model, parts, estimator, builder)
    yield from _within_split(root.get("split"), estimator)
    yield from _with_data(root, parts, estimator, builder)
    figures = [_name(value, None) for _, value in items_of(root.get("figures"))]
    if OF_STABILITY in figures and root.get("stability") is None:
        message = f"{OF_STABILITY} draws what 'stability: {{resamples: 20}}' finds: add it"
        yield "key", ("figures",), message
    if OF_GROUPS in figures and root.get("report") is None:
        yield "key", ("figures",), f"{OF_GROUPS} draws what 'report: {{by: COLUMN}}' counts: add it"
    if estimator == "regressor" and root.get("report") is not None:
        message = "counts labels, and a regressor answers with numbers: leave it out"
        yield "value", ("report", "by"), message
    folders = [
        steps
        for steps, value in items_of(root.get("tracking"))
        if _name(value, None) == "run_folder"
    ]
    for steps in folders[1:]:
        yield "value", ("tracking", *steps), "'run_folder' appears twice: a run has one folder"
    tags = root.get("tags")
    for key in tags if isinstance(tags, Section) else ():
        for name in builder.registry.names("tracker"):
            if str(key).startswith(f"{name}."):
                message = f"'{key}' is no key of a tag: choose one not starting with '{name}.'"
                yield "key", ("tags", key), message


def _idle_measures(root: Section, model: Section, builder: Builder) -> Iterator[str]:
    """Yield sentences on measures of classes where answers are numbers of clusters or neurons."""
    labeller = builder.valid("labeller", model.get("labeller"), "index")
    reads_targets = labeller is not None and guarded(labeller).needs_target
    if reads_targets or model.get("estimator", "vq") != "vq":
        return
    for _, value in items_of(root.get("measures")):
        measure = None if value == DEFAULT else builder.valid("measure", value)
        if measure is not None and measure.estimators == ("classifier",):
            yield (
                f"measures: '{_name(value, measure)}' compares answers with classes, and this map "
                "answers with numbers of its own: take adjusted_rand, or a classifier"
            )


def _idle_keys(model: Section, builder: Builder) -> Iterator[str]:
    """Yield sentences on keys under ``model`` that contradict each other or have no effect."""
    if "kernel" in model:
        kernel = builder.valid("kernel", model["kernel"], DEFAULT_NAMES["kernel"])
        start, end = (getattr(kernel, name, None) for name in ("start", "end"))
        if isinstance(start, int | float) and isinstance(end, int | float) and start < end:
            yield (
                f"model.kernel: the width begins at {start:g} and ends at {end:g}, so that neurons "
                "teach more and more others; usually it begins with the larger number"
            )
    growth = model.get("growth")
    if not isinstance(growth, Section):
        return
    tunes = growth.get("class_tuning") is not False or growth.get("reference") is True
    built = None if tunes else builder.valid("growth", growth, DEFAULT_NAMES["growth"])
    usual = None if built is None else type(built).model_fields.get("class_tuning")
    if usual is not None and usual.default and model.get("estimator", "vq") != "classifier":
        yield "model.growth.class_tuning: false has no effect here: only classifiers tune by class"
    idle = [name for name in ("link_pull", "class_tuning") if growth.get(name)]
    if growth.get("fine_tuning") == 0 and idle:
        yield (f"model.growth.{idle[0]} has no effect with fine_tuning 0: it is for that phase")
    if growth.get("reference") is True and idle and "fine_tuning" not in growth:
        yield (
            f"model.growth.{idle[0]} has no effect with reference: true, which has no fine-tuning"
        )


def _name(value: Any, component: Any) -> str:
    name = value.get("name") if isinstance(value, Section) else value
    return name if isinstance(name, str) else type(component).__name__


def _within_model(model: Section, parts: dict[str, Any]) -> Iterator[Finding]:
    if not model.keys() & {*DEFAULT_NAMES, *GROWTH_FIELDS}:
        return
    growth, grid, kernel, metric = (
        parts[key] if key in parts else active_registry().build(key, DEFAULT_NAMES[key])
        for key in ("growth", "grid", "kernel", "metric")
    )
    found: list[tuple[str | None, tuple[str, ...]]] = []
    if kernel is not None and metric is not None:
        found.append((kernel_problem(kernel, metric), ("kernel", "metric")))
    if growth is not None:
        if grid is not None:
            found.append((grid_problem(growth, grid), ("growth", "grid")))
        found.append((start_problem(parts.get("init"), growth), ("init",)))
        for key in GROWTH_FIELDS:
            if isinstance(model.get(key), (int, float, str)):
                found.append((field_problem(growth, key, model[key]), (key,)))
    for message, keys in found:
        written = [key for key in keys if key in model]
        if message is not None and written:
            yield "value", ("model", written[0]), message


def _for_estimator(
    root: Section, model: Section, parts: dict[str, Any], kind: str, builder: Builder
) -> Iterator[Finding]:
    for key in ("labeller", "growth"):
        if parts.get(key) is not None:
            why = component_problem(key, f"'{_name(model[key], parts[key])}'", parts[key], kind)
            if why is not None:
                yield "value", ("model", key), why
    for steps, value in items_of(model.get("stopping")):
        rule = builder.valid("stopping", value)
        why = None if rule is None else measure_problem(rule, kind)
        if why is not None:
            yield "value", ("model", "stopping", *steps), why
    for key in OF_CLASSES:
        if model.get(key) is not None and kind != "classifier":
            yield "key", ("model", key), "is for estimator: classifier; leave it out"
    for steps, value in items_of(root.get("measures")):
        measure = None if value == "default" else builder.valid("measure", value)
        if measure is not None and not is_suitable_measure(measure, kind):
            name, suited = _name(value, measure), " or ".join(measure.estimators)
            message = f"measure '{name}' is for estimator {suited}, not for {kind}"
            yield "value", ("measures", *steps), message
    for steps, value in items_of(root.get("figures")):
        figure = None if value == "default" else builder.valid("figure", value)
        suits = None if figure is None else figure.estimators
        if suits is not None and kind not in suits:
            name = _name(value, figure)
            message = f"figure '{name}' is for estimator {' or '.join(suits)}, not for {kind}"
            yield "value", ("figures", *steps), message


def _within_split(split: Any, kind: str | None) -> Iterator[Finding]:
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
    for key, value in split.items() if name is None or name in [*SPLITTERS] else ():
        given = value is not None and (value is not False or key == "shuffle")
        if given and key in Split.model_fields:
            message = _why_no_split(split, name or "", key, value, kind)
            if message:
                yield "value", ("split", key), message


def _why_no_split(split: Section, name: str, key: str, value: Any, kind: str | None) -> str:
    takes = SPLITTERS.get(name, ())
    if name and key not in ("name", *takes):
        return f"is not for {name}, which takes {', '.join(takes) or 'nothing'}"
    if not name and key not in ("test_size", "stratify", "refit", "folds", "test"):
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


def _with_data(
    root: Section, parts: dict[str, Any], kind: str | None, builder: Builder
) -> Iterator[Finding]:
    dataset = builder.valid("dataset", root.get("dataset"))
    if dataset is None:
        return
    registry, metric, growth = builder.registry, parts.get("metric"), parts.get("growth")
    steps = [_name(value, None) for _, value in items_of(root.get("prepare"))]
    filled = any(
        fills_gaps(one) for name in steps for one in (name, *prepare_steps(registry).get(name, ()))
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
    elif growth is not None and guarded(growth).needs_classes:
        name = registry.name_of("growth", growth)
        message = f"is required: growth '{name}' as it is set needs classes"
        yield "value", ("dataset", key), message


def fills_gaps(step: str) -> bool:
    return step.endswith("Imputer")


def start_problem(init: Any, growth: Any, n_features: int | None = None) -> str | None:
    """Return why a component's ``values`` have the wrong shape for start prototypes, or None."""
    values = getattr(init, "values", None)
    if not values or not isinstance(values[0], tuple):
        return None
    given = (len(values), len(values[0]))
    rows, columns = start_shape(base_growth(growth))
    wanted = (rows * columns, n_features or given[1])
    return None if given == wanted else start_shape_error(given, rows, columns, wanted[1])
