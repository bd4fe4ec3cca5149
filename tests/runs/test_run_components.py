"""A run remembers which components it was made with."""

from dbgsom_core.config import parse_experiment
from dbgsom_core.interfaces.privacy import masked, redaction
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.manifest import describe_components
from dbgsom_core.runs.pipeline import make_estimator


def test_a_run_remembers_every_component_and_hides_the_environments_values(tmp_path, monkeypatch):
    monkeypatch.setenv("SOM_RUNS", str(tmp_path))
    monkeypatch.setenv("SOM_WIDTH", "3")
    registry = Registry.discover(own_only=True)
    experiment = parse_experiment(
        {
            "experiment": "x",
            "dataset": {"name": "blobs", "samples": 50},
            "model": {"kernel": {"name": "gaussian", "start": "${env:SOM_WIDTH}"}},
            "measures": ["quantization_error"],
            "figures": ["hit_map"],
            "tracking": {"name": "run_folder", "path": "${env:SOM_RUNS}"},
        },
        registry,
    )
    estimator = make_estimator(experiment)
    with redaction(experiment.secrets):
        described = masked(describe_components(experiment, estimator.parts(), registry))
    components = {one["kind"]: one for one in described}
    assert list(components) == [
        "dataset", "metric", "kernel", "growth", "labeller", "engine", "grid", "initialisation",
        "measure", "figure", "tracker",
    ]  # fmt: skip
    assert components["dataset"]["params"]["samples"] == 50
    assert components["growth"]["params"]["max_neurons"] == "auto"
    assert components["engine"]["params"] == {
        "threads": None, "chunk_rows": 4096, "working_memory": None, "memory": None,
    }  # fmt: skip
    assert components["kernel"]["params"]["start"] == "${env:SOM_WIDTH}"
    assert str(tmp_path) not in str(components["tracker"])
    assert {one["distribution"] for one in components.values()} == {"dbgsom-core"}
