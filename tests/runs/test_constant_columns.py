"""Columns that are constant are told of: as a remark, or as a warning where that matters."""

import logging
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from dbgsom_core import SomVQ
from dbgsom_core.cli import cli
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import Remark
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.runs.data import load_data
from dbgsom_core.runs.figures import warnings_as_notes
from dbgsom_core.runs.split import final_fold

NOTE = "2 of 6 columns are constant and scaled to 0, which "


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


@pytest.mark.parametrize(
    ("constant", "metric", "category", "told"),
    [
        (2, "euclidean", Remark, NOTE + "tells no samples apart: 0, 1"),
        (2, "cosine", Remark, NOTE + "tells no samples apart: 0, 1"),
        (2, "mahalanobis", Remark, NOTE + "tells no samples apart: 0, 1"),
        (2, "correlation", UserWarning, NOTE + "is part of a row to this metric: leave them out"),
        (3, "euclidean", UserWarning, "3 of 6 columns are constant and scaled to 0, which tells"),
    ],
)  # fmt: skip
def test_they_are_a_remark_unless_they_are_many_or_count(
    described, constant, metric, category, told
):
    with pytest.warns(UserWarning, match=told) as caught:
        prepared(described(constant, metric))
    assert [one.category for one in caught] == [category]


@pytest.mark.parametrize("metric", ["cosine", "correlation", "mahalanobis"])
def test_what_is_said_of_a_metric_is_so(described, metric):
    """Distances with the constant columns, and without them."""
    experiment = load_experiment(described(2, metric))
    with pytest.warns(UserWarning, match=NOTE):
        X = prepared(experiment.source).train.X
    fixed = {"name": "fixed", "rows": 2, "columns": 2}
    errors = [
        SomVQ(metric=metric, growth=fixed, init=one[:4], epochs=1).fit(one).quantization_error_
        for one in (X, X[:, 2:])
    ]
    assert (errors[0] == pytest.approx(errors[1], rel=1e-9)) is (metric != "correlation")


def test_nothing_is_said_where_nothing_scales(described, recwarn):
    prepared(described(2, prepare="[]"))
    assert not recwarn.list


def test_a_remark_is_in_the_report_and_not_on_the_terminal(described, tmp_path):
    done = CliRunner().invoke(cli, ["run", str(described(2))])
    assert done.exit_code == 0, done.output
    assert "constant" not in done.output
    (report,) = (tmp_path / "runs").glob("e/*/report.md")
    assert NOTE + "tells no samples apart" in report.read_text(encoding="utf-8")


def test_a_remark_is_logged_as_information():
    heard, notes = [], []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append((record.levelname, record.getMessage()))
    logger = private_logger("dbgsom")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings_as_notes(notes):
            warnings.warn("as it is", Remark, stacklevel=1)
            warnings.warn("look", UserWarning, stacklevel=1)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert heard == [("INFO", "as it is"), ("WARNING", "look")]
    assert notes == ["as it is", "look"]
