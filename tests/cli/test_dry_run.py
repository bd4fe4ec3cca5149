"""``dbgsom run --dry-run``: what a run would take and write, with nothing written."""

import re

import numpy as np
import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.estimators import planning
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.dry_run import forecast

RUN = """\
experiment: forecast
dataset: {name: blobs, samples: 300, features: 3, seed: 1}
prepare: standardize
model: {epochs: 20, max_neurons: 12}
"""


def lines(text):
    return dict(line.split(maxsplit=1) for line in text.splitlines() if line[:1] != " ")


def test_it_describes_the_run_and_writes_nothing(dbgsom, write, tmp_path, monkeypatch):
    monkeypatch.setenv("SOM_PLACE", "a-secret-place")
    file = write(
        "run.yaml", RUN + "tracking: {name: mlflow, uri: 'http://me:word@h/${env:SOM_PLACE}'}"
    )
    before = sorted(tmp_path.rglob("*"))
    answer = dbgsom("run", file, "--dry-run", "--set", "split={folds: 3}", "--name", "trial")
    assert answer.code == 0, answer.err
    assert sorted(tmp_path.rglob("*")) == before
    found = lines(answer.out)
    patterns = {
        "data": r"blobs: 300 × 3 float64, 7\.03 KiB, 5 classes",
        "prepare": "standardize: 3 features, float64",
        "split": "3 folds, 200 rows to train on, 100 to test",
        "name": "trial",
        "parts": ".*growth directed, labeller index",
        "training": r"about [\d.]+ s \(\d+ of at most \d+ epochs, 3 folds.*"
        "; training alone: loading, measures, figures and trackers come on top",
        "epoch": r"about [\d.]+ s in the mean",
        "neurons": r"\d+, at most 12",
        "memory": r"about [\d.]+ [MG]iB",
        "writes": f"{tmp_path}/runs/forecast.*assignments.csv, neurons.csv",
    }
    for name, pattern in patterns.items():
        assert re.match(pattern, found[name]), name
    assert "uri http://***@h/${env:SOM_PLACE}" in answer.out
    assert "secret" not in answer.out
    assert answer.out.splitlines()[-1] == "nothing was written"


def test_the_forecast_is_what_the_run_does(tmp_path, dbgsom, write):
    file = write("run.yaml", RUN + "measures: quantization_error\nfigures: null\ntracking: null\n")
    _, plan = forecast(load_experiment(file), get_registry())
    assert plan.probe.whole
    assert plan.seconds[0] == plan.seconds[1] > 0
    neurons = dbgsom("run", file).out.splitlines()[1].split()
    assert neurons == ["neurons", str(plan.probe.history[-1].neurons)]
    (folder,) = (tmp_path / "runs" / "forecast").iterdir()
    written = {part.name for part in folder.iterdir()}
    planned = lines(dbgsom("run", file, "--dry-run").out)
    named = {name.strip("/") for name in planned["writes"].split(": ")[1].split(", ")}
    assert named - {"figures"} <= written
    assert {name for name in written if name.endswith(".csv")} <= named


@pytest.mark.parametrize(
    ("model", "key", "message"),
    [
        ("{epochs: 30, max_neurons: 40}", "training", "n 500 of 3000 rows"),
        (
            "{epochs: 30, max_neurons: null, growth: {max_neurons: null}}",
            "training",
            "at least about",
        ),
        ("{epochs: 5, growth: {name: fixed, rows: 3, columns: 5}}", "neurons", "at most 15"),
    ],
)
def test_a_probe_takes_some_rows_while_there_is_time(
    model, key, message, monkeypatch, tmp_path, write
):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3000, 4)))
    monkeypatch.setattr(planning, "PROBE_ROWS", 500)
    monkeypatch.setattr(planning, "PROBE_SECONDS", 0.0)
    data = f"{{name: npy, path: '{tmp_path / 'x.npy'}'}}"
    write("run.yaml", f"experiment: x\ndataset: {data}\nmodel: {model}\n")
    found, plan = forecast(load_experiment(tmp_path / "run.yaml"), get_registry())
    assert not plan.probe.whole
    assert message in dict(found)[key]
    least, most = plan.seconds
    assert (most is None) == ("null" in model)
    assert 0 < least <= (most or least)


def test_what_a_run_refuses_is_refused(dbgsom, write):
    assert dbgsom("run", write("run.yaml", RUN.replace("300", "3")), "--dry-run").code == 2
    assert dbgsom("run", "run.yaml", "--dry-run", "--resume").code == 2
