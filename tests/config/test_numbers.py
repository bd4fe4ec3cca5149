"""Numbers that the code below cannot use are refused where they stand, in every field there is."""

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.config.schema import ExperimentSettings, ModelSettings, Split
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry

HUGE = (".inf", "-.inf", ".nan", "1e400", "1" + "0" * 20, "-1" + "0" * 30, "9" * 5000)
WHERE = {
    "dataset": "dataset",
    "metric": "model.metric",
    "kernel": "model.kernel",
    "growth": "model.growth",
    "labeller": "model.labeller",
    "measure": "measures",
    "figure": "figures",
    "tracker": "tracking",
    "engine": "engine",
}
REGISTRY = Registry.discover(own_only=True)
SMALL = "experiment: x\ndataset: iris\n"


def is_number(schema):
    options = schema.get("anyOf", [schema])
    return any(one.get("type") in ("integer", "number") for one in options)


def fields():
    for settings, prefix in (
        (ExperimentSettings, ""),
        (Split, "split."),
        (ModelSettings, "model."),
    ):
        for name, schema in settings.model_json_schema()["properties"].items():
            if is_number(schema):
                yield f"{prefix}{name}={{}}"
    for kind, where in WHERE.items():
        for offered in REGISTRY.offered(kind):
            for name, schema in offered.load().model_json_schema()["properties"].items():
                if is_number(schema):
                    yield f"{where}={{{{name: {offered.name}, {name}: {{}}}}}}"


@pytest.mark.parametrize("field", list(fields()))
def test_a_number_that_nothing_can_hold_is_refused(field, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(SMALL)
    for number in HUGE:
        with pytest.raises(ConfigError) as caught:
            load_experiment("run.yaml", [field.format(number)], REGISTRY)
        place = f"--set {field.format(number)}: "
        assert str(caught.value).startswith(place[:240])  # of a longer one the middle is left out
        assert len(place) > 240 or place in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "model.epochs",
        "model.max_neurons",
        "model.growth.rows",
        "model.growth.columns",
        "engine.threads",
        "seed",
    ],
)
def test_counts_have_bounds_well_below_what_a_machine_word_holds(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    growth = "model: {growth: fixed}\n" if "growth" in key else ""
    (tmp_path / "run.yaml").write_text(SMALL + growth)
    with pytest.raises(ConfigError, match="must be at most"):
        load_experiment("run.yaml", [f"{key}={2**40}"], Registry.discover(own_only=True))
