"""Components: frozen models with methods, their capabilities, and nested components."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, Self, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from dbgsom_core.errors import UnfitError
from dbgsom_core.interfaces.guard import Guarded, active_registry, attribute_of, error_names, is_own
from dbgsom_core.interfaces.version import DbgsomDeprecationWarning, Deprecation

Model = TypeVar("Model", bound=BaseModel)


class Component(BaseModel):
    """Base of every component: a frozen pydantic model that forbids unknown fields.

    Values are taken strictly (``"10"`` is no int), but numpy scalars count as Python numbers. A
    field that may be infinite or nan says so, ``Field(allow_inf_nan=True)``.

    Attributes
    ----------
    of_this_machine : tuple of str
        Fields that model files neither hold nor fill: addresses, folders, credentials.
    renamed : mapping of str to Deprecation
        Old names of fields, which become the field ``instead``, with a warning. Versions are those
        of the component's package.
    """

    of_this_machine: ClassVar[tuple[str, ...]] = ()
    renamed: ClassVar[Mapping[str, Deprecation]] = {}

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numpy_scalars_are_numbers(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        tuples = _tuples_of(cls)
        return {
            key: value.item()
            if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
            else _as_tuples(value)
            if key in tuples and isinstance(value, list)
            else value
            for key, value in with_new_names(cls, values).items()
        }


@lru_cache(maxsize=256)
def _tuples_of(cls: type[BaseModel]) -> frozenset[str]:
    # Fields of tuples, for which a list is as good as in YAML.
    def origins(annotation: Any) -> set[Any]:
        inner = {one for part in get_args(annotation) for one in origins(part)}
        return {get_origin(annotation)} | inner

    found = {name: origins(field.annotation) for name, field in cls.model_fields.items()}
    return frozenset(name for name, of in found.items() if tuple in of and list not in of)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def with_new_names(cls: type[Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return values with the old names of a component's fields replaced by the new ones."""
    renamed = getattr(cls, "renamed", {})
    kept = {name: value for name, value in values.items() if name not in renamed}
    for name in (name for name in values if name in renamed):
        new = renamed[name].instead
        if new in kept:
            raise ValueError(f"{name} is the old name of {new}; give the new one alone")
        kept[new] = values[name]
        sentence = renamed[name].sentence(f"{cls.__name__}.{name}", cls.__module__.split(".")[0])
        warnings.warn(sentence, DbgsomDeprecationWarning, 2)
    return kept


@dataclass(frozen=True)
class Abilities:
    """Capabilities of a component, cached; a subclass has a field for each capability."""

    kind: ClassVar[str]
    # A bare one of its kind's base: what a component lacks, or has as None, is as there, else as in
    # the subclass. The component need not derive from that base.
    defaults: ClassVar[Component]
    unguarded: ClassVar[tuple[str, ...]] = ()  # called as they are, also of third parties

    @classmethod
    def of(cls, component: Any, **known: Any) -> Self:
        """Return the capabilities of a component; ``known`` are other fields.

        Raises `ComponentError` where one of its attributes raises, or is not what it may be.
        """
        own, kind = is_own(component), cls.kind
        for name, default in _defaults(cls):  # type: ignore[arg-type] # classes are hashable
            if name in known:
                continue
            value = getattr(component, name, None) if own else attribute_of(kind, component, name)
            if not own and callable(value) and name not in cls.unguarded:
                value = Guarded(kind, component, name)
            known[name] = default if value is None else value
        found = cls(**known)
        if not own:
            with error_names(kind, component):
                found.check()
        return found

    def check(self) -> None:
        """Raise UnfitError for an attribute of a component with an invalid value."""

    def require(self, name: str, what: str, test: Callable[[Any], bool]) -> None:
        """Raise UnfitError for an attribute that fails a test; ``what`` is the requirement."""
        value = getattr(self, name)
        if not test(value):
            raise UnfitError(f"has {name} = {value!r}; it is {what}")


@lru_cache(maxsize=64)
def _defaults(cls: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((one.name, getattr(cls.defaults, one.name, one.default)) for one in fields(cls))


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_number(value: Any, least: float = -math.inf, below: float = math.inf) -> bool:
    """Return whether a value is a number in [least, below), and no bool."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and least <= value < below


@dataclass(frozen=True)
class Nested:
    """Annotation of a field with a component, ``Annotated[Any, Nested("growth")]``.

    The field takes a name, a mapping with ``name``, or an instance. Give it a name as its default,
    with ``validate_default=True``.

    Attributes
    ----------
    kind : str
        The kind of component, ``"growth"`` say.
    """

    kind: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._build,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._write, info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        name = {"type": "string"}
        section = {"type": "object", "properties": {"name": name}, "required": ["name"]}
        return {"anyOf": [name, section]}

    def _build(self, spec: Any) -> Any:
        named = isinstance(spec, Mapping) and isinstance(spec.get("name"), str)
        if not (named or isinstance(spec, (str, BaseModel))):
            raise ValueError(
                f"must be a name, a mapping with a 'name', or a component instance; got {spec!r}"
            )
        return active_registry().build(self.kind, spec)

    def _write(self, component: Any, info: Any) -> dict[str, Any]:
        if not isinstance(component, BaseModel):  # a default that is not validated yet
            return {"name": str(component)}
        fields = component.model_dump(mode=info.mode, exclude_unset=info.exclude_unset)
        return {"name": active_registry().name_of(self.kind, component), **fields}


def nested_fields(cls: type[Any]) -> dict[str, str]:
    """Return the fields of a component's class that hold components, with their kinds."""
    return {
        name: mark.kind
        for name, field in cls.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Nested)
    }


def given_fields(component: BaseModel) -> dict[str, Any]:
    return {field: getattr(component, field) for field in component.model_fields_set}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping with dotted keys such as ``base.rows``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def parse(cls: type[Model], values: Mapping[str, Any]) -> Model:
    """Return an instance from plain YAML values; raises pydantic's ValidationError."""
    with suppress(ValueError):  # pydantic says so, too
        values = with_new_names(cls, values)
    text = json.dumps(values)
    try:
        return cls.model_validate_json(text, strict=True)
    except ValidationError:
        if not issubclass(cls, Component):
            raise
    parsed = _json_twin(cls).model_validate_json(text, strict=True)
    return cls.model_validate(given_fields(parsed))


@lru_cache(maxsize=256)
def _json_twin(cls: type[Model]) -> type[Model]:
    # A validator in mode "before" makes pydantic take JSON for Python values, where strictness
    # wants a tuple and not a list. A twin without it parses; the class itself then takes over.
    harmless = model_validator(mode="after")(lambda self: self)
    body = {"__module__": cls.__module__, "_numpy_scalars_are_numbers": harmless}
    return type(cls.__name__, (cls,), body)
