"""Do the sections go together? What no single key can say, checked without reading data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from dbgsom_core.config.components import OF_STABILITY, Builder, items_of
from dbgsom_core.config.places import Finding, Section
from dbgsom_core.config.schema import (
    DEFAULT_NAMES,
    GROWTH_FIELDS,
    MODEL_COMPONENTS,
    SPLITTERS,
    ModelSettings,
    Split,
)
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.lookup import lookup_in_use, use_lookup
from dbgsom_core.training.compatibility import (
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


def mismatches(root: Section, builder: Builder) -> Iterator[Finding]:
    """Yield what does not go together in a configuration whose references are filled.

    Parts with mistakes of their own are left out: these are found elsewhere.
    """
    sections = _Sections(root, builder)
    yield from sections.parts()
    yield from sections.rules_of_model()
    yield from sections.measures()
    yield from sections.split()
    yield from sections.data()
    yield from sections.tags()


class _Sections:
    def __init__(self, root: Section, builder: Builder) -> None:
        self._root, self._builder = root, builder
        model = root.get("model")
        self._model = model if isinstance(model, Section) else Section()
        kind = self._model.get("estimator", "vq")
        self._kind = kind if isinstance(kind, str) and kind in ESTIMATORS else None

    def tags(self) -> Iterator[Finding]:
        """Yield the keys of tags that are a tracker's own."""
        tags = self._root.get("tags")
        for key in tags if isinstance(tags, Section) else ():
            for name in self._builder.registry.names("tracker"):
                if str(key).startswith(f"{name}."):
                    message = f"'{key}' is no key of a tag: choose one not starting with '{name}.'"
                    yield ("key", ("tags", key), message)

    def _component(self, kind: str, value: Any, default: str | None = None) -> Any:
        try:
            return self._builder.component(kind, value, default).component
        except ValidationError:
            return None

    def _part(self, key: str) -> Any:
        """Return a part that the section model gives; None where it cannot be built."""
        if key not in self._model:
            return None
        return self._component(
            MODEL_COMPONENTS[key], self._model[key], ModelSettings.model_fields[key].default
        )

    def _name(self, value: Any, component: Any) -> str:
        name = value.get("name") if isinstance(value, Section) else value
        return name if isinstance(name, str) else type(component).__name__

    def parts(self) -> Iterator[Finding]:
        """Yield parts of the model that do not go with each other."""
        model = self._model
        if not any(key in model for key in (*DEFAULT_NAMES, *GROWTH_FIELDS)):
            return
        with use_lookup(self._builder.registry):
            parts = {key: self._part(key) for key in DEFAULT_NAMES}
        for key in ("growth", "grid", "kernel", "metric"):
            if key not in model:
                parts[key] = lookup_in_use().build(key, DEFAULT_NAMES[key])
        growth, grid, kernel, metric = (
            parts[key] for key in ("growth", "grid", "kernel", "metric")
        )
        if growth is not None and grid is not None:
            yield from self._of_model(why_no_grid(growth, grid), "growth", "grid")
        if kernel is not None and metric is not None:
            yield from self._of_model(why_no_kernel(kernel, metric), "kernel", "metric")
        if growth is None:
            return
        yield from self._of_model(why_no_start(parts["init"], growth), "init")
        for field in GROWTH_FIELDS:
            value = model.get(field)
            if isinstance(value, (int, float, str)):
                yield from self._of_model(why_not_filled(growth, field, value), field)

    def _of_model(self, message: str | None, *keys: str) -> Iterator[Finding]:
        key = next((key for key in keys if key in self._model), None)
        if message is not None and key is not None:
            yield "value", ("model", key), message

    def rules_of_model(self) -> Iterator[Finding]:
        """Yield what the estimator cannot use."""
        model, kind = self._model, self._kind
        if kind is None:
            return
        for key in ("labeller", "growth"):
            component = self._part(key)
            if component is not None:
                name = f"'{self._name(model[key], component)}'"
                yield from self._of_model(why_not(key, name, component, kind), key)
        for steps, value in items_of(model.get("stopping")):
            rule = self._component("stopping", value)
            message = None if rule is None else why_not_measured(rule, kind)
            if message is not None:
                yield "value", ("model", "stopping", *steps), message
        if "unlabelled" in model and kind != "classifier":
            message = "is for estimator: classifier; leave it out"
            yield "key", ("model", "unlabelled"), message

    def measures(self) -> Iterator[Finding]:
        """Yield measures that say nothing of the estimator, and a figure without what it draws."""
        for steps, value in items_of(self._root.get("measures")):
            measure = None if value == "default" else self._component("measure", value)
            if measure is not None and self._kind and not measure_suits(measure, self._kind):
                name, suited = self._name(value, measure), " or ".join(measure.estimators)
                message = f"measure '{name}' is for estimator {suited}, not for {self._kind}"
                yield "value", ("measures", *steps), message
        figures = [self._name(value, None) for _, value in items_of(self._root.get("figures"))]
        if OF_STABILITY in figures and self._root.get("stability") is None:
            message = f"{OF_STABILITY} draws what 'stability: {{resamples: 20}}' finds: add it"
            yield "key", ("figures",), message

    def split(self) -> Iterator[Finding]:
        """Yield keys of the section split that exclude or need each other."""
        split = self._root.get("split")
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
        if name is None or (isinstance(name, str) and name in SPLITTERS):
            for key, value in split.items():
                if value is None or (value is False and key != "shuffle"):
                    continue
                message = self._why_no_split(split, name or "", key, value)
                if message:
                    yield "value", ("split", key), message

    def _why_no_split(self, split: Section, name: str, key: str, value: Any) -> str:
        takes, kind = SPLITTERS.get(name, ()), self._kind
        if key not in Split.model_fields:
            return ""
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
            other = name.replace("Stratified", "")
            return f"needs classes, which a regressor has not; use {other}"
        if key == "name" and "groups" in takes and split.get("groups") is None:
            return "needs 'groups': the column or array that holds them"
        return ""

    def data(self) -> Iterator[Finding]:
        """Yield parts that lack what the data set gives, or ask for what it does not give."""
        dataset = self._component("dataset", self._root.get("dataset"))
        if dataset is None:
            return
        metric, growth, kind = self._part("metric"), self._part("growth"), self._kind
        gaps = getattr(dataset, "missing", None) == "keep"
        filled = any(map(self._fills_gaps, items_of(self._root.get("prepare"))))
        if gaps and not filled and "missing" not in getattr(metric, "handles", ("missing",)):
            name = self._builder.registry.name_of("metric", metric)
            yield (
                "value",
                ("model", "metric"),
                (
                    f"'{name}' takes no missing values, and dataset.missing is keep: take one that "
                    "does, such as euclidean or manhattan, or fill them with a step such as "
                    "'sklearn.impute:SimpleImputer'"
                ),
            )
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
            name = self._builder.registry.name_of("growth", growth)
            message = f"is required: growth '{name}' as it is set needs classes"
            yield "value", ("dataset", key), message

    def _fills_gaps(self, item: tuple[Any, Any]) -> bool:
        name = self._name(item[1], None)
        where = self._builder.registry.prepare_steps.get(name, [])
        return any(map(fills_gaps, (name, *where)))


_PLAIN_WAYS = ("test_size", "stratify", "refit", "folds", "test")


def fills_gaps(step: str) -> bool:
    """Return whether a prepare step of this name leaves no value missing."""
    return step.endswith("Imputer")
