"""What a configuration may hold and hardly means is refused at its place, or noted."""

import re

import numpy as np
import pytest

from dbgsom_core.config import load_experiment, load_sweep, parse_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.runs.data import load_data

BASE = {"experiment": "e", "dataset": "iris", "tracking": []}


@pytest.mark.parametrize("labeller", [None, "clusters"])
def test_measures_of_classes_of_a_map_of_clusters_are_noted(labeller):
    model = {} if labeller is None else {"labeller": labeller}
    values = {**BASE, "model": model, "measures": ["accuracy", "adjusted_rand", "purity"]}
    (note,) = parse_experiment(values).notes
    assert note.startswith("measures: 'accuracy' compares answers with classes")
    assert parse_experiment({**values, "model": {"labeller": "majority"}}).notes == ()


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        (
            "tracking: [{name: run_folder}, {name: run_folder, path: other}]",
            "3:11: tracking",
            "'run_folder' appears twice",
        ),
        (
            "name: ${env:NOTHING_A:-${env:NOTHING_B}}",
            "3:7: name",
            "holds a broken reference",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_place(tmp_path, text, place, sentence):
    assert_refused(load_experiment, tmp_path / "run.yaml", text, place, sentence)


def assert_refused(load, file, text, place, sentence):
    file.write_text(f"experiment: e\ndataset: iris\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert re.search(rf"{file.stem}\.yaml:{place}: .*{re.escape(sentence)}", str(caught.value))


def test_axes_that_reach_into_what_others_name_differ(tmp_path):
    file = tmp_path / "sweep.yaml"
    axes = "{model.kernel: [gaussian, bubble], model.kernel.end: [0.5, 0.6]}"
    file.write_text(f"experiment: e\ndataset: iris\nsweep: {{grid: {axes}}}\n")
    assert load_sweep(file).runs == 4


def test_a_class_that_no_sample_has_is_noted_as_the_one_that_says_unlabelled():
    for unlabelled, noted in ((7, True), (2, False), ("auto", False), (None, False)):
        model = {"estimator": "classifier", "unlabelled": unlabelled}
        experiment = parse_experiment({**BASE, "model": model})
        if noted:
            with pytest.warns(UserWarning, match="no sample has the class 7"):
                data = load_data(experiment)
        else:
            data = load_data(experiment)
        assert np.unique(data.y).tolist() == [0, 1, 2]


@pytest.mark.parametrize("where", ["option", "file"])
def test_a_plugin_to_disable_that_is_not_there_is_noted(where, called, tmp_path):
    section = "plugins: {disable: [dbgsom-cor]}\n" if where == "file" else ""
    (tmp_path / "run.yaml").write_text(
        "experiment: e\ndataset: iris\nmodel: {epochs: 2}\nmeasures: []\nfigures: []\n"
        f"tracking: []\n{section}"
    )
    option = ["--disable-plugin", "dbgsom-cor"] if where == "option" else []
    found = called(tmp_path, "run", "run.yaml", *option)
    assert found.code == 0
    assert "no plugin is called 'dbgsom-cor', so none was disabled" in found.err
    assert "did you mean 'dbgsom-core'?" in found.err


def test_a_null_of_a_parent_file_is_no_key_of_classifiers():
    values = {**BASE, "model": {"estimator": "vq", "class_weight": None, "unlabelled": None}}
    assert not {"class_weight", "unlabelled"} & parse_experiment(values).model.params.keys()
    values["model"]["class_weight"] = "balanced"
    with pytest.raises(ConfigError, match="class_weight: is for estimator: classifier"):
        parse_experiment(values)
