"""The JSON Schema of a configuration file, for editors: ``python -m dbgsom_core.config.schema``."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from dbgsom_core.config.build import BUILT_IN_STEPS, MODEL_COMPONENTS
from dbgsom_core.config.settings import General, ModelSettings, PluginSettings, Split
from dbgsom_core.config.sweep import RandomSettings
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.plugins.registry import Registry

JsonSchema = dict[str, Any]

_ANY_CLASS = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def experiment_schema(registry: Registry) -> JsonSchema:
    """Return the JSON Schema (draft 2020-12) of a configuration file.

    Every component that ``registry`` offers is imported and described with its fields.

    Raises
    ------
    PluginError
        A component cannot be imported.
    """
    defs: JsonSchema = {}

    def component(kind: str, description: str) -> JsonSchema:
        return {**_components(kind, registry, defs), "description": description}

    def several(kind: str, description: str, *words: str) -> JsonSchema:
        one = _components(kind, registry, defs)
        options: list[JsonSchema] = [{"enum": list(words)}] if words else []
        options += [one, {"type": "array", "items": one}, {"type": "null"}]
        return {"anyOf": options, "description": description}

    root = _fields(General)
    root["properties"] |= {
        "dataset": component("dataset", "the data to learn from"),
        "prepare": _prepare(),
        "split": _or_null(_fields(Split)),
        "model": _or_null(_model(component)),
        "measures": several("measure", "figures of merit; default: the estimator's", "default"),
        "figures": several("figure", "what to draw; default: the four basic ones", "default"),
        "tracking": several("tracker", "where runs are mirrored; null: only the run folder"),
        "engine": component("engine", "how one pass over the data runs"),
        "plugins": _or_null(_fields(PluginSettings)),
        "extends": _extends(),
        "sweep": _or_null(_sweep()),
    }
    root.pop("required", None)
    defs.get("engine.local", {}).pop("required", None)  # an engine's section may lack a name
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dbgsom experiment",
        **root,
        "anyOf": [{"required": ["experiment", "dataset"]}, {"required": ["extends"]}],
        "$defs": defs,
    }


def _components(kind: str, registry: Registry, defs: JsonSchema) -> JsonSchema:
    offered = registry.offered(kind)
    if kind not in defs:
        names = registry.names(kind)
        options: list[JsonSchema] = [{"enum": names}] if names else []
        several = {one.name for one in offered if _count(offered, one.name) > 1}
        if several:
            options.append({"enum": [f"{o.distribution}:{o.name}" for o in offered]})
        for one in offered:
            name = f"{one.distribution}:{one.name}" if one.name in several else one.name
            options.append(_named(kind, name, one.load(), defs))
        defs[kind] = {"anyOf": options} if options else {}
    return {"$ref": f"#/$defs/{kind}"}


def _count(offered: list[Any], name: str) -> int:
    return sum(one.name == name for one in offered)


def _named(kind: str, name: str, cls: type[BaseModel], defs: JsonSchema) -> JsonSchema:
    """Add the section of one class to ``defs`` and return a reference to it."""
    key = f"{kind}.{name}"
    schema = cls.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}")
    for inner, definition in schema.pop("$defs", {}).items():
        defs[f"{key}.{inner}"] = definition
    schema["properties"] = {
        "name": {"const": name, "description": f"this {kind}"},
        **{field: rest for field, rest in _untitled(schema).items() if field != "name"},
    }
    schema["required"] = ["name", *(one for one in schema.get("required", ()) if one != "name")]
    for field, inner_kind in nested_fields(cls).items():
        about = schema["properties"][field]
        kept = {word: about[word] for word in ("default", "description") if word in about}
        schema["properties"][field] = {"$ref": f"#/$defs/{inner_kind}", **kept}
    schema.pop("title", None)
    defs[key] = schema
    return {"$ref": f"#/$defs/{key}"}


def _fields(cls: type[BaseModel]) -> JsonSchema:
    schema = cls.model_json_schema()
    schema["properties"] = _untitled(schema)
    schema.pop("title", None)
    return schema


def _untitled(schema: JsonSchema) -> JsonSchema:
    return {
        name: {key: value for key, value in field.items() if key != "title"}
        for name, field in schema.get("properties", {}).items()
    }


def _model(component: Any) -> JsonSchema:
    model = _fields(ModelSettings)
    meanings = {
        "metric": "distance between samples and prototypes",
        "kernel": "how much a neuron learns from samples won some hops away",
        "growth": "which neurons are born, where and when",
        "labeller": "the answer that each neuron gives",
    }
    for kind in MODEL_COMPONENTS:
        model["properties"][kind] = component(kind, meanings[kind])
    return model


def _prepare() -> JsonSchema:
    name = {"anyOf": [{"enum": list(BUILT_IN_STEPS)}, {"type": "string", "pattern": _ANY_CLASS}]}
    step = {
        "anyOf": [
            name,
            {"type": "object", "properties": {"name": name}, "required": ["name"]},
        ]
    }
    return {
        "anyOf": [step, {"type": "array", "items": step}, {"type": "null"}],
        "description": "scikit-learn transformers before training, in order",
    }


def _extends() -> JsonSchema:
    return {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}},
            {"type": "null"},
        ],
        "description": "files, relative to this one, over which this one is merged",
    }


def _sweep() -> JsonSchema:
    axes = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "array", "minItems": 1},
    }
    drawn = _fields(RandomSettings)
    drawn["properties"]["space"] = {**axes, "description": "dotted keys and their values"}
    drawn["required"] = ["samples", "space"]
    child = {"type": "object", "minProperties": 1}
    return {
        "type": "object",
        "properties": {
            "grid": {**axes, "description": "dotted keys and their values: every combination"},
            "random": drawn,
            "list": {
                "type": "array",
                "minItems": 1,
                "items": child,
                "description": "what each run changes",
            },
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
        "description": "several runs from one file",
    }


def _or_null(schema: JsonSchema) -> JsonSchema:
    description = schema.pop("description", "")
    return {"anyOf": [schema, {"type": "null"}], "description": description}


def schema_text(registry: Registry) -> str:
    """Return `experiment_schema` as text, keys sorted."""
    return json.dumps(experiment_schema(registry), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(schema_text(Registry.discover(own_only=True)), end="")
