"""The JSON Schema of a configuration file, for editors.

``python -m dbgsom_core.config.json_schema`` prints it.
"""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from dbgsom_core.config import schema as schema_models
from dbgsom_core.config.components import BUILT_IN_STEPS
from dbgsom_core.config.schema import STEP, ExperimentSettings, RangeSettings
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
    writer = _Writer(registry, lost)
    models = ExperimentSettings.model_json_schema()
    models["$defs"][RangeSettings.__name__] = RangeSettings.model_json_schema()
    for name, section in [(models["title"], models), *models["$defs"].items()]:
        _describe(section, getattr(schema_models, name))
    root: JsonSchema = writer.finished(models)
    defs = {**root.pop("$defs"), **writer.definitions}
    defs.get("engine.local", {}).pop("required", None)  # an engine's section may lack a name
    del root["required"]
    schema: JsonSchema = {
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
    return _with_references(schema) if references else schema


def _describe(section: JsonSchema, cls: type[BaseModel]) -> None:
    """Add the text below each key of a section in the source; leave out defaults of null."""
    (tree,) = ast.parse(inspect.getsource(cls)).body
    for key, below in pairwise(getattr(tree, "body", ())):
        if isinstance(key, ast.AnnAssign) and isinstance(below, ast.Expr):
            about = section["properties"][ast.unparse(key.target).rstrip("_")]
            about["description"] = " ".join(ast.literal_eval(below.value).split())
            types = [option.get("type") for option in about.get("anyOf", [about])]
            if about.get("default", ...) is None and "null" not in types:
                del about["default"]


class _Writer:
    """Writer of definitions of components, one for each kind."""

    def __init__(self, registry: Registry, lost: dict[str, str] | None) -> None:
        self._registry, self._lost = registry, lost
        self.definitions: JsonSchema = {}

    def finished(self, schema: Any) -> Any:
        """Return a model's schema without titles, which repeat names, and with components."""
        if isinstance(schema, list):
            return [self.finished(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        if isinstance(kind := schema.get("component"), str):
            rest = {key: value for key, value in schema.items() if key != "component"}
            return {"$ref": self._kind(kind), **rest}
        if schema.get("range") is True:
            return {"$ref": f"#/$defs/{RangeSettings.__name__}"}
        return {
            key: self.finished(value)
            for key, value in schema.items()
            if key != "title" or not isinstance(value, str)
        }

    def _kind(self, kind: str) -> str:
        defs = self.definitions
        if kind == STEP and kind not in defs:
            names = [*BUILT_IN_STEPS, *prepare_steps(self._registry)]
            name: list[JsonSchema] = [{"enum": names}, {"type": "string", "pattern": _ANY_CLASS}]
            properties = {"name": {"anyOf": name}}
            section = {"type": "object", "properties": properties, "required": ["name"]}
            defs[kind] = {"anyOf": [*name, section]}
        if kind not in defs:
            defs[kind] = {}  # a component may hold one of its own kind
            options, known = [], []
            for one in self._registry.offered(kind):
                names = _names_of(one, self._registry)
                try:
                    reference = self._class(f"{kind}.{names[0]}", one.load(), names)
                except PluginError as error:
                    if self._lost is None:
                        raise
                    self._lost[f"{kind} {one.full_name}"] = str(error)
                else:
                    options.append({"$ref": reference})
                    known += names
            if options:
                defs[kind] = {"anyOf": [{"enum": list(dict.fromkeys(known))}, *options]}
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
        meant: JsonSchema = {"const": names[0]} if len(names) == 1 else {"enum": names}
        fields = {k: v for k, v in schema.get("properties", {}).items() if k != "name"}
        schema["properties"] = {"name": {**meant, "description": f"this {kind}"}, **fields}
        schema["required"] = ["name", *(k for k in schema.get("required", ()) if k != "name")]
        for field, inner_kind in nested_fields(cls).items():
            kept = {k: fields[field][k] for k in ("default", "description") if k in fields[field]}
            schema["properties"][field] = {"$ref": self._kind(inner_kind), **kept}
        self.definitions[key] = schema
        return f"#/$defs/{key}"


def _names_of(offered: PluginEntry, registry: Registry) -> list[str]:
    """Return the names of an offer: the bare one, unless another offer has it, and the full one.

    Built-ins have a full name only where another plugin offers the same name.
    """
    rivals = sum(one.name == offered.name for one in registry.offered(offered.kind)) > 1
    own = offered.distribution == OWN_DISTRIBUTION
    bare = [] if rivals and not own else [offered.name]
    return bare + ([offered.full_name] if rivals or not own else [])


def _with_references(schema: Any) -> Any:
    """Allow references to the environment for all values but sections and texts."""
    if isinstance(schema, list):
        return [_with_references(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {
        key: {name: _with_references(one) for name, one in value.items()}
        if key in ("properties", "$defs")
        else _with_references(value)
        if key in ("items", "prefixItems", "anyOf", "additionalProperties")
        else value
        for key, value in schema.items()
    }
    options = inner.get("anyOf", ())
    if inner.get("type") in ("integer", "number", "boolean"):
        return {**inner, **_REFERENCE, "type": [inner["type"], "string"]}
    if "enum" in inner and "properties" not in inner:
        kept = {key: inner.pop(key) for key in ("default", "description") if key in inner}
        return {"anyOf": [inner, _REFERENCE], **kept}
    if any("enum" in one or "anyOf" in one for one in options):
        flat = [one for option in options for one in option.get("anyOf", [option])]
        return {**inner, "anyOf": [one for i, one in enumerate(flat) if one not in flat[:i]]}
    return inner


def schema_text(registry: Registry, lost: dict[str, str] | None = None) -> str:
    return json.dumps(experiment_schema(registry, lost), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(schema_text(Registry.discover(own_only=True)), end="")
