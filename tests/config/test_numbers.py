"""Numbers that the code below cannot use are refused where they stand, in every field there is."""

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.config.schema import ExperimentSettings, ModelSettings, Split
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry

HUGE = (".inf", ".nan", "1e400", "-1" + "0" * 30)
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
