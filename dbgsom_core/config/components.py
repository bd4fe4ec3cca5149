"""Components from their sections: a name, or a mapping with a name and the class's fields."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from dbgsom_core.config.experiment import PrepareStep
from dbgsom_core.config.load import as_section
from dbgsom_core.config.schema import (
    DEFAULT_NAMES,
    GROWTH_FIELDS,
    MODEL_COMPONENTS,
    STEP,
    ComponentOf,
    ModelSettings,
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
from dbgsom_core.interfaces.component import nested_fields, parse
from dbgsom_core.interfaces.guard import lookup_in_use, use_lookup
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.training.parts import USUAL_LABELLERS

BUILT_IN_STEPS = ("range_scale", "standardize")
FIGURES = ("label_map", "u_matrix", "hit_map", "growth_curve", "explorer")
OF_STABILITY = "trust_map"  # drawn beside them where there is something to draw

_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_NOUNS = {
    STEP: "a scikit-learn transformer",
    "growth": "a growth strategy",
    "stopping": "a stopping rule",
}
_MAY_REPEAT = (STEP, "stopping", "tracker")


@dataclass(frozen=True)
class Built:
    """A component, its name, the section that it came from, and the names of nested ones."""

    name: str
    component: Any
    section: Section
    names: Mapping[str, str] = field(default_factory=dict)


class Builder:
    """Builds the components of configurations; what was built once is not built again.

    Each method that builds raises a ValidationError as `reject` does, and a `PluginError` where
    the plugin that offers a component is broken or ambiguous.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._known: dict[tuple[str, str], Built | ValidationError] = {}

    def built(self, mark: ComponentOf, value: Any) -> Any:
        """Return what a marked key holds: a `Built`, a list of such, a word, or None."""
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
        """Return the component of a kind that a name or a section means.

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

    def offered(self, kind: str, names: Collection[str]) -> list[Built]:
        """Return the components of these names that a plugin offers."""
        known = self.registry.names(kind)
        return [self.component(kind, name) for name in names if name in known]

    def written(self, built: Built, elsewhere: Collection[str] = ()) -> dict[str, Any]:
        """Return the section that builds a component again, all of its fields filled in.

        Fields that the estimator fills, ``elsewhere``, stand there only where they were given.
        """
        with use_lookup(self.registry):
            values = _written_down(built.component, elsewhere, built.names)
        written: dict[str, Any] = with_references({"name": built.name, **values}, built.section)
        return written

    def complete(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return a resolved section ``model`` with the defaults of all that it leaves out."""
        kind = str(model.get("estimator", "vq"))
        elsewhere = [key for key in GROWTH_FIELDS if model.get(key) is not None]
        usual = {**DEFAULT_NAMES, "labeller": USUAL_LABELLERS.get(kind, "")}
        full: dict[str, Any] = {}
        for key, about in ModelSettings.model_fields.items():
            if key in model:
                full[key] = model[key]
            elif usual.get(key) in self.registry.names(MODEL_COMPONENTS.get(key, "metric")):
                built = self.component(MODEL_COMPONENTS[key], usual[key])
                full[key] = self.written(built, elsewhere)
            elif key not in usual and (key != "unlabelled" or kind == "classifier"):
                full[key] = about.default
        return full | {key: value for key, value in model.items() if key not in full}

    def _component(self, kind: str, section: Section, is_mapping: bool) -> Built:
        name = section["name"]
        try:
            cls = self.registry.find(kind, name)
        except UnknownNameError as error:
            reject([("value", ("name",) if is_mapping else (), str(error))])
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
            with use_lookup(self.registry):
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

    def _step(self, value: Any) -> Built:
        section = _named(STEP, value, None)
        name, offers = section["name"], self.registry.prepare_steps
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
        params = plain(section.without("name"))
        return Built(name, PrepareStep(name, params, where[0]), section)


def items_of(value: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Yield steps and value of each item of a list; one alone is a list of one, null is none."""
    if isinstance(value, Items):
        yield from (((i,), one) for i, one in enumerate(value))
    elif value is not None:
        yield (), value


def _named(kind: str, value: Any, default: str | None) -> Section:
    """Return the section with a name that a bare text or a section means."""
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
    return Section(section, section.marks, section.place)


def _written_down(
    component: BaseModel, elsewhere: Collection[str], names: Mapping[str, str]
) -> dict[str, Any]:
    """Return the fields that build an equal component again: all of them where that works.

    A class may forbid a knob that its other fields leave idle, even at its default; such defaults
    are left out. ``names`` are those that nested components were given.
    """
    values = component.model_dump(mode="json")
    for key, kind in nested_fields(type(component)).items():
        inner = getattr(component, key)
        name = names.get(key) or lookup_in_use().name_of(kind, inner)
        values[key] = {"name": name, **_written_down(inner, elsewhere, {})}
    given = component.model_fields_set
    free = [key for key in values if key not in given and key not in elsewhere]
    everything = {key: value for key, value in values.items() if key in given or key in free}
    if _builds_again(component, everything):
        return everything
    kept = {key: value for key, value in values.items() if key in given}
    for key in free:
        if _builds_again(component, {**kept, key: values[key]}):
            kept[key] = values[key]
    return kept


def _builds_again(component: BaseModel, values: dict[str, Any]) -> bool:
    try:
        return parse(type(component), values) == component
    except ValidationError:
        return False
