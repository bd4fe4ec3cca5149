"""The JSON Schema of a configuration file, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from dbgsom_core.config.components import BUILT_IN_STEPS, STEP
from dbgsom_core.config.schema import ExperimentSettings
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.plugins.registry import STEP as OFFERED_STEP

JsonSchema = dict[str, Any]

_ANY_CLASS = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def experiment_schema(registry: Registry) -> JsonSchema:
    """Return the JSON Schema (draft 2020-12) of a configuration file.

    Every component that ``registry`` offers is imported and described with its fields. A reference
    to the environment may stand where text may.
    """
    writer = _Writer(registry)
    root: JsonSchema = writer.with_components(ExperimentSettings.model_json_schema())
    defs = {**root.pop("$defs"), **writer.definitions}
    if "engine.local" in defs:
        del defs["engine.local"]["required"]  # an engine's section may lack a name
    del root["required"]
    return {
        **root,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dbgsom experiment",
        "anyOf": [
            {"required": ["experiment", "dataset"]},
            {"required": ["experiment", "sweep"]},
            {"required": ["extends"]},
        ],
        "$defs": defs,
    }


class _Writer:
    """Writer of definitions of components, one for each kind."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.definitions: JsonSchema = {}

    def with_components(self, schema: Any) -> Any:
        """Return a model's schema with definitions of the components that its keys name."""
        if isinstance(schema, list):
            return [self.with_components(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        filled: JsonSchema = {}
        for key, value in schema.items():
            if key == "component":
                filled["$ref"] = self._kind(value)
            elif key == "description" and isinstance(value, str):
                filled[key] = " ".join(value.split())
            else:
                filled[key] = self.with_components(value)
        return filled

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
                reference = self._class(f"{kind}.{names[-1]}", entry.load(), names)
                options.append({"$ref": reference})
                known += names
            if options:
                definitions[kind] = {"anyOf": [{"enum": list(dict.fromkeys(known))}, *options]}
        return f"#/$defs/{kind}"

    def _class(self, key: str, cls: type[BaseModel], names: list[str]) -> str:
        schema = cls.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}")
        schema = self.with_components(schema)
        for inner, definition in schema.pop("$defs", {}).items():
            self.definitions[f"{key}.{inner}"] = definition
        called = {"enum": names, "description": f"this {cls.__name__}"}
        schema["properties"] = {"name": called, **schema.get("properties", {})}
        schema["required"] = ["name", *schema.get("required", ())]
        self.definitions[key] = schema
        return f"#/$defs/{key}"
