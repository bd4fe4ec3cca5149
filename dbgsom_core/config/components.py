"""Components as values of a configuration: built when it is validated, written down by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import (
    BaseModel,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from dbgsom_core.errors import DbgsomError, PluginError, UnknownNameError, did_you_mean
from dbgsom_core.experiments.datasets import dataset_of_file
from dbgsom_core.interfaces.component import Nested, active_registry, nested_fields, parse
from dbgsom_core.plugins.registry import STEP as OFFERED_STEP

STEP = "step"  # of prepare: no component, and written like one
BUILT_IN_STEPS = ("range_scale", "standardize", "lags", "rolling", "cyclic")

_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_MAY_REPEAT = (STEP, "stopping", "tracker")


class Named(NamedTuple):
    """A component and its name."""

    name: str
    component: Any


@dataclass(frozen=True)
class PrepareStep:
    """A prepare step."""

    name: str  # of a built-in step or of a plugin, or ``module:Class``
    params: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""  # the class of a plugin's step as ``module:Class``


@dataclass(frozen=True)
class ComponentOf(Nested):
    """Annotation of a key with a component of a kind, or several, of the active registry.

    The validated value is a `Named` or a `PrepareStep`, a list of these, a word or None. A section
    without a name changes fields of ``default``.
    """

    default: str | None = None
    several: bool = False  # a list; one name or mapping alone is a list of one, and null none
    words: tuple[str, ...] = ()  # what may stand in place of the list
    optional: bool = False  # it may be null

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema: Any = core_schema.no_info_plain_validator_function(self._build)
        if self.several:
            items = core_schema.list_schema(schema)
            schema = core_schema.no_info_wrap_validator_function(self._build_list, items)
        write = core_schema.plain_serializer_function_ser_schema(_written)
        return {**schema, "serialization": write}

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        component = {"component": self.kind}
        options: list[Any] = [component]
        if self.words:
            options.insert(0, {"enum": list(self.words)})
        if self.several:
            options.append({"type": "array", "items": component})
        if self.several or self.optional:
            options.append({"type": "null"})
        return {"anyOf": options}

    def _build_list(self, value: Any, build: Callable[[list[Any]], list[Any]]) -> Any:
        if isinstance(value, str) and value in self.words:
            return value
        if value is None:
            return []
        items = build(value if isinstance(value, list) else [value])
        names = set()
        for item in items:
            may_repeat = self.kind in _MAY_REPEAT and item.name != "run_folder"
            if item.name in names and not may_repeat:
                raise ValueError(f"'{item.name}' appears twice")
            names.add(item.name)
        return items

    def _build(self, value: Any) -> Any:
        if value is None and self.optional:
            return None
        name, fields = value, dict[str, Any]()
        if isinstance(value, Mapping):
            fields = dict(value)
            name = fields.pop("name", None)
            if fields and not name:
                name = self.default
        if not name or not isinstance(name, str):
            raise ValueError("must be a name, or a mapping with a 'name'")
        if self.kind == STEP:
            return _step(name, fields)
        return Named(name, self._component(name, fields))

    def _component(self, name: str, fields: dict[str, Any]) -> Any:
        try:
            cls = active_registry().find(self.kind, name)
        except UnknownNameError as error:
            file = dataset_of_file(name) if self.kind == "dataset" else ""
            raise UnknownNameError(file or str(error)) from None
        for key in nested_fields(cls).keys() & fields.keys():
            if isinstance(fields[key], Mapping):
                fields[key] = {"name": cls.model_fields[key].default, **fields[key]}
        try:
            return parse(cls, fields)
        except (ValidationError, DbgsomError):
            raise
        except Exception as error:
            raise PluginError(
                f"{self.kind} '{name}' cannot check its fields ({type(error).__name__}: {error}); "
                "this is an error of the plugin, not of the configuration"
            ) from error


def _step(name: str, params: dict[str, Any]) -> PrepareStep:
    if name in BUILT_IN_STEPS:
        return PrepareStep(name, params)
    registry = active_registry()
    try:
        return PrepareStep(name, params, registry.lookup(OFFERED_STEP, name).source)
    except UnknownNameError:
        if _CLASS.fullmatch(name):
            return PrepareStep(name, params)
    names = [*BUILT_IN_STEPS, *registry.names(OFFERED_STEP)]
    hint = did_you_mean(name, names) or f"; write {', '.join(names)} or module:Class"
    raise UnknownNameError(f"unknown step '{name}'{hint}")


# -------------------------------------------------------------------------------- written down


def _written(value: Any) -> Any:
    if isinstance(value, list):
        return [_written(item) for item in value]
    if isinstance(value, PrepareStep):
        return {"name": value.name, **value.params}
    if isinstance(value, Named):
        return {"name": value.name, **written_fields(value.component)}
    return value


def written_fields(component: BaseModel, elsewhere: Collection[str] = ()) -> dict[str, Any]:
    """Return the fields that build an equal component: all of them where possible.

    A class may forbid a knob that its other fields leave idle, even at its default; such defaults
    are left out. Fields that are set ``elsewhere`` stand there only where they were given.
    """
    values = component.model_dump(mode="json")
    for key in nested_fields(type(component)):
        inner = written_fields(getattr(component, key), elsewhere)
        values[key] = {"name": values[key]["name"], **inner}
    given = component.model_fields_set
    for key in set(elsewhere) - given:
        values.pop(key, None)
    if _builds(component, values):
        return values
    fields = {key: value for key, value in values.items() if key in given}
    for key, value in values.items():
        if key not in given and _builds(component, {**fields, key: value}):
            fields[key] = value
    return fields


def _builds(component: BaseModel, values: Mapping[str, Any]) -> bool:
    try:
        return parse(type(component), values) == component
    except ValidationError:
        return False
