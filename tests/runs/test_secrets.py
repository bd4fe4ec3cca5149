"""A configuration shows references to the environment, and addresses without passwords."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError

pytestmark = pytest.mark.one_version

TABLE = "a,b,kind\n" + "".join(f"{i % 7},{i % 5},{'xy'[i % 2]}\n" for i in range(40))
SMALL = """
experiment: x
dataset: {name: blobs, samples: 40}
model: {epochs: 2}
figures: []
measures: [quantization_error]
tracking: []
"""


@pytest.fixture(scope="session")
def dbgsom(called):
    """Return the exit code and all that was said."""

    def call(folder, *words):
        code, out, err = called(folder, *words)
        return code, out + err

    return call


def written(folder, but=()):
    """Return by name what every file below a folder holds, but for what was there."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name in but:
            continue
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as store:
                found[path.name] = "\n".join(store.iterdump())
        else:
            found[name] = path.read_bytes().decode(errors="replace")
    return found


def leaks(places, held):
    return [place for place, text in places.items() if held in text]


# What the variables hold; each is used in one place of the configuration below.
HELD = {
    "NAME": "run-of-alice",
    "GROUP": "group of alice",
    "TABLE": "table-of-alice",
    "OWNER": "owner-of-alice",
    "SEED": "31415926",
    "POWER": "2.71828183",
    "SPREAD": "0.31415927",
    "MOST": "987653",
    "TOL": "0.0001234567",
}
CONFIG = """
experiment: ${env:GROUP}
name: ${env:NAME}
dataset: {name: csv, path: "${env:TABLE}.csv", target: kind}
model:
  estimator: classifier
  epochs: 3
  tol: ${env:TOL}
  spreading_factor: ${env:SPREAD}
  max_neurons: ${env:MOST}
  metric: {name: minkowski, p: "${env:POWER}"}
seed: ${env:SEED}
tags: {owner: "of ${env:OWNER}"}
figures: [label_map, explorer]
tracking: {name: mlflow, uri: "sqlite:///store.db"}
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory, dbgsom, empty_store):
    """All that one run writes and says, by place."""
    folder = tmp_path_factory.mktemp("places")
    shutil.copy(empty_store, folder / "store.db")
    given = {"c.yaml": CONFIG, f"{HELD['TABLE']}.csv": TABLE}
    for name, text in given.items():
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        for name, held in HELD.items():
            patched.setenv(name, held)
        code, said = dbgsom(folder, "run", "c.yaml")
        assert code == 0, said
        _, config = dbgsom(folder, "config", "show", "c.yaml")
    folders = "\n".join(str(path.relative_to(folder)) for path in folder.glob("runs/**"))
    return written(folder, but=given) | {"folders": folders, "said": said, "config": config}


# The numbers of the map's components are parameters in its file.
IN_MODEL = ("SEED", "POWER", "SPREAD", "MOST", "TOL")


@pytest.mark.parametrize("name", HELD)
def test_a_run_shows_the_reference_wherever_its_configuration_stands(shown, name):
    places = {
        place: text
        for place, text in shown.items()
        if not (place.endswith(".npz") and name in IN_MODEL)
    }
    assert not leaks(places, HELD[name])


def test_the_run_folder_holds_references(shown):
    run = json.loads(next(text for name, text in shown.items() if name.endswith("run.json")))
    assert run["name"] == "${env:NAME}"
    assert run["experiment"] == "env-GROUP"
    assert run["tags"] == {"owner": "of ${env:OWNER}"}
    wanted = {"seed": "SEED", "tol": "TOL", "growth.max_neurons": "MOST", "metric.p": "POWER",
              "growth.spreading_factor": "SPREAD"}  # fmt: skip
    assert {key: run["params"][key] for key in wanted} == {
        key: f"${{env:{name}}}" for key, name in wanted.items()
    }
    assert "${env:NAME}" in shown["said"]
    assert "name: ${env:NAME}" in shown["config"]


# --------------------------------------------------------------------- passwords in addresses

DIRECT = {
    "http://alice:hun/ter2@127.0.0.1:9": "hun/ter2",
    "http://127.0.0.1:9/?token=tokenofalice": "tokenofalice",
}


@pytest.mark.parametrize("uri", DIRECT)
def test_passwords_and_tokens_that_stand_in_the_file_are_hidden(tmp_path, uri, dbgsom):
    (tmp_path / "c.yaml").write_text(SMALL.replace("tracking: []", ""))
    _, said = dbgsom(tmp_path, "run", "c.yaml", "--set", f'tracking={{name: mlflow, uri: "{uri}"}}')
    places = written(tmp_path, but=["c.yaml"]) | {"said": said}
    assert "127.0.0.1:9" in said
    assert "***" in said
    assert not leaks(places, DIRECT[uri])


@pytest.mark.parametrize("uri", DIRECT)
def test_passwords_and_tokens_that_were_typed_are_hidden(tmp_path, uri, dbgsom):
    (tmp_path / "c.yaml").write_text(SMALL)
    with pytest.raises(ConfigError) as raised:
        load_experiment(tmp_path / "c.yaml", [f"engine.uri={uri}"])
    code, said = dbgsom(tmp_path, "validate", "c.yaml", "--set", f"engine.uri={uri}")
    assert code == 2
    assert "***" in said
    assert DIRECT[uri] not in said + str(raised.value)
