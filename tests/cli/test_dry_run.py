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


def test_it_tells_all_and_writes_nothing(dbgsom, write, tmp_path, monkeypatch):
    monkeypatch.setenv("SOM_PLACE", "a-secret-place")
    file = write(
        "run.yaml", RUN + "tracking: {name: mlflow, uri: 'http://me:word@h/${env:SOM_PLACE}'}"
    )
    before = sorted(tmp_path.rglob("*"))
    answer = dbgsom("run", file, "--dry-run", "--set", "split={folds: 3}", "--name", "trial")
    assert answer.code == 0, answer.err
    assert sorted(tmp_path.rglob("*")) == before
    told = lines(answer.out)
    assert told["data"].startswith("blobs: 300 × 3 float64, 7.03 KiB, 5 classes")
    assert told["prepare"] == "standardize: 3 features, float64"
    assert told["split"].startswith("3 folds, 200 rows to train on, 100 to test")
    assert told["name"] == "trial"
    assert "growth directed, labeller index" in told["parts"]
    assert re.match(r"about [\d.]+ s \(\d+ of at most \d+ epochs, 3 folds", told["training"])
    assert told["training"].endswith(
        "; training alone: loading, measures, figures and trackers come on top"
    )
    assert re.match(r"about [\d.]+ s in the mean", told["epoch"])
    assert re.match(r"\d+, at most 12", told["neurons"])
    assert re.match(r"about [\d.]+ [MG]iB", told["memory"])
    assert told["writes"].startswith(str(tmp_path / "runs" / "forecast"))
    assert "assignments.csv, neurons.csv" in told["writes"]
    assert "uri http://***@h/${env:SOM_PLACE}" in answer.out
    assert "secret" not in answer.out
    assert answer.out.splitlines()[-1] == "nothing was written"


def test_what_is_told_is_what_a_run_does(tmp_path, monkeypatch, dbgsom, write):
    file = write("run.yaml", RUN + "measures: quantization_error\nfigures: null\ntracking: null\n")
    told = forecast(load_experiment(file), get_registry())
    assert told.plan.probe.whole
    assert told.plan.seconds[0] == told.plan.seconds[1] > 0
    assert dbgsom("run", file).out.splitlines()[1].split() == [
        "neurons",
        str(told.plan.probe.neurons),
    ]
    (folder,) = (tmp_path / "runs" / "forecast").iterdir()
    written = {part.name for part in folder.iterdir()}
    planned = lines(dbgsom("run", file, "--dry-run").out)
    assert re.fullmatch(rf"such a run took [\d.]+ s in all \({folder.name}\)", planned["before"])
    other = dbgsom("run", file, "--dry-run", "--set", "figures=[hit_map]")
    assert "before" not in lines(other.out)  # which takes longer
    named = planned["writes"].split(": ")[1].split(", ")
    assert {name.strip("/") for name in named} - {"figures"} <= written
    tables = {name for name in written if name.endswith(".csv")}
    assert tables == {name for name in named if name.endswith(".csv")}


def test_of_a_cluster_it_tells_without_starting_one(dbgsom, write, monkeypatch):
    monkeypatch.setattr("dbgsom_plugins.engines.dask.engine.DaskEngine.session", 1 / 2)
    file = write("run.yaml", RUN + "engine: {name: dask, workers: 2}\n")
    told = lines(dbgsom("run", file, "--dry-run").out)
    assert "engine dask" in told["parts"]
    assert told["network"].startswith("at most 2.34 KiB an epoch and worker, with 12 ")


@pytest.fixture
def on_parts(monkeypatch, tmp_path):
    """Forecast from a probe that may use few rows, or little time."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3000, 4)))
    file = tmp_path / "run.yaml"

    def on_parts(model, rows=500, seconds=0.0):
        monkeypatch.setattr(planning, "PROBE_ROWS", rows)
        monkeypatch.setattr(planning, "PROBE_SECONDS", seconds)
        data = f"{{name: npy, path: '{tmp_path / 'x.npy'}'}}"
        file.write_text(f"experiment: x\ndataset: {data}\nmodel: {model}\n")
        return forecast(load_experiment(file), get_registry())

    return on_parts


def test_a_part_of_the_rows_gives_a_range(on_parts):
    told = on_parts("{epochs: 30, max_neurons: 40}")
    assert not told.plan.probe.whole
    assert told.plan.probe.rows == 500
    least, most = told.plan.seconds
    assert 0 < least <= most
    words = dict(told.lines)["training"]
    assert "of 500 of 3000 rows" in words or "on 500 of 3000 rows" in words


def test_rows_are_added_while_there_is_time(on_parts):
    assert on_parts("{epochs: 3, max_neurons: 4}", rows=100, seconds=1e9).plan.probe.whole


def test_a_map_without_a_cap_has_no_greatest_time(on_parts):
    told = on_parts("{epochs: 30, max_neurons: null, growth: {max_neurons: null}}")
    assert told.plan.seconds[1] is None
    assert "at least about" in dict(told.lines)["training"]


def test_a_fixed_map_is_as_large_as_it_is(on_parts):
    told = on_parts("{epochs: 5, growth: {name: fixed, rows: 3, columns: 5}}")
    assert "at most 15" in dict(told.lines)["neurons"]


def test_what_a_run_refuses_is_refused(dbgsom, write):
    answer = dbgsom("run", write("run.yaml", RUN.replace("300", "3")), "--dry-run")
    assert answer.code == 2
    assert dbgsom("run", "run.yaml", "--dry-run", "--resume").code == 2


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (999.0, "999 bytes"),
        (1023.0, "0.999 KiB"),
        (1.02e3 * 2**20, "0.996 GiB"),
        (2.0**43, "8192 GiB"),
    ],
)
def test_sizes_are_told_without_exponents(count, told):
    assert planning.told_size(count) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(99.4, "99 s"), (99.6, "100 s"), (119.0, "119 s"), (150.0, "2 min")]
)
def test_times_are_told_without_exponents(seconds, told):
    assert planning.told_seconds(seconds) == told
