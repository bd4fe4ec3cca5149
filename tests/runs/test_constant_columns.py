"""Columns that are constant are told of: as a remark, or as a warning where that matters."""

import numpy as np
import pytest
from click.testing import CliRunner

from dbgsom_core.cli import cli
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import Remark
from dbgsom_core.runs.data import load_data
from dbgsom_core.runs.split import final_fold

NOTE = "2 of 6 columns are constant and scaled to 0"


@pytest.fixture
def described(tmp_path):
    """Return a description of a table of which so many of six columns are constant."""

    def made(constant, metric="euclidean", prepare="range_scale"):
        X = np.random.default_rng(0).normal(size=(30, 6))
        X[:, :constant] = 7.0
        np.save(tmp_path / "x.npy", X)
        path = tmp_path / "run.yaml"
        path.write_text(
            f"experiment: e\ndataset: {{name: npy, path: '{tmp_path / 'x.npy'}'}}\n"
            f"prepare: {prepare}\nmodel: {{metric: {metric}, max_neurons: 6, epochs: 2}}\n"
            f"figures: []\ntracking: {{name: run_folder, path: '{tmp_path / 'runs'}'}}\n",
            encoding="utf-8",
        )
        return path

    return made


def prepared(path):
    experiment = load_experiment(path)
    return final_fold(experiment, load_data(experiment))


@pytest.mark.parametrize(("constant", "listed"), [(2, "0, 1"), (3, "0, 1, 2")])
def test_they_are_a_remark(described, constant, listed):
    told = f"{constant} of 6 columns are constant and scaled to 0: {listed}"
    with pytest.warns(Remark, match=told):
        prepared(described(constant))


def test_a_remark_is_in_the_report_and_not_on_the_terminal(described, tmp_path):
    done = CliRunner().invoke(cli, ["run", str(described(2))])
    assert done.exit_code == 0, done.output
    assert "constant" not in done.output
    (report,) = (tmp_path / "runs").glob("e/*/report.md")
    assert NOTE in report.read_text(encoding="utf-8")
