"""Sections that are components: a name, or a mapping with a name and the class's fields."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from dbgsom_core.config.check import check
from dbgsom_core.config.merge import as_section
from dbgsom_core.config.nodes import Entry, Items, Scalar, Section, Spot, is_null, mask
from dbgsom_core.config.problems import Problems
from dbgsom_core.errors import DbgsomError, PluginError, UnknownNameError
from dbgsom_core.interfaces.component import nested_fields, parse
from dbgsom_core.interfaces.lookup import looking_up_in, lookup_in_use
from dbgsom_core.plugins.registry import Registry


@dataclass(frozen=True)
class Built:
    """A component, its name, and the section that builds it again."""

    name: str
    component: Any
    resolved: dict[str, Any]


def build_component(
    kind: str,
    spot: Spot,
    registry: Registry,
    problems: Problems,
    filled_elsewhere: Collection[str] = (),
) -> Built | None:
    """Return the component at ``spot``, or None with problems.

    Fields in ``filled_elsewhere`` are written down only where the section gives them.

    Raises
    ------
    PluginError
        The plugin that offers it is broken or ambiguous.
    """
    named = _named(kind, spot, problems)
    if named is None:
        return None
    name, place, inside = named
    try:
        cls = registry.find(kind, name)
    except UnknownNameError as error:
        path = f"{spot.path}.name" if isinstance(spot.node, Section) else spot.path
        problems.add(place, path, str(error))
        return None
    section, nested = _build_nested(cls, inside, registry, problems, filled_elsewhere)
    checked_apart = [field for field, built in nested.items() if built is None]
    fields = Spot(spot.path, spot.key_place, section.without("name", *checked_apart))
    try:
        with looking_up_in(registry):
            component = check(cls, fields, problems, known=("name", *nested))
            if component is None or checked_apart:
                return None
            names = {field: built.name for field, built in nested.items() if built is not None}
            values = {"name": name, **_written_down(component, filled_elsewhere, names)}
    except DbgsomError:
        raise
    except Exception as error:
        raise PluginError(
            f"{kind} '{name}' cannot check its fields ({type(error).__name__}: {error}); "
            "this is an error of the plugin, not of the configuration"
        ) from error
    return Built(name, component, mask(values, section))


def with_default_name(spot: Spot, name: str | None) -> Spot:
    """Let a section that only changes fields mean the component that is the default."""
    node = spot.node
    if name is None or not isinstance(node, Section) or node.get("name") is not None:
        return spot
    default = Entry(node.place, Scalar(name, node.place))
    return Spot(spot.path, spot.key_place, Section({"name": default, **node.entries}, node.place))


def each_item(spot: Spot) -> Iterator[Spot]:
    """Yield the spots of a list; one name or mapping is a list of one, null an empty one."""
    if is_null(spot.node):
        return
    if isinstance(spot.node, Items):
        for i in range(len(spot.node.items)):
            yield spot / i
    else:
        yield spot


def named_section(spot: Spot, what: str, problems: Problems) -> tuple[str, Spot] | None:
    """Return the name in a bare text or mapping and the mapping without it; else a problem."""
    named = _named(what, spot, problems)
    return None if named is None else (named[0], named[2])


def _named(kind: str, spot: Spot, problems: Problems) -> tuple[str, Any, Spot] | None:
    section = as_section(_text_of(spot.node))
    if not isinstance(section, Section):
        problems.add(
            spot.node.place, spot.path, f"must be the name of {_a(kind)} or a mapping with a 'name'"
        )
        return None
    name = _text_of(section.get("name"))
    if name is None:
        problems.add(spot.key_place, f"{spot.path}.name", "is required")
        return None
    if not (isinstance(name, Scalar) and isinstance(name.value, str) and name.value):
        problems.add(name.place, f"{spot.path}.name", f"must be the name of {_a(kind)}")
        return None
    return name.value, name.place, Spot(spot.path, spot.key_place, section)


def _a(kind: str) -> str:
    if kind == "growth":
        return "a growth strategy"
    if kind == "stopping":
        return "a stopping rule"
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _text_of(node: Any) -> Any:
    # a name from the environment is text even if it looks like a number
    if isinstance(node, Scalar) and node.reference and node.value is not None:
        return Scalar(node.text, node.place, node.reference, node.text)
    return node


def _build_nested(
    cls: type[BaseModel],
    spot: Spot,
    registry: Registry,
    problems: Problems,
    filled_elsewhere: Collection[str],
) -> tuple[Section, dict[str, Built | None]]:
    # The section at ``spot`` with nested components named, and those that could be built.
    section = spot.node
    assert isinstance(section, Section)
    built: dict[str, Built | None] = {}
    entries = dict(section.entries)
    for field, kind in nested_fields(cls).items():
        if field in entries:
            inner = with_default_name(spot / field, cls.model_fields[field].default)
            built[field] = build_component(kind, inner, registry, problems, filled_elsewhere)
            entries[field] = Entry(inner.key_place, inner.node)
    return Section(entries, section.place, section.patch), built


def _written_down(
    component: BaseModel,
    filled_elsewhere: Collection[str],
    names: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the fields that build an equal component again: all of them where that works.

    A class may forbid a knob that its other fields leave idle, even at its default; such defaults
    are left out. ``names`` are those that nested components were given.
    """
    values = component.model_dump(mode="json")
    for field, kind in nested_fields(type(component)).items():
        inner = getattr(component, field)
        name = names.get(field) or lookup_in_use().name_of(kind, inner)
        values[field] = {"name": name, **_written_down(inner, filled_elsewhere)}
    given = component.model_fields_set
    free = [key for key in values if key not in given and key not in filled_elsewhere]
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
