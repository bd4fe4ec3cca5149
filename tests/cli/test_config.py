"""``dbgsom config`` and ``dbgsom schema``: what a configuration means and where it is from."""

import json

import pytest

from dbgsom_core.config import load_experiment

RUN = """\
experiment: shown
dataset: iris
model:
  kernel: {name: gaussian, start: 2}
figures: [hit_map, {name: u_matrix}]
seed: ${env:SOM_SHOWN:-7}
tracking: {name: mlflow, uri: 'http://me:word@host/'}
"""


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv("SOM_SHOWN", raising=False)


def origins(text):
    pairs = (line.split("  # ") for line in text.splitlines() if "  # " in line)
    return {left.strip(): origin for left, origin in pairs}


def test_each_value_that_was_written_has_its_place(dbgsom, write):
    write("base.yaml", RUN)
    file = write("run.yaml", "extends: base.yaml\nmodel: {kernel: {end: 0.5}}\n")
    overrides = ["--set", "model.epochs=9", "--set", "name='a # b'"]
    answer = dbgsom("config", "show", file, "--origins", *overrides)
    assert answer.code == 0, answer.err
    told = origins(answer.out)
    assert told["start: 2.0"] == "base.yaml:4:35"
    assert told["end: 0.5"] == "run.yaml:2:23"
    assert told["name: iris"] == "base.yaml:2:10"
    assert told["epochs: 9"] == "--set model.epochs=9"
    assert told["name: 'a # b'"] == "--set name='a # b'"
    assert told["- name: hit_map"] == "base.yaml:5:11"
    assert told["seed: ${env:SOM_SHOWN:-7}"] == "base.yaml:6:7"
    assert told["uri: http://***@host/"] == "base.yaml:7:31"
    assert "tol: 0.0001\n" in answer.out  # a default
    assert "decay: exponential\n" in answer.out
    assert "word" not in answer.out
    assert "#" not in dbgsom("config", "show", file, "--set", "model.epochs=9").out


def test_the_environment_is_told_by_name_alone(dbgsom, write, monkeypatch):
    monkeypatch.setenv("SOM_SHOWN", "123456789")
    for arguments in ([], ["--origins"]):
        answer = dbgsom("config", "show", write("run.yaml", RUN), *arguments)
        assert "SOM_SHOWN" in answer.out
        assert "123456789" not in answer.out


@pytest.mark.parametrize("options", [[], ["--origins"]])
def test_what_is_shown_is_a_configuration_that_means_the_same(options, dbgsom, write):
    file = write("run.yaml", RUN.replace("me:word@", ""))
    shown = dbgsom("config", "show", file, *options)
    assert ("#" in shown.out) == (options == ["--origins"])
    again = write("again.yaml", shown.out)
    one, other = load_experiment(file), load_experiment(again)
    assert one.resolved == other.resolved
    for part in ("dataset", "figures", "tracking", "seed", "engine"):
        assert getattr(one, part) == getattr(other, part)


def test_the_configuration_of_a_run_is_shown_by_its_name(dbgsom, write, tmp_path):
    small = "model: {epochs: 2, max_neurons: 9}\nmeasures: null\nfigures: null\ntracking: null\n"
    file = write("run.yaml", "experiment: x\ndataset: iris\n" + small)
    assert dbgsom("run", file, "-q").code == 0
    (folder,) = (tmp_path / "runs" / "x").iterdir()
    of_file = dbgsom("config", "show", file).out
    for name in (folder, folder.name):
        assert dbgsom("config", "show", name).out == of_file
        assert "config.yaml:" in dbgsom("config", "show", name, "--origins").out
    answer = dbgsom("config", "show", "x")
    assert answer.err == f"note: {folder.name} is the newest finished run of experiment 'x'\n"


def test_the_schema_goes_to_the_terminal_or_to_a_file(dbgsom, tmp_path):
    answer = dbgsom("schema", "--no-plugins")
    schema = json.loads(answer.out)
    assert schema["$schema"].endswith("2020-12/schema")
    told = dbgsom("schema", "--no-plugins", "-o", "run.schema.json")
    assert told.out.strip() == "run.schema.json"
    assert json.loads((tmp_path / "run.schema.json").read_text()) == schema
    assert dbgsom("schema", "--no-plugins", "-o", "run.schema.json").code == 0
    (tmp_path / "run.yaml").write_text("experiment: e\n")
    answer = dbgsom("schema", "-o", "run.yaml")
    assert (answer.code, (tmp_path / "run.yaml").read_text()) == (2, "experiment: e\n")
    assert "run.yaml is no name of a schema: give one that ends in .json" in answer.err
