"""What came from the environment is shown by its reference, wherever a run writes or speaks."""

import json
import os
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

# What the variables hold; each is used in one place of the configuration below.
HELD = {
    "NAME": 'run-of-alice | <b>"it\'s"',
    "GROUP": "group of alice",
    "TABLE": "tables-of-alice",
    "TARGET": "class-of-alice",
    "DROP": "hidden-column",
    "SEED": "31415926",
    "POWER": "2.71828183",
    "SPREAD": "0.31415927",
    "MOST": "987653",
    "EPOCHS": "3",
    "TOL": "0.0001234567",
    "TEST": "0.27182818",
    "QUANTILES": "17",
    "STORE": "store-of-alice",
    "SHOWN": "shown-by-alice",
    "FIGURE": "hit_map",
    "MODEL": "model-of-alice",
    "OFF": "plugin-of-alice",
}
CONFIG = """
experiment: ${env:GROUP}
name: ${env:NAME}
dataset: {name: csv, path: "${env:TABLE}/t.csv", target: "${env:TARGET}", drop: ["${env:DROP}"]}
prepare: {name: sklearn.preprocessing:QuantileTransformer, n_quantiles: "${env:QUANTILES}"}
split: {test_size: "${env:TEST}"}
model:
  estimator: classifier
  epochs: ${env:EPOCHS}
  tol: ${env:TOL}
  spreading_factor: ${env:SPREAD}
  max_neurons: ${env:MOST}
  metric: {name: minkowski, p: "${env:POWER}"}
seed: ${env:SEED}
figures: [label_map, growth_curve, "${env:FIGURE}"]
plugins: {disable: ["${env:OFF}"]}
tracking:
  name: mlflow
  uri: sqlite:///${env:STORE}.db
  experiment: ${env:SHOWN}
  registered_model: ${env:MODEL}
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory, table, dbgsom, written):
    """All that one run and its sync write and say, by place."""
    folder = tmp_path_factory.mktemp("alice")
    given = {"c.yaml": CONFIG, f"{HELD['TABLE']}/t.csv": table}
    for name, text in given.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        for name, held in HELD.items():
            patched.setenv(name, held)
        drawn = []
        savefig = Figure.savefig
        patched.setattr(
            Figure, "savefig", lambda f, *a, **k: (drawn.append(f), savefig(f, *a, **k))
        )
        code, said = dbgsom(folder, "run", "c.yaml")
        assert code == 0, said
        code, synced = dbgsom(folder, "sync")
        assert code == 0, synced
        texts = [
            text.get_text()
            for one in drawn
            for text in one.findobj(lambda a: hasattr(a, "get_text"))
        ]
    places = written(folder, but=given)
    assert {"store-of-alice.db"} < set(places)
    folders = "\n".join(str(p.relative_to(folder)) for p in folder.glob("runs/**"))
    return places | {
        "folders": folders,
        "said": said,
        "synced": synced,
        "figures": "\n".join(texts),
    }


@pytest.mark.parametrize("name", [n for n in HELD if n not in ("EPOCHS", "QUANTILES")])
def test_a_run_shows_the_reference_everywhere(shown, name, leaks):
    assert not leaks(shown, HELD[name])


def test_the_run_folder_shows_references(shown):
    run = json.loads(next(text for name, text in shown.items() if name.endswith("run.json")))
    assert run["name"] == "${env:NAME}"
    assert run["experiment"] == "env-GROUP"
    wanted = {"seed": "SEED", "tol": "TOL", "epochs": "EPOCHS", "growth.max_neurons": "MOST",
              "metric.p": "POWER", "growth.spreading_factor": "SPREAD",
              "dataset.target": "TARGET"}  # fmt: skip
    assert {key: run["params"][key] for key in wanted} == {
        key: f"${{env:{name}}}" for key, name in wanted.items()
    }
    assert run["params"]["split"] == "test ${env:TEST}"
    assert any("${env:NAME}" in line for line in shown["figures"].splitlines())
    assert "${env:NAME}" in shown["said"]
    assert any(name.endswith("figures/env-FIGURE.png") for name in shown)
    assert '--backend-store-uri sqlite:///"$STORE".db\n' in shown["said"]


def test_a_sweep_shows_references(secret, tmp_path, monkeypatch, dbgsom, written, leaks, small):
    monkeypatch.setenv("AXIS", "0.77665544")
    axis = "sweep: {list: [{seed: 1}, {model.spreading_factor: '${env:AXIS}', seed: 2}]}\n"
    (tmp_path / "c.yaml").write_text(small + "name: ${env:T}\n" + axis)
    code, said = dbgsom(tmp_path, "sweep", "c.yaml")
    assert code == 0
    places = written(tmp_path, but=["c.yaml"]) | {"said": said}
    assert not leaks(places, secret)
    assert not leaks(places, "0.77665544")


def test_what_the_file_says_itself_is_no_secret(tmp_path, monkeypatch, dbgsom, small):
    monkeypatch.setenv("DATA", "blobs")
    (tmp_path / "c.yaml").write_text(
        small.replace("experiment: x", "experiment: blobs").replace(
            "name: blobs", "name: '${env:DATA}'"
        )
    )
    code, _ = dbgsom(tmp_path, "run", "c.yaml")
    assert code == 0
    [folder] = (tmp_path / "runs" / "blobs").iterdir()
    config = (folder / "config.yaml").read_text()
    assert config.startswith("experiment: blobs\n")
    assert "name: ${env:DATA}" in config
    assert json.loads((folder / "run.json").read_text())["params"]["dataset"] == "${env:DATA}"


def test_a_terminal_of_ascii_shows_references(secret, tmp_path, small):
    tracking = "tracking: {name: run_folder, path: 'ö-${env:T}'}"
    (tmp_path / "c.yaml").write_text(small.replace("tracking: []", tracking), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "dbgsom_core.cli", "run", "c.yaml"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert r"/\xf6-${env:T}/x/" in done.stdout.decode()
    assert secret.encode() not in done.stderr + done.stdout
