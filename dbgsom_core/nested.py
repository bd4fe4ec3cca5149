"""Components as fields of components: a growth strategy around another one, say.

A field is declared as ``Annotated[Any, Nested("growth")]``; it takes a name, a mapping with
``name``, or an instance, and holds the component.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

if TYPE_CHECKING:
    from dbgsom_core.plugins import Registry

_registry: ContextVar[Registry | None] = ContextVar("registry", default=None)


@dataclass(frozen=True)
class Nested:
    """Marks a field that holds a component.

    Give the field a name as its default, with ``validate_default=True``. What is wrong inside is
    told with the field's name in front.

    Attributes
    ----------
    kind : str
        The kind of component, ``"growth"`` say.
    """

    kind: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Tell pydantic how the field is read and written."""
        return core_schema.no_info_plain_validator_function(
            self._built,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._written, info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return what can be said without knowing the plugins."""
        section = {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        }
        return {"anyOf": [{"type": "string"}, section]}

    def _built(self, spec: Any) -> Any:
        from dbgsom_core.plain_fields import parse

        registry = _registry_in_use()
        if isinstance(spec, BaseModel):
            registry.build(self.kind, spec)  # says so when it is of another kind
            given = {field: getattr(spec, field) for field in spec.model_fields_set}
            return type(spec).model_validate(given)
        if isinstance(spec, str):
            return registry.build(self.kind, spec)
        if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
            raise ValueError(
                f"must be a name, a mapping with a 'name', or a component instance; got {spec!r}"
            )
        cls = registry.find(self.kind, spec["name"])
        params = {key: value for key, value in spec.items() if key != "name"}
        try:
            return cls.model_validate(params)
        except ValidationError as error:
            try:  # what was read from a file has lists where a field may want a tuple
                return parse(cls, params)
            except (ValidationError, TypeError):
                raise error from None

    def _written(self, component: Any, info: Any) -> dict[str, Any]:
        if not isinstance(component, BaseModel):  # a default that nobody has looked at
            return {"name": str(component)}
        fields = component.model_dump(mode=info.mode, exclude_unset=info.exclude_unset)
        return {"name": name_of(self.kind, component), **fields}


def nested_fields(cls: type[Any]) -> dict[str, str]:
    """Return the fields of a component's class that hold components, with their kinds."""
    return {
        name: mark.kind
        for name, field in cls.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Nested)
    }


def name_of(kind: str, component: Any) -> str:
    """Return the name under which a component can be built again.

    A built-in has its bare name, a third party's its distribution in front. A class that no
    plugin offers is told by its place in Python.
    """
    from dbgsom_core.plugins import OWN_DISTRIBUTION

    cls = type(component)
    for offered in _registry_in_use().offered(kind):
        if offered.means(cls):
            own = offered.distribution == OWN_DISTRIBUTION
            return offered.name if own else f"{offered.distribution}:{offered.name}"
    return f"{cls.__module__}:{cls.__qualname__}"


@contextmanager
def looking_up_in(registry: Registry) -> Iterator[None]:
    """Let nested components be found in ``registry`` instead of this process's own one."""
    token = _registry.set(registry)
    try:
        yield
    finally:
        _registry.reset(token)


def _registry_in_use() -> Registry:
    from dbgsom_core.plugins import get_registry

    return _registry.get() or get_registry()
