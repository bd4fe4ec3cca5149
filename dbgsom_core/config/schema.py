"""The JSON Schema of a configuration file, for editors: ``python -m dbgsom_core.config.schema``."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.errors import PydanticUserError

from dbgsom_core.config.build import BUILT_IN_STEPS, MODEL_COMPONENTS
from dbgsom_core.config.optimize import OptimizeSettings, RangeSettings
from dbgsom_core.config.settings import (
    DecideSettings,
    General,
    ModelSettings,
    PluginSettings,
    Settings,
    Split,
    StabilitySettings,
)
from dbgsom_core.config.sweep import KINDS, RandomSettings, RepeatSettings
from dbgsom_core.errors import PluginError
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.plugins.offers import Offered
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry

JsonSchema = dict[str, Any]

_ANY_CLASS = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
_PARTS = {  # what each key is, and the estimators' default where they share one
    "metric": ("distance between samples and prototypes", "euclidean"),
    "kernel": ("how much a neuron learns from samples won some hops away", "gaussian"),
    "growth": ("which neurons are born, where and when", "directed"),
    "labeller": (
        "the answer that each neuron gives; without it index for vq, kernel_vote for classifier, "
        "local_linear for regressor",
        None,
    ),
    "grid": (
        "the cells of the map: square ones have four links each, hexagonal ones six, those of a "
        "line two; auto: a line for data of one column, else squares",
        "auto",
    ),
    "init": ("where the first prototypes lie", "pca"),
    "schedule": (
        "how the kernel's width goes from start to end while the map grows; null: as the kernel's "
        "decay says",
        None,
    ),
}

# What is read by hand, for its places, is described here by models that nothing else uses.
_StepName = Literal[BUILT_IN_STEPS] | Annotated[str, Field(pattern=_ANY_CLASS)]  # type: ignore[valid-type]
_Axes = Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
_Changes = Annotated[dict[str, Any], Field(min_length=1)]


class _Step(BaseModel):
    name: _StepName


class _Random(RandomSettings):
    space: _Axes = Field(description="dotted keys and their values")


class _Optimize(OptimizeSettings):
    space: Annotated[
        dict[str, Annotated[list[Any], Field(min_length=1)] | RangeSettings], Field(min_length=1)
    ] = Field(description="dotted keys, and lists or ranges of their values")


class _Sweep(Settings):
    model_config = ConfigDict(
        json_schema_extra={"required": [], "oneOf": [{"required": [kind]} for kind in KINDS]}
    )

    grid: _Axes = Field(description="dotted keys and their values: every combination")
    random: _Random = Field(description=str(RandomSettings.__doc__))
    list_: list[_Changes] = Field(alias="list", min_length=1, description="what each run changes")
    optimize: _Optimize = Field(description=str(OptimizeSettings.__doc__))
    repeats: RepeatSettings | None = Field(default=None, description=str(RepeatSettings.__doc__))
    decide: DecideSettings | None = Field(default=None, description=str(DecideSettings.__doc__))


class _File(General):
    """The top level of a configuration."""

    prepare: _StepName | _Step | list[_StepName | _Step] | None = Field(
        default=None, description="scikit-learn transformers before training, in order; null: none"
    )
    split: Split | None = Field(
        default=None, description="how the data is divided; null: train on everything"
    )
    model: ModelSettings | None = Field(
        default=None,
        description="the estimator and its keyword arguments; null: a vq with its defaults",
    )
    stability: StabilitySettings | None = Field(
        default=None,
        description="how sure the map is, from refits to parts of its samples; null: not asked",
    )
    plugins: PluginSettings | None = Field(
        default=None, description="which installed plugins the run leaves alone; null: none"
    )
    extends: str | list[str] | None = Field(
        default=None, description="files, relative to this one, over which this one is merged"
    )
    sweep: _Sweep | None = Field(default=None, description="several runs from one file")


def experiment_schema(registry: Registry, lost: dict[str, str] | None = None) -> JsonSchema:
    """Return the JSON Schema (draft 2020-12) of a configuration file.

    Every component that ``registry`` offers is imported and described with its fields. ``lost``
    takes what is wrong with those that cannot be, by ``kind distribution:name``.

    Raises
    ------
    PluginError
        A component cannot be imported, and there is no ``lost``.
    """
    defs: JsonSchema = {}

    def component(kind: str, description: str, default: str | None = None) -> JsonSchema:
        about = {**_components(kind, registry, defs, lost), "description": description}
        return about if default is None else {**about, "default": default}

    def several(kind: str, description: str, default: str | None, *words: str) -> JsonSchema:
        one = _components(kind, registry, defs, lost)
        options: list[JsonSchema] = [{"enum": list(words)}] if words else []
        options += [one, {"type": "array", "items": one}, {"type": "null"}]
        return {"anyOf": options, "description": description, "default": default}

    root = _untitled(_File.model_json_schema())
    defs |= root.pop("$defs")
    defs["ModelSettings"]["properties"] |= {
        key: component(MODEL_COMPONENTS[key], *about) for key, about in _PARTS.items()
    }
    schedule = defs["ModelSettings"]["properties"]["schedule"]
    schedule["anyOf"] = [{"$ref": schedule.pop("$ref")}, {"type": "null"}]
    schedule["default"] = None
    defs["ModelSettings"]["properties"]["stopping"] = several(
        "stopping",
        "what ends the training before its last epoch, beside tol; null or []: nothing",
        None,
    )
    about = defs["Split"]["properties"]["test"]["description"]
    defs["Split"]["properties"]["test"] = {
        "anyOf": [_components("dataset", registry, defs, lost), {"type": "null"}],
        "default": None,
        "description": about,
    }
    _name_steps((root["properties"]["prepare"], defs), [*BUILT_IN_STEPS, *registry.prepare_steps])
    root["properties"] |= {
        "dataset": component("dataset", "the data to learn from"),
        "measures": several(
            "measure",
            "figures of merit; default: those that suit the estimator; null or []: none",
            "default",
            "default",
        ),
        "figures": several(
            "figure",
            "what to draw; default: label_map, u_matrix, hit_map, growth_curve and explorer; null "
            "or []: none",
            "default",
            "default",
        ),
        "tracking": several(
            "tracker",
            "where runs are mirrored; null or []: only the run folder, which is always written; "
            "list run_folder to set its fields",
            "mlflow",
        ),
        "engine": component("engine", "how one pass over the data runs", "local"),
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


def _name_steps(schema: Any, names: list[str]) -> None:
    # Wherever the built-in steps are listed, those of plugins are, too.
    if isinstance(schema, dict) and schema.get("enum") == list(BUILT_IN_STEPS):
        schema["enum"] = names
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, (dict, list)):
            _name_steps(inner, names)


def _components(
    kind: str, registry: Registry, defs: JsonSchema, lost: dict[str, str] | None
) -> JsonSchema:
    if kind not in defs:
        defs[kind] = {}  # a component may hold one of its own kind
        options, known = [], []
        for one in registry.offered(kind):
            names = _names_of(one, registry)
            try:
                options.append(_named(kind, names, one.load(), defs))
            except PluginError as error:
                if lost is None:
                    raise
                lost[f"{kind} {one.distribution}:{one.name}"] = str(error)
            else:
                known += names
        if options:
            defs[kind] = {"anyOf": [{"enum": list(dict.fromkeys(known))}, *options]}
    return {"$ref": f"#/$defs/{kind}"}


def _names_of(offered: Offered, registry: Registry) -> list[str]:
    """Return the names that mean an offer: the bare one, unless another has it, and the full one.

    The full names of built-ins, which nobody needs, are left to where they tell two apart.
    """
    rivals = sum(one.name == offered.name for one in registry.offered(offered.kind)) > 1
    own = offered.distribution == OWN_DISTRIBUTION
    bare = [] if rivals and not own else [offered.name]
    return bare + ([f"{offered.distribution}:{offered.name}"] if rivals or not own else [])


def _named(kind: str, names: list[str], cls: type[BaseModel], defs: JsonSchema) -> JsonSchema:
    """Add the section of one class to ``defs`` and return a reference to it."""
    key = f"{kind}.{names[0]}"
    try:
        schema = _untitled(cls.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}"))
    except PydanticUserError as error:
        told = (str(error).splitlines() or [""])[0]
        raise PluginError(f"{kind} '{names[0]}' has fields that no schema describes: {told}") from (
            error
        )
    for inner, definition in schema.pop("$defs", {}).items():
        defs[f"{key}.{inner}"] = definition
    meant: JsonSchema = {"const": names[0]} if len(names) == 1 else {"enum": names}
    schema["properties"] = {
        "name": {**meant, "description": f"this {kind}"},
        **{field: rest for field, rest in schema.get("properties", {}).items() if field != "name"},
    }
    schema["required"] = ["name", *(one for one in schema.get("required", ()) if one != "name")]
    for field, inner_kind in nested_fields(cls).items():
        about = schema["properties"][field]
        kept = {word: about[word] for word in ("default", "description") if word in about}
        schema["properties"][field] = {"$ref": f"#/$defs/{inner_kind}", **kept}
    defs[key] = schema
    return {"$ref": f"#/$defs/{key}"}


def _untitled(schema: Any) -> Any:
    # Titles repeat the names; a property may be called title, too.
    if isinstance(schema, list):
        return [_untitled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _untitled(value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }


def schema_text(registry: Registry, lost: dict[str, str] | None = None) -> str:
    """Return `experiment_schema` as text, keys sorted."""
    return json.dumps(experiment_schema(registry, lost), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(schema_text(Registry.discover(own_only=True)), end="")
