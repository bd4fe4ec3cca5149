"""What a configuration may hold and hardly means is refused at its place, or noted."""

import numpy as np
import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.runs.data import load_data

BASE = {"experiment": "e", "dataset": "iris", "tracking": []}


@pytest.mark.parametrize("labeller", [None, "clusters"])
def test_measures_of_classes_of_a_map_of_clusters_are_noted(labeller):
    model = {} if labeller is None else {"labeller": labeller}
    values = {**BASE, "model": model, "measures": ["accuracy", "adjusted_rand", "purity"]}
    (note,) = load_experiment(values).notes
    assert note.startswith("measures: 'accuracy' compares answers with classes")
    assert load_experiment({**values, "model": {"labeller": "majority"}}).notes == ()


def test_a_class_that_no_sample_has_is_noted_as_the_one_that_says_unlabelled():
    for unlabelled, noted in ((7, True), (2, False), ("auto", False), (None, False)):
        model = {"estimator": "classifier", "unlabelled": unlabelled}
        experiment = load_experiment({**BASE, "model": model})
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
