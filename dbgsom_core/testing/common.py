"""Checks of every component: its name, its words, its fields, how it is kept."""

from __future__ import annotations

import json
import pickle
import re
import sys
from typing import Any

from pydantic import ValidationError

from dbgsom_core.interfaces.component import Abilities, Component, given_fields, parse
from dbgsom_core.interfaces.engine import EngineAbilities
from dbgsom_core.interfaces.figures import FigureAbilities
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.kernels import KernelAbilities
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.measures import MeasureAbilities
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.interfaces.stopping import StoppingAbilities
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.interfaces.version import SUPPORTED_API_VERSIONS
from dbgsom_core.plugins.registry import missing_methods
from dbgsom_core.testing.kit import EVERY_KIND, Subject, check

_ABILITIES: dict[str, type[Abilities]] = {
    one.kind: one
    for one in (
        MetricAbilities, KernelAbilities, GrowthAbilities, LabellerAbilities, MeasureAbilities,
        TrackerAbilities, StoppingAbilities, FigureAbilities, EngineAbilities,
    )
}  # fmt: skip


@check(EVERY_KIND)
def check_required_methods(component: Component, subject: Subject) -> None:
    """It derives from Component and has the methods of its kind, and a name of a-z, 0-9 and _."""
    assert isinstance(component, Component), "it must derive from dbgsom_core.api.Component"
    missing = missing_methods(subject.kind, type(component))
    assert not missing, f"it lacks {missing}"
    plain = subject.name is None or re.fullmatch(r"[a-z][a-z0-9_]*", subject.name)
    assert plain, f"'{subject.name}' is no name like 'my_{subject.kind}'"


@check(EVERY_KIND)
def check_attributes(component: Component, subject: Subject) -> None:
    """What the core reads of it can be read, and is what it may be."""
    if subject.kind in _ABILITIES:
        _ABILITIES[subject.kind].of(component).check()


@check(EVERY_KIND)
def check_docstring(component: Component, subject: Subject) -> None:
    """Its class has a docstring: its help text."""
    own = type(component).__dict__.get("__doc__")
    assert own and own.strip(), "the class has no docstring of its own"


@check(EVERY_KIND)
def check_field_descriptions(component: Component, subject: Subject) -> None:
    """Every field has a description: it is what the schema and editors show."""
    bare = [name for name, one in type(component).model_fields.items() if not one.description]
    assert not bare, f"no description: {', '.join(bare)}; write Field(description=…)"


@check(EVERY_KIND)
def check_api_version(component: Component, subject: Subject) -> None:
    """The plugin that holds it states a DBGSOM_API_VERSION that is supported."""
    module, stated = type(component).__module__, None
    while module and stated is None:
        stated = getattr(sys.modules.get(module), "DBGSOM_API_VERSION", None)
        module = module.rpartition(".")[0]
    # Where a plugin offers it and the package around it states none, the plugin does elsewhere.
    known = stated in SUPPORTED_API_VERSIONS or (stated is None and subject.name is not None)
    assert known, f"{type(component).__module__} states DBGSOM_API_VERSION {stated}"


@check(EVERY_KIND)
def check_frozen(component: Component, subject: Subject) -> None:
    """It cannot be changed, and a misspelt field is an error."""
    assert type(component).model_config.get("frozen"), "model_config must keep frozen=True"
    fields: dict[str, Any] = {**given_fields(component), "no_such_field_": 1}
    try:
        type(component).model_validate(fields)
    except ValidationError:
        return
    raise AssertionError("an unknown field is accepted; model_config must keep extra='forbid'")


@check(EVERY_KIND)
def check_json_schema(component: Component, subject: Subject) -> None:
    """Its JSON Schema builds, and its fields stand in it."""
    schema = type(component).model_json_schema()
    json.dumps(schema)
    assert set(schema.get("properties", {})) == set(type(component).model_fields)


@check(EVERY_KIND)
def check_saving(component: Component, subject: Subject) -> None:
    """Its fields go to JSON and to pickle, and back to an equal component."""
    plain = json.loads(component.model_dump_json(exclude_unset=True))
    again = parse(type(component), plain)
    assert again == component, f"{plain} builds {again!r}, not {component!r}"
    again = pickle.loads(pickle.dumps(component))
    assert again == component, f"pickle gives {again!r}, not {component!r}"
