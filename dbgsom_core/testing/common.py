"""Checks of every component: its name, its words, its fields, what its import costs."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from dbgsom_core.interfaces.component import Abilities, Component, parse
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.kernels import KernelAbilities
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.measures import MeasureAbilities
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.interfaces.stopping import StoppingAbilities
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.interfaces.version import SUPPORTED_API_VERSIONS
from dbgsom_core.plugins.offers import missing_methods
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.testing.kit import EVERY_KIND, Subject, check

_ABILITIES: dict[str, type[Abilities]] = {
    one.kind: one
    for one in (
        MetricAbilities,
        KernelAbilities,
        GrowthAbilities,
        LabellerAbilities,
        MeasureAbilities,
        TrackerAbilities,
        StoppingAbilities,
    )
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@check(EVERY_KIND, applies=lambda component, subject: subject.name is not None)
def check_name_pattern(component: Component, subject: Subject) -> None:
    """Its name is lower-case letters, digits and _, and starts with a letter."""
    assert _NAME.fullmatch(subject.name or ""), (
        f"'{subject.name}' is no name like 'my_{subject.kind}'"
    )


@check(EVERY_KIND)
def check_required_methods(component: Component, subject: Subject) -> None:
    """It derives from Component and has the methods of its kind."""
    assert isinstance(component, Component), "it must derive from dbgsom_core.api.Component"
    missing = missing_methods(subject.kind, type(component))
    assert not missing, f"it lacks {missing}"


@check(EVERY_KIND)
def check_attributes(component: Component, subject: Subject) -> None:
    """What the core reads of it can be read, and is what it may be."""
    abilities = _ABILITIES.get(subject.kind)
    if abilities is not None:
        abilities.of(component)


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
    stated = _stated_version(type(component).__module__)
    if stated is None and subject.name is not None:
        return  # its plugin states one elsewhere, or it would not be offered
    assert stated is not None, (
        f"neither {type(component).__module__} nor a package around it states DBGSOM_API_VERSION"
    )
    assert stated in SUPPORTED_API_VERSIONS, f"API {stated} is not in {SUPPORTED_API_VERSIONS}"


@check(EVERY_KIND)
def check_frozen(component: Component, subject: Subject) -> None:
    """It cannot be changed: a part is replaced as a value."""
    assert type(component).model_config.get("frozen"), "model_config must keep frozen=True"


@check(EVERY_KIND)
def check_extra_keys_forbidden(component: Component, subject: Subject) -> None:
    """A misspelt field is an error."""
    fields = {**_given(component), "no_such_field_": 1}
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
    """Its fields go to JSON and back to an equal component: how models and runs are saved."""
    plain = json.loads(component.model_dump_json(exclude_unset=True))
    again = parse(type(component), plain)
    assert again == component, f"{plain} builds {again!r}, not {component!r}"


@check(EVERY_KIND)
def check_pickling(component: Component, subject: Subject) -> None:
    """It survives pickle: how it reaches other processes."""
    again = pickle.loads(pickle.dumps(component))
    assert again == component, f"pickle gives {again!r}, not {component!r}"


@check(EVERY_KIND)
def check_late_imports(component: Component, subject: Subject) -> None:
    """Importing it imports nothing that trackers import when a run begins: that takes seconds."""
    module = type(component).__module__
    late = tuple(name for one in get_registry().trackers().values() for name in one.packages)
    culprit = _importers(_neighbours(module), late).get(module)
    assert not culprit, f"importing {module} imports {culprit}; import it inside a method"


def _given(component: Component) -> dict[str, Any]:
    return {name: getattr(component, name) for name in component.model_fields_set}


def _stated_version(module: str) -> Any:
    while module:
        stated = getattr(sys.modules.get(module), "DBGSOM_API_VERSION", None)
        if stated is not None:
            return stated
        module = module.rpartition(".")[0]
    return None


def _neighbours(module: str) -> tuple[str, ...]:
    # All modules that offer components beside this one: one process looks at all of them.
    from dbgsom_core.hookspecs import KINDS

    root = module.partition(".")[0]
    offered = {
        one.source.partition(":")[0] for kind in KINDS for one in get_registry().offered(kind)
    }
    return tuple(sorted({module, *(one for one in offered if one.partition(".")[0] == root)}))


_PROBE = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[2])
culprits = {}
for module in json.loads(sys.argv[1]):
    try:
        importlib.import_module(module)
    except ImportError:
        continue
    found = [name for name in json.loads(sys.argv[3]) if name in sys.modules]
    if found:
        culprits[module] = found[0]
        for name in [n for n in sys.modules if n.partition(".")[0] in found]:
            del sys.modules[name]
print(json.dumps(culprits))
"""


@lru_cache(maxsize=32)
def _importers(modules: tuple[str, ...], late: tuple[str, ...]) -> dict[str, str]:
    paths = [path for path in sys.path if path]
    answer = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps(modules), json.dumps(paths), json.dumps(late)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    culprits: dict[str, str] = json.loads(answer.stdout.splitlines()[-1])
    return culprits
