"""The JSON Schema of a configuration file, for editors."""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from dbgsom_core.config.components import BUILT_IN_STEPS, STEP
from dbgsom_core.config.schema import ExperimentSettings
from dbgsom_core.errors import PluginError
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.plugins.registry import STEP as OFFERED_STEP

JsonSchema = dict[str, Any]

_ANY_CLASS = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
_REFERENCE = {"type": "string", "pattern": r"\$\{env:"}  # stands for a value of any type


def experiment_schema(registry: Registry, references: bool = True) -> JsonSchema:
    """Return the JSON Schema (draft 2020-12) of a configuration file.

    Every component that ``registry`` offers is imported and described with its fields; those that
    cannot be are warned of and left out. Every value may also be a reference to the environment,
    unless ``references`` is False.
    """
    writer = _Writer(registry, references)
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


class _Writer:
    """Writer of definitions of components, one for each kind."""

    def __init__(self, registry: Registry, references: bool) -> None:
        self._registry, self._references = registry, references
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
            names = [*BUILT_IN_STEPS, *self._registry.names(OFFERED_STEP)]
            name: list[JsonSchema] = [{"enum": names}, {"type": "string", "pattern": _ANY_CLASS}]
            properties = {"name": {"anyOf": name}}
            section = {"type": "object", "properties": properties, "required": ["name"]}
            definitions[kind] = {"anyOf": [*name, section]}
        if kind not in definitions:
            definitions[kind] = {}  # a component may hold one of its own kind
            options, known = [], []
            for entry in self._registry.offered(kind):
                names = [entry.name, entry.full_name]
                if entry.distribution == OWN_DISTRIBUTION:
                    names = names[:1]
                try:
                    reference = self._class(f"{kind}.{names[-1]}", entry.load(), names)
                except (PluginError, PydanticUserError) as error:
                    warnings.warn(f"{kind} {entry.full_name} was left out: {error}", stacklevel=2)
                else:
                    options.append({"$ref": reference})
                    known += names
            if options:
                definitions[kind] = {"anyOf": [{"enum": list(dict.fromkeys(known))}, *options]}
        return f"#/$defs/{kind}"

    def _class(self, key: str, cls: type[BaseModel], names: list[str]) -> str:
        schema = cls.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}")
        for inner, definition in schema.pop("$defs", {}).items():
            self.definitions[f"{key}.{inner}"] = self.finished(definition)
        schema = self.finished(schema)
        fields: JsonSchema = schema.get("properties", {})
        for field, inner_kind in nested_fields(cls).items():
            about = fields[field]
            kept = {k: about[k] for k in ("default", "description") if k in about}
            fields[field] = {"$ref": self._kind(inner_kind), **kept}
        called = {"enum": names, "description": f"this {cls.__name__}"}
        schema["properties"] = {"name": called, **fields}
        schema["required"] = ["name", *schema.get("required", ())]
        self.definitions[key] = schema
        return f"#/$defs/{key}"
