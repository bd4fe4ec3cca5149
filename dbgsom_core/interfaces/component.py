"""Components: frozen models with methods, defaults of attributes, and nested components."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from dbgsom_core.interfaces.current import active_registry

Model = TypeVar("Model", bound=BaseModel)

if TYPE_CHECKING:
    default = property
else:

    class default:  # noqa: N801 # it is used as property is
        """A default of an attribute, returned by a method, that a subclass may make a field.

        pydantic warns of a field that hides a class attribute or property. The class itself has no
        such attribute here, so it is silent; and an instance's field goes before it.
        """

        def __init__(self, function: Callable[[Any], Any]) -> None:
            self._function = function
            self.__doc__ = function.__doc__

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None:
                raise AttributeError(self._function.__name__)
            return self._function(instance)


class Component(BaseModel):
    """Base of the bases of all kinds: a frozen pydantic model that forbids unknown fields.

    A component derives from the base of its kind, `MetricComponent` say. Abstract methods are those
    that it must have; whatever else the base has is a default.

    Values are taken strictly (``"10"`` is no int), but numpy scalars count as Python numbers. A
    field that may be infinite or nan says so, ``Field(allow_inf_nan=True)``.

    Attributes
    ----------
    KIND : str
        The kind, ``"metric"`` say; set by its base.
    of_this_machine : tuple of str
        Fields that model files neither hold nor fill: addresses, folders, credentials.
    """

    KIND: ClassVar[str]
    of_this_machine: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        # What is not annotated is no field, but a class attribute.
        ignored_types=(default, bool, int, float, str, tuple, type(None)),
    )

    @classmethod
    def lacks(cls) -> str:
        """Return which methods the class lacks to be of its kind, as words; empty for none."""
        return " and ".join(sorted(cls.__abstractmethods__))

    @model_validator(mode="before")
    @classmethod
    def _numpy_scalars_are_numbers(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        tuples, plain = _tuples_of(cls), dict(values)
        for key, value in values.items():
            if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
                plain[key] = value.item()
            elif key in tuples and isinstance(value, list):
                plain[key] = _as_tuples(value)
        return plain


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
        return {"anyOf": [name, section], "component": self.kind}

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
