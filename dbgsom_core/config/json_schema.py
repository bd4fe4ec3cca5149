"""The JSON Schema of a configuration file, for editors."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from dbgsom_core.config.components import BUILT_IN_STEPS, STEP
from dbgsom_core.config.schema import ExperimentSettings
from dbgsom_core.errors import PluginError
from dbgsom_core.experiments.offers import prepare_steps
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, PluginEntry, Registry

JsonSchema = dict[str, Any]

_ANY_CLASS = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
_REFERENCE = {"type": "string", "pattern": r"\$\{env:"}  # stands for a value of any type


def experiment_schema(
    registry: Registry, lost: dict[str, str] | None = None, references: bool = True
) -> JsonSchema:
    """Return the JSON Schema (draft 2020-12) of a configuration file.

    Every component that ``registry`` offers is imported and described with its fields. ``lost``
    takes what is wrong with those that cannot be, by ``kind distribution:name``; without it
    `PluginError` is raised. Every value may also be a reference to the environment, unless
    ``references`` is False.
    """
    writer = _Writer(registry, lost, references)
    root: JsonSchema = writer.finished(ExperimentSettings.model_json_schema())
    defs = {**root.pop("$defs"), **writer.definitions}
    if "engine.local" in defs:
        del defs["engine.local"]["required"]  # an engine's section may lack a name
    del root["required"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dbgsom experiment",
        **root,
        "anyOf": [
            {"required": ["experiment", "dataset"]},
            {"required": ["experiment", "sweep"]},
            {"required": ["extends"]},
        ],
        "$defs": defs,
    }


def schema_text(registry: Registry, lost: dict[str, str] | None = None) -> str:
    return json.dumps(experiment_schema(registry, lost), indent=2, sort_keys=True) + "\n"


class _Writer:
    """Writer of definitions of components, one for each kind."""

    def __init__(self, registry: Registry, lost: dict[str, str] | None, references: bool) -> None:
        self._registry, self._lost, self._references = registry, lost, references
        self.definitions: JsonSchema = {}

    def finished(self, schema: Any) -> Any:
        """Return a model's schema without titles, which repeat names, and with components."""
        if isinstance(schema, list):
            return [self.finished(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        finished: JsonSchema = {}
        for key, value in schema.items():
            if key == "component":
                finished["$ref"] = self._kind(value)
            elif key == "properties":
                finished[key] = {name: self._value(part) for name, part in value.items()}
            elif key in ("items", "additionalProperties") and isinstance(value, dict):
                finished[key] = self._value(value)
            elif key != "title":
                finished[key] = self.finished(value)
        return finished

    def _value(self, schema: JsonSchema) -> JsonSchema:
        """Return the schema of a value, or of a reference to the environment."""
        value: JsonSchema = self.finished(schema)
        about: JsonSchema = {}
        for key in {"description", "default"} & value.keys():
            about[key] = value.pop(key)
        if "description" in about:
            about["description"] = " ".join(about["description"].split())
        types = [option.get("type") for option in value.get("anyOf", [value])]
        if about.get("default", ...) is None and "null" not in types:
            del about["default"]
        if self._references and value:
            value = {"anyOf": [*value.get("anyOf", [value]), _REFERENCE]}
        return {**value, **about}

    def _kind(self, kind: str) -> str:
        definitions = self.definitions
        if kind == STEP:
            names = [*BUILT_IN_STEPS, *prepare_steps(self._registry)]
            name: list[JsonSchema] = [{"enum": names}, {"type": "string", "pattern": _ANY_CLASS}]
            properties = {"name": {"anyOf": name}}
            section = {"type": "object", "properties": properties, "required": ["name"]}
            definitions[kind] = {"anyOf": [*name, section]}
        if kind not in definitions:
            definitions[kind] = {}  # a component may hold one of its own kind
            options, known = [], []
            for entry in self._registry.offered(kind):
                names = _names_of(entry, self._registry)
                try:
                    reference = self._class(f"{kind}.{names[0]}", entry.load(), names)
                except PluginError as error:
                    if self._lost is None:
                        raise
                    self._lost[f"{kind} {entry.full_name}"] = str(error)
                else:
                    options.append({"$ref": reference})
                    known += names
            if options:
                definitions[kind] = {"anyOf": [{"enum": list(dict.fromkeys(known))}, *options]}
        return f"#/$defs/{kind}"

    def _class(self, key: str, cls: type[BaseModel], names: list[str]) -> str:
        kind, _, name = key.partition(".")
        try:
            schema = cls.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}")
        except PydanticUserError as error:
            first = (str(error).splitlines() or [""])[0]
            message = f"{kind} '{name}' has fields that no schema describes: {first}"
            raise PluginError(message) from error
        for inner, definition in schema.pop("$defs", {}).items():
            self.definitions[f"{key}.{inner}"] = self.finished(definition)
        schema = self.finished(schema)
        fields: JsonSchema = schema.get("properties", {})
        for field, inner_kind in nested_fields(cls).items():
            about = fields[field]
            kept = {k: about[k] for k in ("default", "description") if k in about}
            fields[field] = {"$ref": self._kind(inner_kind), **kept}
        called = {"enum": names, "description": f"this {kind}"}
        schema["properties"] = {"name": called, **fields}
        schema["required"] = ["name", *schema.get("required", ())]
        self.definitions[key] = schema
        return f"#/$defs/{key}"


def _names_of(entry: PluginEntry, registry: Registry) -> list[str]:
    """Return the names of an entry: the bare one, unless another entry has it, and the full one.

    Built-ins have a full name only where another plugin offers the same name.
    """
    rivals = sum(other.name == entry.name for other in registry.offered(entry.kind)) > 1
    is_own = entry.distribution == OWN_DISTRIBUTION
    bare = [] if rivals and not is_own else [entry.name]
    return bare + ([entry.full_name] if rivals or not is_own else [])
