"""Components inside components: places, defaults, overrides, sweeps, and writing down."""

from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from dbgsom_core.api import GrowthComponent, Nested
from dbgsom_core.config import dump_yaml, load_experiment
from dbgsom_core.config.json_schema import experiment_schema
from dbgsom_core.errors import ConfigError
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.plugins.registry import Registry
from dbgsom_plugins.growth.classical import Gsom, Hierarchical
from dbgsom_plugins.growth.directed import Directed

jsonschema = pytest.importorskip("jsonschema")

TREE = """\
experiment: tree
dataset: iris
model:
  growth: {name: hierarchical, base: {name: directed, spreading_factor: 0.3}, tau_2: 0.05}
"""


class Around(GrowthComponent):
    """A strategy of a third party around another one."""

    inner: Annotated[Any, Nested("growth")] = Field(
        default="fixed", validate_default=True, description="what it is around"
    )

    def grow(self, som_map, state):
        return self.inner.grow(som_map, state)


class Twig(GrowthComponent):
    """A strategy of a third party with a field that JSON has no word for."""

    cells: tuple[int, int] = Field(default=(1, 2), description="two numbers")

    def grow(self, som_map, state):
        return ()


@pytest.fixture(scope="module")
def built_ins():
    return Registry.discover(own_only=True)


@pytest.fixture
def load(tmp_path, monkeypatch, built_ins):
    monkeypatch.chdir(tmp_path)

    def loaded(text, *overrides, registry=built_ins):
        Path("run.yaml").write_text(text, encoding="utf-8")
        return load_experiment("run.yaml", list(overrides), registry)

    return loaded


@pytest.fixture
def third_party():
    from dbgsom_core.api import hookimpl

    class Plugin:
        DBGSOM_API_VERSION = 1

        @hookimpl
        def dbgsom_growth_strategies(self):
            return {"around": Around, "twig": Twig}

    registry = Registry.discover(own_only=True)
    registry.register(Plugin(), "woods", "dbgsom-woods", "1.0")
    return registry


def growth_of(experiment):
    return experiment.model.params["growth"]


def test_a_nested_component_is_built(load):
    expected = Hierarchical(base=Directed(spreading_factor=0.3), tau_2=0.05)
    assert growth_of(load(TREE)) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.growth.base.spreading_factor=0.2", Directed(spreading_factor=0.2)),
        ("model.growth.base=gsom", Gsom()),
    ],
)
def test_overrides_reach_into_it(load, override, expected):
    assert growth_of(load(TREE, override)).base == expected


@pytest.mark.parametrize(
    "text",
    [
        TREE,
        TREE.replace("spreading_factor: 0.3", "threshold: entropy"),  # leaves a knob idle
    ],
)
def test_resolved_holds_everything_and_loads_again(load, built_ins, text):
    made = load(text)
    written = dump_yaml(made.resolved)
    again = load(written)
    assert growth_of(again) == growth_of(made)
    assert again.resolved == made.resolved
    schema = experiment_schema(built_ins)
    assert jsonschema.Draft202012Validator(schema).is_valid(yaml.safe_load(written))


def test_third_parties_nest_and_are_nested(load, third_party):
    assert nested_fields(Around) == {"inner": "growth"}
    text = "experiment: e\ndataset: iris\nmodel: {growth: {name: around, inner: GROWTH}}\n"
    made = load(text.replace("GROWTH", "{name: twig, cells: [3, 4]}"), registry=third_party)
    assert growth_of(made) == Around(inner=Twig(cells=(3, 4)))
    again = load(dump_yaml(made.resolved), registry=third_party)
    assert growth_of(again) == growth_of(made)
    assert made.resolved["model"]["growth"]["inner"] == {
        "name": "dbgsom-woods:twig",
        "cells": [3, 4],
    }
    with pytest.raises(ConfigError, match=r"model\.growth\.inner\.cells"):
        load(text.replace("GROWTH", "{name: twig, cells: [3]}"), registry=third_party)
    experiment_schema(third_party)
