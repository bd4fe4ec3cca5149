"""The JSON Schema for editors agrees with what is loaded."""

import pytest
import yaml

from dbgsom_core.config import load_experiment
from dbgsom_core.config.json_schema import experiment_schema
from dbgsom_core.config.schema import ModelSettings
from dbgsom_core.errors import ConfigError
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.plugins.registry import KINDS, Registry

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def built_ins():
    return Registry.discover(own_only=True)


@pytest.fixture(scope="module")
def schema(built_ins):
    return experiment_schema(built_ins)


def test_the_schema_is_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_component_and_field_is_described(schema, built_ins):
    for kind in KINDS:
        for one in built_ins.offered(kind):
            section = schema["$defs"][f"{kind}.{one.name}"]
            assert section["description"], one.name
            assert set(section["properties"]) == {"name", *one.load().model_fields}
            for field, part in section["properties"].items():
                assert part.get("description"), f"{kind} {one.name}: {field}"


GOOD = [
    "dataset: digits",
    "dataset: {name: moons, noise: 0.2}\nmodel: {kernel: {name: gaussian, start: 2}}",
    "dataset: iris\nsplit: {folds: 3}\nfigures: [u_matrix, {name: hit_map}]\nmeasures: default",
    "dataset: iris\nsplit: {test: {name: moons, noise: 0.2}}",
    "dataset: iris\ntracking: null\nengine: {threads: 2}\nprepare: [range_scale, 'a.b:C']",
    "dataset: iris\nmodel: {max_neurons: auto, spreading_factor: 0.2, init: random}",
]
REFERENCES = [
    "dataset: iris\nname: '${env:SOM_A}'",
    "sweep: {grid: {dataset: [iris, wine]}}",
    "dataset: iris\nsweep: {optimize: {trials: 2, space: {model.tol: {low: 0.1, high: 1.0}}}}",
]
BAD = [
    "dataset: iris\nsweep: {grid: {seed: 1}}",
    "seed: 3",
    "dataset: digitz",
    "dataset: {name: moons, noisy: 0.2}",
    "dataset: {samples: 3}",
    "dataset: iris\nseed: '3'",
    "dataset: iris\nseeed: 3",
    "dataset: iris\nmodel: {kernel: {name: gaussian, start: -2}}",
    "dataset: iris\nsplit: {folds: 1}",
    "dataset: iris\nsplit: {name: KFolds}",
    "dataset: iris\nengine: dusk",
    "dataset: iris\nprepare: [scale]",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_loads_is_valid(schema, built_ins, text):
    values = {"experiment": "e", **yaml.safe_load(text)}
    jsonschema.Draft202012Validator(schema).validate(values)
    made = load_experiment(values, registry=built_ins)
    jsonschema.Draft202012Validator(schema).validate(dict(made.resolved))
    assert load_experiment(made.resolved, registry=built_ins).resolved == made.resolved


@pytest.mark.parametrize("text", REFERENCES)
def test_references_and_what_only_a_sweep_names_are_valid(schema, text):
    jsonschema.Draft202012Validator(schema).validate({"experiment": "e", **yaml.safe_load(text)})


@pytest.mark.parametrize("text", BAD)
def test_what_does_not_load_is_invalid(schema, built_ins, text):
    values = {"experiment": "e", **yaml.safe_load(text)}
    assert not jsonschema.Draft202012Validator(schema).is_valid(values)
    with pytest.raises(ConfigError):
        load_experiment(values, registry=built_ins)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_built_in_survives_being_written_down(built_ins, kind):
    needs = {name: {"path": f"x.{name}"} for name in ("csv", "npy", "npz", "parquet", "feather")}
    for name in built_ins.names(kind):
        section = {"name": name, **needs.get(name, {})}
        needed = {
            "array": {"values": [[1.0]] * 4},
            "time_limit": {"seconds": 1},
            "epoch_limit": {"epochs": 2},
        }
        section |= needed.get(name, {})
        values = {"experiment": "e", "dataset": "iris"}
        if name in ("mean", "local_linear", "r2", "rmse", "mae", "predicted_actual"):
            values["model"] = {"estimator": "regressor"}
        needs_classes = ("confusion_matrix", "roc_curve", "precision_recall", "lift")
        needs_classes += ("doubtful_labels",)
        if name in ("kernel_vote", "linear_vote", *needs_classes):
            values["model"] = {"estimator": "classifier"}
        if kind == "grid":
            rows = 1 if name == "line" else 8
            values["model"] = {"growth": {"name": "fixed", "rows": rows}}
        if kind in nested_fields(ModelSettings).values():
            key = {kind: key for key, kind in nested_fields(ModelSettings).items()}[kind]
            values.setdefault("model", {})[key] = section
        else:
            keys = {"measure": "measures", "figure": "figures", "tracker": "tracking"}
            values[keys.get(kind, kind)] = section
        if name == "trust_map":
            values["stability"] = {}
        if name == "group_shares":
            values["report"] = {"by": "batch"}
        made = load_experiment(values, registry=built_ins)
        assert load_experiment(made.resolved, registry=built_ins).resolved == made.resolved
